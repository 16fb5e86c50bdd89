"""Compare a synthetic trace with real ones: `evaluate(train, synthetic, holdout)` gives a `Report`.

Three traces are compared: A, which the model was trained on; B, real traffic of the same kind that was held back (see
`split_by_flow`); and S, the synthetic one. Every distance d(S, B) stands beside the floor d(A, B), what two real traces
differ by, and beside d(A*, B) for A* a row bootstrap of A (as many records, drawn with replacement), which shows what
a metric pays for plain copying. Distances grow when samples shrink, so equally many flows are drawn from each trace.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from netshare.evaluation.intervals import Interval, distance_intervals, interval_around
from netshare.evaluation.metrics.consistency import consistency_tests
from netshare.evaluation.metrics.copying import copy_shares
from netshare.evaluation.metrics.curves import charts_of
from netshare.evaluation.metrics.distances import geometric_mean, ratio_to_floor, scaled_across
from netshare.evaluation.metrics.fields import (
    MEASURE_TEXT,
    FieldSpec,
    TimeFrame,
    extract,
    frame_of,
    measure,
    paper_measure,
    shared_fields,
    unshared_fields,
    with_common_categories,
)
from netshare.evaluation.report import DistanceRow, PaperMean, Report, TraceSize
from netshare.evaluation.split import split_by_flow
from netshare.evaluation.tasks.all_tasks import GIVEN_AWAY, TASKS, run_tasks
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.flows import count_flows, group_flows_by_hash, sample_flows
from netshare.preprocess.trace import Trace

Values = dict[str, np.ndarray]

ELEPHANT = 0.2  # share of a trace's records in one flow from which the report warns of it
OUTSIDE = 0.1  # share of synthetic records outside the real time span from which the report warns of it
HALVES = 0x48414C56  # so that halving a part that was itself split with the same seed does not give it back whole


def evaluate(
    train: Trace,
    synthetic: Trace,
    holdout: Trace | None = None,
    *,
    before_repair: Trace | None = None,
    repairs: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    seed: int = 0,
    bootstrap: int = 3,
    tasks: Collection[str] | Literal["auto"] | None = "auto",
    redraws: int = 20,
) -> Report:
    """All figures about a synthetic trace.

    Args:
        train: the real trace A that the model was trained on.
        synthetic: the synthetic trace S.
        holdout: real traffic B that the model has not seen; without it, A is cut in two by flow, one half is compared
            with the other, and S with the latter (which the model has seen: distances are then flattering).
        before_repair: the synthetic trace before postprocessing repaired it; its consistency is shown beside.
        repairs: by rule, the number of records that broke it, or `{"before": ..., "after": ..., "rule": text}`, as in
            `netshare.postprocess.repair.RepairReport.rules`.
        extra: settings, training figures and the like, shown as they are.
        seed: of the flow samples, the bootstraps and the halves.
        bootstrap: number of row bootstraps of A to average over; 0 for none.
        tasks: downstream tasks, by their names in `netshare.evaluation.tasks.all_tasks.TASKS`; `"auto"` for all that the traces
            allow, None for none.
        redraws: how often flows are drawn again for the distances' confidence intervals; 0 for no intervals.

    Raises:
        InputError: a trace is empty, or the traces are of different kinds.
        ConfigError: `bootstrap` or `seed` is negative, `redraws` is negative or 1, or a task has an unknown name.
    """
    _check(train, synthetic, holdout, before_repair, bootstrap)
    if seed < 0:
        raise ConfigError(f"seed: found {seed}, give 0 or more")
    if redraws < 0 or redraws == 1:
        raise ConfigError(f"redraws: found {redraws}, give 0 (no intervals) or 2 or more")
    rng = np.random.default_rng(seed)
    notes: list[str] = []
    training_half = None
    reference = holdout
    if reference is None:
        training_half, reference, note = _halves(train, seed)
        notes.append(note)
    real = train if training_half is None else training_half
    (whole_train, real, reference, made), categories = with_common_categories([train, real, reference, synthetic])

    whole = {"train": whole_train, "holdout": reference, "synthetic": made}
    nothing_held_back = training_half is train
    held_back = reference.take(np.zeros(0, np.int64)) if nothing_held_back else reference
    compared, sizes = _equal_flows({"train": real, "holdout": reference, "synthetic": made}, rng)
    notes += _size_notes(sizes) + _elephant_notes(compared)
    frame = frame_of([compared["train"], compared["holdout"]])
    notes += _time_notes(compared["synthetic"], frame)
    values = {role: extract(trace, frame) for role, trace in compared.items()}
    copies = [extract(_bootstrap(compared["train"], rng), frame) for _ in range(bootstrap)]
    specs = shared_fields(train.kind, values)
    if missing := unshared_fields(train.kind, values):
        notes.append(f"Not compared, because not all traces have it: {', '.join(spec.title for spec in missing)}.")

    distances, overall = _our_distances(specs, values, copies, frame), None
    papers, redrawn = _paper_distances(specs, values, copies), None
    if redraws:
        intervals, deviation = distance_intervals(specs, compared, values, frame, redraws, seed)
        found = list(intervals.values())
        distances = [_with_interval(row, each) for row, each in zip(distances, found, strict=False)]
        ratio = geometric_mean([row.ratio for row in distances])
        overall = Interval(0.0, deviation).around_ratio(ratio)
        redrawn = found[len(distances) :]
        papers = [_with_interval(row, each) for row, each in zip(papers, redrawn, strict=True)]
    consistency = {"train": train, "holdout": holdout, "before repair": before_repair, "synthetic": synthetic}
    return Report(
        kind=train.kind,
        seed=seed,
        bootstraps=bootstrap,
        sizes=sizes,
        notes=tuple(notes),
        distances=tuple(distances),
        paper_distances=tuple(papers),
        paper_means=tuple(_paper_means(papers, redrawn)),
        copying=tuple(copy_shares(whole_train, made, held_back, None if training_half is None else real)),
        consistency={role: tuple(consistency_tests(t)) for role, t in consistency.items() if t is not None},
        repairs=dict(repairs or {}),
        extra=dict(extra or {}),
        charts=charts_of(train.kind, specs, values, frame, categories),
        tasks=run_tasks(compared, tasks if holdout is not None else _without_given_away(tasks), seed, whole),
        ratio_interval=overall,
    )


def _without_given_away(tasks: Collection[str] | str | None) -> Collection[str] | None:
    """What S gives away of A says nothing where B was trained on too."""
    chosen = TASKS if tasks == "auto" else ([tasks] if isinstance(tasks, str) else tasks or ())
    return [name for name in chosen if name not in GIVEN_AWAY]


def _check(train: Trace, synthetic: Trace, holdout: Trace | None, before: Trace | None, bootstrap: int) -> None:
    if bootstrap < 0:
        raise ConfigError(f"bootstrap: found {bootstrap}, give 0 (none) or more")
    traces = {"training": train, "synthetic": synthetic, "held-back": holdout, "unrepaired synthetic": before}
    for name, trace in traces.items():
        if trace is not None and not len(trace):
            raise InputError(f"{name} trace: it holds no records, nothing can be compared; give one that has some")
        if trace is not None and trace.kind != train.kind:
            raise InputError(f"{name} trace: it is a {trace.kind} trace and the training trace is a {train.kind} trace")


def _halves(train: Trace, seed: int) -> tuple[Trace, Trace, str]:
    first, second = split_by_flow(train, 0.5, seed ^ HALVES)
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


def _elephant_notes(traces: dict[str, Trace]) -> list[str]:
    shares = {role: float(group_flows_by_hash(trace).lengths.max()) / len(trace) for role, trace in traces.items()}
    role = max(shares, key=lambda each: shares[each])
    if shares[role] < ELEPHANT or len(traces[role]) < 100:
        return []
    where = {"train": "the training trace", "holdout": "the held-back trace", "synthetic": "the synthetic trace"}[role]
    return [
        f"A single flow holds {100 * shares[role]:.0f}% of the records of {where}: distances over records depend on "
        "which trace it happens to be in; read those over flows."
    ]


def _time_notes(synthetic: Trace, frame: TimeFrame) -> list[str]:
    time = synthetic["time"]
    outside = float(np.mean((time < frame.start) | (time > frame.end)))
    if outside < OUTSIDE:
        return []
    return [
        f"{100 * outside:.0f}% of the synthetic records lie outside the real traces' time span: if they were moved in "
        "time on purpose, disregard the distances of arrival times and of records a time bin."
    ]


def _bootstrap(trace: Trace, rng: np.random.Generator) -> Trace:
    return trace.take(rng.integers(0, len(trace), len(trace)))


def _our_distances(
    specs: list[FieldSpec], values: dict[str, Values], copies: list[Values], frame: TimeFrame
) -> list[DistanceRow]:
    rows = []
    for spec in specs:
        a, b, s = (values[role][spec.name] for role in ("train", "holdout", "synthetic"))
        for name in spec.measures:
            floor, distance = measure(name, a, b, frame), measure(name, s, b, frame)
            copied = [measure(name, copy[spec.name], b, frame) for copy in copies]
            rows.append(_row(spec, MEASURE_TEXT[name], distance, floor, copied, (len(s), len(a), len(b)), ""))
    return rows


def _with_interval(row: DistanceRow, interval: Interval) -> DistanceRow:
    return replace(
        row,
        interval=interval.around(row.synthetic),
        ratio_interval=interval.around_ratio(row.ratio),
        floor_interval=interval.around_floor(row.floor),
        to_train_interval=None if row.to_train is None else interval.around_to_train(row.to_train),
    )


def _paper_distances(specs: list[FieldSpec], values: dict[str, Values], copies: list[Values]) -> list[DistanceRow]:
    rows = []
    for spec in specs:
        if spec.paper is None:
            continue
        a, b, s = (values[role][spec.name] for role in ("train", "holdout", "synthetic"))
        floor, distance = paper_measure(spec.paper, a, b), paper_measure(spec.paper, s, b)
        copied = [paper_measure(spec.paper, copy[spec.name], b) for copy in copies]
        text = {"jsd": "JSD, nats", "jsd_rank": "JSD of ranks, nats", "emd": "EMD, raw"}[spec.paper]
        unit = spec.unit if spec.paper == "emd" else ""
        to_train = paper_measure(spec.paper, s, a)
        rows.append(_row(spec, text, distance, floor, copied, (len(s), len(a), len(b)), unit, to_train))
    return rows


def _row(
    spec: FieldSpec,
    text: str,
    distance: float,
    floor: float,
    copied: list[float],
    counts: tuple[int, int, int],
    unit: str,
    to_train: float | None = None,
) -> DistanceRow:
    mean_copied = float(np.mean(copied)) if copied else None
    return DistanceRow(
        field=spec.name,
        title=spec.title,
        measure=text,
        of=spec.of,
        synthetic=distance,
        floor=floor,
        bootstrap=mean_copied,
        ratio=ratio_to_floor(distance, floor),
        bootstrap_ratio=None if mean_copied is None else ratio_to_floor(mean_copied, floor),
        n_synthetic=counts[0],
        n_train=counts[1],
        n_holdout=counts[2],
        unit=unit,
        to_train=to_train,
    )


def _paper_means(rows: list[DistanceRow], redrawn: list[Interval] | None) -> list[PaperMean]:
    names = ["synthetic", "train", *(["bootstrap"] if rows and rows[0].bootstrap is not None else [])]

    def means(ours: Iterable[float], floors: Iterable[float]) -> np.ndarray:
        """float64[2, candidates]: mean JSD, mean scaled EMD."""
        found: tuple[list[list[float]], list[list[float]]] = ([], [])
        for row, synthetic, floor in zip(rows, ours, floors, strict=True):
            each = [synthetic, floor, *([] if row.bootstrap is None else [row.bootstrap])]
            if row.measure == "EMD, raw":
                found[1].append(scaled_across(each))
            else:
                found[0].append(each)
        return np.array([np.mean(each, axis=0) for each in found])

    jsd, emd = means([row.synthetic for row in rows], [row.floor for row in rows])
    movers = sum(row.measure == "EMD, raw" for row in rows)
    whole = [PaperMean(n, float(jsd[i]), len(rows) - movers, float(emd[i]), movers) for i, n in enumerate(names)]
    if redrawn is None:
        return whole
    draws = np.array([each.draws for each in redrawn])  # [rows, redraws, 3]
    again = np.array([means(draws[:, i, 0], draws[:, i, 1]) for i in range(draws.shape[1])])
    return [
        mean
        if mean.candidate == "bootstrap"
        else replace(
            mean,
            mean_jsd_interval=interval_around(mean.mean_jsd, again[:, 0, i], 0.0),
            mean_emd_scaled_interval=interval_around(mean.mean_emd_scaled, again[:, 1, i], 0.1, 0.9),
        )
        for i, mean in enumerate(whole)
    ]
