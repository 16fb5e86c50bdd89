"""Confidence intervals of the distances, by a bootstrap over flows.

Records of one flow are alike, so that whole flows are drawn again with replacement, in each of the three traces; an
interval is the distance plus and minus 1.96 standard deviations of the redrawn distances (on a logarithmic axis for
ratios). Redrawn samples lie a little further from each other than the samples themselves; the standard deviation does
not mind, which percentiles would.

Drawing flows again means weighting their values, so every field is coded once and each redraw is a weighted count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from netshare.evaluation.metrics.distances import (
    COARSE_BINS,
    RATIO_FLOOR,
    coarse_bins,
    earth_mover_log,
    jensen_shannon,
)
from netshare.evaluation.metrics.fields import FieldSpec, Measure, TimeFrame
from netshare.preprocess.flows import group_flows_by_hash
from netshare.preprocess.protocols import TCP
from netshare.preprocess.trace import Trace

Z = 1.96  # 95% of a normal distribution
ROLES = ("synthetic", "train", "holdout")
PaperMeasure = Literal["paper jsd", "paper jsd_rank", "paper emd"]
PAPER: dict[str, PaperMeasure] = {"jsd": "paper jsd", "jsd_rank": "paper jsd_rank", "emd": "paper emd"}
Key = tuple[str, Measure | PaperMeasure]  # field and measure


@dataclass(frozen=True)
class Interval:
    """95% intervals of d(S, B) and of d(S, B) / d(A, B), as offsets: the deviations that they are made of.

    `draws` float64[redraws, 3]: d(S, B), d(A, B) and, of the papers' distances, d(S, A) in each redraw.
    """

    deviation: float
    log_ratio_deviation: float
    draws: np.ndarray | None = None

    def around(self, distance: float) -> tuple[float, float]:
        """Bounds of the distance; never below 0."""
        return max(distance - Z * self.deviation, 0.0), distance + Z * self.deviation

    def around_floor(self, floor: float) -> tuple[float, float] | None:
        """Bounds of d(A, B)."""
        return None if self.draws is None else interval_around(floor, self.draws[:, 1], 0.0)

    def around_to_train(self, distance: float) -> tuple[float, float] | None:
        """Bounds of d(S, A)."""
        return None if self.draws is None else interval_around(distance, self.draws[:, 2], 0.0)

    def around_ratio(self, ratio: float) -> tuple[float, float]:
        """Bounds of the ratio to the floor."""
        factor = float(np.exp(Z * self.log_ratio_deviation))
        return ratio / factor, ratio * factor


def share_interval(found: int, total: int) -> tuple[float, float] | None:
    """95% interval of a share (Wilson's): a bootstrap's, but not empty where all or none are found; None of nothing."""
    if total == 0:
        return None
    share, spread = found / total, Z**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * (share * (1 - share) / total + spread / (4 * total)) ** 0.5
    return middle - half if found else 0.0, middle + half if found < total else 1.0


def interval_around(
    value: float, redrawn: np.ndarray | list[float], least: float = -np.inf, most: float = np.inf
) -> tuple[float, float]:
    """95% interval of a figure from its redraws: plus and minus 1.96 of their standard deviations, within what is possible;
    NaN where fewer than two redraws have the figure."""
    known = np.asarray(redrawn, np.float64)
    known = known[np.isfinite(known)]
    if len(known) < 2 or not np.isfinite(value):
        return float("nan"), float("nan")
    half = Z * float(known.std(ddof=1))
    return max(value - half, least), min(value + half, most)


def quantile_interval(
    values: np.ndarray, quantile: float, rng: np.random.Generator, redraws: int = 200
) -> tuple[float, float]:
    """95% interval of a quantile of distances, values drawn again."""
    again = values[rng.integers(0, len(values), (redraws, len(values)))]
    return interval_around(float(np.quantile(values, quantile)), np.quantile(again, quantile, axis=1), 0.0)


def interval_text(within: tuple[float, float], form: str = ".3g") -> str:
    """An interval for a table; empty where there is none."""
    return "" if within[0] != within[0] else f"{within[0]:{form}} to {within[1]:{form}}"


def median_ratio_interval(
    one: np.ndarray, other: np.ndarray, rng: np.random.Generator, redraws: int = 200
) -> tuple[float, float]:
    """95% interval of median(one) / median(other), values drawn again on both sides: the percentiles of the ratios."""
    medians = (np.median(each[rng.integers(0, len(each), (redraws, len(each)))], axis=1) for each in (one, other))
    above, below = medians
    ratios = above / np.where(below > 0, below, np.nan)
    low, high = np.nanquantile(ratios, [0.025, 0.975]) if np.isfinite(ratios).any() else (np.nan, np.nan)
    return float(low), float(high)


class FlowRedraws:
    """Whole flows of a trace, drawn again and again with replacement, as weights of its records."""

    def __init__(self, trace: Trace) -> None:
        grouped = group_flows_by_hash(trace)
        self.flows = len(grouped)
        self.of_record = np.empty(len(trace), np.int64)
        self.of_record[grouped.order] = np.repeat(np.arange(self.flows), grouped.lengths)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """float64[n_records]: how often each record was drawn."""
        drawn = np.bincount(rng.integers(0, self.flows, self.flows), minlength=self.flows)
        return drawn.astype(np.float64)[self.of_record]


def distance_intervals(
    specs: list[FieldSpec],
    traces: Mapping[str, Trace],
    values: Mapping[str, Mapping[str, np.ndarray]],
    frame: TimeFrame,
    redraws: int,
    seed: int = 0,
) -> tuple[dict[Key, Interval], float]:
    """The interval of every field's every distance, of the papers' after all of ours (by `PAPER`), and the log deviation
    of our ratios' geometric mean.

    Args:
        specs: the fields that are compared.
        traces: `"train"`, `"holdout"`, `"synthetic"`.
        values: what `fields.extract` took from each of them.
        frame: as given to `extract`.
        redraws: how often flows are drawn again, at least 2.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    groups = {role: _Owners(traces[role], frame) for role in ROLES}
    measures: list[Key] = [(spec.name, name) for spec in specs for name in spec.measures]
    ours = len(measures)
    measures += [(spec.name, PAPER[spec.paper]) for spec in specs if spec.paper is not None]
    prepared = {each: _prepare(*each, values, groups, frame) for each in measures}
    found = {each: np.empty((redraws, 3)) for each in measures}
    for draw in range(redraws):
        weights = {r: np.bincount(rng.integers(0, g.flows, g.flows), minlength=g.flows) for r, g in groups.items()}
        for each, distances in prepared.items():
            found[each][draw] = distances(weights)
    ratios = {
        each: np.log(np.maximum(d[:, 0], RATIO_FLOOR) / np.maximum(d[:, 1], RATIO_FLOOR)) for each, d in found.items()
    }
    overall = float(np.mean([ratios[each] for each in measures[:ours]], axis=0).std(ddof=1)) if ours else 0.0
    intervals = {
        each: Interval(float(found[each][:, 0].std(ddof=1)), float(ratios[each].std(ddof=1)), found[each])
        for each in measures
    }
    return intervals, overall


# flow weights by role -> d(S, B), d(A, B), d(S, A)
Distances = Callable[[Mapping[str, np.ndarray]], tuple[float, float, float]]


class _Owners(FlowRedraws):
    """Which flow each value of a field belongs to."""

    def __init__(self, trace: Trace, frame: TimeFrame) -> None:
        super().__init__(trace)
        grouped = group_flows_by_hash(trace)
        self._between = np.repeat(np.arange(self.flows), grouped.lengths - 1)
        self._tcp = trace["protocol"] == TCP
        self._with_packets = trace["packets"] > 0 if trace.kind == "flow" else None
        milliseconds = np.clip((trace["time"] - frame.start) / 1e6, frame.edges[0], frame.edges[-1])
        self.time_bin = np.clip(np.searchsorted(frame.edges, milliseconds, "right") - 1, 0, len(frame.edges) - 2)

    def of(self, field: str) -> np.ndarray:
        """int64[n_values]: the flow of each value that `extract` gives for a field."""
        if field in ("flow_size", "repeats", "flow_duration", "flow_volume"):
            return np.arange(self.flows)
        if field == "interarrival":
            return self._between
        if field == "tcp_flags":
            return self.of_record[self._tcp]
        if field == "bytes_per_packet" and self._with_packets is not None:
            return self.of_record[self._with_packets]
        return self.of_record


def _prepare(
    field: str,
    name: Measure | PaperMeasure,
    values: Mapping[str, Mapping[str, np.ndarray]],
    groups: Mapping[str, _Owners],
    frame: TimeFrame,
) -> Distances:
    if field == "rate":
        return _rate_distances(groups, len(frame.edges) - 1)
    coded, support = _codes({role: values[role][field] for role in ROLES}, name, frame)
    owners = {role: groups[role].of(field) for role in ROLES}
    measure = _measure(name, support)

    def distances(weights: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
        counts = {r: np.bincount(coded[r], weights[r][owners[r]], minlength=len(support)) for r in ROLES}
        s, a, b = (counts[role] for role in ROLES)
        return measure(s, b), measure(a, b), measure(s, a) if name.startswith("paper") else float("nan")

    return distances


def _rate_distances(groups: Mapping[str, _Owners], bins: int) -> Distances:
    def distances(weights: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
        rates = {r: np.bincount(g.time_bin, weights[r][g.of_record], minlength=bins) for r, g in groups.items()}
        s, a, b = (rates[role] for role in ROLES)
        return earth_mover_log(s, b), earth_mover_log(a, b), float("nan")

    return distances


def _codes(
    values: Mapping[str, np.ndarray], name: Measure | PaperMeasure, frame: TimeFrame
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Each role's values as codes into one ascending support, and the support."""
    if name == "jsd_time":
        return {r: np.searchsorted(frame.edges, v, "right") for r, v in values.items()}, np.arange(len(frame.edges) + 1)
    if name == "jsd_bins":
        return {r: coarse_bins(v) for r, v in values.items()}, np.arange(COARSE_BINS)
    together: np.ndarray = np.concatenate([values[r] for r in ROLES])
    if name == "emd_log":
        together = np.log1p(np.maximum(together.astype(np.float64), 0))
    support, codes = np.unique(together, return_inverse=True)
    parts = np.split(codes, np.cumsum([len(values[r]) for r in ROLES])[:-1])
    return dict(zip(ROLES, parts, strict=True)), support


def _measure(name: Measure | PaperMeasure, support: np.ndarray) -> Callable[[np.ndarray, np.ndarray], float]:
    if name in ("jsd_rank", "paper jsd_rank"):
        base = 2.0 if name == "jsd_rank" else np.e
        return lambda p, q: jensen_shannon(np.sort(p)[::-1], np.sort(q)[::-1], base)
    if name == "paper jsd":
        return lambda p, q: jensen_shannon(p, q, np.e)
    if name == "share":
        true = support != 0
        return lambda p, q: abs(float(_shares(p)[true].sum()) - float(_shares(q)[true].sum()))
    if name in ("emd", "emd_log", "paper emd"):
        points = support.astype(np.float64)
        gaps = np.diff(points)
        if name == "paper emd":
            return lambda p, q: _moved(_shares(p), _shares(q), gaps)
        return lambda p, q: _earth_mover(_shares(p), _shares(q), points, gaps)
    return jensen_shannon


def _earth_mover(p: np.ndarray, q: np.ndarray, points: np.ndarray, gaps: np.ndarray) -> float:
    moved = _moved(p, q, gaps)
    mean = float(q @ points)
    spread = float(np.sqrt(q @ (points - mean) ** 2))
    return moved / (spread if spread > 1e-9 else max(abs(mean), 1.0))


def _moved(p: np.ndarray, q: np.ndarray, gaps: np.ndarray) -> float:
    return float(np.sum(np.abs(np.cumsum(p - q)[:-1]) * gaps))


def _shares(counts: np.ndarray) -> np.ndarray:
    total = counts.sum()
    return counts / total if total else counts
