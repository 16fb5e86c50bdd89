"""What the synthetic trace gives away about single flows: nearest neighbours, and membership inference with nothing but
the released trace.

Each flow becomes a vector of what identifies it (addresses' bits, ports, protocol) and of how it went (records, bytes,
duration, sizes, interarrival times), standardised on real flows. If flows of S lie nearer to their nearest neighbours
in the training trace A than flows of the held-back trace B do, S repeats A; the medians' ratio says by how much.

Membership inference asks the reverse: given S, which real flows were trained on? A flow that lies nearer to S than the
median candidate does is guessed to have been; the guesses are right in 50% if S gives nothing away (candidates are as
many flows of A as of B). The attacker is strong: it holds the very flows it asks about, all fields exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from netshare.evaluation.metrics.curves import Chart, cumulative
from netshare.evaluation.metrics.intervals import (
    interval_text,
    median_ratio_interval,
    quantile_interval,
    share_interval,
)
from netshare.evaluation.tasks.section import Cell, Section, Table, Verdict, figure_text, not_possible
from netshare.preprocess.flows import count_flows, group_flows_by_hash
from netshare.preprocess.trace import Trace

MAX_FLOWS = 4000  # whose neighbours are sought
MAX_AMONG = 100_000  # flows that they are sought among
CELLS_AT_ONCE = 4_000_000  # distances in memory at a time
MIN_DISTANCE_RATIO = 0.7  # a median ratio below it says that S repeats A
MAX_SUCCESS = 0.55  # a success rate above it, and above chance by three standard errors, says that S gives members away
MIN_FLOWS = 50
DISTANCE_HEADS = ("", "synthetic S", "95%", "held-back real B", "95%")
TITLE, USE = "Nearness to the training flows", "sharing without giving single flows away"


def neighbours(traces: Mapping[str, Trace], seed: int = 0) -> Section:
    """The section on nearest neighbours.

    Args:
        traces: `"train"` A, `"holdout"` B, `"synthetic"` S, all of each: a copy of a flow that is left out of A is
            not noticed.
        seed: of the draw where there are more flows than `MAX_FLOWS`.
    """
    if min(count_flows(trace) for trace in traces.values()) < MIN_FLOWS:
        return not_possible("neighbours", TITLE, USE, f"a trace has fewer than {MIN_FLOWS} flows")
    rng = np.random.default_rng(seed)
    described = {role: describe_flows(trace) for role, trace in traces.items()}
    real = np.concatenate([described["train"], described["holdout"]])
    middle, spread = real.mean(axis=0), real.std(axis=0)
    spread[spread < 1e-9] = 1.0
    vectors = {role: ((each - middle) / spread)[rng.permutation(len(each))] for role, each in described.items()}
    among = {role: each[:MAX_AMONG] for role, each in vectors.items()}
    to_train = {role: nearest(vectors[role][:MAX_FLOWS], among["train"]) for role in ("synthetic", "holdout")}
    distances = distances_in_figures(to_train, np.random.default_rng(seed))
    medians = distances["median"]
    ratio = medians["synthetic"] / medians["holdout"] if medians["holdout"] > 0 else float("nan")
    within = median_ratio_interval(to_train["synthetic"], to_train["holdout"], rng)
    success, members, error = _membership(among, rng)
    table = Table(
        "Distances to the nearest training flow",
        DISTANCE_HEADS,
        (*distance_rows(distances), ("flows", len(to_train["synthetic"]), None, len(to_train["holdout"]), None)),
        f"Median of S over median of B: {ratio:.2f} ({figure_text(within[0])} to {figure_text(within[1])}); well below "
        f"1 says that training flows were repeated.",
    )
    guesses = Table(
        "Membership inference from the released trace alone",
        ("", "value"),
        (("right guesses", success), ("standard error", error), ("candidates, half of them trained on", 2 * members)),
    )
    points = {role: cumulative(to_train[role]) for role in ("holdout", "synthetic")}
    label = "distance, standard deviations"
    chart = Chart("nearest", "Distance to the nearest training flow", "steps", label, "share at or below", points)
    figures = {
        "median_ratio": ratio,
        "median_ratio_interval": within,
        **distances,
        "membership_success": success,
        "membership_success_interval": share_interval(round(success * 2 * members), 2 * members),
        "membership_standard_error": error,
        "candidates": 2 * members,
    }
    verdict = _verdict(ratio, success, error)
    return Section("neighbours", TITLE, _TEXT, (table, guesses), (chart,), (verdict,), figures)


def distances_in_figures(to_train: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, Any]:
    """Median, 5% quantile and share at 0 of each role's distances, with their 95% intervals and number."""
    figures: dict[str, Any] = {}
    for name, quantile in (("median", 0.5), ("fifth_percentile", 0.05)):
        figures[name] = {role: float(np.quantile(each, quantile)) for role, each in to_train.items()}
        figures[f"{name}_interval"] = {r: quantile_interval(each, quantile, rng) for r, each in to_train.items()}
    zeros = {role: each < 1e-6 for role, each in to_train.items()}
    figures["identical"] = {role: float(np.mean(each)) for role, each in zeros.items()}
    figures["identical_interval"] = {r: share_interval(int(each.sum()), len(each)) for r, each in zeros.items()}
    figures["compared"] = {role: len(each) for role, each in to_train.items()}
    return figures


def distance_rows(figures: Mapping[str, Any]) -> tuple[tuple[Cell, ...], ...]:
    """Rows of a table with `DISTANCE_HEADS`, of what `distances_in_figures` gave."""
    titles = {
        "median": "median distance",
        "fifth_percentile": "5% are nearer than",
        "identical": "share at distance 0",
    }
    return tuple(
        (
            title,
            *(
                cell
                for role in ("synthetic", "holdout")
                for cell in (figures[name][role], interval_text(figures[f"{name}_interval"][role]))
            ),
        )
        for name, title in titles.items()
    )


def describe_flows(trace: Trace) -> np.ndarray:
    """float64[n_flows, d]: what identifies each flow and a summary of its series; not standardised."""
    flows = group_flows_by_hash(trace)
    first = flows.order[flows.offsets[:-1]]
    time, starts, sizes = trace["time"], flows.offsets[:-1], flows.lengths
    volume = trace["length" if trace.kind == "packet" else "bytes"].astype(np.float64)[flows.order]
    total = np.add.reduceat(volume, starts)
    spread = np.sqrt(np.add.reduceat((volume - np.repeat(total / sizes, sizes)) ** 2, starts) / sizes)
    durations = flows.durations(time)
    columns = [
        *_bits(trace, "src", first),
        *_bits(trace, "dst", first),
        *(np.log1p(trace[port][first].astype(np.float64)) for port in ("src_port", "dst_port")),
        *(trace["protocol"][first] == protocol for protocol in (1, 6, 17)),
        np.log1p(sizes),
        np.log1p(total),
        np.log1p(total / sizes),
        np.log1p(spread),
        np.log1p(durations / 1e3),
        np.log1p(durations / 1e3 / np.maximum(sizes - 1, 1)),
    ]
    if trace.kind == "packet":
        columns.append(trace["ttl"][first])
    else:
        columns += [np.log1p(flows.totals(trace["packets"])), np.log1p(flows.totals(trace["duration"]) / 1e6)]
    return np.column_stack([np.asarray(column, np.float64) for column in columns])


def nearest(points: np.ndarray, among: np.ndarray) -> np.ndarray:
    """float64[n]: Euclidean distance of each of float64[n, d] to the nearest of float64[m, d]."""
    result = np.empty(len(points))
    squares = np.sum(among**2, axis=1)
    rows = max(CELLS_AT_ONCE // max(len(among), 1), 1)
    for start in range(0, len(points), rows):
        part = points[start : start + rows]
        closest = np.argmin(squares - 2 * (part @ among.T), axis=1)
        result[start : start + rows] = np.linalg.norm(part - among[closest], axis=1)
    return result


_TEXT = (
    "Flows as vectors of addresses, ports, protocol and a summary of their series, standardised. Synthetic flows that "
    "lie nearer to training flows than held-back real flows do were repeated rather than learnt. Membership inference "
    "guesses that the real flows nearest to the synthetic trace were trained on; 50% right is what chance gives."
)


def _membership(vectors: Mapping[str, np.ndarray], rng: np.random.Generator) -> tuple[float, int, float]:
    """Share of right guesses, candidates from each side, standard error."""
    candidates = min(MAX_FLOWS, len(vectors["train"]), len(vectors["holdout"]))
    inside = nearest(vectors["train"][:candidates], vectors["synthetic"])
    outside = nearest(vectors["holdout"][:candidates], vectors["synthetic"])
    distances = np.concatenate([inside, outside])
    jitter = rng.random(len(distances))  # ties are guessed by chance
    order = np.lexsort((jitter, distances))
    guessed = np.zeros(len(distances), bool)
    guessed[order[:candidates]] = True
    member = np.arange(len(distances)) < candidates
    return float(np.mean(guessed == member)), candidates, float(0.5 / np.sqrt(2 * candidates))


def _bits(trace: Trace, side: str, rows: np.ndarray) -> list[np.ndarray]:
    """An address as four numbers, the earlier bits weighing more: its /8, /16, /24 (IPv6: /16, /32, /48), host part."""
    high, low = trace[f"{side}_hi"][rows], trace[f"{side}_lo"][rows]
    v6 = trace["ip_version"][rows] == 6
    parts = []
    for shift4, shift6 in ((24, 48), (16, 32), (8, 16)):
        four, six = (low >> np.uint64(shift4)) & np.uint64(255), (high >> np.uint64(shift6)) & np.uint64(65_535)
        parts.append(np.where(v6, six / 65_535 * 255, four))
    host = np.where(v6, (low & np.uint64(65_535)) / 65_535 * 255, low & np.uint64(255))
    return [*parts, host]


def _verdict(ratio: float, success: float, error: float) -> Verdict:
    found_out = success > max(MAX_SUCCESS, 0.5 + 3 * error)
    if ratio != ratio:
        return Verdict(USE, None, "held-back flows lie as near as can be, so nothing can be compared")
    sentence = (
        f"synthetic flows lie {ratio:.2f} times as far from training flows as held-back real ones, and {success:.1%} "
        f"of guesses which flows were trained on are right; good is at least {MIN_DISTANCE_RATIO} and at most "
        f"{MAX_SUCCESS:.0%}. No guarantee"
    )
    return Verdict(USE, ratio >= MIN_DISTANCE_RATIO and not found_out, sentence)
