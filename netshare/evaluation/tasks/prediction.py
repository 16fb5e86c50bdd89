"""Traffic-type prediction, as in the NetShare paper (section 6.2): does a classifier that learnt from synthetic flow
records tell real ones apart as well as one that learnt from real records?

Five classifiers predict a record's label from its ports, protocol, packets, bytes and duration. Records are sorted by
time; the earlier 80% are learnt from, the later 20% of held-back real traffic B are tested on. Trained on S, on A and
on B itself, the accuracies stand side by side, and Spearman's correlation says whether S ranks the classifiers as A
does.

A trace joined from several scenarios changes so much with time that a split by time tests the change, not the learning:
classifiers that learnt from real records do no better than one that always names the most frequent label, or far worse than
with another split. So the same is done with records split at random. Where classifiers that learnt from A lose more than a
tenth of their accuracy to the split by time, the verdict comes from the random split.

A large trace gives `MAX_TRAINING` records to learn from, drawn at random, and `MAX_TESTED` to be tested on.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.intervals import interval_around, interval_text, share_interval
from netshare.evaluation.tasks.rank_correlation import spearman
from netshare.evaluation.tasks.section import Cell, Section, Table, Verdict, not_possible
from netshare.preprocess.trace import CATEGORY_COLUMNS, Trace

TRAIN_SHARE = 0.8  # share of each trace, by time, that is learnt from (the paper's)
MAX_TRAINING, MAX_TESTED = 15_000, 15_000
REDRAWS = 100  # of the tested records, for the confidence intervals
MIN_RECORDS = 50  # records that a part must have
MIN_ACCURACY_SHARE = 0.9  # of the accuracy of the classifiers that learnt from A
TITLE, USE = "Traffic-type prediction", "training traffic classifiers"
ROLES = ("synthetic", "train", "holdout")
FEATURES = ("src_port", "dst_port", "protocol", "packets", "bytes", "duration", "packets_rev", "bytes_rev")
LOGARITHMIC = ("packets", "bytes", "duration", "packets_rev", "bytes_rev")


@dataclass(frozen=True)
class Part:
    """Records to learn from or to test on: features float64[n, f], labels int64[n]."""

    features: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, most: int, rng: np.random.Generator) -> Part:
        """At most `most` records, in random order."""
        rows = rng.permutation(len(self))[:most]
        return Part(self.features[rows], self.labels[rows])


@dataclass(frozen=True)
class Cut:
    """The results with one way to split the records.

    scores: role -> classifier -> (accuracy, balanced accuracy)
    redrawn: role -> classifier -> float64[2, REDRAWS], the same with the tested records drawn again
    majority: accuracy of always naming the most frequent label of the tested records
    """

    name: str
    scores: dict[str, dict[str, tuple[float, float]]]
    redrawn: dict[str, dict[str, np.ndarray]]
    majority: float
    learnt: dict[str, int]
    tested: int

    @property
    def classifiers(self) -> list[str]:
        """Names, in the report's order."""
        return list(self.scores["synthetic"])

    @property
    def says_something(self) -> bool:
        """Whether learning from A does better than always naming the most frequent label."""
        return self.mean("train") > self.majority + 0.01

    def judges_better_than(self, other: Cut) -> bool:
        """Whether it allows a judgement, and classifiers that learnt from A are nearly as accurate as with the other split."""
        return self.says_something and self.mean("train") >= MIN_ACCURACY_SHARE * other.mean("train")

    def mean(self, role: str, which: int = 0) -> float:
        """Mean over the classifiers of accuracy (0) or balanced accuracy (1)."""
        return float(np.mean([score[which] for score in self.scores[role].values()]))

    def ranking(self, role: str) -> float:
        """Spearman's correlation of the classifiers' accuracies with those learnt from A."""
        return spearman(*([self.scores[r][c][0] for c in self.classifiers] for r in (role, "train")))

    def mean_interval(self, role: str, which: int = 0) -> tuple[float, float]:
        """95% interval of `mean`, the tested records drawn again."""
        again = np.mean([each[which] for each in self.redrawn[role].values()], axis=0)
        return interval_around(self.mean(role, which), again, 0.0, 1.0)

    def ranking_interval(self, role: str) -> tuple[float, float]:
        """95% interval of `ranking`, the tested records drawn again."""
        own, train = (np.array([each[0] for each in self.redrawn[r].values()]).T for r in (role, "train"))
        again = [spearman(one, other) for one, other in zip(own.tolist(), train.tolist(), strict=True)]
        return interval_around(self.ranking(role), again, -1.0, 1.0)

    def table(self) -> Table:
        """Accuracies, a row a classifier."""
        rows: list[tuple[Cell, ...]] = [
            (c, *(self.scores[r][c][i] for i in (0, 1) for r in ROLES)) for c in self.classifiers
        ]
        return Table(
            f"Accuracy on held-back real records, parted {self.name}",
            ("Learnt from", "S", "A", "B", "S, balanced", "A, balanced", "B, balanced"),
            (
                *rows,
                ("mean", *(self.mean(r, i) for i in (0, 1) for r in ROLES)),
                ("rank correlation with A", *(self.ranking(r) for r in ROLES), None, None, None),
            ),
            f"Learnt from {', '.join(f'{self.learnt[r]:,}' for r in ROLES)} records of S, A, B; tested on "
            f"{self.tested:,}. Drawing the tested records again, the mean of S is right in "
            f"{interval_text(self.mean_interval('synthetic'), '.3f')}, that of A in "
            f"{interval_text(self.mean_interval('train'), '.3f')} (95%). Always naming the most frequent label is right "
            f"in {self.majority:.1%}; balanced accuracy averages over labels.",
        )

    def chart(self) -> Chart:
        """Accuracies as bars."""
        position = np.arange(len(self.classifiers), dtype=np.float64)
        series = {
            role: (position, np.array([self.scores[role][c][0] for c in self.classifiers]))
            for role in ("train", "holdout", "synthetic")
        }
        name, title = f"prediction_{self.name.replace(' ', '_')}", f"Accuracy by what was learnt from, {self.name}"
        return Chart(name, title, "bars", "", "accuracy", series, labels=tuple(self.classifiers))

    def figures(self) -> dict[str, Any]:
        """The same by name."""
        scores, again = self.scores, self.redrawn
        return {
            "accuracy": {r: {c: scores[r][c][0] for c in self.classifiers} for r in ROLES},
            "accuracy_interval": {
                r: {c: share_interval(round(scores[r][c][0] * self.tested), self.tested) for c in self.classifiers}
                for r in ROLES
            },
            "balanced_accuracy": {r: {c: scores[r][c][1] for c in self.classifiers} for r in ROLES},
            "balanced_accuracy_interval": {
                r: {c: interval_around(scores[r][c][1], again[r][c][1], 0.0, 1.0) for c in self.classifiers}
                for r in ROLES
            },
            "mean_accuracy": {r: self.mean(r) for r in ROLES},
            "mean_accuracy_interval": {r: self.mean_interval(r) for r in ROLES},
            "mean_balanced_accuracy": {r: self.mean(r, 1) for r in ROLES},
            "mean_balanced_accuracy_interval": {r: self.mean_interval(r, 1) for r in ROLES},
            "majority": self.majority,
            "majority_interval": share_interval(round(self.majority * self.tested), self.tested),
            "rank_correlation": {r: self.ranking(r) for r in ROLES},
            "rank_correlation_interval": {r: self.ranking_interval(r) for r in ROLES},
            "tested": self.tested,
            "learnt": self.learnt,
        }


def prediction(traces: Mapping[str, Trace], seed: int = 0) -> Section:
    """The section on traffic-type prediction.

    Args:
        traces: `"train"` A, `"holdout"` B, `"synthetic"` S, flow traces whose label codes mean the same.
        seed: of the classifiers, and of the draw where a trace is large.
    """
    column = label_column(traces)
    if column is None:
        return not_possible("prediction", TITLE, USE, _why_not(traces))
    names = [n for n in FEATURES if all(n in t for t in traces.values())]
    in_time = {role: _in_time_order(trace, column, names) for role, trace in traces.items()}
    cuts = [_learn("by time", {role: _cut(part) for role, part in in_time.items()}, seed)]
    rng = np.random.default_rng(seed)
    at_random = {role: part.some(len(part), rng) for role, part in in_time.items()}
    cuts.append(_learn("at random", {role: _cut(part) for role, part in at_random.items()}, seed))
    if any(cut is None for cut in cuts):
        return not_possible("prediction", TITLE, USE, f"fewer than {MIN_RECORDS} records to learn from or to test on")
    done = [cut for cut in cuts if cut is not None]
    chosen = done[0] if done[0].judges_better_than(done[1]) else done[1]
    figures = {"label": column, "judged": chosen.name, "cuts": {cut.name: cut.figures() for cut in done}}
    tables, charts = tuple(cut.table() for cut in done), tuple(cut.chart() for cut in done)
    return Section("prediction", TITLE, _TEXT, tables, charts, (_verdict(chosen),), figures)


def label_column(traces: Mapping[str, Trace]) -> str | None:
    """The label column with the most labels in A, if all traces have one that takes two values or more in A and B."""
    usable = [n for n in CATEGORY_COLUMNS if all(n in trace for trace in traces.values())]
    kinds = {n: min(len(np.unique(traces[role][n])) for role in ("train", "holdout")) for n in usable}
    best = max(usable, key=lambda n: kinds[n], default=None)
    return best if best is not None and kinds[best] > 1 else None


def _why_not(traces: Mapping[str, Trace]) -> str:
    if any(trace.kind == "packet" for trace in traces.values()):
        return "packet traces carry no labels"
    missing = [role for role, trace in traces.items() if not any(n in trace for n in CATEGORY_COLUMNS)]
    return f"no labels ({', '.join(missing)})" if missing else "the real traces hold a single label"


_TEXT = (
    "Five classifiers learn a record's label from ports, protocol, packets, bytes and duration, and are tested on a "
    "fifth of the held-back real trace that none has learnt from: its later fifth, as in the NetShare paper, and a "
    "random one."
)


def _features(trace: Trace, names: list[str]) -> np.ndarray:
    columns = []
    for name in names:
        values = trace[name].astype(np.float64)
        columns.append(
            np.log1p(np.maximum(values / (1e6 if name == "duration" else 1), 0)) if name in LOGARITHMIC else values
        )
    for name in ("src_port", "dst_port"):  # well-known, registered or dynamic: a linear model cannot see it in a number
        columns += [(trace[name] < 1024).astype(np.float64), (trace[name] >= 32_768).astype(np.float64)]
    columns += [(trace["protocol"] == protocol).astype(np.float64) for protocol in (1, 6, 17)]
    return np.column_stack(columns)


def _in_time_order(trace: Trace, column: str, names: list[str]) -> Part:
    order = np.argsort(trace["time"], kind="stable")
    return Part(_features(trace, names)[order], trace[column][order].astype(np.int64) + 1)  # unset is a label too


def _cut(part: Part) -> tuple[Part, Part]:
    cut = int(TRAIN_SHARE * len(part))
    return Part(part.features[:cut], part.labels[:cut]), Part(part.features[cut:], part.labels[cut:])


def _learn(name: str, parts: dict[str, tuple[Part, Part]], seed: int) -> Cut | None:
    rng = np.random.default_rng(seed)
    tested = parts["holdout"][1].some(MAX_TESTED, rng)
    learnt = {role: parts[role][0].some(MAX_TRAINING, rng) for role in ROLES}
    if min(len(tested), *(len(part) for part in learnt.values())) < MIN_RECORDS:
        return None
    right = {role: _right(learnt[role], tested, seed) for role in ROLES}
    labels = np.unique(tested.labels, return_inverse=True)[1]
    # the same redraws for all, so that figures can be compared draw by draw; the first is the tested records themselves
    draws = [np.ones(len(tested)), *(_weights(len(tested), rng) for _ in range(REDRAWS))]
    found = {
        role: {c: np.array([_scores(guesses, labels, weights) for weights in draws]).T for c, guesses in each.items()}
        for role, each in right.items()
    }
    scores = {role: {c: (float(s[0, 0]), float(s[1, 0])) for c, s in each.items()} for role, each in found.items()}
    redrawn = {role: {c: s[:, 1:] for c, s in each.items()} for role, each in found.items()}
    majority = float(np.bincount(tested.labels).max() / len(tested))
    return Cut(name, scores, redrawn, majority, {role: len(part) for role, part in learnt.items()}, len(tested))


def _weights(count: int, rng: np.random.Generator) -> np.ndarray:
    """float64[count]: how often each is drawn."""
    return np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)


def _scores(right: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Accuracy, and its mean over the labels, of bool[n] right guesses."""
    of, hit = np.bincount(labels, weights), np.bincount(labels, weights * right)
    return float(hit.sum() / of.sum()), float(np.mean(hit[of > 0] / of[of > 0]))


def _right(learnt: Part, tested: Part, seed: int) -> dict[str, np.ndarray]:
    """bool[n] by classifier: which of the tested records it names rightly."""
    found = {}
    for name, classifier in _classifiers(seed).items():
        if len(np.unique(learnt.labels)) == 1:
            guessed = np.full(len(tested), learnt.labels[0])
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # logistic regression and MLP say that they could go on learning
                guessed = classifier.fit(learnt.features, learnt.labels).predict(tested.features)
        found[name] = guessed == tested.labels
    return found


def _classifiers(seed: int) -> dict[str, Any]:
    """The paper's five, with scikit-learn's defaults but for the sizes, which keep them quick."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    return {
        "decision tree": DecisionTreeClassifier(random_state=seed),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, random_state=seed)),
        "random forest": RandomForestClassifier(n_estimators=60, random_state=seed, n_jobs=1),
        "gradient boosting": HistGradientBoostingClassifier(
            max_iter=40, l2_regularization=1.0, early_stopping=False, random_state=seed
        ),
        "MLP": make_pipeline(StandardScaler(), MLPClassifier((50,), max_iter=25, random_state=seed)),
    }


def _verdict(cut: Cut) -> Verdict:
    if not cut.says_something:
        sentence = f"learning from A is right in {cut.mean('train'):.1%}, no better than naming the most frequent label"
        return Verdict(USE, None, sentence)
    share = cut.mean("synthetic") / cut.mean("train")
    balanced_share = cut.mean("synthetic", 1) / cut.mean("train", 1)
    sentence = (
        f"records parted {cut.name}, learning from S is right in {cut.mean('synthetic'):.1%} of real ones, learning "
        f"from A in {cut.mean('train'):.1%}; good is at least {MIN_ACCURACY_SHARE:.0%} of A's accuracy, also averaged "
        f"over labels (here {share:.0%} and {balanced_share:.0%})"
    )
    return Verdict(USE, share >= MIN_ACCURACY_SHARE and balanced_share >= MIN_ACCURACY_SHARE, sentence)
