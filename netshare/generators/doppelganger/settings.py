"""Settings of DoppelGANger; the line at each field is its documentation everywhere else.

Defaults are those of the paper's own code; where they differ, the line says so.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from netshare.preprocess.errors import TrainingError

MAX_UNITS = 4096  # of a layer
MAX_LAYERS = 64  # of a network


class DoppelGANgerSettings(BaseModel):
    """How DoppelGANger is built and trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(default=100, ge=1, description="Rows in a batch, each of `packing` series.")
    packing: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Series that the critics judge at once, against mode collapse (PacGAN); 1 is off.",
    )
    critic_rounds: int = Field(default=1, ge=1, description="Critic updates per generator update.")
    generator_learning_rate: float = Field(
        default=3e-4,
        gt=0,
        description="Adam's learning rate for the generators (the paper's code: 1e-3, at which metadata collapse with "
        "one critic round).",
    )
    critic_learning_rate: float = Field(default=1e-3, gt=0, description="Adam's learning rate for the critics.")
    adam_beta1: float = Field(default=0.5, ge=0, lt=1, description="Decay of Adam's first moment.")
    penalty_weight: float = Field(default=10.0, ge=0, description="Weight of the critics' gradient penalty.")
    auxiliary_weight: float = Field(
        default=1.0, ge=0, description="Weight of the auxiliary critic, which sees metadata alone; 0 leaves it out."
    )
    average_decay: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay of the moving average of weights that sampling uses; 0 uses the last weights.",
    )

    selections: int = Field(
        default=4,
        ge=0,
        description="Each time the number of steps doubles, so many checkpoints are sampled and compared with series that "
        "were held back, by distances and copying; the best of the later half is kept. 0 learns from all series and keeps "
        "the last.",
    )
    validation: float = Field(default=0.1, gt=0, lt=1, description="Share of series held back for it.")

    metadata_noise: int = Field(
        default=16, ge=1, le=MAX_UNITS, description="Noise values per series (the paper's code: 5)."
    )
    metadata_layers: int = Field(
        default=3, ge=1, le=MAX_LAYERS, description="Hidden layers of the metadata generator (the paper: 2)."
    )
    metadata_units: int = Field(default=128, ge=1, le=MAX_UNITS, description="Units of each of them (the paper: 100).")
    measurement_noise: int = Field(
        default=8, ge=1, le=MAX_UNITS, description="Noise values per LSTM pass (the paper's code: 5)."
    )
    lstm_units: int = Field(
        default=100, ge=1, le=MAX_UNITS, description="Units of the LSTM that generates measurements."
    )
    lstm_initial_state: Literal["random", "zero", "metadata"] = Field(
        default="zero",
        description="The LSTM's state before the first pass: zero, random (the paper's code; it blurs short series), or "
        "learnt, as a function of the metadata.",
    )
    records_per_pass: int | Literal["auto"] | None = Field(
        default=None,
        description="Records that one LSTM pass emits (S in the paper); null: the longest series in about 50 passes; "
        "auto: a few values are tried on the seed model's data before training, and the best is kept.",
    )
    autotune_steps: int = Field(default=300, ge=1, description="Steps of each trial of records_per_pass: auto.")
    critic_layers: int = Field(default=4, ge=1, le=MAX_LAYERS, description="Hidden layers of each critic.")
    critic_units: int = Field(default=200, ge=1, le=MAX_UNITS, description="Units of each of them.")

    auto_normalize: bool = Field(
        default=False,
        description="Scale continuous measurements per series, and generate their range as metadata (for series whose "
        "levels differ by orders of magnitude).",
    )
    discretize: Literal["mixed", "sample", "argmax"] = Field(
        default="mixed",
        description="How a category, a bit or an end of series is read off its probabilities: drawn, the most likely, or "
        "mixed: the most likely digits of fields that are several of them (addresses), everything else drawn.",
    )
    calibrate: bool = Field(
        default=True,
        description="After training, correct what is sampled such that single columns and lengths are distributed as in the "
        "training data: numbers by a monotone map, categories and ends of series by a shift of their log-odds (the paper: "
        "not).",
    )
    known_hosts: bool = Field(
        default=True,
        description="Read generated addresses as those of hosts of the training data or of others in their networks, each as "
        "often as in new traffic; the hosts are then kept with the model (the paper: not).",
    )
    horizon: Literal["random", "full"] = Field(
        default="random",
        description="Records that a training step looks at: a random prefix, whose length is that of a record's series "
        "drawn at random, or always the whole of the longest series (slower).",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Arithmetic of matrix products in training; auto: bfloat16 on devices that compute in it, where a step "
        "takes 0.5 to 0.8 of the time (the paper: float32).",
    )

    @field_validator("records_per_pass")
    @classmethod
    def _at_least_one(cls, value: int | str | None) -> int | str | None:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"it is {value}; give at least 1, auto or null")
        return value

    def passes_of(self, max_length: int) -> tuple[int, int]:
        """LSTM passes for the longest series, and records per pass."""
        if self.records_per_pass == "auto":
            raise TrainingError(
                "records_per_pass is auto, which netshare.training.tuned_settings replaces; give a number"
            )
        records = self.records_per_pass or min(max(math.ceil(max_length / 50), 1), 20)
        records = min(records, max_length)
        return math.ceil(max_length / records), records
