"""What every page of HTML is made of: its frame, sections, cards, distances, charts and plugins.

A page stands alone: nothing is fetched from elsewhere; charts are inline SVG, and a few lines of inline script let tables
be sorted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

from netshare.evaluation.figures.findings import Finding
from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.distance_rows import DistanceRow
from netshare.evaluation.metrics.intervals import Bounds, interval_text
from netshare.evaluation.metrics.plugins import PluginResults
from netshare.evaluation.render.html_style import STYLE
from netshare.evaluation.render.html_table import SCRIPT, table
from netshare.evaluation.render.svg import draw

ROLE_NAMES = {"train": "training data A", "holdout": "held-back real B", "synthetic": "synthetic S"}


def page(title: str, body: str) -> str:
    """A whole page that stands alone, with the report's style and script."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main><script>{SCRIPT}</script></body></html>\n"
    )


def section(title: str, inner: str) -> str:
    """A part of the page under a heading."""
    return f"<section><h2>{escape(title)}</h2>{inner}</section>"


def verdict_cards(findings: Sequence[Finding], figures: Sequence[str], captions: Sequence[str]) -> str:
    """One card a finding: its heading, a figure with what it counts, and the sentence."""
    cards = [
        f'<div class="card{" warn" if finding.warns else ""}"><h2>{finding.heading}</h2>'
        f'<p class="figure">{escape(figure)}</p><p class="muted">{caption}</p><p>{escape(finding.sentence)}</p></div>'
        for finding, figure, caption in zip(findings, figures, captions, strict=True)
    ]
    return f'<section class="cards">{"".join(cards)}</section>'


def distance_table(rows: Iterable[DistanceRow]) -> str:
    """Every distance with its floor, folded open."""
    rows = list(rows)
    copied = any(row.bootstrap is not None for row in rows)
    boot = ["bootstrap d(A*, B)"] if copied else []
    heads = ["Field", "Distance", "ratio (95%)", "d(S, B)", "floor d(A, B)", *boot, "values S / A / B"]
    figures_table = table(heads, (_distance_cells(row, copied) for row in rows), numeric_from=2)
    return f"<details open><summary>All figures</summary>{figures_table}</details>"


def _distance_cells(row: DistanceRow, copied: bool) -> list[str]:
    boot = [] if not copied else ["" if row.bootstrap is None else f"{row.bootstrap:.4f}"]
    counts = f"{row.n_synthetic:,} / {row.n_train:,} / {row.n_holdout:,}"
    within = "" if row.ratio_interval is None else " ({:.2f} to {:.2f})".format(*row.ratio_interval)
    figures = [f"{row.ratio:.2f}{within}", f"{row.synthetic:.4f}", f"{row.floor:.4f}", *boot]
    return [row.title, row.measure, *figures, counts]


def legend(roles: Collection[str]) -> str:
    """Which curve belongs to which of the roles that there are."""
    named = " ".join(
        f'<span class="named"><span class="swatch {role}"></span>{escape(name)}</span>'
        for role, name in ROLE_NAMES.items()
        if role in roles
    )
    return f'<p class="legend">{named}</p>'


def charts(drawn: Sequence[Chart], explained: str) -> str:
    """Curves, then bars, under the legend `explained`."""
    curves = "".join(_figure(chart) for chart in drawn if chart.kind != "bars")
    bars = "".join(_figure(chart) for chart in drawn if chart.kind == "bars")
    return f'{explained}<div class="charts">{curves}</div><div class="charts">{bars}</div>'


def _figure(chart: Chart) -> str:
    caption = f"{escape(chart.title)}<br><small>{escape(chart.y_label)}</small>"
    return f"<figure><figcaption>{caption}</figcaption>{draw(chart)}</figure>"


def plugin_section(plugins: PluginResults) -> str:
    """Figures of metrics that other distributions bring, and which of them failed; empty without any."""
    if not plugins:
        return ""
    rows = [
        [
            each.label,
            _with_interval(each.synthetic, each.interval),
            _with_interval(each.floor, each.floor_interval),
            "lower" if each.lower_is_better else "higher",
            each.distribution,
        ]
        for each in plugins.figures
    ]
    heads = ["Metric", "S against B (95%)", "A against B (95%)", "better is", "from"]
    text = "<p>Metrics of installed plugins. They count in no verdict and in no overall figure.</p>"
    failures = "".join(f"<p>{escape(each.line)}</p>" for each in plugins.failures)
    return section("Plugins", text + (table(heads, rows, numeric_from=1, texts=(3, 4)) if rows else "") + failures)


def _with_interval(value: float, interval: Bounds | None) -> str:
    within = "" if interval is None else interval_text(interval)
    return f"{value:.4g}" + (f" ({within})" if within else "")
