"""The interface of a generator: a model of P(metadata) x P(measurements | metadata) over encoded series.

A generator is built for a schema, then either trained (`prepare`, then `step` until `done`) or given weights, and then
sampled. The training loop owns the checkpoints and the logs; the generator owns networks, optimisers and the
random state of training, all of which `training_state` returns and `restore` sets, so that an interrupted training
goes on bit by bit as if it had never stopped.

    generator = GeneratorChoice(kind, settings).build(schema)
    generator.prepare(data, seed=1)
    while not generator.done:
        metrics = generator.step()
    synthetic = generator.sample(1000, seed=2)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch

from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import FieldError, TrainingError
from netshare.preprocess.ragged import offsets_of


class Generator(ABC):
    """A trainable, sampleable model of encoded series. Subclasses are deterministic given seed and thread count."""

    sampling_threads = 1
    """Threads that sampling may use; what is drawn does not depend on it."""

    def __init__(self, schema: Schema, device: str = "cpu") -> None:
        self.schema = schema
        self.device = torch.device(device)
        self.steps_done = 0

    @abstractmethod
    def prepare(
        self, data: Encoded, *, seed: int, steps: int, initial_weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Get ready to train on `data` for `steps` optimisation steps.

        Args:
            data: training series; kept by reference, never copied whole or padded whole.
            seed: seeds everything random in training, batch order included.
            steps: optimisation steps after which `done` is true (a generator may stop earlier, on its own
                validation split).
            initial_weights: what `training_weights` of the seed model returned, to fine-tune from; None to start
                afresh.

        Raises:
            TrainingError: the data cannot be learnt from (no series), or the weights do not fit.
        """

    def prepare_metadata(self, data: Encoded, *, seed: int, steps: int, weights: dict[str, torch.Tensor]) -> None:
        """Get ready to learn P(metadata) anew, from the metadata of `data`; P(measurements | metadata) stays as it is.

        Then `step`, `done` and the rest are as after `prepare`. Nothing of the former P(metadata) is kept: its network
        starts from random weights (DoppelGANger, IMC 2020, section 5.3: retraining to another distribution of metadata).

        Args:
            data: series of the wanted metadata; their measurements are not looked at (`metadata_only` makes such data).
            seed: seeds everything random in training.
            steps: optimisation steps, at most.
            weights: what `sampling_weights` of the trained model returned.

        Raises:
            TrainingError: there is nothing to learn, the weights do not fit, or this generator cannot do it.
        """
        raise TrainingError(f"{type(self).__name__} cannot retrain metadata alone; train it again")

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether training has come to its end."""

    @property
    @abstractmethod
    def max_steps(self) -> int:
        """Steps after which training has ended at the latest; known once `prepare` has been called."""

    @abstractmethod
    def step(self) -> dict[str, float]:
        """One optimisation step; returns its losses, and under `"records"` the number of records it looked at.

        Raises:
            TrainingError: a loss is not finite.
        """

    def finish(self) -> None:
        """End training here, which its last step does by itself: what is chosen at the end (the best of several
        checkpoints) is chosen now, and what is sampled from then on is what `sampling_weights` returns."""
        return

    @abstractmethod
    def training_state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """All that continuing needs: tensors (weights, averages, optimiser moments, generator states of torch as uint8)
        and JSON-able scalars (counters, learning rate, the best validation loss ...). Tensors may be the generator's own:
        save or copy them before the next step."""

    @abstractmethod
    def restore(self, tensors: dict[str, torch.Tensor], scalars: dict[str, Any]) -> None:
        """Set the state that `training_state` returned; called after `prepare` with the same data and arguments."""

    @abstractmethod
    def training_weights(self) -> dict[str, torch.Tensor]:
        """Weights of all networks, for fine-tuning another chunk's model from."""

    @abstractmethod
    def sampling_weights(self) -> dict[str, torch.Tensor]:
        """The weights that sampling needs (averaged or best ones, no critics): what a trained model is kept as."""

    @abstractmethod
    def load_sampling_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Make the generator ready to sample from weights that `sampling_weights` returned.

        Raises:
            TrainingError: the weights do not fit the schema or the settings.
        """

    @abstractmethod
    def sample_metadata(self, n: int, *, seed: int) -> np.ndarray:
        """float32[n, A]: metadata rows drawn from P(metadata), valid by the schema (category indices, [0, 1])."""

    @abstractmethod
    def sample_measurements(
        self, metadata: np.ndarray, *, seed: int, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Series drawn from P(measurements | metadata), one for each row.

        Args:
            metadata: float32[n, A], generated or given.
            seed: seeds everything random.
            lengths: int64[n], records of each series, where they are given and not to be drawn.

        Returns:
            measurements float32[n_records, F] and offsets int64[n + 1]; every series has 1 to `schema.max_length`
            records.

        Raises:
            FieldError: a given length is outside 1 to `schema.max_length`.
        """

    def sample_lengths(self, metadata: np.ndarray, *, seed: int) -> np.ndarray | None:
        """Lengths drawn before the measurements are, for `sample_measurements` to be given; None where a generator learns
        of a series' length only as it draws it.

        Args:
            metadata: float32[n, A], generated or given.
            seed: seeds everything random.

        Returns:
            int64[n], each 1 to `schema.max_length`.
        """
        return None

    def sample(self, n: int, *, seed: int) -> Encoded:
        """`n` series drawn from the whole model."""
        metadata = self.sample_metadata(n, seed=seed)
        measurements, offsets = self.sample_measurements(metadata, seed=seed + 1)
        return Encoded(metadata, measurements, offsets, self.schema)


def metadata_only(metadata: np.ndarray, lengths: np.ndarray, schema: Schema) -> Encoded:
    """Series of these metadata (float32[n, A]) and lengths (int64[n]) for `Generator.prepare_metadata`; their records are
    zeros."""
    offsets = offsets_of(lengths)
    return Encoded(metadata, np.zeros((int(offsets[-1]), len(schema.measurements)), np.float32), offsets, schema)


def check_lengths(lengths: np.ndarray, n: int, longest: int) -> np.ndarray:
    """`lengths` as int64[n], if they are possible.

    Raises:
        FieldError: not one for each series, or outside 1 to `longest`.
    """
    given = np.asarray(lengths).astype(np.int64)
    if given.shape != (n,):
        raise FieldError(f"lengths: {len(given)} are given for {n} series; give one for each")
    if n and (given.min() < 1 or given.max() > longest):
        found = given.min() if given.min() < 1 else given.max()
        raise FieldError(f"lengths: found {found}, but this model makes series of 1 to {longest} records")
    return given
