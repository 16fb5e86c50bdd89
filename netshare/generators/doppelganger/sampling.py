"""Drawing from trained networks, in memory that depends on neither the number of series nor on the longest of them.

Series are drawn a batch at a time, and records a block of LSTM passes at a time; a series that has ended leaves the
batch, so that only long series cost what their length takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from netshare.generators.doppelganger.batches import unscale_by_range
from netshare.generators.doppelganger.corrections import MeasurementCorrections, MetadataCorrections
from netshare.generators.doppelganger.layout import ColumnLayout, Discretize, Random
from netshare.generators.doppelganger.modules import MeasurementGenerator, Perceptron, mask_after_stop, normal
from netshare.preprocess.ragged import offsets_of

SERIES_AT_ONCE = 2048
PASSES_AT_ONCE = 8


class Networks(nn.Module):
    """The three generators: metadata; ranges given metadata (of no output without auto-normalisation); measurements
    given both."""

    def __init__(
        self, metadata: Perceptron, ranges: Perceptron, measurements: MeasurementGenerator, metadata_noise: int
    ) -> None:
        super().__init__()
        self.metadata = metadata
        self.ranges = ranges
        self.measurements = measurements
        self.metadata_noise = metadata_noise

    def draw_ranges(self, metadata: torch.Tensor, random: Random) -> torch.Tensor:
        """float32[n, ranges] in [0, 1], given metadata units."""
        noise = normal(random, metadata.device, len(metadata), self.metadata_noise)
        return torch.sigmoid(self.ranges(torch.cat([noise, metadata], 1)).float())


@dataclass(frozen=True)
class SeriesModel:
    """What series are drawn from, given metadata.

    networks: the trained networks
    metadata: the layout of metadata rows
    corrections: of lengths and of records' units
    max_length: records that a series may have
    """

    networks: Networks
    metadata: ColumnLayout
    corrections: MeasurementCorrections
    max_length: int


@torch.inference_mode()
def draw_metadata(
    networks: Networks, layout: ColumnLayout, n: int, *, how: Discretize, seed: int, corrections: MetadataCorrections
) -> np.ndarray:
    """float32[n, columns]: metadata rows."""
    random = torch.Generator().manual_seed(seed)
    rows = np.empty((n, len(layout.columns)), np.float32)
    for start in range(0, n, SERIES_AT_ONCE):
        part = rows[start : start + SERIES_AT_ONCE]
        units = _metadata_units(networks, layout, len(part), random)
        drawn = layout.collapse(corrections.shift(layout, units), how, random)
        corrections.read_off(layout, units, drawn, random)
        part[:] = drawn.cpu().numpy()
    return rows


@torch.no_grad()
def metadata_units(networks: Networks, layout: ColumnLayout, n: int, *, seed: int) -> torch.Tensor:
    """float32[n, width]: activated units of metadata, not yet read off, to fit corrections on."""
    return _metadata_units(networks, layout, n, torch.Generator().manual_seed(seed))


@torch.no_grad()
def stop_hazards(
    networks: Networks, metadata: np.ndarray, metadata_layout: ColumnLayout, *, max_length: int, seed: int
) -> torch.Tensor:
    """float32[n, max_length]: for each metadata row the probability that a series ends with each record, if it gets there;
    to fit corrections on."""
    random = torch.Generator().manual_seed(seed)
    generator, device = networks.measurements, metadata_layout.device
    parts = []
    for start in range(0, len(metadata), SERIES_AT_ONCE):
        condition = _condition(networks, metadata[start : start + SERIES_AT_ONCE], metadata_layout, random)[0]
        state = generator.first_state(condition, random)
        flags: list[torch.Tensor] = []
        while sum(part.shape[1] for part in flags) < max_length:
            noise = normal(random, device, len(condition), PASSES_AT_ONCE, generator.noise)
            _, passed, state = generator(condition, noise, state)
            flags.append(passed[..., 1])
        parts.append(torch.cat(flags, 1)[:, :max_length])
    return torch.cat(parts)


@torch.inference_mode()
def draw_measurements(
    model: SeriesModel,
    metadata: np.ndarray,
    *,
    ranged: list[int],
    how: Discretize,
    seed: int,
    given_lengths: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One series for each metadata row: measurements float32[n_records, columns] and offsets int64[n + 1].

    Args:
        model: what they are drawn from.
        metadata: float32[n, columns].
        ranged: measurement columns that are scaled per series (auto-normalisation).
        how: how units become values.
        seed: of the noise.
        given_lengths: int64[n], 1 to `max_length`; without them the generation flags end the series.
    """
    random = torch.Generator().manual_seed(seed)
    networks, corrections = model.networks, model.corrections
    layout, device = networks.measurements.layout, model.metadata.device
    lengths = np.zeros(len(metadata), np.int64)
    batches: list[np.ndarray] = []
    for start in range(0, len(metadata), SERIES_AT_ONCE):
        condition, ranges = _condition(networks, metadata[start : start + SERIES_AT_ONCE], model.metadata, random)
        n = len(condition)
        stop = None if given_lengths is None else torch.from_numpy(given_lengths[start : start + n]).to(device)
        values, series = _draw_batch(
            model,
            condition,
            corrections.groups(torch.from_numpy(np.array(metadata[start : start + n], np.float32)).to(device)),
            stop,
            lambda units, groups: layout.collapse(corrections.apply(layout, units, groups), how, random),
            how != "argmax",
            random,
        )
        if ranged:
            values[:, ranged] = unscale_by_range(values[:, ranged], ranges.cpu().numpy()[series])
        batches.append(values)
        lengths[start : start + n] = np.bincount(series, minlength=n)
    offsets = offsets_of(lengths)
    return np.concatenate(batches or [np.zeros((0, len(layout.columns)), np.float32)]), offsets


@torch.inference_mode()
def record_units(
    model: SeriesModel, metadata: np.ndarray, *, sample: bool, seed: int
) -> tuple[torch.Tensor, np.ndarray]:
    """One series for each metadata row, as activated units that are not yet read off; to fit corrections on.

    Args:
        model: what they are drawn from; of its corrections, those of lengths are applied.
        metadata: float32[n, columns].
        sample: whether series end at random, with the probability that the generation flags give, or where stopping is
            likelier than going on.
        seed: of the noise.

    Returns:
        Units float32[n_records, width], and the metadata row of each record, int64[n_records].
    """
    random = torch.Generator().manual_seed(seed)
    units, rows = [], []
    for start in range(0, len(metadata), SERIES_AT_ONCE):
        part = metadata[start : start + SERIES_AT_ONCE]
        condition, _ = _condition(model.networks, part, model.metadata, random)
        groups = model.corrections.groups(torch.from_numpy(part).to(model.metadata.device))
        values, series = _draw_batch(model, condition, groups, None, _as_it_is, sample, random)
        units.append(values)
        rows.append(series + start)
    return torch.from_numpy(np.concatenate(units)).to(model.metadata.device), np.concatenate(rows)


def _as_it_is(units: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    return units


def _metadata_units(networks: Networks, layout: ColumnLayout, n: int, random: torch.Generator) -> torch.Tensor:
    return layout.activate(networks.metadata(normal(random, layout.device, n, networks.metadata_noise)))


def _condition(
    networks: Networks, metadata: np.ndarray, layout: ColumnLayout, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """What measurements are generated from, float32[n, condition], given metadata rows; and its last part, the ranges."""
    units = layout.expand(torch.from_numpy(np.array(metadata, np.float32)).to(layout.device))
    ranges = networks.draw_ranges(units, random)
    return torch.cat([units, ranges], 1), ranges


def _draw_batch(
    model: SeriesModel,
    condition: torch.Tensor,
    groups: torch.Tensor,
    lengths: torch.Tensor | None,
    read_off: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    sample: bool,
    random: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Records float32[n_records, columns], as `read_off` makes them of units and groups, and the row of `condition` of
    each, int64[n_records], in series order; `lengths` (int64[n]) end the series, or else the generation flags do."""
    generator, max_length = model.networks.measurements, model.max_length
    state = generator.first_state(condition, random)
    running = torch.arange(len(condition), device=condition.device)
    values: list[np.ndarray] = []
    series: list[np.ndarray] = []
    done = 0
    while len(running) and done < max_length:
        noise = normal(random, condition.device, len(running), PASSES_AT_ONCE, generator.noise)
        units, flags, state = generator(condition[running], noise, state)
        units, flags = units[:, : max_length - done], flags[:, : max_length - done]
        if lengths is None:
            flags = model.corrections.shift_stops(flags, groups[running], done)
            exists, goes_on = mask_after_stop(flags, sample, random)
        else:
            left = lengths[running] - done
            exists = torch.arange(flags.shape[1], device=left.device) < left.unsqueeze(1)
            goes_on = left > flags.shape[1]
        of = running.unsqueeze(1).expand_as(exists)[exists]
        values.append(read_off(units[exists], groups[of]).cpu().numpy())
        series.append(of.cpu().numpy())
        running, state = running[goes_on], (state[0][:, goes_on], state[1][:, goes_on])
        done += exists.shape[1]
    of_series = np.concatenate(series)
    order = np.argsort(of_series, kind="stable")
    return np.concatenate(values)[order], of_series[order]
