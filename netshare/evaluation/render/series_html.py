"""The report on series as one HTML file that stands alone, in the form of the report on traces."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from textwrap import shorten

from netshare.evaluation.figures.series import SeriesFigures
from netshare.evaluation.render.html_page import (
    ROLE_NAMES,
    charts,
    distance_table,
    legend,
    page,
    plugin_section,
    section,
    verdict_cards,
)
from netshare.evaluation.render.html_sections import task_section
from netshare.evaluation.render.svg import draw_ratios
from netshare.preprocess.atomic import write_text
from netshare.preprocess.outputs import check_output

LONGEST_NAME = 40  # characters beside the chart of ratios
TITLE = "Synthetic series: evaluation"
_EXPLAINED = (
    "Each distance d(S, B) of the synthetic series to held-back real ones, as a multiple of the floor d(A, B) between "
    "training and held-back series; logarithmic."
)
_PRIVACY = (
    "This report describes the real series (distributions, shares, categories) and is not differentially private."
)


def write_series_html(report: SeriesFigures, path: Path | str, *, force: bool = False) -> None:
    """Write the report as one self-contained HTML file, atomically.

    Args:
        report: its figures.
        path: the file.
        force: replace it where it exists.

    Raises:
        InputError: it exists, or is no place for a file.
        OSError: it cannot be written.
    """
    check_output(path, force=force)
    write_text(Path(path), to_series_html(report))


def to_series_html(report: SeriesFigures) -> str:
    """The whole page."""
    sizes = "; ".join(f"{ROLE_NAMES[r]}: {s.records:,} records, {s.flows:,} series" for r, s in report.sizes.items())
    notes = "".join(f"<li>{escape(note)}</li>" for note in (*report.notes, _PRIVACY))
    ratios: list[tuple[str, float, float | None]] = [
        (shorten(row.title, LONGEST_NAME, placeholder=" ..."), row.ratio, None) for row in report.distances
    ]
    body = [
        f'<header><h1>{TITLE}</h1><p class="muted">{escape(sizes)}.</p></header>',
        _cards(report),
        f"<ul class='notes'>{notes}</ul>",
        section(
            "Distances to held-back real series",
            f'<p>{_EXPLAINED}</p><div class="wide">{draw_ratios(ratios)}</div>{distance_table(report.distances)}',
        ),
        section("Distributions and autocorrelation", charts(report.charts, legend(report.sizes))),
        task_section(report.neighbours, legend(report.sizes)),
        plugin_section(report.plugins),
        f"<section><details><summary>Settings and training</summary><pre>{_settings(report)}</pre></details></section>",
    ]
    return page(TITLE, "".join(body))


def _cards(report: SeriesFigures) -> str:
    figures = [f"{report.ratio:.2f}×", f"{report.neighbours.figures['median_ratio']:.2f}"]
    captions = ["the floor (1 = as close as real to real)", "times as far from training series as real ones are"]
    return verdict_cards(report.verdict(), figures, captions)


def _settings(report: SeriesFigures) -> str:
    return escape(json.dumps({"seed": report.seed, **report.extra}, indent=1, default=str))
