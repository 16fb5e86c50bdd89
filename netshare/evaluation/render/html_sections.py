"""The downstream tasks in the HTML report: what the trace is good for, and a section for each task."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from netshare.evaluation.render.html_table import table
from netshare.evaluation.render.svg import draw
from netshare.evaluation.tasks.section import Section, Table, Verdict, number

NAMES = {"train": "A", "holdout": "B", "synthetic": "S"}
FOLDED_FROM = 20  # rows: longer tables are folded away


def uses(verdicts: Sequence[Verdict]) -> str:
    """What the trace is good for, what not, and what was not judged; empty without verdicts."""
    if not verdicts:
        return ""
    parts = []
    for good, heading, mark in ((True, "Good for", "✓"), (False, "Not for", "✗"), (None, "Not judged", "–")):
        chosen = [verdict for verdict in verdicts if verdict.good is good]
        if not chosen:
            continue
        items = "".join(f"<li><b>{escape(v.use)}</b>: {escape(v.sentence)}.</li>" for v in chosen)
        parts.append(
            f'<div class="card{" warn" if good is False else ""}"><h3>{mark} {heading}</h3><ul>{items}</ul></div>'
        )
    return f'<section class="uses"><h2>What it is good for</h2><div class="cards">{"".join(parts)}</div></section>'


def task_section(section: Section, legend: str) -> str:
    """One task: text, tables, charts."""
    charts = "".join(
        f"<figure><figcaption>{escape(c.title)}<br><small>{escape(c.y_label)}</small></figcaption>{draw(c)}</figure>"
        for c in section.charts
    )
    drawn = f'{legend}<div class="charts">{charts}</div>' if charts else ""
    tables = "".join(_table(each) for each in section.tables)
    heading = f'<section id="task-{section.name}"><h2>{escape(section.title)}</h2>'
    of = (f"{count:,} of {name}" for role, name in NAMES.items() if (count := section.records.get(role)))
    counts = f'<p class="muted">Records: {", ".join(of)}.</p>' if section.tables else ""
    return f"{heading}<p>{escape(section.text)}</p>{counts}{drawn}{tables}</section>"


def _columns_of_text(each: Table) -> set[int]:
    """The first column, and those with a cell that is neither a figure nor begins with one."""
    return {0} | {
        i
        for row in each.rows
        for i, cell in enumerate(row)
        if isinstance(cell, str) and cell and not cell.lstrip("-")[:1].isdigit()
    }


def _table(each: Table) -> str:
    rows = [[number(cell) for cell in row] for row in each.rows]
    inner = table(each.heads, rows, numeric_from=1, texts=_columns_of_text(each))
    if each.note:
        inner += f'<p class="muted">{escape(each.note)}</p>'
    if len(rows) >= FOLDED_FROM:
        return f"<details><summary>{escape(each.title)}</summary>{inner}</details>"
    return f"<h3>{escape(each.title)}</h3>{inner}"
