"""Pairs of fields: do synthetic records combine values as real ones do?

A generator can match every field and still pair a mail server's port with a name query's size. Each field is coarsened
to at most about 30 cells that the held-back trace B fixes (frequent values of its own, or quantiles), and the joint
distribution of two fields is compared by Jensen-Shannon divergence in bits, beside the floor between two real traces.

How far off records are whose fields have nothing to do with each other depends on the trace: A itself with every field
shuffled lies little above the floor where most addresses of B are new, and far above it elsewhere. A good trace lies
nearer to the floor than to that, on the logarithmic scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from netshare.evaluation.metrics.distances import geometric_mean, jensen_shannon, ratio_to_floor
from netshare.evaluation.metrics.intervals import Interval, interval_around, interval_text, log_ratios
from netshare.evaluation.metrics.redraws import FlowRedraws
from netshare.evaluation.tasks.section import Section, Table, Verdict
from netshare.preprocess.flows import group_flows_by_hash
from netshare.preprocess.hashing import destination_hashes, source_hashes
from netshare.preprocess.trace import Trace

CELLS = 30
REDRAWS = 10  # of the flows, for the confidence interval
SHUFFLES = 3  # of A's fields
MAX_TIMES_FLOOR = 1.5  # times the floor, on the geometric mean, at most; fresh real records stand at 1
MIN_TORN_EFFECT = 1.1  # times the floor: where tearing records apart changes less, fields say nothing of each other
TITLE, USE = "Pairs of fields", "analyses that relate fields"
# fields whose values are names
CATEGORIES = (
    "source",
    "destination",
    "source port",
    "destination port",
    "protocol",
    "TTL",
    "TCP flags",
    "label",
    "attack type",
)
Columns = dict[str, np.ndarray]


def pairs(traces: Mapping[str, Trace], seed: int = 0) -> Section:
    """The section on pairs.

    Args:
        traces: `"train"` A, `"holdout"` B, `"synthetic"` S.
        seed: of the bootstrap.
    """
    columns = {role: _columns(trace) for role, trace in traces.items()}
    names = [n for n in columns["holdout"] if all(n in each for each in columns.values())]
    cells: dict[str, Columns] = {role: {} for role in traces}
    for name in names:
        coded = coarsened(columns["holdout"][name], {r: columns[r][name] for r in traces}, name in CATEGORIES)
        for role, codes in coded.items():
            cells[role][name] = codes
    rows = []
    for one, other in combinations(names, 2):
        distance, floor = _distances({role: _joint(each[one], each[other]) for role, each in cells.items()})
        rows.append((f"{one}, {other}", distance, floor, ratio_to_floor(distance, floor)))
    ratio = geometric_mean([row[3] for row in rows])
    draws = _redrawn(traces, cells, names, seed)
    logs = {name: log_ratios(each[:, 0], each[:, 1]) for name, each in draws.items()}
    within = Interval(0.0, _deviation(np.mean(list(logs.values()), axis=0))).around_ratio(ratio)
    rows.sort(key=lambda row: -row[3])
    torn, torn_within = _torn_apart(cells, names, {row[0]: row[2] for row in rows}, seed)
    figures_of: dict[str, Any] = {
        name: {
            "synthetic": distance,
            "synthetic_interval": interval_around(distance, draws[name][:, 0], 0.0, 1.0),
            "floor": floor,
            "floor_interval": interval_around(floor, draws[name][:, 1], 0.0, 1.0),
            "ratio": each,
            "ratio_interval": Interval(0.0, _deviation(logs[name])).around_ratio(each),
        }
        for name, distance, floor, each in rows
    }
    heads = ("Fields", "JSD S, B", "JSD A, B", "ratio", "95%")
    cells_of = tuple((*row, interval_text(figures_of[row[0]]["ratio_interval"], ".2f")) for row in rows)
    table = Table("Joint distributions of two fields", heads, cells_of, "The furthest off come first.")
    figures = {
        "geometric_mean_ratio": ratio,
        "geometric_mean_ratio_interval": within,
        "torn_apart": torn,
        "torn_apart_interval": torn_within,
        "pairs": figures_of,
        "n_synthetic": len(traces["synthetic"]),
        "n_train": len(traces["train"]),
        "n_holdout": len(traces["holdout"]),
    }
    verdict = _verdict(ratio, within, torn, len(rows))
    return Section("pairs", TITLE, _TEXT, (table,), (), (verdict,), figures)


def coarsened(reference: np.ndarray, values: Mapping[str, np.ndarray], categorical: bool) -> dict[str, np.ndarray]:
    """int64 codes below `CELLS` + 2 for each array: cells that the reference fixes.

    A category's most frequent values in the reference have a cell each, all others share one; numbers are cut at the
    reference's quantiles, and spikes get cells of their own where quantiles coincide.
    """
    if categorical or len(np.unique(reference)) <= CELLS:
        distinct, counts = np.unique(reference, return_counts=True)
        frequent = np.sort(distinct[np.argsort(-counts, kind="stable")[:CELLS]])
        return {role: _position(each, frequent) for role, each in values.items()}
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, CELLS // 2 + 1)[1:-1]))
    sides = {
        role: (np.searchsorted(edges, each, "left"), np.searchsorted(edges, each, "right"))
        for role, each in values.items()
    }
    return {role: (left + right).astype(np.int64) for role, (left, right) in sides.items()}


_TEXT = (
    "Each field is coarsened to about 30 cells fixed by the held-back trace; the joint distribution of any two fields "
    "is compared by Jensen-Shannon divergence in bits, and set beside that of the two real traces, and of A with every "
    "field shuffled."
)


def _position(values: np.ndarray, frequent: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(frequent, values), len(frequent) - 1)
    return np.where(frequent[at] == values, at, len(frequent)).astype(np.int64)


def _joint(one: np.ndarray, other: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    return np.bincount(one * (CELLS + 2) + other, weights, minlength=(CELLS + 2) ** 2)


def _distances(joint: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """d(S, B) and d(A, B)."""
    ours, floor = (jensen_shannon(joint[role], joint["holdout"]) for role in ("synthetic", "train"))
    return ours, floor


def _redrawn(
    traces: Mapping[str, Trace], cells: Mapping[str, Columns], names: list[str], seed: int
) -> dict[str, np.ndarray]:
    """float64[REDRAWS, 2] by pair: d(S, B) and d(A, B), whole flows drawn again in all three traces."""
    rng = np.random.default_rng(seed)
    redraws = {role: FlowRedraws(trace) for role, trace in traces.items()}
    found = {f"{one}, {other}": np.empty((REDRAWS, 2)) for one, other in combinations(names, 2)}
    for draw in range(REDRAWS):
        weights = {role: each.draw(rng) for role, each in redraws.items()}
        for one, other in combinations(names, 2):
            joint = {role: _joint(each[one], each[other], weights[role]) for role, each in cells.items()}
            found[f"{one}, {other}"][draw] = _distances(joint)
    return found


def _torn_apart(
    cells: Mapping[str, Columns], names: list[str], floors: Mapping[str, float], seed: int
) -> tuple[float, tuple[float, float]]:
    """Geometric mean of the ratios to the floor of A with every field shuffled by itself, and its 95% interval over the
    shuffles."""
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(SHUFFLES):
        shuffled = {name: rng.permutation(cells["train"][name]) for name in names}
        ratios = [
            ratio_to_floor(
                jensen_shannon(
                    _joint(shuffled[one], shuffled[other]), _joint(cells["holdout"][one], cells["holdout"][other])
                ),
                floors[f"{one}, {other}"],
            )
            for one, other in combinations(names, 2)
        ]
        means.append(geometric_mean(ratios))
    torn = geometric_mean(means)
    return torn, interval_around(torn, means, 0.0)


def _verdict(ratio: float, within: tuple[float, float], torn: float, pairs: int) -> Verdict:
    if torn < MIN_TORN_EFFECT:
        return Verdict(USE, None, "the real traces' fields say nothing of each other")
    limit = min(MAX_TIMES_FLOOR, torn**0.5)
    return Verdict(
        USE,
        ratio <= limit,
        f"distances of {pairs} joint distributions are {ratio:.2f} ({within[0]:.2f} to {within[1]:.2f}) times those of "
        f"two real traces, on the geometric mean (real records with their fields shuffled: {torn:.2f}); good is at most "
        f"{limit:.2f}",
    )


def _deviation(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1))


def _columns(trace: Trace) -> Columns:
    """The fields that are paired, one value a record."""
    columns: Columns = {
        "source": source_hashes(trace),
        "destination": destination_hashes(trace),
        "source port": trace["src_port"],
        "destination port": trace["dst_port"],
        "protocol": trace["protocol"],
    }
    flows = group_flows_by_hash(trace)
    sizes = np.empty(len(trace), np.int64)
    sizes[flows.order] = np.repeat(flows.lengths, flows.lengths)
    columns["flow size"] = sizes
    if trace.kind == "packet":
        gaps = np.empty(len(trace), np.int64)
        gaps[flows.order] = np.diff(trace["time"][flows.order], prepend=0)
        gaps[flows.order[flows.offsets[:-1]]] = -1
        return columns | {
            "size": trace["length"],
            "TTL": trace["ttl"],
            "TCP flags": trace["tcp_flags"],
            "interarrival": gaps,
        }
    columns |= {"packets": trace["packets"], "bytes": trace["bytes"], "duration": trace["duration"]}
    optional = {"TCP flags": "tcp_flags", "label": "label", "attack type": "attack_type"}
    return columns | {title: trace[name] for title, name in optional.items() if name in trace}
