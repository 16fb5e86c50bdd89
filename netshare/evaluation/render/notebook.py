"""The report's summary in a notebook: findings, what the trace is good for, notes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from netshare.evaluation.figures.findings import Finding
from netshare.evaluation.tasks.section import Verdict

JUDGEMENTS: tuple[tuple[bool | None, str], ...] = ((True, "Good for"), (False, "Not for"), (None, "Not judged"))


def notebook_summary(title: str, findings: Sequence[Finding], uses: Sequence[Verdict], notes: Sequence[str]) -> str:
    """A few lines of HTML that need no style sheet."""
    lines = [f"<b>{escape(each.heading)}:</b> {escape(each.sentence)}" for each in findings]
    for good, heading in JUDGEMENTS:
        if named := [verdict.use for verdict in uses if verdict.good is good]:
            lines.append(f"<b>{heading}:</b> {escape(', '.join(named))}.")
    lines += [f"<small>{escape(note)}</small>" for note in notes]
    return f"<div><b>{escape(title)}</b>" + "".join(f"<div>{line}</div>" for line in lines) + "</div>"
