"""Fit a trained DoppelGANger's corrections: sample it, compare with the training data, part by part.

Each part is sampled with those before it corrected: metadata, then the ends of series, then records.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from netshare.generators.doppelganger.batches import scale_by_range, series_ranges
from netshare.generators.doppelganger.calibration import fit_numbers, fit_stops, fit_units
from netshare.generators.doppelganger.corrections import Groups, MeasurementCorrections, MetadataCorrections, by_length
from netshare.generators.doppelganger.known_hosts import KnownHosts, address_fields, fit_hosts
from netshare.generators.doppelganger.layout import ColumnLayout
from netshare.generators.doppelganger.sampling import (
    Networks,
    SeriesModel,
    draw_metadata,
    metadata_units,
    record_units,
    stop_hazards,
)
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Encoded

METADATA_ROWS = 4096
SERIES = (256, 2048)  # sampled to calibrate measurements, at least and at most ...
RECORDS = 150_000  # ... of about so many records
MIN_ADDRESSES = 20  # of a version, generated or real, that hosts' weights are fitted on
MIN_GROUP_SERIES = 50  # series, generated or real, that are calibrated by themselves
MAX_GROUP_CATEGORIES = 64  # of a column whose categories make groups


def metadata_corrections(
    networks: Networks, layout: ColumnLayout, data: Encoded, settings: DoppelGANgerSettings
) -> MetadataCorrections:
    """Corrections of metadata, as the settings want them."""
    if not (layout.width and (settings.calibrate or settings.known_hosts)):
        return MetadataCorrections()
    units, real = metadata_units(networks, layout, METADATA_ROWS, seed=0), np.array(data.metadata)
    drawn = settings.discretize != "argmax"
    addresses = address_fields(layout.columns, layout) if settings.known_hosts else []
    bits = {column for own in addresses for column in own.columns}
    found = MetadataCorrections()
    if settings.calibrate:
        found = MetadataCorrections(fit_units(layout, units, real, categories=drawn, numbers=False, left_out=bits))
    rows = layout.collapse(found.shift(layout, units), settings.discretize, torch.Generator().manual_seed(0))
    if settings.calibrate:
        groups = _grouping(data, rows.cpu().numpy(), list(real[:, layout.number_columns.tolist()].T), layout.device)
        made_of, real_of = groups(rows), groups(torch.from_numpy(real).to(layout.device)).cpu().numpy()
        maps = [
            fit_numbers(layout, rows[made_of == k] if k else rows, real[_of(real_of, k)]) for k in range(groups.count)
        ]
        found = MetadataCorrections(found.units, groups, torch.stack(maps))
    hosts: dict[tuple[str, int], KnownHosts] = {}
    for own in addresses:
        made = dict(by_length(own, rows))
        for length, chosen in by_length(own, torch.from_numpy(real)):
            if min(len(chosen), len(made[length])) >= MIN_ADDRESSES:
                known, sample = real[chosen.numpy()][:, list(own.columns)], units[made[length]][:, list(own.units)]
                hosts[own.name, length] = fit_hosts(known, sample, length=length)
    return MetadataCorrections(found.units, found.groups, found.quantiles, hosts)


def measurement_corrections(
    networks: Networks,
    layout: ColumnLayout,
    data: Encoded,
    settings: DoppelGANgerSettings,
    corrected: MetadataCorrections,
    ranged: list[int],
) -> MeasurementCorrections:
    """Corrections of measurements and lengths, given those of metadata; `layout` is that of the metadata, `ranged` are the
    measurement columns that are scaled per series."""
    if not settings.calibrate:
        return MeasurementCorrections(Groups.one(layout.device))
    drawn, longest = settings.discretize != "argmax", data.schema.max_length
    n = int(np.clip(RECORDS / data.lengths.mean(), *SERIES))
    metadata = draw_metadata(networks, layout, n, how=settings.discretize, seed=1, corrections=corrected)
    real, measured = np.array(data.metadata), np.array(data.measurements)
    if ranged:
        measured[:, ranged] = scale_by_range(
            measured[:, ranged], np.repeat(series_ranges(data, ranged), data.lengths, 0)
        )
    means = np.add.reduceat(data.measurements, data.offsets[:-1]) / data.lengths[:, None]
    groups = _grouping(data, metadata, [np.log(data.lengths), *means.T], layout.device)
    made_of = groups(torch.from_numpy(metadata).to(layout.device))
    real_of = groups(torch.from_numpy(real).to(layout.device)).cpu().numpy()
    stops = None
    if drawn:
        hazards = stop_hazards(networks, metadata, layout, max_length=longest, seed=2)
        found = [
            fit_stops(hazards[made_of == k] if k else hazards, data.lengths[_of(real_of, k)])
            for k in range(groups.count)
        ]
        stops = torch.stack(found)
    model = SeriesModel(networks, layout, MeasurementCorrections(groups, (), stops), longest)
    units, series = record_units(model, metadata, sample=drawn, seed=3)
    own_layout, record_of = networks.measurements.layout, made_of[torch.from_numpy(series).to(made_of.device)]
    of_real_record = np.repeat(real_of, data.lengths)
    calibrations = [
        fit_units(own_layout, units[record_of == k] if k else units, measured[_of(of_real_record, k)], categories=drawn)
        for k in range(groups.count)
    ]
    return MeasurementCorrections(groups, tuple(calibrations), stops)


def _of(groups: np.ndarray, number: int) -> np.ndarray:
    """bool[n]: the members of a group; all are those of group 0."""
    return groups == number if number else np.ones(len(groups), bool)


def _grouping(data: Encoded, made: np.ndarray, targets: list[np.ndarray], device: torch.device) -> Groups:
    """Groups by the metadata column that explains most of the variance of the targets ([n] each), if any does; `made` are
    generated rows."""
    columns = data.schema.metadata
    alone = {name for name, count in Counter(column.field for column in columns).items() if count == 1}
    best, explained = -1, 0.0
    for i, column in enumerate(columns):
        if (
            targets
            and column.kind == "categorical"
            and 1 < column.cardinality <= MAX_GROUP_CATEGORIES
            and column.field in alone
        ):
            categories = data.metadata[:, i].astype(np.int64)
            share = float(np.mean([_variance_explained(values, categories) for values in targets]))
            best, explained = (i, share) if share > explained else (best, explained)
    if best < 0:
        return Groups.one(device)
    size = columns[best].cardinality
    counts = [np.bincount(rows[:, best].astype(np.int64), minlength=size) for rows in (data.metadata, made)]
    enough = np.minimum(*counts) >= MIN_GROUP_SERIES
    of = torch.from_numpy(np.where(enough, np.cumsum(enough), 0)).to(device)
    return Groups(torch.full((1,), best, device=device), of)


def _variance_explained(values: np.ndarray, categories: np.ndarray) -> float:
    """The share of the values' variance that lies between categories."""
    total = float(np.var(values))
    if total <= 0:
        return 0.0
    counts = np.bincount(categories)
    sums = np.bincount(categories, values.astype(np.float64))
    means = sums / np.maximum(counts, 1)
    return float(np.sum(counts * (means - values.mean()) ** 2) / len(values) / total)
