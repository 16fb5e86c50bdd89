"""The report on a synthetic trace as one HTML file that stands alone, and its summary for notebooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from netshare.evaluation.figures.findings import percent
from netshare.evaluation.figures.trace import TraceFigures
from netshare.evaluation.metrics.intervals import Bounds, interval_text, share_interval
from netshare.evaluation.metrics.measures import MEASURES
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
from netshare.evaluation.render.html_sections import task_section, uses
from netshare.evaluation.render.html_table import table
from netshare.evaluation.render.svg import draw_ratios
from netshare.preprocess.atomic import write_text
from netshare.preprocess.outputs import check_output

_SHORT = {measure.text: measure.short for measure in MEASURES}


def write_html(report: TraceFigures, path: Path | str, *, force: bool = False) -> None:
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
    write_text(Path(path), to_html(report))


def to_html(report: TraceFigures) -> str:
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
            plugin_section(report.plugins),
            section("The papers' definitions", _papers(report)),
            _details(report),
        ]
    )
    return page(f"Synthetic {report.kind} trace: evaluation", body)


def _sizes_line(report: TraceFigures) -> str:
    parts = [
        f"{ROLE_NAMES[role]}: {size.records:,} records, {size.flows:,} flows" for role, size in report.sizes.items()
    ]
    return f'<p class="muted">{escape("; ".join(parts))}.</p>'


def _verdict(report: TraceFigures) -> str:
    lowest = min((r.share for r in report.consistency["synthetic"] if r.tested), default=float("nan"))
    figures = [f"{report.ratio:.2f}×", percent(report.copying[0].share), percent(lowest)]
    captions = [
        "the floor (1 = as close as real to real)",
        "of five-tuples copied",
        "pass the consistency test that most fail",
    ]
    return verdict_cards(report.verdict(), figures, captions)


def _notes(report: TraceFigures) -> str:
    privacy = (
        "This report describes the real traces (distributions, shares, frequent ports, labels) and is not "
        "differentially private. Addresses appear as popularity ranks only."
    )
    return "<ul class='notes'>" + "".join(f"<li>{escape(note)}</li>" for note in (*report.notes, privacy)) + "</ul>"


def _ratio_chart(report: TraceFigures) -> str:
    named = [
        (f"{row.title.split(' [')[0]}, {_SHORT[row.measure]}", row.ratio, row.bootstrap_ratio)
        for row in report.distances
    ]
    explained = (
        "<p>Each distance d(S, B) of the synthetic trace to held-back real traffic, as a multiple of the floor d(A, B) "
        'that lies between two real traces; logarithmic. <span class="key synthetic">●</span> synthetic'
    )
    if report.bootstrap_ratio is not None:
        explained += ' <span class="key train">○</span> the training records drawn again with replacement'
    return f'{explained}.</p><div class="wide">{draw_ratios(named)}</div>'


def _copying(report: TraceFigures) -> str:
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


def _consistency(report: TraceFigures) -> str:
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


def _repairs(report: TraceFigures) -> str:
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


def _papers(report: TraceFigures) -> str:
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


def _within(interval: Bounds | None, form: str = ".4g") -> str:
    return "" if interval is None else f" ({interval_text(interval, form)})"


def _details(report: TraceFigures) -> str:
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
