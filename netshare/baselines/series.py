"""What the baselines of the DoppelGANger paper share: metadata drawn again, and records one after another.

HMM, AR, RNN, RCGAN and the market simulator model records only. As in that paper, the metadata of a new series are then
drawn from the training data's (empirical) distribution: all five-tuples are copies, which the comparison shows.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch

from netshare.baselines.base import Baseline, as_array, check_width, seeded
from netshare.baselines.units import RecordUnits
from netshare.generators.doppelganger.batches import Batch, BatchShape, BatchSource
from netshare.generators.doppelganger.layout import ColumnLayout
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.ragged import offsets_of

SERIES_AT_ONCE = 4096


class SeriesBaseline(Baseline):
    """A model of records given metadata; subclasses generate them in `records`."""

    batch_size = 64

    def __init__(self, schema: Schema, device: str = "cpu") -> None:
        super().__init__(schema, device)
        self.units = RecordUnits(schema.measurements, self.device)
        self.metadata_layout = ColumnLayout(schema.metadata, self.device)

    @abstractmethod
    def records(self, metadata: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Units float32[n, t, width] of the series of each row of metadata units (float32[n, ...]), and how many of
        the t records each has, int64[n]."""

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """The training metadata."""
        return {"metadata": torch.from_numpy(np.array(data.metadata, np.float32))}

    def build(self) -> dict[str, torch.nn.Module]:
        """No networks; refuses metadata of another schema."""
        check_width(self.fitted["metadata"], len(self.schema.metadata))
        return {}

    def begin(self, data: Encoded) -> None:
        """Batches of series, cut to random horizons."""
        self._source = BatchSource(
            data,
            self.metadata_layout,
            self.units.layout,
            BatchShape(min(self.batch_size, len(data)), records_per_pass=1, horizon="random"),
            ranged=[],
            seed=self.seed,
        )

    def draw_batch(self) -> Batch:
        """Real series, within a horizon drawn at random."""
        return self._source.draw(self._source.draw_horizon())

    def drawing_state(self) -> dict[str, Any]:
        """The state of the batches' random numbers."""
        return self._source.state() if hasattr(self, "_source") else {}

    def restore_drawing(self, state: dict[str, Any]) -> None:
        """Go on drawing batches from there."""
        if state:
            self._source.restore(state)

    def sample_metadata(self, n: int, *, seed: int) -> np.ndarray:
        """Training metadata, drawn with replacement."""
        known = self.fitted["metadata"]
        return as_array(known[torch.randint(len(known), (n,), generator=seeded(seed))])

    def measurements_for(self, metadata: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Records given metadata, a batch of series at a time."""
        random = seeded(seed)
        values, lengths = [np.zeros((0, len(self.schema.measurements)), np.float32)], [np.zeros(0, np.int64)]
        with torch.inference_mode():
            for block in torch.from_numpy(np.array(metadata, np.float32)).split(SERIES_AT_ONCE):
                if len(block) == 0:
                    continue
                units, length = self.records(self.metadata_layout.expand(block), random)
                exists = torch.arange(units.shape[1]) < length[:, None]
                values.append(as_array(self.units.columns(units[exists])))
                lengths.append(length.numpy())
        offsets = offsets_of(np.concatenate(lengths))
        return np.concatenate(values), offsets


def lengths_of(stops: torch.Tensor) -> torch.Tensor:
    """int64[n]: records up to and including the first that stops, or all, from bool[n, t]."""
    first = torch.where(stops.any(1), stops.long().argmax(1) + 1, torch.full((len(stops),), stops.shape[1]))
    return first.long()


def exists_in(batch: Batch) -> torch.Tensor:
    """float32[n, t]: 1 where the batch has a record."""
    return batch.series[..., -2:].sum(-1)
