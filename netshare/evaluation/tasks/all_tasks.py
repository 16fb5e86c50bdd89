"""The downstream tasks by name, and how they are run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
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

Task = Callable[[Mapping[str, Trace], int], Section]

TASKS: dict[str, Task] = {
    "pairs": pairs,
    "series": series,
    "connections": connections,
    "prediction": prediction,
    "sketches": sketches,
    "netml": netml,
    "neighbours": neighbours,
    "hosts": hosts,
}
# whether S gives away what was trained on: says nothing where B was trained on too
ABOUT_TRAINING = ("neighbours", "hosts")
_OF_WHOLE_TRACES = ("connections", *ABOUT_TRAINING)


def run_tasks(
    traces: Mapping[str, Trace],
    tasks: Collection[str] | Literal["auto"] | None,
    seed: int = 0,
    whole: Mapping[str, Trace] | None = None,
) -> tuple[Section, ...]:
    """The sections of the chosen tasks, in the order of `TASKS`, each with the CPU time it took.

    Args:
        traces: `"train"`, `"holdout"`, `"synthetic"`, with about equally many flows and common label codes.
        tasks: names of `TASKS`; `"auto"` for all (those that the traces do not allow say so); None for none.
        seed: of whatever is drawn.
        whole: the same traces before flows were drawn from them, for the tasks that look for copies and at conversations.

    Raises:
        ConfigError: a task has an unknown name.
    """
    chosen = TASKS if tasks == "auto" else ([tasks] if isinstance(tasks, str) else tasks or ())
    if unknown := sorted(set(chosen) - set(TASKS)):
        raise ConfigError(f"tasks: found {unknown[0]!r}, give some of {', '.join(TASKS)}, or auto")
    sections = []
    for name, task in TASKS.items():
        if name in chosen:
            started = time.process_time()
            given = whole if whole is not None and name in _OF_WHOLE_TRACES else traces
            section = task(given, seed)
            sections.append(
                replace(
                    section, records={r: len(each) for r, each in given.items()}, seconds=time.process_time() - started
                )
            )
    return tuple(sections)
