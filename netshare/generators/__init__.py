"""Generators: models of P(metadata) x P(measurements | metadata), all behind `Generator`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netshare.generators.base import Generator
from netshare.preprocess.encoded import Schema

if TYPE_CHECKING:
    from netshare.config.generator import GeneratorSection

__all__ = ["Generator", "build_generator"]


def build_generator(schema: Schema, settings: GeneratorSection, *, device: str = "cpu") -> Generator:
    """The generator that `settings.kind` names, untrained, for series of this schema."""
    if settings.kind == "doppelganger":
        from netshare.generators.doppelganger import DoppelGANger

        return DoppelGANger(schema, settings.doppelganger, device=device)
    from netshare.generators.autoregressive import AutoregressiveGenerator

    return AutoregressiveGenerator(schema, settings.autoregressive, device=device)
