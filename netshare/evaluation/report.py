"""The reports that `evaluate` returns: all figures, and the ways to show and keep them.

    report = evaluate(train, synthetic, holdout)
    print(report.summary())                 # for a terminal; a notebook shows a shorter one by itself
    report.to_html("report.html")           # one file that stands alone, with charts
    report.to_markdown("report.md")         # tables, for papers and issues
    report.to_json()["distances"]           # everything, for programs

A file that exists is refused, or replaced whole where `force=True` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netshare.evaluation.figures.series import SeriesFigures
from netshare.evaluation.figures.trace import TraceFigures
from netshare.evaluation.render.html import write_html
from netshare.evaluation.render.markdown import write_markdown
from netshare.evaluation.render.notebook import notebook_summary
from netshare.evaluation.render.series_html import write_series_html


@dataclass(frozen=True)
class Report(TraceFigures):
    """All figures of one evaluation of a synthetic trace S, against the training trace A and held-back real traffic B.

    `ratio` says in one number how close S is, `verdict()` what that means in words, `uses()` what S is good for.

    kind: `"packet"` or `"flow"`
    seed: of every draw behind the figures
    bootstraps: how many row bootstraps of A the `bootstrap` figures are means over
    sizes: `"train"`, `"holdout"`, `"synthetic"` -> records and flows, all and compared
    notes: what a reader has to know before trusting the figures, a sentence each
    distances: our distances, one row a field and distance
    paper_distances: the papers' distances in the same form
    paper_means: the papers' summary figures of S, of A, and of the bootstrap if there is one
    copying: what of S occurs in A, beside what of B does: five-tuples, triples, hosts, records
    consistency: role (`"train"`, `"holdout"`, `"before repair"`, `"synthetic"`) -> the results of the protocol tests
    repairs: rule -> records that broke it, as passed in
    extra: settings and training figures, as passed in
    charts: for HTML
    tasks: a section for each downstream task that was run
    ratio_interval: 95% interval of `ratio`; None where flows were not drawn again
    plugins: figures of metrics that other distributions bring, and which of them failed
    """

    def to_html(self, path: Path | str, *, force: bool = False) -> None:
        """Write one HTML file that needs no other, with charts and sortable tables; a file that exists only with `force`."""
        write_html(self, path, force=force)

    def to_markdown(self, path: Path | str, *, force: bool = False) -> None:
        """Write the main figures as Markdown tables; a file that exists only with `force`."""
        write_markdown(self, path, force=force)

    def _repr_html_(self) -> str:
        return notebook_summary(f"Synthetic {self.kind} trace", self.verdict(), self.uses(), self.all_notes())


@dataclass(frozen=True)
class SeriesReport(SeriesFigures):
    """All figures of one evaluation of synthetic series S, against the training series A and held-back real series B.

    seed: of every draw behind the figures
    sizes: `"train"`, `"holdout"`, `"synthetic"` -> records and series (in `flows`), all and compared
    notes: what a reader has to know before trusting the figures, a sentence each
    distances: one row a feature, see `metrics.series_features`
    neighbours: how near S and B lie to the series of A
    charts: for HTML
    extra: settings and training figures, as passed in
    ratio_interval: 95% interval of `ratio`; None where series were not drawn again
    plugins: figures of metrics that other distributions bring, and which of them failed
    """

    def to_html(self, path: Path | str, *, force: bool = False) -> None:
        """Write one HTML file that needs no other, with charts and sortable tables; a file that exists only with `force`."""
        write_series_html(self, path, force=force)

    def _repr_html_(self) -> str:
        return notebook_summary("Synthetic series", self.verdict(), (), self.all_notes())
