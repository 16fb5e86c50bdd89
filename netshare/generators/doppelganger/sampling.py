"""Drawing from trained networks, in memory that depends on neither the number of series nor on the longest of them.

Series are drawn a batch at a time, and records a block of LSTM passes at a time; a series that has said stop leaves the
batch, so that the long ones alone pay for their length.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from netshare.generators.doppelganger.batches import unscale_by_range
from netshare.generators.doppelganger.layout import ColumnLayout, Discretize
from netshare.generators.doppelganger.modules import MeasurementGenerator, Perceptron, mask_after_stop, normal

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

    def draw_ranges(self, metadata: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """float32[n, ranges] in [0, 1], given metadata units."""
        noise = normal(random, metadata.device, len(metadata), self.metadata_noise)
        return torch.sigmoid(self.ranges(torch.cat([noise, metadata], 1)).float())


@torch.inference_mode()
def draw_metadata(networks: Networks, layout: ColumnLayout, n: int, *, how: Discretize, seed: int) -> np.ndarray:
    """float32[n, columns]: metadata rows."""
    random = torch.Generator().manual_seed(seed)
    rows = np.empty((n, len(layout.columns)), np.float32)
    for start in range(0, n, SERIES_AT_ONCE):
        part = rows[start : start + SERIES_AT_ONCE]
        units = layout.activate(networks.metadata(normal(random, layout.device, len(part), networks.metadata_noise)))
        part[:] = layout.collapse(units, how, random).cpu().numpy()
    return rows


@torch.inference_mode()
def draw_measurements(
    networks: Networks,
    metadata: np.ndarray,
    metadata_layout: ColumnLayout,
    *,
    max_length: int,
    ranged: list[int],
    how: Discretize,
    seed: int,
    given_lengths: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Measurements float32[n_records, columns] and offsets int64[n + 1] of one series for each metadata row, of the
    given lengths (int64[n], 1 to `max_length`) or as long as the generation flags say."""
    random = torch.Generator().manual_seed(seed)
    layout, device = networks.measurements.layout, metadata_layout.device
    lengths = np.zeros(len(metadata), np.int64)
    batches: list[np.ndarray] = []
    for start in range(0, len(metadata), SERIES_AT_ONCE):
        given = torch.from_numpy(np.array(metadata[start : start + SERIES_AT_ONCE], np.float32)).to(device)
        units = metadata_layout.expand(given)
        ranges = networks.draw_ranges(units, random)
        condition = torch.cat([units, ranges], 1)
        stop = None if given_lengths is None else torch.from_numpy(given_lengths[start : start + len(given)]).to(device)
        values, series = _draw_batch(networks.measurements, condition, max_length, stop, how, random)
        if ranged:
            values[:, ranged] = unscale_by_range(values[:, ranged], ranges.cpu().numpy()[series])
        batches.append(values)
        lengths[start : start + len(given)] = np.bincount(series, minlength=len(given))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return np.concatenate(batches or [np.zeros((0, len(layout.columns)), np.float32)]), offsets


def _draw_batch(
    generator: MeasurementGenerator,
    condition: torch.Tensor,
    max_length: int,
    lengths: torch.Tensor | None,
    how: Discretize,
    random: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Records float32[n_records, columns] and the row of `condition` of each, int64[n_records], in series order."""
    layout, state = generator.layout, generator.first_state(condition, random)
    running = torch.arange(len(condition), device=condition.device)
    values: list[np.ndarray] = []
    series: list[np.ndarray] = []
    done = 0
    while len(running) and done < max_length:
        noise = normal(random, condition.device, len(running), PASSES_AT_ONCE, generator.noise)
        units, flags, state = generator(condition[running], noise, state)
        units, flags = units[:, : max_length - done], flags[:, : max_length - done]
        if lengths is None:
            exists, goes_on = mask_after_stop(flags, how != "argmax", random)
        else:
            left = lengths[running] - done
            exists = torch.arange(flags.shape[1], device=left.device) < left.unsqueeze(1)
            goes_on = left > flags.shape[1]
        values.append(layout.collapse(units[exists], how, random).cpu().numpy())
        series.append(running.unsqueeze(1).expand_as(exists)[exists].cpu().numpy())
        running, state = running[goes_on], (state[0][:, goes_on], state[1][:, goes_on])
        done += exists.shape[1]
    of_series = np.concatenate(series)
    order = np.argsort(of_series, kind="stable")
    return np.concatenate(values)[order], of_series[order]
