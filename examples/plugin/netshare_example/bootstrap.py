"""The generator: series of the training data drawn again, with replacement (Efron, 1979).

It gives away all that it has seen; use it as a yardstick, never for a trace that is to be shared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree

from netshare.generators.base import Generator, check_lengths
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import FieldError, TrainingError
from netshare.preprocess.ragged import offsets_of, positions_within
from netshare_example.spec import BootstrapSettings

Tensors = dict[str, torch.Tensor]
WEIGHTS = ("metadata.rows", "series.metadata", "series.measurements", "series.offsets")


class Bootstrap(Generator):
    """Keeps rows of metadata to draw from, and series, of which those with the nearest metadata give the records.

    Each step adds an equal share of the training series, in random order.
    """

    max_steps = 0
    _rows: np.ndarray  # float32[m, A]
    _series: Encoded

    def __init__(self, schema: Schema, settings: BootstrapSettings) -> None:
        super().__init__(schema)
        self._settings = settings

    def prepare(self, data: Encoded, *, seed: int, steps: int, initial_weights: Tensors | None = None) -> None:
        """See `Generator`. What the seed model kept goes with the first step: each chunk has series of its own."""
        if not len(data):
            raise TrainingError("there are no series to learn from; give more data")
        if initial_weights is not None:
            self.load_sampling_weights(initial_weights)
        self._data, self._metadata_only = data, False
        self._order = np.random.default_rng(seed).permutation(len(data))[: self._settings.max_series]
        self.max_steps, self.steps_done = steps, 0

    def prepare_metadata(self, data: Encoded, *, seed: int, steps: int, weights: Tensors) -> None:
        """See `Generator`. The series that give the records stay."""
        self.prepare(data, seed=seed, steps=steps, initial_weights=weights)
        self._metadata_only = True

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.steps_done >= self.max_steps

    def step(self) -> dict[str, float]:
        """Keep the next share. Returns the share of series that are left, and the records looked at."""
        self.steps_done += 1
        until = -(-len(self._order) * self.steps_done // self.max_steps)  # rounded up: the first step keeps something
        kept = self._data.take(self._order[:until])
        self._rows, self._series = kept.metadata, self._series if self._metadata_only else kept
        return {"left": 1 - until / len(self._order), "records": float(kept.offsets[-1])}

    def training_state(self) -> tuple[Tensors, dict[str, Any]]:
        """What is kept, and the number of steps; the order of the series follows from the seed."""
        return self.training_weights(), {"steps_done": self.steps_done}

    def restore(self, tensors: Tensors, scalars: dict[str, Any]) -> None:
        """Go on where `training_state` was called."""
        self.load_sampling_weights(tensors)
        self.steps_done = scalars["steps_done"]

    def training_weights(self) -> Tensors:
        """All that is kept; only what begins with `metadata.` changes when metadata are retrained."""
        series = self._series
        arrays = self._rows, series.metadata, series.measurements, series.offsets
        return {name: torch.from_numpy(np.array(array)) for name, array in zip(WEIGHTS, arrays, strict=True)}

    sampling_weights = training_weights

    def load_sampling_weights(self, weights: Tensors) -> None:
        """Keep these. They may come from a stranger's folder, so they are checked."""
        try:
            rows, metadata, measurements, offsets = (weights[name].numpy() for name in WEIGHTS)
            kept = Encoded(metadata, measurements, offsets, self.schema)
            check_lengths(kept.lengths, len(kept), self.schema.max_length)
        except (KeyError, IndexError, FieldError) as error:
            raise TrainingError(f"weights of a bootstrap: they do not fit ({error}); train it again") from None
        widths = len(self.schema.metadata), len(self.schema.metadata), len(self.schema.measurements)
        if tuple(array.shape[1:] for array in (rows, metadata, measurements)) != tuple((width,) for width in widths):
            raise TrainingError("weights of a bootstrap: they are of another schema; train it again")
        self._rows, self._series = rows, kept

    def sample_metadata(self, n: int, *, seed: int) -> np.ndarray:
        """float32[n, A]: rows drawn with replacement."""
        return self._rows[np.random.default_rng(seed).integers(len(self._rows), size=n)]

    def sample_measurements(
        self, metadata: np.ndarray, *, seed: int, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The records of series whose metadata are nearest; longer series than there are repeat their records."""
        wanted = None if lengths is None else check_lengths(lengths, len(metadata), self.schema.max_length)
        series = self._series
        distinct, group = np.unique(series.metadata, axis=0, return_inverse=True)
        members, begins = np.argsort(group, kind="stable"), offsets_of(np.bincount(group))
        nearest = KDTree(distinct).query(metadata)[1]
        chosen = members[np.random.default_rng(seed).integers(begins[nearest], begins[nearest + 1])]
        wanted = series.lengths[chosen] if wanted is None else wanted
        within = positions_within(wanted) % np.repeat(series.lengths[chosen], wanted)
        return series.measurements[np.repeat(series.offsets[chosen], wanted) + within], offsets_of(wanted)
