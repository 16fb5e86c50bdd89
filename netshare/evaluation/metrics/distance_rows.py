"""The rows of distances in a report: every field by every distance, beside the floor, with 95% intervals.

A is the real trace that was trained on, B held-back real traffic, S the synthetic trace and A* a row bootstrap of A (as
many records, drawn with replacement). Every distance d(S, B) stands beside the floor d(A, B), what two real traces
differ by, and beside d(A*, B), which shows what a distance pays for plain copying.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from netshare.evaluation.metrics.distances import geometric_mean, ratio_to_floor, scaled_across
from netshare.evaluation.metrics.fields import FieldSpec, TraceView
from netshare.evaluation.metrics.intervals import Bounds, Interval, interval_around, log_ratios
from netshare.evaluation.metrics.measures import PAPER_EMD, PAPER_MEASURES, TimeFrame
from netshare.evaluation.metrics.redraws import Compared, redrawn_distances

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class DistanceRow:
    """One distance of one field, to the held-back real trace B.

    `synthetic` is d(S, B), `floor` d(A, B), `bootstrap` the mean of d(A*, B) over row bootstraps A* of A (None if none
    were asked for); `ratio` is d(S, B) / d(A, B), `bootstrap_ratio` d(A*, B) / d(A, B). For the papers' distances
    `to_train` is d(S, A), which is what the papers report. `n_*` count the values compared.
    `interval`, `ratio_interval`, `floor_interval` and `to_train_interval` are 95% confidence intervals of `synthetic`,
    `ratio`, `floor` and `to_train` (bootstrap by flow).
    """

    field: str
    title: str
    measure: str
    of: str
    synthetic: float
    floor: float
    bootstrap: float | None
    ratio: float
    bootstrap_ratio: float | None
    n_synthetic: int
    n_train: int
    n_holdout: int
    unit: str = ""
    to_train: float | None = None
    interval: Bounds | None = None
    ratio_interval: Bounds | None = None
    floor_interval: Bounds | None = None
    to_train_interval: Bounds | None = None

    def within(self, interval: Interval) -> DistanceRow:
        """The same row with the bounds of all its figures."""
        return replace(
            self,
            interval=interval.around(self.synthetic),
            ratio_interval=interval.around_ratio(self.ratio),
            floor_interval=interval.around_floor(self.floor),
            to_train_interval=None if self.to_train is None else interval.around_to_train(self.to_train),
        )


@dataclass(frozen=True)
class PaperMean:
    """The papers' summary figures: mean JSD in nats, and mean earth mover's distance scaled to [0.1, 0.9].

    The scaling runs, field by field, over the candidates synthetic, training trace, bootstrap (if there is one), each
    compared with B; it says who is nearer, not how near. `*_interval` are 95% intervals, flows drawn again (none for the
    bootstrap, which is itself drawn again).
    """

    candidate: str
    mean_jsd: float
    jsd_fields: int
    mean_emd_scaled: float
    emd_fields: int
    mean_jsd_interval: Bounds | None = None
    mean_emd_scaled_interval: Bounds | None = None


@dataclass(frozen=True)
class FieldDistances:
    """All distances of one comparison: ours, the papers', the papers' means, and the interval of our overall ratio."""

    ours: tuple[DistanceRow, ...]
    papers: tuple[DistanceRow, ...]
    paper_means: tuple[PaperMean, ...]
    ratio_interval: Bounds | None


def field_distances(
    specs: Sequence[FieldSpec],
    views: Mapping[str, TraceView],
    values: Mapping[str, Values],
    copies: Sequence[Values],
    redraws: int,
    seed: int,
) -> FieldDistances:
    """Every distance of every field.

    Args:
        specs: the fields to compare.
        views: `"train"`, `"holdout"`, `"synthetic"`.
        values: what `fields.extract` took from each of them.
        copies: the same of each row bootstrap of A; empty for none.
        redraws: how often flows are drawn again for the intervals, 2 or more; 0 for no intervals.
        seed: of the redraws.
    """
    ours: list[Compared] = [(spec, measure) for spec in specs for measure in spec.measures]
    papers: list[Compared] = [(spec, spec.paper) for spec in specs if spec.paper is not None]
    frame = views["train"].frame
    rows = [_row(each, values, copies, frame) for each in (*ours, *papers)]
    if not redraws:
        return FieldDistances(tuple(rows[: len(ours)]), tuple(rows[len(ours) :]), paper_means(rows[len(ours) :]), None)
    intervals = redrawn_distances([*ours, *papers], views, values, redraws, seed)
    rows = [row.within(interval) for row, interval in zip(rows, intervals, strict=True)]
    draws = [interval.draws for interval in intervals if interval.draws is not None]
    logs = [log_ratios(each[:, 0], each[:, 1]) for each in draws[: len(ours)]]
    deviation = float(np.mean(logs, axis=0).std(ddof=1)) if ours else 0.0
    overall = geometric_mean([row.ratio for row in rows[: len(ours)]])
    return FieldDistances(
        tuple(rows[: len(ours)]),
        tuple(rows[len(ours) :]),
        paper_means(rows[len(ours) :], draws[len(ours) :]),
        Interval(0.0, deviation).around_ratio(overall),
    )


def _row(compared: Compared, values: Mapping[str, Values], copies: Sequence[Values], frame: TimeFrame) -> DistanceRow:
    spec, measure = compared
    a, b, s = (values[role][spec.name] for role in ("train", "holdout", "synthetic"))
    floor, distance = measure.of_values(a, b, frame), measure.of_values(s, b, frame)
    copied = [measure.of_values(copy[spec.name], b, frame) for copy in copies]
    mean_copied = float(np.mean(copied)) if copied else None
    return DistanceRow(
        field=spec.name,
        title=spec.title,
        measure=measure.text,
        of=spec.of,
        synthetic=distance,
        floor=floor,
        bootstrap=mean_copied,
        ratio=ratio_to_floor(distance, floor),
        bootstrap_ratio=None if mean_copied is None else ratio_to_floor(mean_copied, floor),
        n_synthetic=len(s),
        n_train=len(a),
        n_holdout=len(b),
        unit=spec.unit if measure is PAPER_EMD else "",
        to_train=measure.of_values(s, a, frame) if measure in PAPER_MEASURES else None,
    )


def paper_means(rows: Sequence[DistanceRow], draws: Sequence[np.ndarray] | None = None) -> tuple[PaperMean, ...]:
    """The papers' means over their distances, of S, of A and (if there is one) of the bootstrap.

    Args:
        rows: the papers' distances.
        draws: float64[redraws, 3] of each row (`Interval.draws`); without them there are no intervals.
    """
    names = ["synthetic", "train", *(["bootstrap"] if rows and rows[0].bootstrap is not None else [])]

    def means(distances: Sequence[float], floors: Sequence[float]) -> np.ndarray:
        """float64[2, candidates]: mean JSD, mean scaled EMD."""
        jsd, emd = [], []
        for row, synthetic, floor in zip(rows, distances, floors, strict=True):
            candidates = [synthetic, floor, *([] if row.bootstrap is None else [row.bootstrap])]
            if row.measure == PAPER_EMD.text:
                emd.append(scaled_across(candidates))
            else:
                jsd.append(candidates)
        return np.array([np.mean(each, axis=0) for each in (jsd, emd)])

    jsd, emd = means([row.synthetic for row in rows], [row.floor for row in rows])
    movers = sum(row.measure == PAPER_EMD.text for row in rows)
    found = [PaperMean(n, float(jsd[i]), len(rows) - movers, float(emd[i]), movers) for i, n in enumerate(names)]
    if draws is None:
        return tuple(found)
    redraws = np.array(draws).transpose(1, 2, 0).tolist()  # [redraws, 3, rows]
    again = np.array([means(distances, floors) for distances, floors, _ in redraws])
    return tuple(
        mean
        if mean.candidate == "bootstrap"
        else replace(
            mean,
            mean_jsd_interval=interval_around(mean.mean_jsd, again[:, 0, i], 0.0),
            mean_emd_scaled_interval=interval_around(mean.mean_emd_scaled, again[:, 1, i], 0.1, 0.9),
        )
        for i, mean in enumerate(found)
    )
