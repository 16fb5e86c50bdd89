"""The report's drawings as files of their own, for the benchmarks' pages."""

from __future__ import annotations

from netshare.evaluation.render.html_style import STYLE


def standalone(svg: str) -> str:
    """An inline drawing as a file of its own, on a background that follows the reader's theme."""
    head, rest = svg.split(">", 1)
    named = "" if "xmlns=" in head else ' xmlns="http://www.w3.org/2000/svg"'
    return f'{head}{named} style="background:var(--bg)"><style>{STYLE}</style>{rest}\n'
