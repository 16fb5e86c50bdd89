"""The figures about synthetic series: every one with the number of values behind it, in words and in JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from netshare.evaluation.figures.findings import MAX_CLOSE_RATIO, Finding, TraceSize, percent, plugin_lines
from netshare.evaluation.figures.json_values import SCHEMA_VERSION, as_json, plugins_as_json
from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.distance_rows import DistanceRow
from netshare.evaluation.metrics.distances import geometric_mean
from netshare.evaluation.metrics.intervals import Bounds
from netshare.evaluation.metrics.plugins import PluginResults
from netshare.evaluation.metrics.series_features import CURVE
from netshare.evaluation.tasks.section import Section

MIN_DISTANCE_RATIO = 0.8  # a median ratio below it says that series of A are repeated


@dataclass(frozen=True)
class SeriesFigures:
    """The figures of a `netshare.evaluation.SeriesReport`, where every field is described, and what follows from them."""

    seed: int
    sizes: dict[str, TraceSize]
    notes: tuple[str, ...]
    distances: tuple[DistanceRow, ...]
    neighbours: Section
    charts: tuple[Chart, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    ratio_interval: Bounds | None = None
    plugins: PluginResults = field(default_factory=PluginResults)

    @property
    def ratio(self) -> float:
        """Geometric mean of d(S, B) / d(A, B) over all distances: 1 is as close as real to real."""
        return geometric_mean([row.ratio for row in self.distances])

    @property
    def autocorrelation_errors(self) -> dict[str, dict[str, Any]]:
        """Measurement -> mean squared error of its autocorrelation to B's, of S and of A (the paper's figure), with 95%
        intervals where there are any."""
        rows = [row for row in self.distances if row.measure == CURVE.text]
        return {
            row.field.removesuffix(" autocorrelation"): {
                "synthetic": row.synthetic**2,
                "synthetic_interval": None if row.interval is None else [bound**2 for bound in row.interval],
                "train": row.floor**2,
                "train_interval": None if row.floor_interval is None else [bound**2 for bound in row.floor_interval],
            }
            for row in rows
        }

    def verdict(self) -> list[Finding]:
        """The findings in plain words: fidelity, copying."""
        worst = sorted(self.distances, key=lambda row: -row.ratio)[:3]
        named = ", ".join(f"{row.title} ({row.ratio:.1f})" for row in worst if row.ratio > MAX_CLOSE_RATIO)
        within = "" if self.ratio_interval is None else "({:.2f} to {:.2f}) ".format(*self.ratio_interval)
        sentence = (
            f"Distances to held-back real series are {self.ratio:.2f} {within}times the training series' own, on the geometric "
            f"mean over {len(self.distances)} distances" + (f". Furthest off: {named}." if named else ".")
        )
        figures = self.neighbours.figures
        ratio, identical = figures["median_ratio"], figures["identical"]
        copying = (
            f"A synthetic series lies {ratio:.2f} times as far from the nearest training series as a held-back real one "
            f"does (median); {percent(identical['synthetic'])} repeat one exactly (real: {percent(identical['holdout'])})."
        )
        return [
            Finding("Fidelity", sentence, self.ratio > MAX_CLOSE_RATIO),
            Finding(
                "Copying", copying, ratio < MIN_DISTANCE_RATIO or identical["synthetic"] > identical["holdout"] + 0.01
            ),
        ]

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON-able values; a figure that does not exist is null."""
        return as_json(
            {
                "schema_version": SCHEMA_VERSION,
                "kind": "series",
                "seed": self.seed,
                "sizes": {
                    role: {
                        "records": size.records, "series": size.flows,
                        "compared_records": size.compared_records, "compared_series": size.compared_flows,
                    }
                    for role, size in self.sizes.items()
                },
                "notes": list(self.notes),
                "geometric_mean_ratio": self.ratio,
                "geometric_mean_ratio_interval": self.ratio_interval,
                "distances": [asdict(row) for row in self.distances],
                "autocorrelation_errors": self.autocorrelation_errors,
                "neighbours": self.neighbours.to_json(),
                "plugins": plugins_as_json(self.plugins),
                "extra": self.extra,
            }
        )  # fmt: skip

    def all_notes(self) -> list[str]:
        """The notes, and a line for each plugin that failed."""
        return [*self.notes, *(failure.line for failure in self.plugins.failures)]

    def summary(self) -> str:
        """The findings and all distances as plain text for a terminal."""
        lines = [f"{finding.heading}: {finding.sentence}" for finding in self.verdict()]
        lines += ["", f"{'compared':<48} {'measure':<32} {'d(S,B)':>9} {'d(A,B)':>9} {'ratio':>7}"]
        lines += [
            f"{row.title:<48} {row.measure:<32} {row.synthetic:9.4f} {row.floor:9.4f} {row.ratio:7.2f}"
            for row in self.distances
        ]
        lines += plugin_lines(self.plugins)
        return "\n".join([*lines, "", *(f"Note: {note}" for note in self.all_notes())])
