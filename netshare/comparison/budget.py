"""Training within a budget of CPU time, the same for every method whatever it does with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from netshare.generators.base import Generator
from netshare.preprocess.encoded import Encoded

UNBOUNDED = 1_000_000_000  # steps: the budget ends training


@dataclass(frozen=True)
class Spent:
    """What a training took; `ended_itself` where the method had no use for the rest of its budget."""

    cpu_seconds: float
    steps: int
    records: int
    ended_itself: bool

    @classmethod
    def sum(cls, parts: Sequence[Spent]) -> Spent:
        """What several trainings took together."""
        return cls(
            round(sum(part.cpu_seconds for part in parts), 2),
            sum(part.steps for part in parts),
            sum(part.records for part in parts),
            all(part.ended_itself for part in parts),
        )


def train_within(
    generator: Generator,
    data: Encoded,
    *,
    seed: int,
    cpu_seconds: float,
    initial_weights: dict[str, torch.Tensor] | None = None,
) -> Spent:
    """Train until the method is done or this process has used so much CPU time (all threads), whichever is first.

    Measuring the data and building networks counts; the step under way when the budget ends is finished, and
    there is at least one.
    """
    begun, records = time.process_time(), 0
    with _one_thread():
        generator.prepare(data, seed=seed, steps=UNBOUNDED, initial_weights=initial_weights)
        while not generator.done:
            records += int(generator.step().get("records", 0))
            if time.process_time() - begun >= cpu_seconds:
                break
        ended = generator.done
        if not ended:
            generator.finish()
    return Spent(round(time.process_time() - begun, 2), generator.steps_done, records, ended)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
