"""The config's section `generator`: which model learns, and the settings of each kind."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from netshare.config.section import Section
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.doppelganger.settings import DoppelGANgerSettings


class GeneratorSection(Section):
    """Which model learns each half of P(metadata) x P(measurements | metadata)."""

    kind: Literal["doppelganger", "autoregressive"] = Field(
        "autoregressive", description="doppelganger: adversarial in both slots; autoregressive: likelihood in both."
    )
    doppelganger: DoppelGANgerSettings = Field(DoppelGANgerSettings(), description="Settings of the doppelganger kind.")
    autoregressive: AutoregressiveSettings = Field(
        AutoregressiveSettings(), description="Settings of the autoregressive kind."
    )
