"""What netshare knows of the generator `bootstrap` before it builds one; torch is loaded when one is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from netshare.generators.spec import GeneratorSpec
from netshare.preprocess.encoded import Schema

if TYPE_CHECKING:
    from netshare.generators.base import Generator


class BootstrapSettings(BaseModel):
    """Series of the training data, drawn again with replacement."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_series: int = Field(
        100_000, ge=1, description="Series that a model keeps at most; which of more, chance decides."
    )


def create(schema: Schema, settings: BootstrapSettings, *, device: str) -> Generator:
    """A bootstrap for series of this schema; it has no use for another device than the CPU."""
    from netshare_example.bootstrap import Bootstrap

    return Bootstrap(schema, settings)


BOOTSTRAP = GeneratorSpec(
    kind="bootstrap",
    summary="training series drawn again, each with its records",
    settings=BootstrapSettings,
    create=create,
    style="gan",  # addresses as bits and ports as vectors, so that alike series are near each other
    segment_records=1_000,
    seed_steps=10,
    finetune_steps=10,
)
