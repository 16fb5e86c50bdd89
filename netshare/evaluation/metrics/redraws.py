"""Confidence intervals of the distances, by a bootstrap over flows.

Records of one flow are alike, so that whole flows are drawn again with replacement, in each of the three traces. Drawing
flows again means weighting their values, so every field is coded once and each redraw is a weighted count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from netshare.evaluation.metrics.fields import FieldSpec, TraceView
from netshare.evaluation.metrics.intervals import Interval, log_ratios
from netshare.evaluation.metrics.measures import PAPER_MEASURES, ROLES, Measure
from netshare.preprocess.flows import group_flows_by_hash
from netshare.preprocess.trace import Trace

Compared = tuple[FieldSpec, Measure]
# flow weights by role -> d(S, B), d(A, B), d(S, A)
Distances = Callable[[Mapping[str, np.ndarray]], tuple[float, float, float]]


class FlowRedraws:
    """Whole flows of a trace, drawn again and again with replacement, as weights of its records."""

    def __init__(self, trace: Trace) -> None:
        flows = group_flows_by_hash(trace)
        self.flows, self.of_record = len(flows), flows.of_record

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """float64[n_records]: how often each record was drawn."""
        return drawn_again(self.flows, rng).astype(np.float64)[self.of_record]


def drawn_again(count: int, rng: np.random.Generator) -> np.ndarray:
    """int64[count]: how often each of `count` things comes up where as many are drawn with replacement."""
    return np.bincount(rng.integers(0, count, count), minlength=count)


def redrawn_distances(
    compared: Sequence[Compared],
    views: Mapping[str, TraceView],
    values: Mapping[str, Mapping[str, np.ndarray]],
    redraws: int,
    seed: int = 0,
) -> list[Interval]:
    """The interval of each distance, in the order of `compared`.

    Args:
        compared: the fields and the distance of each.
        views: `"train"`, `"holdout"`, `"synthetic"`.
        values: what `fields.extract` took from each of them.
        redraws: how often flows are drawn again, at least 2.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    flows = {role: len(views[role].flows) for role in ROLES}
    prepared = [weighted_distances(spec, measure, views, values) for spec, measure in compared]
    found = np.empty((len(compared), redraws, 3))
    for draw in range(redraws):
        weights = {role: drawn_again(count, rng) for role, count in flows.items()}
        for i, distances in enumerate(prepared):
            found[i, draw] = distances(weights)
    return [Interval(float(d[:, 0].std(ddof=1)), float(log_ratios(d[:, 0], d[:, 1]).std(ddof=1)), d) for d in found]


def weighted_distances(
    spec: FieldSpec,
    measure: Measure,
    views: Mapping[str, TraceView],
    values: Mapping[str, Mapping[str, np.ndarray]],
) -> Distances:
    """One distance of one field as a function of how often each flow counts; d(S, A) for the papers' distances only."""
    if spec.flow_of is None:
        return _rate_distances(measure, views)
    coded, support = measure.coded({role: values[role][spec.name] for role in ROLES}, views["train"].frame)
    flow_of = {role: spec.flow_of(views[role]) for role in ROLES}
    distance = measure.of_counts(support)

    def distances(weights: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
        counts = {r: np.bincount(coded[r], weights[r][flow_of[r]], minlength=len(support)) for r in ROLES}
        s, a, b = (counts[role] for role in ROLES)
        return distance(s, b), distance(a, b), distance(s, a) if measure in PAPER_MEASURES else float("nan")

    return distances


def _rate_distances(measure: Measure, views: Mapping[str, TraceView]) -> Distances:
    """Of sums over time bins: here drawing flows again changes the values, not how often each counts."""

    def distances(weights: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
        s, a, b = (views[role].rate(weights[role][views[role].flow_of_record]) for role in ROLES)
        frame = views["train"].frame
        return measure.of_values(s, b, frame), measure.of_values(a, b, frame), float("nan")

    return distances
