"""The comparison as a table: plain text for a terminal, Markdown for papers; and the sentence that sums it up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from netshare.comparison.rows import Failed, Measured, Row
from netshare.evaluation.figures.findings import percent
from netshare.evaluation.metrics.distances import scaled_across

HEADS = (
    "rank", "method", "family", "mean distance", "mean JSD", "mean EMD", "triples copied", "hosts copied",
    "lowest consistency", "CPU s", "steps", "records", "flows",
)  # fmt: skip
EXPLAINED = (
    "Mean distance: geometric mean of d(S, B) / d(A, B) over all distances, 1 is as close as real to real. Mean JSD and "
    "mean EMD: the NetShare paper's, in nats, and scaled to [0.1, 0.9] field by field over these methods. Copied: share "
    "that stands in A, in brackets that of B; more than 1.5 times B's rules a method out of the ranking."
)


@dataclass(frozen=True)
class Comparison:
    """Ranked results: those that do not copy by mean distance, then those that do, then those that failed."""

    trace: str
    kind: str
    budget: float
    seed: int
    records: int
    flows: int
    rows: tuple[Row, ...]
    folder: Path
    outputs: tuple[Path, ...] = field(default=())

    @property
    def measured(self) -> list[Measured]:
        """The rows of methods that were trained and judged."""
        return [row for row in self.rows if isinstance(row, Measured)]

    @property
    def failed(self) -> list[Failed]:
        """The rows of methods whose training failed."""
        return [row for row in self.rows if isinstance(row, Failed)]


def format_table(result: Comparison) -> str:
    """The table for a terminal, with what it shows in a sentence below."""
    rows = [HEADS, *cells(result)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
    lines = ["  ".join(_aligned(text, widths[i], i) for i, text in enumerate(row)).rstrip() for row in rows]
    failed = [f"{row.method} failed: {row.failed}" for row in result.failed]
    return "\n".join([*lines, *failed, "", *summary(result)])


def format_markdown(result: Comparison) -> str:
    """The table as Markdown, with its heading, legend and summary."""
    lines = [f"# Generators compared on {result.trace}", "", *_sentences(result), "", EXPLAINED, ""]
    lines += ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    lines += ["| " + " | ".join(row) + " |" for row in cells(result)]
    lines += [""] + [f"{row.method} failed: {row.failed}." for row in result.failed]
    return "\n".join([*lines, *summary(result)]).rstrip() + "\n"


def cells(result: Comparison) -> list[tuple[str, ...]]:
    """One row of text a method, in the order of the ranking."""
    movers = mean_emd(result.measured)
    return [_cells(row, movers.get(row.method)) for row in result.rows]


def mean_emd(rows: Sequence[Measured]) -> dict[str, float]:
    """The papers' mean earth mover's distance of each method, scaled over all methods of the table."""
    fields = list(rows[0].emd) if rows else []
    if not fields:
        return {}
    scaled = np.array([scaled_across([row.emd[name] for row in rows]) for name in fields])
    return {row.method: float(value) for row, value in zip(rows, scaled.mean(axis=0), strict=True)}


def summary(result: Comparison) -> list[str]:
    """Who is first, and by how much the baselines are further from real traffic on the mean."""
    ranked = [row for row in result.measured if row.rank]
    if not ranked:
        return ["No method is ranked: every one copies or failed."]
    best = ranked[0]
    lines = [f"First: {best.method}, at {best.ratio:.2f} times the floor."]
    others = [row for row in result.measured if row.family != "ours"]
    if not others or best.family != "ours":
        return lines
    movers = mean_emd(result.measured)
    figures = {
        "mean distance": ([row.ratio for row in others], best.ratio),
        "mean JSD": ([row.mean_jsd for row in others], best.mean_jsd),
        "mean EMD": ([movers[row.method] for row in others if movers], movers.get(best.method, 0.0)),
    }
    improvements = [
        f"{name} {1 - ours / np.mean(theirs):.0%}" for name, (theirs, ours) in figures.items() if np.sum(theirs) > 0
    ]
    lines.append(f"Lower than the mean of the {len(others)} baselines by: {', '.join(improvements)}.")
    return lines


def _sentences(result: Comparison) -> list[str]:
    what = "packets" if result.kind == "packet" else "flow records"
    return [
        f"{result.records:,} {what} of {result.flows:,} flows; half of the conversations to train on (A), the other half "
        f"to compare with (B); {result.budget:g} CPU seconds of training a method; seed {result.seed}."
    ]


def _cells(row: Row, mover: float | None) -> tuple[str, ...]:
    head = (str(row.rank or "-"), row.method, row.family)
    if isinstance(row, Failed):
        return (*head, "failed", *[""] * (len(HEADS) - 4))
    copied = [
        f"{_share(shares['share'])} ({_share(shares['holdout'])})"
        for name, shares in row.copying.items()
        if name.endswith("triples") or name == "hosts"
    ]
    lowest = min((share for share in row.consistency.values() if share is not None), default=float("nan"))
    figures = (f"{row.ratio:.2f}", f"{row.mean_jsd:.4f}", "" if mover is None else f"{mover:.3f}", *copied)
    counts = (f"{row.cpu_seconds:.0f}", f"{row.steps:,}", f"{row.made_records:,}", f"{row.made_flows:,}")
    return (*head, *figures, percent(lowest), *counts)


def _share(share: float | None) -> str:
    return "n/a" if share is None else percent(share)


def _aligned(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column in (1, 2) else text.rjust(width)
