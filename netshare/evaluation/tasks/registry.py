"""The downstream tasks by name, and how they are run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from netshare.evaluation.tasks.connections import connections
from netshare.evaluation.tasks.hosts import hosts
from netshare.evaluation.tasks.neighbours import neighbours
from netshare.evaluation.tasks.netml import netml
from netshare.evaluation.tasks.pairs import pairs
from netshare.evaluation.tasks.prediction import prediction
from netshare.evaluation.tasks.section import Section
from netshare.evaluation.tasks.series import series
from netshare.evaluation.tasks.sketches import sketches
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.trace import Trace


@dataclass(frozen=True)
class Task:
    """One downstream task.

    section: `(traces, seed)` -> what it found; traces are `"train"` A, `"holdout"` B and `"synthetic"` S
    of_whole_traces: whether it looks at all records (for copies, or whole conversations), not at equally many flows
    about_training: whether it asks what S gives away of A, which means nothing where B was trained on too
    """

    section: Callable[[Mapping[str, Trace], int], Section]
    of_whole_traces: bool = False
    about_training: bool = False


TASKS: dict[str, Task] = {
    "pairs": Task(pairs),
    "series": Task(series),
    "connections": Task(connections, of_whole_traces=True),
    "prediction": Task(prediction),
    "sketches": Task(sketches),
    "netml": Task(netml),
    "neighbours": Task(neighbours, of_whole_traces=True, about_training=True),
    "hosts": Task(hosts, of_whole_traces=True, about_training=True),
}

TaskNames = Collection[str] | Literal["auto"] | None


def chosen_tasks(tasks: TaskNames) -> list[str]:
    """The names of the chosen tasks, in the order of `TASKS`.

    Args:
        tasks: names of `TASKS`; `"auto"` for all; None for none.

    Raises:
        ConfigError: a task has an unknown name.
    """
    names = TASKS if tasks == "auto" else ([tasks] if isinstance(tasks, str) else tasks or ())
    if unknown := sorted(set(names) - set(TASKS)):
        raise ConfigError(f"tasks: found {unknown[0]!r}, give some of {', '.join(TASKS)}, or auto")
    return [name for name in TASKS if name in names]


def run_tasks(
    traces: Mapping[str, Trace],
    names: Collection[str],
    seed: int = 0,
    whole: Mapping[str, Trace] | None = None,
) -> tuple[Section, ...]:
    """The sections of the named tasks, each with the CPU time it took; those that the traces do not allow say so.

    Args:
        traces: `"train"`, `"holdout"`, `"synthetic"`, with about equally many flows and common label codes.
        names: as `chosen_tasks` gives them.
        seed: of whatever is drawn.
        whole: the same traces before flows were drawn from them.
    """
    sections = []
    for task in (TASKS[name] for name in names):
        started = time.process_time()
        given = whole if whole is not None and task.of_whole_traces else traces
        section = task.section(given, seed)
        records = {role: len(each) for role, each in given.items()}
        sections.append(replace(section, records=records, seconds=time.process_time() - started))
    return tuple(sections)
