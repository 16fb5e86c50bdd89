"""Compare a synthetic trace with real ones: the figures of a `Report`.

Three traces are compared: A, which the model was trained on; B, real traffic of the same kind that was held back (see
`split_by_flow`); and S, the synthetic one. Every distance d(S, B) stands beside the floor d(A, B), what two real traces
differ by, and beside d(A*, B) for A* a row bootstrap of A (as many records, drawn with replacement), which shows what
a metric pays for plain copying. Distances grow when samples shrink, so equally many flows are drawn from each trace.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from netshare.evaluation.figures.findings import TraceSize
from netshare.evaluation.metrics.consistency import consistency_tests
from netshare.evaluation.metrics.copying import copy_shares
from netshare.evaluation.metrics.curves import charts_of
from netshare.evaluation.metrics.distance_rows import field_distances
from netshare.evaluation.metrics.fields import (
    TraceView,
    extract,
    frame_of,
    shared_fields,
    unshared_fields,
    with_common_categories,
)
from netshare.evaluation.metrics.measures import TimeFrame
from netshare.evaluation.metrics.plugins import Metric, plugin_results
from netshare.evaluation.metrics.redraws import drawn_again
from netshare.evaluation.options import Provenance, Resampling
from netshare.evaluation.report import Report
from netshare.evaluation.split import split_by_flow
from netshare.evaluation.tasks.registry import TASKS, TaskNames, chosen_tasks, run_tasks
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.flows import count_flows, group_flows_by_hash, sample_flows
from netshare.preprocess.trace import Trace

LARGE_FLOW = 0.2  # share of a trace's records in one flow from which the report warns of it
MAX_OUTSIDE_SHARE = 0.1  # share of synthetic records outside the real time span from which the report warns of it
HALVING_SEED = 0x48414C56  # so that halving a part that was itself split with the same seed does not give it back whole
# role in the comparison -> the trace that takes it: where A was halved, "train" is one half of it
PARTS = {"train": "real", "holdout": "holdout", "synthetic": "synthetic"}


@dataclass(frozen=True)
class Traces:
    """What was given to be compared."""

    train: Trace
    synthetic: Trace
    holdout: Trace | None


def evaluate_traces(
    given: Traces,
    provenance: Provenance,
    seed: int,
    resampling: Resampling,
    tasks: TaskNames,
    metrics: Collection[Metric] | None,
) -> Report:
    """All figures about a synthetic trace; see `netshare.evaluate`."""
    _check(given, provenance.before_repair)
    if seed < 0:
        raise ConfigError(f"seed: found {seed}, give 0 or more")
    chosen = chosen_tasks(tasks)
    kind = given.train.kind
    rng = np.random.default_rng(seed)
    notes: list[str] = []
    real, reference = given.train, given.holdout
    if reference is None:
        real, reference, note = _halves(given.train, seed)
        notes.append(note)
    common, categories = with_common_categories([given.train, real, reference, given.synthetic])
    whole = dict(zip(("train", "real", "holdout", "synthetic"), common, strict=True))
    halves = given.holdout is None
    nothing_held_back = halves and real is given.train

    compared, sizes = _equal_flows({role: whole[part] for role, part in PARTS.items()}, rng)
    notes += _size_notes(sizes) + _large_flow_notes(compared)
    frame = frame_of([compared["train"], compared["holdout"]])
    notes += _time_notes(compared["synthetic"], frame)
    views = {role: TraceView(trace, frame) for role, trace in compared.items()}
    values = {role: extract(view) for role, view in views.items()}
    copies = [extract(TraceView(_bootstrap(compared["train"], rng), frame)) for _ in range(resampling.bootstrap)]
    specs = shared_fields(kind, values)
    if missing := unshared_fields(kind, values):
        notes.append(f"Not compared, because not all traces have it: {', '.join(spec.title for spec in missing)}.")
    distances = field_distances(specs, views, values, copies, resampling.redraws, seed)
    before, held = provenance.before_repair, whole["holdout"]
    tested = {"train": given.train, "holdout": given.holdout, "before repair": before, "synthetic": given.synthetic}
    return Report(
        kind=kind,
        seed=seed,
        bootstraps=resampling.bootstrap,
        sizes=sizes,
        notes=tuple(notes),
        distances=distances.ours,
        paper_distances=distances.papers,
        paper_means=distances.paper_means,
        copying=tuple(
            copy_shares(
                whole["train"],
                whole["synthetic"],
                held.take(np.zeros(0, np.int64)) if nothing_held_back else held,
                whole["real"] if halves else None,
            )
        ),
        consistency={role: tuple(consistency_tests(trace)) for role, trace in tested.items() if trace is not None},
        repairs=dict(provenance.repairs),
        extra=dict(provenance.extra),
        charts=charts_of(kind, specs, values, frame, categories),
        tasks=run_tasks(
            compared,
            [name for name in chosen if not (halves and TASKS[name].about_training)],
            seed,
            {role: whole[role] for role in ("train", "holdout", "synthetic")},
        ),
        ratio_interval=distances.ratio_interval,
        plugins=plugin_results(kind, compared, _flows_drawn_again(views), resampling.redraws, seed, metrics),
    )


def _check(given: Traces, before_repair: Trace | None) -> None:
    traces = {
        "training": given.train,
        "synthetic": given.synthetic,
        "held-back": given.holdout,
        "unrepaired synthetic": before_repair,
    }
    kind = given.train.kind
    for name, trace in traces.items():
        if trace is not None and not len(trace):
            raise InputError(f"{name} trace: it holds no records, nothing can be compared; give one that has some")
        if trace is not None and trace.kind != kind:
            raise InputError(f"{name} trace: it is a {trace.kind} trace and the training trace is a {kind} trace")


def _halves(train: Trace, seed: int) -> tuple[Trace, Trace, str]:
    first, second = split_by_flow(train, 0.5, seed ^ HALVING_SEED)
    if len(first) and len(second):
        return (
            first,
            second,
            (
                "No held-back trace was given: A and B are two random halves, by flow, of the training trace. The "
                "model has seen both, so the distances are flattering."
            ),
        )
    return (
        train,
        train,
        (
            "No held-back trace was given and the training trace has too few flows to be halved: A and B are both the "
            "training trace, and the floor is 0."
        ),
    )


def _equal_flows(traces: dict[str, Trace], rng: np.random.Generator) -> tuple[dict[str, Trace], dict[str, TraceSize]]:
    flows = {role: count_flows(trace) for role, trace in traces.items()}
    fewest = min(flows.values())
    compared = {role: sample_flows(trace, fewest, rng) for role, trace in traces.items()}
    sizes = {role: TraceSize(len(traces[role]), flows[role], len(compared[role]), fewest) for role in traces}
    return compared, sizes


def _size_notes(sizes: dict[str, TraceSize]) -> list[str]:
    counts = {size.flows for size in sizes.values()}
    if len(counts) == 1:
        return []
    fewest = min(counts)
    note = (
        f"Distances and charts are taken over {fewest:,} randomly drawn flows of each trace (the smallest has no more)."
    )
    few = " So few flows make every distance unsteady." if fewest < 100 else ""
    return [note + few]


def _large_flow_notes(traces: dict[str, Trace]) -> list[str]:
    shares = {role: float(group_flows_by_hash(trace).lengths.max()) / len(trace) for role, trace in traces.items()}
    role = max(shares, key=lambda each: shares[each])
    if shares[role] < LARGE_FLOW or len(traces[role]) < 100:
        return []
    where = {"train": "the training trace", "holdout": "the held-back trace", "synthetic": "the synthetic trace"}[role]
    return [
        f"A single flow holds {100 * shares[role]:.0f}% of the records of {where}: distances over records depend on "
        "which trace it happens to be in; read those over flows."
    ]


def _time_notes(synthetic: Trace, frame: TimeFrame) -> list[str]:
    time = synthetic["time"]
    outside = float(np.mean((time < frame.start) | (time > frame.end)))
    if outside < MAX_OUTSIDE_SHARE:
        return []
    return [
        f"{100 * outside:.0f}% of the synthetic records lie outside the real traces' time span: if they were moved in "
        "time on purpose, disregard the distances of arrival times and of records a time bin."
    ]


def _bootstrap(trace: Trace, rng: np.random.Generator) -> Trace:
    return trace.take(rng.integers(0, len(trace), len(trace)))


def _flows_drawn_again(views: Mapping[str, TraceView]) -> Callable[[str, np.random.Generator], Trace]:
    """A function that gives, for a role, as many of its flows drawn with replacement, records in the trace's order."""

    def redrawn(role: str, rng: np.random.Generator) -> Trace:
        view = views[role]
        times = drawn_again(len(view.flows), rng)[view.flow_of_record]
        return view.trace.take(np.repeat(np.arange(len(times)), times))

    return redrawn
