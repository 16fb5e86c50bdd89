"""The declaration of the autoregressive generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.spec import GeneratorSpec
from netshare.preprocess.encoded import Schema

if TYPE_CHECKING:
    from netshare.generators.base import Generator

UNTIL_CONVERGED = 1_000_000  # steps, far more than are ever taken: training stops on its own validation split


def _create(schema: Schema, settings: AutoregressiveSettings, *, device: str) -> Generator:
    from netshare.generators.autoregressive.generator import AutoregressiveGenerator

    return AutoregressiveGenerator(schema, settings, device=device)


SPEC = GeneratorSpec(
    kind="autoregressive",
    summary="likelihood in both slots",
    settings=AutoregressiveSettings,
    create=_create,
    style="autoregressive",
    segment_records=65_536,
    seed_steps=UNTIL_CONVERGED,
    finetune_steps=UNTIL_CONVERGED,
)
