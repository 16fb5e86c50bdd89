"""Pieces of every report: sizes, findings in plain words, shares as text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netshare.evaluation.metrics.plugins import PluginResults

MAX_CLOSE_RATIO = 2.0  # times the floor: beyond it, synthetic traffic is easily distinguished from real traffic


@dataclass(frozen=True)
class TraceSize:
    """How large a trace is, and how much of it was compared after drawing equally many flows from each.

    Of a table of series, `flows` are series.
    """

    records: int
    flows: int
    compared_records: int
    compared_flows: int


@dataclass(frozen=True)
class Finding:
    """One finding in plain words, and whether it is a reason for care."""

    heading: str
    sentence: str
    warns: bool


def percent(share: float) -> str:
    """A share as text; never rounded up to 100% or down to 0%."""
    if math.isnan(share):
        return "n/a"
    if 0.999 <= share < 1:
        return f"{math.floor(share * 1e5) / 1e3:.3f}%"
    return "<0.1%" if 0 < share < 0.001 else f"{100 * share:.1f}%"


def plugin_lines(plugins: PluginResults) -> list[str]:
    """The plugins' figures as lines of text for a terminal; none without figures."""
    if not plugins.figures:
        return []
    rows = [
        f"{each.label:<60} {each.synthetic:12.4g} {each.floor:12.4g}  {each.distribution}" for each in plugins.figures
    ]
    return ["", f"{'plugin metric':<60} {'S against B':>12} {'A against B':>12}  from", *rows]
