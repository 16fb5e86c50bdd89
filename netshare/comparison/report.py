"""What a comparison leaves in its folder: results.json with every figure, table.md, and compare.html, one file that
stands alone (plot, table, and each distance of each method)."""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape

from netshare.comparison.table import EXPLAINED, HEADS, Comparison, cells, format_markdown, mean_emd, summary
from netshare.evaluation.render.html_page import page, section
from netshare.evaluation.render.html_table import table
from netshare.evaluation.render.svg import draw_ratios
from netshare.preprocess.atomic import write_text
from netshare.runs.folder import versions


def write_reports(result: Comparison) -> None:
    """Write the three files, each atomically."""
    facts = {name: getattr(result, name) for name in ("trace", "kind", "budget", "seed", "records", "flows")}
    movers = mean_emd(result.measured)
    rows = [{**asdict(row), "mean_emd": movers.get(row.method)} for row in result.rows]
    whole = {**facts, "versions": versions(), "summary": summary(result), "methods": rows}
    write_text(result.folder / "results.json", json.dumps(whole, indent=1) + "\n")
    write_text(result.folder / "table.md", format_markdown(result))
    write_text(result.folder / "compare.html", to_html(result))


def to_html(result: Comparison) -> str:
    """The whole page."""
    title = f"Generators compared on {result.trace}"
    body = "".join(
        [
            f"<header><h1>{escape(title)}</h1>{_sizes(result)}</header>",
            f"<section>{''.join(f'<p>{escape(line)}</p>' for line in summary(result))}</section>",
            section("Mean distance to held-back real traffic", _plot(result)),
            section("Table", f"<p>{escape(EXPLAINED)}</p>" + table(HEADS, cells(result), numeric_from=3)),
            section("Every distance, as a multiple of the floor", _distances(result)),
        ]
    )
    return page(title, body)


def _sizes(result: Comparison) -> str:
    text = (
        f"{result.records:,} records, {result.flows:,} flows; {result.budget:g} CPU seconds of training a method; "
        f"seed {result.seed}"
    )
    return f'<p class="muted">{escape(text)}.</p>'


def _plot(result: Comparison) -> str:
    named: list[tuple[str, float, float | None]] = [
        (row.method + (" (copies)" if row.copies else ""), row.ratio, None) for row in result.measured
    ]
    if not named:
        return "<p>No method came to an end.</p>"
    explained = "<p>Times the floor, which is what two real traces differ by; logarithmic.</p>"
    return f'{explained}<div class="wide">{draw_ratios(named)}</div>'


def _distances(result: Comparison) -> str:
    done = result.measured
    names = list(done[0].distances) if done else []
    rows = [[name, *(f"{row.distances[name]['ratio']:.2f}" for row in done)] for name in names]
    return table(["Distance", *(row.method for row in done)], rows, numeric_from=1) if names else ""
