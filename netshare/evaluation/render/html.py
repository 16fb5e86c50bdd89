"""The report as one HTML file that stands alone: nothing is fetched from elsewhere; charts are inline SVG, and a few
lines of inline script let tables be sorted.

Readable on a phone and on paper, in light and dark (`prefers-color-scheme`). Colours are from Okabe and Ito's palette,
which the colour-blind can tell apart.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from netshare.evaluation.intervals import interval_text, share_interval
from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.fields import MEASURE_TEXT
from netshare.evaluation.render.html_table import SCRIPT, table
from netshare.evaluation.render.html_tasks import task_section, uses
from netshare.evaluation.render.svg import draw, draw_ratios
from netshare.evaluation.report import DistanceRow, Finding, Report, percent
from netshare.preprocess.atomic import write_text

_SHORT_MEASURE = {
    MEASURE_TEXT["jsd"]: "JSD",
    MEASURE_TEXT["jsd_rank"]: "JSD of ranks",
    MEASURE_TEXT["jsd_bins"]: "JSD of bins",
    MEASURE_TEXT["jsd_time"]: "JSD of bins",
    MEASURE_TEXT["emd"]: "EMD",
    MEASURE_TEXT["emd_log"]: "EMD of log",
    MEASURE_TEXT["share"]: "share",
}
ROLE_NAMES = {"train": "training data A", "holdout": "held-back real B", "synthetic": "synthetic S"}


def write_html(report: Report, path: Path | str) -> None:
    """Write the report as one self-contained HTML file, atomically."""
    write_text(Path(path), to_html(report))


def to_html(report: Report) -> str:
    """The whole page."""
    body = "".join(
        [
            f"<header><h1>Synthetic {report.kind} trace: evaluation</h1>{_sizes_line(report)}</header>",
            _verdict(report),
            uses(report.uses()),
            _notes(report),
            section("Distances to held-back real traffic", _ratio_chart(report) + distance_table(report.distances)),
            section("Distributions", charts(report.charts, legend(report.sizes))),
            section("Copying", _copying(report)),
            section("Consistency with the protocols", _consistency(report) + _repairs(report)),
            *(task_section(each, legend(report.sizes)) for each in report.tasks),
            section("The papers' definitions", _papers(report)),
            _details(report),
        ]
    )
    return page(f"Synthetic {report.kind} trace: evaluation", body)


def page(title: str, body: str) -> str:
    """A whole page that stands alone, with the report's style and script."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _sizes_line(report: Report) -> str:
    parts = [
        f"{ROLE_NAMES[role]}: {size.records:,} records, {size.flows:,} flows" for role, size in report.sizes.items()
    ]
    return f'<p class="muted">{escape("; ".join(parts))}.</p>'


def _verdict(report: Report) -> str:
    lowest = min((r.share for r in report.consistency["synthetic"] if r.tested), default=float("nan"))
    figures = [f"{report.ratio:.2f}×", percent(report.copying[0].share), percent(lowest)]
    captions = [
        "the floor (1 = as close as real to real)",
        "of five-tuples copied",
        "pass the consistency test that most fail",
    ]
    return verdict_cards(report.verdict(), figures, captions)


def verdict_cards(findings: Sequence[Finding], figures: Sequence[str], captions: Sequence[str]) -> str:
    """One card a finding: its heading, a figure with what it counts, and the sentence."""
    cards = [
        f'<div class="card{" warn" if finding.warns else ""}"><h2>{finding.heading}</h2>'
        f'<p class="figure">{escape(figure)}</p><p class="muted">{caption}</p><p>{escape(finding.sentence)}</p></div>'
        for finding, figure, caption in zip(findings, figures, captions, strict=True)
    ]
    return f'<section class="cards">{"".join(cards)}</section>'


def _notes(report: Report) -> str:
    privacy = (
        "This report describes the real traces (distributions, shares, frequent ports, labels) and is not "
        "differentially private. Addresses appear as popularity ranks only."
    )
    return "<ul class='notes'>" + "".join(f"<li>{escape(note)}</li>" for note in (*report.notes, privacy)) + "</ul>"


def _ratio_chart(report: Report) -> str:
    named = [
        (f"{row.title.split(' [')[0]}, {_SHORT_MEASURE.get(row.measure, row.measure)}", row.ratio, row.bootstrap_ratio)
        for row in report.distances
    ]
    explained = (
        "<p>Each distance d(S, B) of the synthetic trace to held-back real traffic, as a multiple of the floor d(A, B) "
        'that lies between two real traces; logarithmic. <span class="key synthetic">●</span> synthetic'
    )
    if report.bootstrap_ratio is not None:
        explained += ' <span class="key train">○</span> the training records drawn again with replacement'
    return f'{explained}.</p><div class="wide">{draw_ratios(named)}</div>'


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


def _copying(report: Report) -> str:
    rows = [
        [
            copy.name,
            _with_bounds(copy.share, copy.synthetic_found, copy.synthetic_total),
            f"{copy.synthetic_found:,} of {copy.synthetic_total:,}",
            _with_bounds(copy.holdout_share, copy.holdout_found, copy.holdout_total),
            f"{copy.holdout_found:,} of {copy.holdout_total:,}",
            "more than real" if copy.suspicious else "",
        ]
        for copy in report.copying
    ]
    text = (
        "<p>What of the synthetic trace occurs in the training trace, beside the same for held-back real traffic. "
        "Five-tuples, triples and hosts are counted once each; records are compared in all columns but time, "
        "measurement epoch and IP identification. Where A and B were split by flow they share no five-tuple, and so "
        "no record, by construction: hosts and triples are then the fair comparison.</p>"
    )
    return text + table(["", "synthetic (95%)", "found", "held-back real (95%)", "found", ""], rows, numeric_from=1)


def _with_bounds(share: float, found: int, total: int) -> str:
    bounds = share_interval(found, total)
    return percent(share) + ("" if bounds is None else f" ({percent(bounds[0])} to {percent(bounds[1])})")


def _consistency(report: Report) -> str:
    roles = list(report.consistency)
    rows = []
    for results in zip(*report.consistency.values(), strict=True):
        cells = [
            f"{_with_bounds(r.share, r.passed, r.tested)} <small>{r.passed:,} of {r.tested:,}</small>" for r in results
        ]
        rows.append([f"{results[0].test} <small>({results[0].of})</small>", *cells])
    text = (
        "<p>Share that passes the NetShare paper's tests: 1, the source is no multicast (224 to 239) nor 255.x, the "
        "destination not 0.x (IPv6: no ff00::/8 source, no :: destination); 2, a flow's bytes lie between packets × "
        "the protocol's minimum packet and packets × 65,535; 3, services spoken over TCP only or UDP only have "
        "that protocol, and protocols without ports have none; 4, packets are at least their headers long.</p>"
    )
    names = [ROLE_NAMES.get(role, f"synthetic, {role}") for role in roles]
    return text + table(["Test", *names], rows, numeric_from=1, is_markup=True)


def _repairs(report: Report) -> str:
    if not report.repairs:
        return ""
    rows, kept = [], 0
    for rule, found in report.repairs.items():
        counts = found if isinstance(found, Mapping) else {"before": found}
        if not counts.get("before") and not counts.get("after"):
            kept += 1
            continue
        figures = [f"{counts[when]:,}" if isinstance(counts.get(when), int) else "" for when in ("before", "after")]
        rows.append([str(rule).replace("_", " "), str(counts.get("rule", "")), *figures])
    never = f" {kept} further rules were checked and never broken." if kept else ""
    text = f"<p>Records that broke a rule, before and after repair.{never}</p>"
    return f"<h3>Repairs</h3>{text}" + (table(["Rule", "", "before", "after"], rows, numeric_from=2) if rows else "")


def _papers(report: Report) -> str:
    names = {"synthetic": "synthetic S", "train": "training trace A (floor)", "bootstrap": "bootstrap of A"}
    means = [
        [
            names[m.candidate],
            f"{m.mean_jsd:.4f}{_within(m.mean_jsd_interval, '.4f')}",
            f"{m.mean_emd_scaled:.3f}{_within(m.mean_emd_scaled_interval, '.3f')}",
        ]
        for m in report.paper_means
    ]
    rows = [
        [
            row.title,
            row.measure + (f" ({row.unit})" if row.unit else ""),
            f"{row.synthetic:.4g}{_within(row.interval)}",
            f"{row.floor:.4g}{_within(row.floor_interval)}",
            "" if row.bootstrap is None else f"{row.bootstrap:.4g}",
            "" if row.to_train is None else f"{row.to_train:.4g}{_within(row.to_train_interval)}",
            f"{row.n_synthetic:,} / {row.n_train:,} / {row.n_holdout:,}",
        ]
        for row in report.paper_distances
    ]
    text = (
        "<p>To compare with published figures: JSD in nats (scipy's distance, squared), addresses by popularity rank, "
        "raw earth mover's distance. The means scale each field's earth mover's distance to [0.1, 0.9] over the "
        "candidates listed, all compared with B. These metrics reward copying: a bootstrap of the training "
        "trace is hard to beat.</p>"
    )
    heads = ["Field", "Distance", "d(S, B) (95%)", "d(A, B) (95%)", "d(A*, B)", "d(S, A) (95%)", "values S / A / B"]
    summary = table(["Candidate", "mean JSD (95%)", "mean EMD, scaled (95%)"], means, numeric_from=1)
    return f"{text}{summary}<details><summary>By field</summary>{table(heads, rows, numeric_from=2)}</details>"


def _within(interval: tuple[float, float] | None, form: str = ".4g") -> str:
    return "" if interval is None else f" ({interval_text(interval, form)})"


def _details(report: Report) -> str:
    rows: list[list[str]] = [["seed", str(report.seed)], ["bootstraps", str(report.bootstraps)]]
    for role, size in report.sizes.items():
        rows.append(
            [f"{ROLE_NAMES[role]}, compared", f"{size.compared_records:,} records, {size.compared_flows:,} flows"]
        )
    inner = table(["", ""], rows, numeric_from=9)
    for name, value in report.extra.items():
        inner += f"<h3>{escape(str(name))}</h3>{_value(value)}"
    return f"<section><details><summary>Settings and training</summary>{inner}</details></section>"


def _value(value: Any) -> str:
    if isinstance(value, dict) and not any(isinstance(each, dict | list | tuple) for each in value.values()):
        return table(["", ""], [[str(k), str(v)] for k, v in value.items()], numeric_from=9)
    text = value if isinstance(value, str) else json.dumps(value, indent=2, default=str)
    return f"<pre>{escape(text)}</pre>"


def section(title: str, inner: str) -> str:
    """A part of the page under a heading."""
    return f"<section><h2>{escape(title)}</h2>{inner}</section>"


STYLE = """
:root{--bg:#fff;--fg:#1b1f24;--muted:#57606a;--line:#d8dee4;--card:#f6f8fa;--train:#0072b2;--holdout:#6e7781;--synthetic:#d55e00}
@media (prefers-color-scheme:dark){:root{--bg:#14171c;--fg:#e6e9ed;--muted:#9aa4b0;--line:#333a44;--card:#1c2128;
--train:#56b4e9;--holdout:#aab2bc;--synthetic:#ff9a45}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;margin:.5rem 0 0}h2{font-size:1.15rem;margin:0 0 .5rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}
section{margin:1.6rem 0}p{margin:.4rem 0}small,.muted,.notes{color:var(--muted)}.muted,.notes{font-size:.9rem}
.notes{padding-left:1.2rem}
.cards{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,280px),1fr))}
.card,figure{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem}
.card h2{margin:0}.figure{font-size:2rem;font-weight:600;line-height:1.2;margin:.2rem 0 0}
.charts{display:grid;align-items:start;margin-bottom:.8rem;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr))}
figure{margin:0;padding:.6rem}figcaption{font-weight:600;font-size:.9rem;line-height:1.3;margin-bottom:.3rem}
figcaption small{font-weight:400}
svg{display:block;width:100%;height:auto;overflow:visible}.wide{max-width:600px}
.warn{border-left:5px solid var(--synthetic)}
svg text{fill:var(--fg);font-size:10.5px;font-family:inherit}.mid{text-anchor:middle}.end{text-anchor:end}
svg .axis{fill:var(--muted)}
.grid{stroke:var(--line);stroke-width:.7}.one{stroke:var(--fg);stroke-width:1.2}
.curve{fill:none;stroke-width:1.7;stroke-linejoin:round}
.curve.holdout{stroke-dasharray:5 3}.curve.synthetic{stroke-width:2.1}
.stem{stroke-width:1.5;opacity:.55}
.train{--c:var(--train)}.holdout{--c:var(--holdout)}.synthetic{--c:var(--synthetic)}
.curve,.stem,.hollow{stroke:var(--c)}.dot,.bar{fill:var(--c)}.hollow{fill:none;stroke-width:1.6}
.key{color:var(--c);font-size:1.1em}
.swatch{display:inline-block;width:1.6em;height:0;border-top:3px solid var(--c);
vertical-align:middle;margin:0 .4em 0 1em}
.named{white-space:nowrap}.swatch.holdout{border-top-style:dashed}.legend{margin-left:-1em}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;width:100%}
th,td{padding:.28rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
@media (max-width:600px){table{font-size:.8rem}th,td{padding:.25rem .35rem}}
td:first-child{min-width:8.5em}th{font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
summary{cursor:pointer;font-weight:600;margin:.5rem 0}
pre{overflow-x:auto;background:var(--card);padding:.6rem;font-size:.85rem}
thead th[tabindex]{cursor:pointer}thead th[tabindex]:hover{text-decoration:underline}
th[aria-sort=ascending]::after{content:" ▲"}th[aria-sort=descending]::after{content:" ▼"}
.uses .cards{grid-template-columns:1fr}.uses li{break-inside:avoid;margin-bottom:.35rem}
.uses ul{columns:2 24rem;column-gap:2.2rem;padding-left:1.1rem;margin:.4rem 0 0;font-size:.92rem}.uses h3{margin:0}
@media print{:root{--bg:#fff;--fg:#000;--muted:#444;--line:#bbb;--card:#fff;--train:#0072b2;--holdout:#6e7781;
--synthetic:#d55e00}main{max-width:none;padding:0}details{display:block}.scroll{overflow:visible}
figure,tr,.card{break-inside:avoid}h2,h3{break-after:avoid}}
"""
