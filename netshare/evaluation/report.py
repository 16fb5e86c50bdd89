"""The result of an evaluation: every figure with the number of values behind it, ready for JSON, terminal or HTML.

A report holds figures about the real traces (distribution curves, shares), and no address: addresses appear as
popularity ranks only. It is not differentially private: share it as you would share statistics of the real trace.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from netshare.evaluation.intervals import share_interval
from netshare.evaluation.metrics.consistency import TestResult
from netshare.evaluation.metrics.copying import CopyShare
from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.distances import geometric_mean
from netshare.evaluation.section import Section, Verdict
from netshare.preprocess.atomic import write_text

SCHEMA_VERSION = 1
CLOSE = 2.0  # times the floor: beyond it, synthetic traffic is told from real traffic with ease
LESS_CONSISTENT = 0.01  # share by which the synthetic trace may pass a test less often than the real one


@dataclass(frozen=True)
class DistanceRow:
    """One distance of one field, to the held-back real trace B.

    `synthetic` is d(S, B), `floor` d(A, B), `bootstrap` the mean of d(A*, B) over row bootstraps A* of A (None if none
    were asked for); `ratio` is d(S, B) / d(A, B), `bootstrap_ratio` d(A*, B) / d(A, B). For the papers' distances
    `to_train` is d(S, A), which is what the papers report. `n_*` count the values compared.
    `interval`, `ratio_interval`, `floor_interval` and `to_train_interval` are 95% confidence intervals of `synthetic`,
    `ratio`, `floor` and `to_train` (bootstrap by flow).
    """

    field: str
    title: str
    measure: str
    of: str
    synthetic: float
    floor: float
    bootstrap: float | None
    ratio: float
    bootstrap_ratio: float | None
    n_synthetic: int
    n_train: int
    n_holdout: int
    unit: str = ""
    to_train: float | None = None
    interval: tuple[float, float] | None = None
    ratio_interval: tuple[float, float] | None = None
    floor_interval: tuple[float, float] | None = None
    to_train_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class TraceSize:
    """How large a trace is, and how much of it was compared after drawing equally many flows from each."""

    records: int
    flows: int
    compared_records: int
    compared_flows: int


@dataclass(frozen=True)
class PaperMean:
    """The papers' summary figures: mean JSD in nats, and mean earth mover's distance scaled to [0.1, 0.9].

    The scaling runs, field by field, over the candidates synthetic, training trace, bootstrap (if there is one), each
    compared with B; it says who is nearer, not how near. `*_interval` are 95% intervals, flows drawn again (none for the
    bootstrap, which is itself drawn again).
    """

    candidate: str
    mean_jsd: float
    jsd_fields: int
    mean_emd_scaled: float
    emd_fields: int
    mean_jsd_interval: tuple[float, float] | None = None
    mean_emd_scaled_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Finding:
    """One finding in plain words, and whether it is a reason for care."""

    heading: str
    sentence: str
    warns: bool


@dataclass(frozen=True)
class Report:
    """All figures of one evaluation; see `netshare.evaluation.evaluate`."""

    kind: str
    seed: int
    bootstraps: int
    sizes: dict[str, TraceSize]
    notes: tuple[str, ...]
    distances: tuple[DistanceRow, ...]
    paper_distances: tuple[DistanceRow, ...]
    paper_means: tuple[PaperMean, ...]
    copying: tuple[CopyShare, ...]
    consistency: dict[str, tuple[TestResult, ...]]
    repairs: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    charts: tuple[Chart, ...] = ()
    tasks: tuple[Section, ...] = ()
    ratio_interval: tuple[float, float] | None = None

    @property
    def ratio(self) -> float:
        """Geometric mean of d(S, B) / d(A, B) over all distances of ours: 1 is as close as real to real."""
        return geometric_mean([row.ratio for row in self.distances])

    @property
    def bootstrap_ratio(self) -> float | None:
        """The same for a row bootstrap of the training trace; None if none was drawn."""
        ratios = [row.bootstrap_ratio for row in self.distances if row.bootstrap_ratio is not None]
        return geometric_mean(ratios) if ratios else None

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON-able values (charts are left to the HTML); a figure that does not exist is null."""
        return as_json(
            {
                "schema_version": SCHEMA_VERSION,
                "kind": self.kind,
                "seed": self.seed,
                "bootstraps": self.bootstraps,
                "sizes": {role: asdict(size) for role, size in self.sizes.items()},
                "notes": list(self.notes),
                "geometric_mean_ratio": self.ratio,
                "geometric_mean_ratio_interval": self.ratio_interval,
                "geometric_mean_ratio_bootstrap": self.bootstrap_ratio,
                "distances": [asdict(row) for row in self.distances],
                "paper_distances": [asdict(row) for row in self.paper_distances],
                "paper_means": [asdict(mean) for mean in self.paper_means],
                "copying": [
                    {
                        **asdict(c),
                        "share": c.share,
                        "interval": share_interval(c.synthetic_found, c.synthetic_total),
                        "holdout_share": c.holdout_share,
                        "holdout_interval": share_interval(c.holdout_found, c.holdout_total),
                        "suspicious": c.suspicious,
                    }
                    for c in self.copying
                ],
                "consistency": {
                    role: [
                        {**asdict(r), "share": r.share, "interval": share_interval(r.passed, r.tested)} for r in results
                    ]
                    for role, results in self.consistency.items()
                },
                "tasks": {section.name: section.to_json() for section in self.tasks},
                "uses": [asdict(verdict) for verdict in self.uses()],
                "repairs": self.repairs,
                "extra": self.extra,
            }
        )

    def verdict(self) -> list[Finding]:
        """The findings in plain words: fidelity, copying, consistency."""
        return [
            Finding("Fidelity", self._fidelity_in_words(), self.ratio > CLOSE),
            Finding("Copying", self._copying_in_words(), any(copy.suspicious for copy in self.copying)),
            Finding("Consistency", self._consistency_in_words(), self._less_consistent_than_real()),
        ]

    def uses(self) -> list[Verdict]:
        """For each use, whether the trace is good enough for it, by the threshold that its sentence states; none
        if no downstream task was run."""
        if not self.tasks:
            return []
        less = self._less_consistent_than_real()
        return [
            Verdict(
                "statistics of single fields",
                self.ratio <= CLOSE,
                f"distances are {self.ratio:.2f} times those of two real traces, on the geometric mean; good is at "
                f"most {CLOSE:.0f}",
            ),
            Verdict(
                "feeding tools that expect valid traffic",
                not less,
                f"it passes {'some' if less else 'all'} consistency tests {'less' if less else 'as'} often "
                f"{'than' if less else 'as'} real traffic does; good is at most {percent(LESS_CONSISTENT)} less",
            ),
            *(verdict for section in self.tasks for verdict in section.verdicts),
        ]

    def summary(self) -> str:
        """The findings and all distances of ours as plain text for a terminal."""
        lines = [_wrapped(f"{finding.heading}: {finding.sentence}") for finding in self.verdict()]
        for good, heading in ((True, "Good for"), (False, "Not for"), (None, "Not judged")):
            if named := [verdict.use for verdict in self.uses() if verdict.good is good]:
                lines.append(_wrapped(f"{heading}: {', '.join(named)}."))
        lines += ["", f"{'field':<40} {'measure':<30} {'d(S,B)':>9} {'d(A,B)':>9} {'boot':>9} {'ratio':>7} {'n':>8}"]
        for row in self.distances:
            boot = "" if row.bootstrap is None else f"{row.bootstrap:9.4f}"
            lines.append(
                f"{row.title:<40} {row.measure:<30} {row.synthetic:9.4f} {row.floor:9.4f} {boot:>9} {row.ratio:7.2f} "
                f"{row.n_synthetic:>8}"
            )
        lines += ["", f"{'occurs in the training trace':<40} {'synthetic':>22} {'held-back real':>22}"]
        for copy in self.copying:
            ours = f"{percent(copy.share)} of {copy.synthetic_total}"
            held = f"{percent(copy.holdout_share)} of {copy.holdout_total}"
            lines.append(f"{copy.name:<40} {ours:>22} {held:>22}")
        lines += ["", f"{'consistency test passed':<40} " + " ".join(f"{role:>22}" for role in self.consistency)]
        for row_of_results in zip(*self.consistency.values(), strict=True):
            cells = (f"{percent(r.share)} of {r.tested}" for r in row_of_results)
            lines.append(f"{row_of_results[0].test:<40} " + " ".join(f"{cell:>22}" for cell in cells))
        lines += ["", *(_wrapped(f"Note: {note}") for note in self.notes)]
        return "\n".join(lines)

    def _fidelity_in_words(self) -> str:
        near = "about as close to real traffic as real traffic is to itself"
        levels = [(1.3, near), (CLOSE, "close to real traffic"), (4.0, "recognisably different from real traffic")]
        level = next((text for limit, text in levels if self.ratio <= limit), "far from real traffic")
        by_field: dict[str, DistanceRow] = {}
        for row in sorted(self.distances, key=lambda row: -row.ratio):
            by_field.setdefault(row.field, row)
        worst = list(by_field.values())[:3]
        within = "" if self.ratio_interval is None else "({:.2f} to {:.2f}) ".format(*self.ratio_interval)
        sentence = (
            f"{level}: its distances to held-back real traffic are {self.ratio:.2f} {within}times the training trace's "
            f"own, on the geometric mean over {len(self.distances)} distances"
        )
        if self.bootstrap_ratio is not None:
            sentence += (
                f" (drawing the training records again, which copies them all, gives {self.bootstrap_ratio:.2f})"
            )
        if worst and worst[0].ratio > 1.3:
            named = ", ".join(f"{_lower(row.title)} ({row.ratio:.1f})" for row in worst if row.ratio > 1.3)
            sentence += f". Furthest off: {named}"
        return sentence[0].upper() + sentence[1:] + "."

    def _copying_in_words(self) -> str:
        tuples, records = self.copying[0], self.copying[-1]
        flagged = [copy.name for copy in self.copying if copy.suspicious]
        sentence = f"{percent(tuples.share)} of the synthetic five-tuples and {percent(records.share)} of the records "
        sentence += "occur in the training trace"
        if tuples.holdout_total:
            held = f"{percent(tuples.holdout_share)} and {percent(records.holdout_share)}"
            sentence += f", against {held} of held-back real ones"
        if flagged:
            return f"{sentence}. More than real traffic repeats itself: {', '.join(flagged)}."
        return f"{sentence}. Nothing points to memorised records."

    def _consistency_in_words(self) -> str:
        results = self.consistency["synthetic"]
        lowest = min((r for r in results if r.tested), key=lambda r: r.share, default=None)
        if lowest is None:
            return "Nothing to test."
        if lowest.share == 1:
            return f"All {len(results)} tests are passed by every synthetic record."
        real = next(r for r in self.consistency["train"] if r.test == lowest.test)
        return (
            f"The synthetic trace passes {percent(lowest.share)} or more of every test; lowest is test {lowest.test} "
            f"(real: {percent(real.share)})."
        )

    def _less_consistent_than_real(self) -> bool:
        real = [self.consistency[role] for role in ("train", "holdout") if role in self.consistency]
        lowest = [min(result.share for result in results) for results in zip(*real, strict=True)]
        ours = [result.share for result in self.consistency["synthetic"]]
        return any(share < least - LESS_CONSISTENT for share, least in zip(ours, lowest, strict=True))


class HasJson(Protocol):
    """A report on traces or on series."""

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON-able values."""


def write_json(report: HasJson, path: Path | str) -> None:
    """Write `report.to_json()` to a file, atomically."""
    write_text(Path(path), json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")


def percent(share: float) -> str:
    """A share as text; never rounded up to 100% or down to 0%."""
    if math.isnan(share):
        return "n/a"
    if 0.999 <= share < 1:
        return f"{math.floor(share * 1e5) / 1e3:.3f}%"
    return "<0.1%" if 0 < share < 0.001 else f"{100 * share:.1f}%"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, subsequent_indent="  ")


def _lower(title: str) -> str:
    return title if title[:2].isupper() else title[0].lower() + title[1:]


def as_json(value: Any) -> Any:
    """NumPy scalars, paths and the like as JSON-able values, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if hasattr(value, "tolist"):
        return as_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
