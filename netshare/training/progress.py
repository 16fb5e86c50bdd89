"""The state of a running training, as it is reported; light to import, since every process that passes it on needs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a training stands; `losses` are means since the report before, `seconds_left` is an estimate."""

    name: str
    step: int
    steps: int
    losses: dict[str, float]
    records_per_second: float
    seconds_left: float
