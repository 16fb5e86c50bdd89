"""Anomaly detection on NetML's six feature modes, as in the NetShare paper (section 6.2).

NetML turns packets into flows and flows into vectors (Yang et al., "Feature extraction for novelty detection in network
traffic", 2020): IAT, interarrival times; SIZE, packet sizes; IAT_SIZE, both by turns; STATS, twelve statistics;
SAMP_NUM and SAMP_SIZE, packets and bytes in windows of equal length. A one-class support vector machine that learnt
from one part of a trace calls a share of another part anomalous; the paper asks whether the modes' shares on synthetic
traffic are those on real traffic, and whether the modes rank alike.

Two readings of that stand here: the paper's, one machine a trace; and ours, one machine that learnt from the training
trace A and judges B and S, which notices traffic that is unlike A. Features agree with the `netml` package 0.7.1 (its
quirks included, see `cut_flows`), except that a size is that of the IP packet, without link header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from netshare.evaluation.intervals import interval_around, interval_text, share_interval
from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.section import Cell, Section, Table, Verdict, not_possible, said, spearman
from netshare.preprocess.flows import group_flows_by_hash
from netshare.preprocess.protocols import TCP, UDP
from netshare.preprocess.ragged import offsets_of
from netshare.preprocess.trace import Trace

MODES = ("IAT", "SIZE", "IAT_SIZE", "STATS", "SAMP_NUM", "SAMP_SIZE")
TIMEOUT = 600.0  # seconds without a packet that end a flow
CUT_QUANTILE, WINDOW_QUANTILE = 0.9, 0.3  # netml's: of flow durations, and 0.9 of packets a flow for the dimension
MOST_DIMENSIONS = 500  # netml's cap on windows; here on every mode
OUTLIERS = 0.1  # nu of the machine that learns from A: the share of A that it may leave outside
PAPER_OUTLIERS = 0.5  # scikit-learn's default
MOST_FLOWS = 2500  # to learn from, and as many to judge
LEAST_FLOWS = 30
GOOD = 0.5  # a relative error below it, or below 1.5 times the real traces' own
TITLE, USE = "Anomaly detection on NetML's features", "anomaly detection"
ROLES = ("train", "holdout", "synthetic")
COMPARED = ("synthetic", "train")  # with B
REDRAWS = 200  # of the flows judged, for the confidence intervals


@dataclass(frozen=True)
class PacketFlows:
    """Packets flow by flow: time float64[n] (s), size float64[n] (bytes), offsets int64[n_flows + 1]."""

    time: np.ndarray
    size: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def packets(self) -> np.ndarray:
        """int64[n_flows]."""
        return np.diff(self.offsets)

    @property
    def durations(self) -> np.ndarray:
        """float64[n_flows] (s)."""
        return self.time[self.offsets[1:] - 1] - self.time[self.offsets[:-1]]

    @property
    def flow(self) -> np.ndarray:
        """int64[n]: which flow a packet belongs to."""
        return np.repeat(np.arange(len(self)), self.packets)

    @property
    def place(self) -> np.ndarray:
        """int64[n]: how many packets of its flow come before."""
        return np.arange(len(self.time)) - np.repeat(self.offsets[:-1], self.packets)

    def choose(self, flows: np.ndarray) -> PacketFlows:
        """Only the flows that bool[n_flows] names."""
        kept = np.repeat(flows, self.packets)
        return PacketFlows(self.time[kept], self.size[kept], offsets_of(self.packets[flows]))


@dataclass(frozen=True)
class Scale:
    """What fixes the features: packets that a vector has room for, and the length of a window (s)."""

    packets: int
    window: float


class Shares:
    """Shares of flows called anomalous, by role and mode, and how many flows were judged."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, float]] = {role: {} for role in ROLES}
        self.judged: dict[str, int] = {}

    def add(self, role: str, mode: str, share: float, judged: int) -> None:
        """One share."""
        self.of[role][mode] = share
        self.judged[role] = judged

    def redrawn(self, rng: np.random.Generator) -> dict[str, dict[str, float]]:
        """The shares with the judged flows drawn again (the machine stays)."""
        return {
            role: {mode: rng.binomial(self.judged[role], share) / self.judged[role] for mode, share in shares.items()}
            for role, shares in self.of.items()
        }


@dataclass(frozen=True)
class Comparison:
    """Shares set beside those of B: by mode and on the mean how far off, and the modes' rank correlation."""

    off: dict[str, dict[str, float]]
    mean: dict[str, float]
    rank: dict[str, float]


def compared_with_real(shares: Mapping[str, Mapping[str, float]]) -> Comparison:
    """|share - share in B| / share in B for S and A, and Spearman's correlation of the modes' shares with B's."""
    real = shares["holdout"]
    off = {r: {m: abs(shares[r][m] - real[m]) / max(real[m], 1e-3) for m in MODES} for r in COMPARED}
    mean = {r: float(np.mean(list(off[r].values()))) for r in COMPARED}
    rank = {r: spearman(list(shares[r].values()), list(real.values())) for r in COMPARED}
    return Comparison(off, mean, rank)


def netml(traces: Mapping[str, Trace], seed: int = 0) -> Section:
    """The section on anomaly detection.

    Args:
        traces: `"train"` A, `"holdout"` B, `"synthetic"` S, packet traces.
        seed: of the draws of flows to learn from.
    """
    if any(trace.kind == "flow" for trace in traces.values()):
        return not_possible("netml", TITLE, USE, "it needs packets, and these are flow records")
    flows = {role: cut_flows(trace) for role, trace in traces.items()}
    if len(flows["synthetic"]) < LEAST_FLOWS <= min(len(flows["train"]), len(flows["holdout"])):
        found = f"only {len(flows['synthetic'])} synthetic flows have two packets or more"
        return Section("netml", TITLE, f"Not done: {found}.", verdicts=(Verdict(USE, False, found),))
    if min(len(each) for each in flows.values()) < LEAST_FLOWS:
        reason = f"a trace has fewer than {LEAST_FLOWS} flows of two packets or more"
        return not_possible("netml", TITLE, USE, reason)
    scale = scale_of(flows["train"])
    shared = {role: features(each, scale) for role, each in flows.items()}
    own = {role: features(each, scale_of(each)) for role, each in flows.items()}
    ours, papers = Shares(), Shares()
    for mode in MODES:
        rng = np.random.default_rng(seed)
        learnt, kept_back = _parts(shared["train"][mode], rng)
        judged = {"train": kept_back, **{r: _some(shared[r][mode], rng) for r in ("holdout", "synthetic")}}
        shares = anomalous(learnt, [judged[role] for role in ROLES], OUTLIERS)
        for role, share in zip(ROLES, shares, strict=True):
            ours.add(role, mode, share, len(judged[role]))
            half, other = _parts(own[role][mode], rng)
            papers.add(role, mode, anomalous(half, [other], PAPER_OUTLIERS)[0], len(other))
    return _section(ours, papers, {role: len(each) for role, each in flows.items()}, scale, seed)


def cut_flows(trace: Trace) -> PacketFlows:
    """TCP and UDP flows of two packets or more, cut where they pause, as netml 0.7.1 cuts them.

    A flow ends where 600 s pass without a packet, and again where the time since the previous packet exceeds the
    0.9-quantile of all durations. As there, the last part of a flow that was cut is left out, and the time
    before the second packet of a part counts from a grid of such intervals that begins with the flow.
    """
    kept = trace.take(np.flatnonzero((trace["protocol"] == TCP) | (trace["protocol"] == UDP)))
    grouped = group_flows_by_hash(kept)
    start = int(kept["time"].min()) if len(kept) else 0
    time = (kept["time"][grouped.order] - start) / 1e9
    flows = PacketFlows(time, kept["length"][grouped.order].astype(np.float64), grouped.offsets)
    flows = flows.choose(flows.packets >= 2)
    flows = _split(flows, _gaps(flows) > TIMEOUT)
    if not len(flows):
        return flows
    return _split(flows, _pauses(flows, float(np.quantile(flows.durations, CUT_QUANTILE))))


def scale_of(flows: PacketFlows) -> Scale:
    """Dimension and window that netml takes for these flows."""
    packets = int(np.floor(np.quantile(flows.packets, CUT_QUANTILE)))
    return Scale(min(max(packets, 2), MOST_DIMENSIONS), float(np.quantile(flows.durations, WINDOW_QUANTILE)))


def features(flows: PacketFlows, scale: Scale) -> dict[str, np.ndarray]:
    """float64[n_flows, d] for each mode; shorter flows are filled up with zeros, longer ones cut."""
    flow, place = flows.flow, flows.place
    later = place > 0
    gaps = np.diff(flows.time, prepend=0.0)[later]
    iat = _laid_out(flow[later], place[later] - 1, gaps, len(flows), scale.packets - 1)
    size = _laid_out(flow, place, flows.size, len(flows), scale.packets)
    return {
        "IAT": iat,
        "SIZE": size,
        "IAT_SIZE": _by_turns(flows, scale),
        "STATS": _statistics(flows),
        "SAMP_NUM": _windows(flows, scale, np.ones(len(flow))),
        "SAMP_SIZE": _windows(flows, scale, flows.size),
    }


def anomalous(learnt: np.ndarray, judged: list[np.ndarray], nu: float) -> list[float]:
    """Shares of each `judged` float64[n, d] that a one-class SVM which learnt from `learnt` calls anomalous."""
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import OneClassSVM

    scaler = StandardScaler().fit(learnt)
    machine = OneClassSVM(nu=nu).fit(scaler.transform(learnt))
    return [float(np.mean(machine.predict(scaler.transform(each)) < 0)) for each in judged]


_TEXT = (
    "Flows as vectors in six ways, after NetML; a one-class support vector machine calls some of them anomalous. A "
    "machine that learnt from A should find as many anomalies in S as in B; machines of their own for each trace, as "
    "in the NetShare paper, should find equal shares. "
)


def _section(ours: Shares, papers: Shares, flows: dict[str, int], scale: Scale, seed: int) -> Section:
    figures: dict[str, object] = {"flows": flows, "packets_a_vector": scale.packets, "window_seconds": scale.window}
    rng = np.random.default_rng(seed)
    tables, relative, ranks = [], {}, {}
    for name, title, shares in (
        ("learnt_from_train", f"Anomalies by a machine that learnt from A (nu {OUTLIERS})", ours),
        ("learnt_from_each", f"Anomalies by a machine for each trace, as in the paper (nu {PAPER_OUTLIERS})", papers),
    ):
        found = compared_with_real(shares.of)
        again = [compared_with_real(shares.redrawn(rng)) for _ in range(REDRAWS)]
        within = _intervals(shares, found, again)
        rows: list[tuple[Cell, ...]] = [
            (m, *(shares.of[r][m] for r in ROLES), found.off["synthetic"][m],
             interval_text(within["relative_errors_interval"]["synthetic"][m], ".2f"), found.off["train"][m])
            for m in MODES
        ]  # fmt: skip
        mean_within = interval_text(within["relative_error_interval"]["synthetic"], ".2f")
        rows.append(("mean", None, None, None, found.mean["synthetic"], mean_within, found.mean["train"]))
        rows.append(("rank correlation with B", found.rank["train"], None, found.rank["synthetic"], None, None, None))
        heads = ("Mode", "share in A", "share in B", "share in S", "relative error S", "95%", "relative error A")
        judged = ", ".join(f"{shares.judged[r]:,} of {letter}" for r, letter in zip(ROLES, "ABS", strict=True))
        note = f"Relative to the share in B. Flows judged: {judged}; the interval comes of drawing them again."
        tables.append(Table(title, heads, tuple(rows), note))
        figures[name] = {
            "judged": shares.judged,
            "shares": shares.of,
            "relative_errors": found.off,
            "relative_error": found.mean,
            "rank_correlation": found.rank,
            **within,
        }
        relative[name], ranks[name] = found.mean, found.rank
    position = np.arange(len(MODES), dtype=np.float64)
    series = {role: (position, np.array([ours.of[role][mode] for mode in MODES])) for role in ROLES}
    chart = Chart("netml", "Share called anomalous", "bars", "", "machine that learnt from A", series, labels=MODES)
    text = f"{_TEXT}{flows['train']:,} flows of A, {flows['holdout']:,} of B, {flows['synthetic']:,} of S."
    mean, rank = relative["learnt_from_train"], ranks["learnt_from_train"]
    limit = max(GOOD, 1.5 * mean["train"])
    verdict = Verdict(
        USE,
        mean["synthetic"] <= limit,
        f"shares of anomalies differ from those in real traffic by {mean['synthetic']:.0%} (two real traces: "
        f"{mean['train']:.0%}); good is at most {limit:.0%}. The modes' ranks correlate by {said(rank['synthetic'])} "
        f"(two real traces: {said(rank['train'])}), which is not judged: their shares lie too close together",
    )
    return Section("netml", TITLE, text, tuple(tables), (chart,), (verdict,), figures)


def _intervals(shares: Shares, found: Comparison, again: list[Comparison]) -> dict[str, Any]:
    """95% intervals of everything in a comparison, by the name of the figure."""
    judged = shares.judged
    return {
        "shares_interval": {
            r: {m: share_interval(round(share * judged[r]), judged[r]) for m, share in of.items()}
            for r, of in shares.of.items()
        },
        "relative_errors_interval": {
            r: {m: interval_around(found.off[r][m], [each.off[r][m] for each in again], 0.0) for m in MODES}
            for r in COMPARED
        },
        "relative_error_interval": {
            r: interval_around(found.mean[r], [each.mean[r] for each in again], 0.0) for r in COMPARED
        },
        "rank_correlation_interval": {
            r: interval_around(found.rank[r], [each.rank[r] for each in again], -1.0, 1.0) for r in COMPARED
        },
    }


def _parts(vectors: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    shuffled = vectors[rng.permutation(len(vectors))]
    cut = int(0.7 * len(shuffled))
    return shuffled[:cut][:MOST_FLOWS], shuffled[cut:][:MOST_FLOWS]


def _some(vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return vectors[rng.permutation(len(vectors))[:MOST_FLOWS]]


def _gaps(flows: PacketFlows) -> np.ndarray:
    gaps = np.diff(flows.time, prepend=0.0)
    gaps[flows.offsets[:-1]] = 0
    return gaps


def _pauses(flows: PacketFlows, interval: float) -> np.ndarray:
    """bool[n]: where a part begins. After the first packet of a part, time is counted from the grid, not from it.

    A packet begins a part if the gap before it is too long, or if the packet before began one and the time since the
    grid point before that is too long: a run of the latter, started by the former.
    """
    gaps = _gaps(flows)
    first = np.repeat(flows.time[flows.offsets[:-1]], flows.packets)
    beyond_grid = np.mod(flows.time - first, interval) if interval > 0 else np.zeros(len(gaps))
    since_grid = gaps + np.concatenate([[0.0], beyond_grid[:-1]])
    position = np.arange(len(gaps))
    begins = np.maximum.accumulate(np.where(gaps > interval, position, -1))
    ends = np.maximum.accumulate(np.where((since_grid > interval) & (flows.place > 0), -1, position))
    return begins > ends


def _split(flows: PacketFlows, begins: np.ndarray) -> PacketFlows:
    """Flows cut before the marked packets; the last part of what was cut, and parts of one packet, are left out."""
    if not begins.any():
        return flows
    starts = np.union1d(flows.offsets[:-1], np.flatnonzero(begins))
    parts = PacketFlows(flows.time, flows.size, np.append(starts, len(flows.time)))
    whole = np.isin(parts.offsets[:-1], flows.offsets[:-1]) & np.isin(parts.offsets[1:], flows.offsets[1:])
    last = np.isin(parts.offsets[1:], flows.offsets[1:])
    return parts.choose((whole | ~last) & (parts.packets >= 2))


def _laid_out(row: np.ndarray, column: np.ndarray, values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    table = np.zeros((rows, max(columns, 1)))
    inside = column < columns
    table[row[inside], column[inside]] = values[inside]
    return table


def _by_turns(flows: PacketFlows, scale: Scale) -> np.ndarray:
    """By turns each gap and the size of the packet before it; the last packet's size stands at the end."""
    flow, place = flows.flow, flows.place
    width = 2 * scale.packets - 1
    last = np.zeros(len(flow), bool)
    last[flows.offsets[1:] - 1] = True
    table = _laid_out(flow, np.where(last, 2 * place, 2 * place + 1), flows.size, len(flows), width)
    later = place > 0
    gaps = np.diff(flows.time, prepend=0.0)[later]
    return table + _laid_out(flow[later], 2 * place[later] - 2, gaps, len(flows), width)


def _statistics(flows: PacketFlows) -> np.ndarray:
    """Duration, packets/s, bytes/s; mean, deviation, quartiles, least and greatest size; packets, bytes."""
    packets, duration = flows.packets, flows.durations
    starts = flows.offsets[:-1]
    total = np.add.reduceat(flows.size, starts)
    mean = total / packets
    spread = np.sqrt(np.add.reduceat((flows.size - np.repeat(mean, packets)) ** 2, starts) / packets)
    ordered = flows.size[np.lexsort((flows.size, flows.flow))]
    quartiles = []
    for q in (0.25, 0.5, 0.75):
        at = q * (packets - 1)
        low = starts + np.floor(at).astype(np.int64)
        high = starts + np.ceil(at).astype(np.int64)
        quartiles.append(ordered[low] + (at - np.floor(at)) * (ordered[high] - ordered[low]))
    lasting = duration > 0
    rate = np.divide(packets, duration, out=np.zeros(len(flows)), where=lasting)
    volume = np.divide(total, duration, out=np.zeros(len(flows)), where=lasting)
    least, most = ordered[starts], ordered[flows.offsets[1:] - 1]
    return np.column_stack([duration, rate, volume, mean, spread, *quartiles, least, most, packets, total])


def _windows(flows: PacketFlows, scale: Scale, weights: np.ndarray) -> np.ndarray:
    """Sum of `weights` in windows that begin with the flow; a packet on the border belongs to the earlier window if the
    packet before it does."""
    width = max(scale.packets - 1, 1)
    since = flows.time - np.repeat(flows.time[flows.offsets[:-1]], flows.packets)
    endless = np.where(since > 0, float(width), 0.0)  # where windows have no length, netml divides by zero
    exact = since / scale.window if scale.window > 0 else endless
    window = np.floor(exact)
    before = np.concatenate([[-1.0], window[:-1]])
    on_border = (flows.place > 0) & (exact == window) & (window > 0) & (before == window - 1)
    window = np.where(on_border, window - 1, window)
    inside = window < width
    cells = flows.flow[inside] * width + window[inside].astype(np.int64)
    return np.bincount(cells, weights[inside], minlength=len(flows) * width).reshape(len(flows), width)
