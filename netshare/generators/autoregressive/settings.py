"""Settings of the autoregressive generator, each documented where it is declared."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MAX_UNITS = 4096  # of a layer


class AutoregressiveSettings(BaseModel):
    """What the autoregressive generator's networks look like and how they are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metadata_state: int = Field(
        64, ge=8, le=MAX_UNITS, description="Width of the sum over a metadata column's predecessors."
    )
    metadata_hidden: int = Field(128, ge=8, le=MAX_UNITS, description="Hidden units of each metadata column's head.")
    record_state: int = Field(128, ge=8, le=MAX_UNITS, description="Hidden units of the recurrent net over records.")
    record_hidden: int = Field(64, ge=8, le=MAX_UNITS, description="Hidden units of each measurement column's head.")
    condition: int = Field(
        96, ge=8, le=MAX_UNITS, description="Width of the metadata's encoding that lengths and records are given."
    )
    continuous_bins: int = Field(16, ge=2, le=4096, description="Equal bins of [0, 1] for each continuous column.")

    recall: bool = Field(
        True, description="Interpolate address bytes with counts of the training trace, which the model then contains."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units left out at random in training.")
    record_dropout: float = Field(0.2, ge=0, lt=1, description="The same in the heads of measurement columns.")
    column_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of metadata columns hidden at random in training, so that no tuple is recited.",
    )
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay of weight matrices.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of each target taken from the column's overall distribution instead."
    )

    learning_rate: float = Field(4e-3, gt=0, description="Learning rate after warming up.")
    fine_tuning_rate: float = Field(0.3, gt=0, le=1, description="Factor on the learning rate when fine-tuning.")
    warmup_steps: int = Field(50, ge=0, description="Steps over which the learning rate rises from 0.")
    rate_decay: float = Field(
        0.2, gt=0, lt=1, description="Factor on the learning rate when validation stops improving."
    )
    rate_decays: int = Field(2, ge=0, description="How often the learning rate is lowered before training stops.")
    gradient_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to at most this norm.")
    batch_records: int | None = Field(
        None, ge=1, description="Records in a batch; None for 1/64 of the data, between 256 and 4,096."
    )
    batch_series: int | None = Field(
        None, ge=1, description="Series in a batch of metadata; None for 1/64 of the data, between 64 and 1,024."
    )
    window_records: int = Field(128, ge=1, description="Longest run of records that gradients flow back through.")
    burn_in_records: int = Field(32, ge=0, description="Records replayed before a window that starts inside a series.")
    epochs: int | None = Field(
        None, ge=1, description="Most passes over the data; None for 100, or for 3,000 steps if those are more passes."
    )
    validation: float = Field(0.1, ge=0, lt=1, description="Share of flows held back to decide when to stop.")
    fewest_held: int = Field(
        10,
        ge=1,
        description="Flows to hold back at least; where the share is fewer, none are, for they would say little.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Passes without improvement until the learning rate is lowered; None for 3, or for 100 steps if those "
        "are more passes.",
    )
    epochs_without_validation: int = Field(20, ge=1, description="Passes over data too small to hold any flow back.")
