"""The results of a comparison, one row a method: what was measured of it, or why it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Measured:
    """A method that was trained and judged.

    method, title, family: its name, its name in full, and the family of methods that it belongs to
    cpu_seconds, steps, records, ended_itself: of its training, see `netshare.comparison.budget.Spent`
    sampling_seconds: CPU seconds that sampling took
    ratio: geometric mean of d(S, B) / d(A, B) over all distances
    mean_jsd: the NetShare paper's, in nats
    emd: field -> the NetShare paper's earth mover's distance, in the field's own unit
    distances: distance -> `synthetic` d(S, B), `floor` d(A, B) and `ratio` of the two
    copying: what is copied -> `share` of S that stands in A and `holdout`, the same of B; None where there is nothing
    copies, copied: whether it copies too much to be ranked, and what
    consistency: test -> share of S that passes; None where nothing is tested
    made_records, made_flows: size of S
    repaired: records that were repaired
    fingerprint: of input, settings and budget
    rank: 1 for the nearest; None where it copies
    """

    method: str
    title: str
    family: str
    cpu_seconds: float
    steps: int
    records: int
    ended_itself: bool
    sampling_seconds: float
    ratio: float
    mean_jsd: float
    emd: dict[str, float]
    distances: dict[str, dict[str, float]]
    copying: dict[str, dict[str, float | None]]
    copies: bool
    copied: list[str]
    consistency: dict[str, float | None]
    made_records: int
    made_flows: int
    repaired: int
    fingerprint: str
    rank: int | None = None


@dataclass(frozen=True)
class Failed:
    """A method whose training failed; `failed` is the error's line."""

    method: str
    title: str
    family: str
    failed: str
    fingerprint: str
    rank: None = None


Row = Measured | Failed


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The rows by mean distance, those that copy after those that do not, failed ones last; with their `rank`."""
    measured = sorted((row for row in rows if isinstance(row, Measured)), key=lambda row: (row.copies, row.ratio))
    failed = [row for row in rows if isinstance(row, Failed)]
    return [*(replace(row, rank=None if row.copies else i) for i, row in enumerate(measured, 1)), *failed]


def row_json(row: Row) -> dict[str, Any]:
    """The row as it stands in its method's file: as long as it is alone it has no rank."""
    return {name: value for name, value in asdict(row).items() if name != "rank"}
