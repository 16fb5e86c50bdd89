"""What a user sees while a run is under way: live bars on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from netshare.training.progress import Progress as TrainingProgress

SECONDS_BETWEEN_LINES = 10.0


class Console:
    """Writes progress to standard error; results alone go to standard output."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._rich = RichConsole(file=sys.stderr, quiet=quiet, highlight=False)

    @classmethod
    def default(cls) -> Console:
        """What functions called from Python use: progress shows in a notebook, and nowhere else."""
        return cls(quiet=not in_notebook())

    def say(self, text: str) -> None:
        """One line."""
        self._rich.print(text, markup=False, soft_wrap=True)

    def show(self, text: str) -> None:
        """A block of text, such as the summary of a report."""
        self._rich.print(text, markup=False, soft_wrap=True)

    def stage(self, doing: str, *, skipped: bool) -> None:
        """A stage begins, or is up to date."""
        self.say(f"{doing}: up to date" if skipped else f"{doing} ...")

    @contextmanager
    def training(self, models: int) -> Iterator[Callable[[TrainingProgress], None] | None]:
        """Bars, or lines, for `models` models in training."""
        if self.quiet:
            yield None
        elif self._rich.is_terminal:
            with self._bars() as bars:
                yield _ModelBars(bars)
        else:
            yield _ModelLines(self, models)

    @contextmanager
    def generating(self, chunks: int) -> Iterator[Callable[[int, int], None] | None]:
        """A bar over chunks; lines would say little."""
        if self.quiet or not self._rich.is_terminal:
            yield None
            return
        with self._bars() as bars:
            task = bars.add_task("chunks", total=chunks, detail="")
            yield lambda done, total: bars.update(task, completed=done, total=total)

    def _bars(self) -> Progress:
        columns: list[Any] = ["  {task.description}", BarColumn(bar_width=24), "{task.completed}/{task.total}"]
        return Progress(*columns, TextColumn("{task.fields[detail]}"), TimeElapsedColumn(), console=self._rich)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


def describe(progress: TrainingProgress) -> str:
    """Losses, speed and time left, in one line."""
    losses = " ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    return f"{losses}  {progress.records_per_second:,.0f} records/s  at most {_duration(progress.seconds_left)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


class _ModelBars:
    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, progress: TrainingProgress) -> None:
        if progress.name not in self.tasks:
            self.tasks[progress.name] = self.bars.add_task(f"chunk {progress.name}", total=progress.steps, detail="")
        task = self.tasks[progress.name]
        self.bars.update(task, completed=progress.step, total=progress.steps, detail=describe(progress))


class _ModelLines:
    def __init__(self, console: Console, models: int) -> None:
        self.console, self.models = console, models
        self.shown: dict[str, float] = {}

    def __call__(self, progress: TrainingProgress) -> None:
        now = time.monotonic()
        last = progress.step >= progress.steps
        if not last and now - self.shown.get(progress.name, -SECONDS_BETWEEN_LINES) < SECONDS_BETWEEN_LINES:
            return
        self.shown[progress.name] = now
        self.console.say(f"  chunk {progress.name}: step {progress.step}/{progress.steps}  {describe(progress)}")
