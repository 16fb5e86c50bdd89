"""Training batches: uniformly drawn series, cut to a random horizon, padded to it and no further.

Every series has the same chance in every batch. What varies from step to step is the *horizon*: real and generated
series alike are looked at up to their first h records. Prefixes are compared with prefixes, which is fair for every h,
whereas a batch of equally long real series would be compared with generated series of any length. h is the length of
the series of a record drawn at random: a position is looked at as often as its share of records deserves, and where few
series are long most steps are cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from netshare.generators.doppelganger.layout import ColumnLayout
from netshare.generators.doppelganger.modules import FLAG_UNITS
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import TrainingError


@dataclass(frozen=True)
class Batch:
    """Real series as the critics see them.

    metadata: float32[n, width], ranges included where there are any
    series: float32[n, horizon, width + 2], flags last, zeros after the end
    records: how many of them are records
    """

    metadata: torch.Tensor
    series: torch.Tensor
    records: int


@dataclass(frozen=True)
class BatchShape:
    """How large batches are.

    batch_size: series in a batch
    records_per_pass: records that the generator emits a pass; horizons are multiples of it
    horizon: `random`, or always that of the longest series (`full`)
    """

    batch_size: int
    records_per_pass: int
    horizon: Literal["random", "full"]


class BatchSource:
    """Draws batches from ragged series; `state` and `restore` make its draws resumable."""

    def __init__(
        self,
        data: Encoded,
        metadata: ColumnLayout,
        measurements: ColumnLayout,
        shape: BatchShape,
        *,
        ranged: list[int],
        seed: int,
        series: np.ndarray | None = None,
    ) -> None:
        """`ranged` are the measurement columns that are scaled per series (auto-normalisation), mostly none; `series`
        (int64[k]) are those of the data to draw from, by default all."""
        self._data = data
        self._series = np.arange(len(data)) if series is None else series
        self._metadata = metadata
        self._measurements = measurements
        self._batch_size = shape.batch_size
        self._ranged = ranged
        self._ranges = series_ranges(data, ranged) if ranged else np.zeros((len(data), 0), np.float32)
        lengths = data.lengths[self._series]
        self._horizons, self._chances = horizon_chances(lengths, shape.records_per_pass, shape.horizon)
        self._random = np.random.default_rng(seed)

    def draw_horizon(self) -> int:
        """Records that the next step looks at: a multiple of `records_per_pass`."""
        return int(self._random.choice(self._horizons, p=self._chances))

    def draw(self, horizon: int) -> Batch:
        """`batch_size` series drawn uniformly (with replacement), cut to `horizon` records."""
        chosen = self._series[self._random.integers(len(self._series), size=self._batch_size)]
        return self.rows(chosen, horizon)

    def rows(self, chosen: np.ndarray, horizon: int) -> Batch:
        """These series (int64[n]), cut to `horizon` records."""
        data, device = self._data, self._metadata.device
        lengths = data.offsets[chosen + 1] - data.offsets[chosen]
        steps = np.arange(horizon)
        exists = steps < lengths[:, None]
        places = np.minimum(data.offsets[chosen][:, None] + steps, len(data.measurements) - 1)
        values = data.measurements[places]
        ranges = self._ranges[chosen]
        if self._ranged:
            values[..., self._ranged] = scale_by_range(values[..., self._ranged], ranges[:, None])
        flags = np.zeros((*exists.shape, FLAG_UNITS), np.float32)
        flags[..., 0] = steps < lengths[:, None] - 1
        flags[..., 1] = steps == lengths[:, None] - 1
        units = self._measurements.expand(torch.from_numpy(values).to(device))
        series = torch.cat([units, torch.from_numpy(flags).to(device)], -1)
        series *= torch.from_numpy(exists).to(device).unsqueeze(-1)
        metadata = self._metadata.expand(torch.from_numpy(data.metadata[chosen]).to(device))
        return Batch(torch.cat([metadata, torch.from_numpy(ranges).to(device)], -1), series, int(exists.sum()))

    def state(self) -> dict[str, Any]:
        """The state of its random numbers, JSON-able."""
        return dict(self._random.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on drawing from where `state` was taken."""
        self._random.bit_generator.state = state


def check_learnable(data: Encoded, schema: Schema) -> None:
    """Refuse data that a model of this schema cannot learn from.

    Raises:
        TrainingError: no series, other columns, or series of impossible lengths.
    """
    if len(data) == 0:
        raise TrainingError("the training data has no series: check the input and the chunks, or leave this chunk out")
    shapes = (data.metadata.shape[1], data.measurements.shape[1])
    expected = (len(schema.metadata), len(schema.measurements))
    if shapes != expected:
        raise TrainingError(f"the data has {shapes} metadata and measurement columns, the schema {expected}")
    if int(data.lengths.min()) < 1 or int(data.lengths.max()) > schema.max_length:
        raise TrainingError(
            f"series have {data.lengths.min()} to {data.lengths.max()} records, the schema allows 1 to "
            f"{schema.max_length}: cut long series into segments when encoding"
        )


def possible_horizons(longest: int, records_per_pass: int) -> np.ndarray:
    """int64[k], ascending: 1, 2, 3, 4, 6, 8, 12, 16, 24 ... passes, and those that the longest series takes.

    Few, so that networks see few shapes, and close, so that rounding up to the next costs little.
    """
    passes = -(-longest // records_per_pass)
    doubling = 2 ** np.arange(passes.bit_length())
    steps = np.unique(np.concatenate([doubling, doubling // 2 * 3]))
    return records_per_pass * np.append(steps[(steps > 0) & (steps < passes)], passes)


def horizon_chances(
    lengths: np.ndarray, records_per_pass: int, how: Literal["random", "full"]
) -> tuple[np.ndarray, np.ndarray]:
    """Horizons int64[k] and their chances float64[k]: the share of records whose series needs that horizon."""
    horizons = possible_horizons(int(lengths.max(initial=1)), records_per_pass)
    if how == "full":
        return horizons[-1:], np.ones(1)
    records = np.bincount(np.searchsorted(horizons, lengths), weights=lengths, minlength=len(horizons))
    return horizons, records / max(records.sum(), 1.0)


def series_ranges(data: Encoded, columns: list[int]) -> np.ndarray:
    """float32[n_series, 2 * columns]: of each series, the middle of each column's range and its width, in [0, 1]."""
    lowest = np.stack([np.minimum.reduceat(data.measurements[:, i], data.offsets[:-1]) for i in columns], 1)
    highest = np.stack([np.maximum.reduceat(data.measurements[:, i], data.offsets[:-1]) for i in columns], 1)
    return np.concatenate([(lowest + highest) / 2, highest - lowest], 1).astype(np.float32)


def scale_by_range(values: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Values within their series' range -> [0, 1]; the middle where the range is a point."""
    middle, width = np.split(ranges, 2, -1)
    scaled = (values - middle) / np.where(width > 0, width, 1) + 0.5
    return np.clip(scaled, 0, 1).astype(np.float32)


def unscale_by_range(values: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """The inverse of `scale_by_range`, kept within [0, 1]."""
    middle, width = np.split(ranges, 2, -1)
    return np.clip((values - 0.5) * width + middle, 0, 1).astype(np.float32)
