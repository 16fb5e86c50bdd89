"""The figures about a synthetic trace: every one with the number of values behind it, in words and in JSON.

They describe the real traces too (distribution curves, shares), and hold no address: addresses appear as popularity
ranks only. They are not differentially private: share them as you would share statistics of the real trace.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

from netshare.evaluation.figures.findings import MAX_CLOSE_RATIO, Finding, TraceSize, percent, plugin_lines
from netshare.evaluation.figures.json_values import SCHEMA_VERSION, as_json, plugins_as_json
from netshare.evaluation.metrics.consistency import TestResult
from netshare.evaluation.metrics.copying import CopyShare
from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.distance_rows import DistanceRow, PaperMean
from netshare.evaluation.metrics.distances import geometric_mean
from netshare.evaluation.metrics.intervals import Bounds, share_interval
from netshare.evaluation.metrics.plugins import PluginResults
from netshare.evaluation.tasks.section import Section, Verdict

MAX_CONSISTENCY_LOSS = 0.01  # share by which the synthetic trace may pass a test less often than the real one


@dataclass(frozen=True)
class TraceFigures:
    """The figures of a `netshare.evaluation.Report`, where every field is described, and what follows from them."""

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
    ratio_interval: Bounds | None = None
    plugins: PluginResults = field(default_factory=PluginResults)

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
        """All figures as JSON-able values (charts are left to the HTML); a figure that does not exist is null.

        `docs/report.schema.json` describes it.
        """
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
                "plugins": plugins_as_json(self.plugins),
                "repairs": self.repairs,
                "extra": self.extra,
            }
        )

    def verdict(self) -> list[Finding]:
        """The findings in plain words: fidelity, copying, consistency."""
        return [
            Finding("Fidelity", self._fidelity_in_words(), self.ratio > MAX_CLOSE_RATIO),
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
                self.ratio <= MAX_CLOSE_RATIO,
                f"distances are {self.ratio:.2f} times those of two real traces, on the geometric mean; good is at "
                f"most {MAX_CLOSE_RATIO:.0f}",
            ),
            Verdict(
                "feeding tools that expect valid traffic",
                not less,
                f"it passes {'some' if less else 'all'} consistency tests {'less' if less else 'as'} often "
                f"{'than' if less else 'as'} real traffic does; good is at most {percent(MAX_CONSISTENCY_LOSS)} less",
            ),
            *(verdict for section in self.tasks for verdict in section.verdicts),
        ]

    def all_notes(self) -> list[str]:
        """The notes, and a line for each plugin that failed."""
        return [*self.notes, *(failure.line for failure in self.plugins.failures)]

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
        lines += plugin_lines(self.plugins)
        lines += ["", *(_wrapped(f"Note: {note}") for note in self.all_notes())]
        return "\n".join(lines)

    def _fidelity_in_words(self) -> str:
        near = "about as close to real traffic as real traffic is to itself"
        levels = [
            (1.3, near),
            (MAX_CLOSE_RATIO, "close to real traffic"),
            (4.0, "recognisably different from real traffic"),
        ]
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
        return any(share < least - MAX_CONSISTENCY_LOSS for share, least in zip(ours, lowest, strict=True))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, subsequent_indent="  ")


def _lower(title: str) -> str:
    return title if title[:2].isupper() else title[0].lower() + title[1:]
