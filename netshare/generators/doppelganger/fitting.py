"""Fit a trained DoppelGANger's corrections: sample it, compare with the training data, part by part.

Each part is sampled with those before it corrected: metadata, then the ends of series, then records.
"""

from __future__ import annotations

import numpy as np

from netshare.generators.doppelganger.batches import scale_by_range, series_ranges
from netshare.generators.doppelganger.calibration import fit_stops, fit_units
from netshare.generators.doppelganger.corrections import Corrections, fit_metadata
from netshare.generators.doppelganger.layout import ColumnLayout
from netshare.generators.doppelganger.sampling import (
    Networks,
    draw_metadata,
    metadata_units,
    record_units,
    stop_hazards,
)
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from preprocess.encoded import Encoded

METADATA_ROWS = 8192
SERIES = (256, 4096)  # sampled to calibrate measurements, fewest and most ...
RECORDS = 150_000  # ... of about so many records


def metadata_corrections(
    networks: Networks, layout: ColumnLayout, data: Encoded, settings: DoppelGANgerSettings
) -> Corrections:
    """Corrections of metadata, as the settings want them."""
    if not (layout.width and (settings.calibrate or settings.known_hosts)):
        return Corrections()
    return fit_metadata(
        layout,
        metadata_units(networks, layout, METADATA_ROWS, seed=0),
        np.asarray(data.metadata),
        drawn=settings.discretize != "argmax",
        calibrate=settings.calibrate,
        known_hosts=settings.known_hosts,
    )


def measurement_corrections(
    networks: Networks,
    layout: ColumnLayout,
    data: Encoded,
    settings: DoppelGANgerSettings,
    corrected: Corrections,
    ranged: list[int],
) -> Corrections:
    """Corrections of measurements and lengths, given those of metadata; `layout` is that of the metadata, `ranged` are the
    measurement columns that are scaled per series."""
    if not settings.calibrate:
        return Corrections()
    drawn, longest = settings.discretize != "argmax", data.schema.max_length
    n = int(np.clip(RECORDS / data.lengths.mean(), *SERIES))
    metadata = draw_metadata(networks, layout, n, how=settings.discretize, seed=1, corrections=corrected)
    stops = None
    if drawn:
        stops = fit_stops(stop_hazards(networks, metadata, layout, max_length=longest, seed=2), data.lengths)
    units = record_units(networks, metadata, layout, max_length=longest, sample=drawn, stops=stops, seed=3)
    real = np.array(data.measurements)
    if ranged:
        ranges = np.repeat(series_ranges(data, ranged), data.lengths, 0)
        real[:, ranged] = scale_by_range(real[:, ranged], ranges)
    return Corrections(fit_units(networks.measurements.layout, units, real, categories=drawn), stops)
