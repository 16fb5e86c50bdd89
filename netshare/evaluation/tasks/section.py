"""A section of the report: what one downstream task found, as tables, charts and a verdict, whatever the task is.

Every task returns one `Section`; JSON, terminal and HTML render it without knowing the task.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from netshare.evaluation.metrics.curves import Chart

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """Rows of figures: `rows[i][0]` names the row; numbers keep full precision here and are rounded for display."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether the synthetic trace is good enough for one use, by a threshold that the sentence states.

    `good` is None where the traces at hand do not say.
    """

    use: str
    good: bool | None
    sentence: str


@dataclass(frozen=True)
class Section:
    """What one task found.

    name: the task's, as `evaluate(tasks=...)` takes it
    text: how the figures were made and how to read them
    figures: the same results by name, for programs
    records: how many records of each trace the task was given
    seconds: CPU time spent
    """

    name: str
    title: str
    text: str
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Tables, verdicts and figures; charts are left to the HTML."""
        return {
            "title": self.title,
            "text": self.text,
            "tables": [asdict(table) for table in self.tables],
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "figures": self.figures,
            "records": self.records,
        }


def not_possible(name: str, title: str, use: str, reason: str) -> Section:
    """The section of a task that these traces do not allow."""
    return Section(name, title, f"Not done: {reason}.", verdicts=(Verdict(use, None, reason),))


def number(value: Cell) -> str:
    """A table's cell as text: four significant digits, thousands separated, an empty cell for what does not exist."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def figure_text(value: float, form: str = ".2f") -> str:
    """A figure within a sentence; n/a where it does not exist."""
    return "n/a" if value != value else format(value, form)
