"""Anomaly detection on NetML's six feature modes, as in the NetShare paper (section 6.2).

NetML turns packets into flows and flows into vectors (see `netml_features`). A one-class support vector machine that
learnt from one part of a trace calls a share of another part anomalous; the paper asks whether the modes' shares on
synthetic traffic are those on real traffic, and whether the modes rank alike.

Two readings of that stand here: the paper's, one machine a trace; and ours, one machine that learnt from the training
trace A and judges B and S, which notices traffic that is unlike A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.intervals import interval_around, interval_text, share_interval
from netshare.evaluation.tasks.netml_features import MODES, Scale, cut_flows, features, scale_of
from netshare.evaluation.tasks.rank_correlation import spearman
from netshare.evaluation.tasks.section import Cell, Section, Table, Verdict, figure_text, not_possible
from netshare.preprocess.trace import Trace

OUTLIERS = 0.1  # nu of the machine that learns from A: the share of A that it may leave outside
PAPER_OUTLIERS = 0.5  # scikit-learn's default
MAX_FLOWS = 2500  # to learn from, and as many to judge
MIN_FLOWS = 30
MAX_ERROR = 0.5  # a relative error below it, or below 1.5 times the real traces' own
TITLE, USE = "Anomaly detection on NetML's features", "anomaly detection"
ROLES = ("train", "holdout", "synthetic")
COMPARED = ("synthetic", "train")  # with B
REDRAWS = 200  # of the flows judged, for the confidence intervals


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
    if len(flows["synthetic"]) < MIN_FLOWS <= min(len(flows["train"]), len(flows["holdout"])):
        found = f"only {len(flows['synthetic'])} synthetic flows have two packets or more"
        return Section("netml", TITLE, f"Not done: {found}.", verdicts=(Verdict(USE, False, found),))
    if min(len(each) for each in flows.values()) < MIN_FLOWS:
        reason = f"a trace has fewer than {MIN_FLOWS} flows of two packets or more"
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
    limit = max(MAX_ERROR, 1.5 * mean["train"])
    verdict = Verdict(
        USE,
        mean["synthetic"] <= limit,
        f"shares of anomalies differ from those in real traffic by {mean['synthetic']:.0%} (two real traces: "
        f"{mean['train']:.0%}); good is at most {limit:.0%}. The modes' ranks correlate by {figure_text(rank['synthetic'])} "
        f"(two real traces: {figure_text(rank['train'])}), which is not judged: their shares lie too close together",
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
    return shuffled[:cut][:MAX_FLOWS], shuffled[cut:][:MAX_FLOWS]


def _some(vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return vectors[rng.permutation(len(vectors))[:MAX_FLOWS]]
