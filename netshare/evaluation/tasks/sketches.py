"""Heavy hitters by sketches, as in the NetShare paper (section 6.2): does a sketch that errs much on real traffic err
as much on synthetic traffic, and do sketches rank alike?

A heavy hitter is a key that makes up at least 0.1% of a trace's packets. A sketch's error on a trace is the mean
relative error of its estimates over the trace's heavy hitters. Of error_real (held-back trace B) and error_syn (S), the
relative error is |error_syn - error_real| / error_real, averaged over independent runs with other hash functions;
beside it stands the same between the training trace A and B. The paper asks by destination address (its CAIDA trace),
by source address (DC) and by five-tuple (CA): all three are done. In a flow trace, a record counts as many times as it
has packets.

All sketches have the same memory: 8 bytes (one counter) for every 4 distinct keys of B, at least 8 KiB. The relative
errors depend on it: with ample memory no sketch errs and there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.intervals import interval_around, interval_text
from netshare.evaluation.tasks.rank_correlation import spearman
from netshare.evaluation.tasks.section import Cell, Section, Table, Verdict, figure_text, not_possible
from netshare.preprocess.hashing import destination_hashes, five_tuple_hashes, source_hashes
from netshare.preprocess.trace import Trace
from netshare.sketches import SKETCHES
from netshare.sketches.base import COUNTER_BYTES, distinct_counts

THRESHOLD = 0.001  # share of packets from which a key is a heavy hitter (the paper's)
RUNS = 10  # the paper's
REDRAWS = 200  # of the runs, for the confidence interval
KEYS_PER_COUNTER = 4
MIN_MEMORY = 8192  # bytes
MAX_ERROR = 0.5  # a relative error below it, or below 1.5 times the real traces' own, is good
MAX_FLOOR = (
    1.0  # a relative error of two real traces above it shows that sketches err on nothing but the keys' identity
)
MIN_RANK_CORRELATION = 0.5  # Spearman
TITLE, USE = "Heavy hitters by sketches", "comparing sketches for heavy hitters"
ROLES = ("train", "holdout", "synthetic")
KEYS = {
    "destination address": destination_hashes,
    "source address": source_hashes,
    "five-tuple": five_tuple_hashes,
}


@dataclass(frozen=True)
class SketchErrors:
    """float64[RUNS] by role: mean relative error over the trace's heavy hitters, in each run."""

    key: str
    sketch: str
    errors: Mapping[str, np.ndarray]

    def mean(self, role: str) -> float:
        """Mean error over the runs."""
        return float(self.errors[role].mean())

    def relative(self, role: str, runs: np.ndarray | None = None) -> float:
        """Mean over the runs (those named, or all) of |error - error_real| / error_real; NaN where the sketch is exact on
        the real trace."""
        chosen = np.arange(RUNS) if runs is None else runs
        real, own = self.errors["holdout"][chosen], self.errors[role][chosen]
        known = real > 0
        return float(np.mean(np.abs(own - real)[known] / real[known])) if known.any() else float("nan")


def sketches(traces: Mapping[str, Trace], seed: int = 0) -> Section:
    """The section on heavy hitters.

    Args:
        traces: `"train"` A, `"holdout"` B, `"synthetic"` S, with about equally many flows.
        seed: of the hash functions; run i takes `seed + i`.
    """
    rows: list[tuple[Cell, ...]] = []
    summaries: list[tuple[Cell, ...]] = []
    charts, results, memories, correlations = [], [], {}, []
    by_key: dict[str, Any] = {}
    again = np.random.default_rng(seed).integers(0, RUNS, (REDRAWS, RUNS))
    for key, key_of in KEYS.items():
        counted = {role: _counts(trace, key_of(trace)) for role, trace in traces.items()}
        if any(not len(keys) for keys, _ in counted.values()):
            return not_possible("sketches", TITLE, USE, "a trace counts no packets")
        memory = max(len(counted["holdout"][0]) // KEYS_PER_COUNTER * COUNTER_BYTES, MIN_MEMORY)
        memories[key] = memory
        found = [
            SketchErrors(key, name, {role: _errors(name, *counted[role], memory, seed) for role in traces})
            for name in SKETCHES
        ]
        results += found
        hitters = {role: int(heavy_hitters(*counted[role]).sum()) for role in traces}
        rows += [
            (key, e.sketch, *(e.mean(role) for role in ROLES), e.relative("synthetic"),
             interval_text(_relative_interval(e, "synthetic", again), ".2f"), e.relative("train"))
            for e in found
        ]  # fmt: skip
        ranks = [
            spearman([e.mean("holdout") for e in found], [e.mean(r) for e in found]) for r in ("synthetic", "train")
        ]
        correlations.append(ranks)
        summaries.append((key, *ranks, *(hitters[role] for role in ROLES), memory))
        by_key[key] = {
            "heavy_hitters": hitters,
            "memory": memory,
            **_ranks_in_figures(found, dict(zip(("synthetic", "train"), ranks, strict=True)), again),
            "sketches": {e.sketch: _in_figures(e, again) for e in found},
        }
        charts.append(_chart(key, found))
    relative, floor = (_median([e.relative(role) for e in results]) for role in ("synthetic", "train"))
    rank, rank_floor = (_mean([each[i] for each in correlations]) for i in (0, 1))
    tables = (
        Table(
            "Error of the estimates",
            ("Key", "Sketch", "error A", "error B", "error S", "relative error S", "95%", "relative error A"),
            tuple(rows),
            "Mean relative error over the heavy hitters; relative errors compare S and A with B, with the 95% interval of "
            f"{RUNS} runs drawn again.",
        ),
        Table(
            "Rank correlation of the sketches' errors with those on B",
            ("Key", "S", "A", "heavy hitters A", "B", "S", "bytes a sketch"),
            tuple(summaries),
        ),
    )
    figures = {
        "relative_error": relative,
        "relative_error_interval": _interval(results, "synthetic", again),
        "relative_error_train": floor,
        "relative_error_train_interval": _interval(results, "train", again),
        "rank_correlation": rank,
        "rank_correlation_interval": _rank_interval(results, "synthetic", rank, again),
        "rank_correlation_train": rank_floor,
        "rank_correlation_train_interval": _rank_interval(results, "train", rank_floor, again),
        "runs": RUNS,
        "threshold": THRESHOLD,
        "memory": memories,
        "keys": by_key,
    }
    return Section("sketches", TITLE, _TEXT, tables, tuple(charts), (_verdict(relative, floor, rank),), figures)


def heavy_hitters(keys: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """bool[n]: which distinct keys make up at least `THRESHOLD` of all."""
    return counts >= THRESHOLD * counts.sum()


_TEXT = (
    "Four sketches of equal memory estimate how often each key occurs. A key with at least 0.1% of the packets is a "
    "heavy hitter; a sketch's error is the mean relative error over them. Small relative errors and the same ranking "
    "mean that sketches can be compared on the synthetic trace as on the real one. Ten runs with other hash functions."
)


def _counts(trace: Trace, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys and the packets of each."""
    if trace.kind == "packet":
        return distinct_counts(keys)
    packets = np.maximum(trace["packets"], 0)
    return distinct_counts(keys[packets > 0], packets[packets > 0])


def _errors(sketch: str, keys: np.ndarray, counts: np.ndarray, memory: int, seed: int) -> np.ndarray:
    heavy = heavy_hitters(keys, counts)
    if not heavy.any():
        return np.zeros(RUNS)
    errors = np.zeros(RUNS)
    for run in range(RUNS):
        made = SKETCHES[sketch](memory, seed + run)
        made.update(keys, counts)
        errors[run] = np.mean(np.abs(made.estimate(keys[heavy]) - counts[heavy]) / counts[heavy])
    return errors


def _chart(key: str, found: list[SketchErrors]) -> Chart:
    position = np.arange(len(found), dtype=np.float64)
    series = {role: (position, np.array([e.mean(role) for e in found])) for role in ROLES}
    name = f"sketches_{key.replace(' ', '_').replace('-', '_')}"
    labels = tuple(e.sketch for e in found)
    return Chart(name, f"Heavy hitters by {key}", "bars", "", "mean relative error", series, labels=labels)


def _mean(values: list[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")


def _median(values: list[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.median(known)) if known else float("nan")


def _interval(results: list[SketchErrors], role: str, again: np.ndarray) -> tuple[float, float]:
    """95% interval of the median relative error: percentiles over the runs drawn again."""
    medians = [_median([e.relative(role, runs) for e in results]) for runs in again]
    low, high = np.nanquantile(medians, [0.025, 0.975]) if np.isfinite(medians).any() else (np.nan, np.nan)
    return float(low), float(high)


def _relative_interval(each: SketchErrors, role: str, again: np.ndarray) -> tuple[float, float]:
    return interval_around(each.relative(role), [each.relative(role, runs) for runs in again], 0.0)


def _rank_interval(results: list[SketchErrors], role: str, rank: float, again: np.ndarray) -> tuple[float, float]:
    """95% interval of the mean over the keys of the sketches' rank correlation."""
    by_key = [[e for e in results if e.key == key] for key in KEYS]
    redrawn = [_mean([_rank(found, role, runs) for found in by_key]) for runs in again]
    return interval_around(rank, redrawn, -1.0, 1.0)


def _rank(found: list[SketchErrors], role: str, runs: np.ndarray) -> float:
    return spearman(*([float(e.errors[r][runs].mean()) for e in found] for r in ("holdout", role)))


def _in_figures(each: SketchErrors, again: np.ndarray) -> dict[str, Any]:
    """One sketch's errors by name, over the runs, with their 95% intervals."""
    redrawn = {role: each.errors[role][again].mean(axis=1) for role in ROLES}
    compared = ("synthetic", "train")
    return {
        "error": {role: each.mean(role) for role in ROLES},
        "error_interval": {role: interval_around(each.mean(role), redrawn[role], 0.0) for role in ROLES},
        "relative_error": {role: each.relative(role) for role in compared},
        "relative_error_interval": {role: _relative_interval(each, role, again) for role in compared},
    }


def _ranks_in_figures(found: list[SketchErrors], ranks: Mapping[str, float], again: np.ndarray) -> dict[str, Any]:
    within = {
        role: interval_around(rank, [_rank(found, role, runs) for runs in again], -1.0, 1.0)
        for role, rank in ranks.items()
    }
    return {"rank_correlation": dict(ranks), "rank_correlation_interval": within}


def _limit(floor: float) -> float:
    return MAX_ERROR if floor != floor else max(MAX_ERROR, 1.5 * floor)


def _verdict(relative: float, floor: float, rank: float) -> Verdict:
    if relative != relative:
        return Verdict(USE, None, "every sketch is exact on the real trace, so nothing can be compared")
    if floor > MAX_FLOOR:
        return Verdict(
            USE, None, f"errors on two real traces differ by {floor:.0%} already (on S and B: {relative:.0%})"
        )
    good = relative <= _limit(floor) and not rank < MIN_RANK_CORRELATION
    return Verdict(
        USE,
        good,
        f"errors differ from those on real traffic by {relative:.0%}, on the median (two real traces: "
        f"{figure_text(floor, '.0%')}), rank correlation {figure_text(rank)}; good is at most {_limit(floor):.0%} and at least "
        f"{MIN_RANK_CORRELATION}",
    )
