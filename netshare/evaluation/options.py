"""Options of `evaluate` that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netshare.preprocess.errors import ConfigError
from netshare.preprocess.trace import Trace


@dataclass(frozen=True)
class Provenance:
    """How the synthetic trace came about, as far as the report shows it.

    before_repair: the synthetic trace before postprocessing repaired it; its consistency is shown beside
    repairs: by rule, the number of records that broke it, or `{"before": ..., "after": ..., "rule": text}`, as in
        `netshare.postprocess.repair.RepairReport.rules`
    extra: settings, training figures and the like, shown as they are
    """

    before_repair: Trace | None = None
    repairs: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resampling:
    """How much is drawn again, which makes a report slower and its intervals steadier.

    bootstrap: row bootstraps of A to average over; 0 for none
    redraws: how often flows are drawn again for the confidence intervals; 0 for no intervals

    Raises:
        ConfigError: `bootstrap` is negative, or `redraws` is negative or 1.
    """

    bootstrap: int = 3
    redraws: int = 20

    def __post_init__(self) -> None:
        if self.bootstrap < 0:
            raise ConfigError(f"bootstrap: found {self.bootstrap}, give 0 (none) or more")
        if self.redraws < 0 or self.redraws == 1:
            raise ConfigError(f"redraws: found {self.redraws}, give 0 (no intervals) or 2 or more")
