"""How close synthetic series are to real ones: `evaluate_series(train, synthetic, holdout)` gives a `SeriesReport`.

As for traces, every distance d(S, B) to held-back series B stands beside the floor d(A, B), A the series that were
trained on, and what lies nearer to A than real series do was copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from netshare.evaluation.intervals import Interval, interval_around, median_ratio_interval
from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.distances import RATIO_FLOOR, geometric_mean, ratio_to_floor
from netshare.evaluation.metrics.neighbours import DISTANCE_HEADS, distance_rows, distances_in_figures, nearest
from netshare.evaluation.metrics.series_features import (
    MEASURE_TEXT,
    Feature,
    distance,
    features_of,
    with_common_categories,
)
from netshare.evaluation.render.series_charts import nearest_chart, series_charts
from netshare.evaluation.report import CLOSE, SCHEMA_VERSION, DistanceRow, Finding, TraceSize, as_json, percent
from netshare.evaluation.section import Section, Table, said
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.timeseries.table import TimeSeries, split_series

SEGMENTS = 24  # of a series, whose means are compared with those of its nearest neighbour
MOST_SERIES = 2000  # whose neighbours are sought
NEAR = 0.8  # a median ratio below it says that series of A are repeated
ROLES = ("train", "holdout", "synthetic")


@dataclass(frozen=True)
class SeriesReport:
    """All figures about synthetic series; see `evaluate_series`."""

    seed: int
    sizes: dict[str, TraceSize]
    notes: tuple[str, ...]
    distances: tuple[DistanceRow, ...]
    neighbours: Section
    charts: tuple[Chart, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    ratio_interval: tuple[float, float] | None = None

    @property
    def ratio(self) -> float:
        """Geometric mean of d(S, B) / d(A, B) over all distances: 1 is as close as real to real."""
        return geometric_mean([row.ratio for row in self.distances])

    @property
    def autocorrelation_errors(self) -> dict[str, dict[str, Any]]:
        """Measurement -> mean squared error of its autocorrelation to B's, of S and of A (the paper's figure), with 95%
        intervals where there are any."""
        rows = [row for row in self.distances if row.measure == MEASURE_TEXT["curve"]]
        return {
            row.field.removesuffix(" autocorrelation"): {
                "synthetic": row.synthetic**2,
                "synthetic_interval": None if row.interval is None else [bound**2 for bound in row.interval],
                "train": row.floor**2,
                "train_interval": None if row.floor_interval is None else [bound**2 for bound in row.floor_interval],
            }
            for row in rows
        }

    def verdict(self) -> list[Finding]:
        """The findings in plain words: fidelity, copying."""
        worst = sorted(self.distances, key=lambda row: -row.ratio)[:3]
        named = ", ".join(f"{row.title} ({row.ratio:.1f})" for row in worst if row.ratio > CLOSE)
        within = "" if self.ratio_interval is None else "({:.2f} to {:.2f}) ".format(*self.ratio_interval)
        sentence = (
            f"Distances to held-back real series are {self.ratio:.2f} {within}times the training series' own, on the geometric "
            f"mean over {len(self.distances)} distances" + (f". Furthest off: {named}." if named else ".")
        )
        figures = self.neighbours.figures
        ratio, identical = figures["median_ratio"], figures["identical"]
        copying = (
            f"A synthetic series lies {ratio:.2f} times as far from the nearest training series as a held-back real one "
            f"does (median); {percent(identical['synthetic'])} repeat one exactly (real: {percent(identical['holdout'])})."
        )
        return [
            Finding("Fidelity", sentence, self.ratio > CLOSE),
            Finding("Copying", copying, ratio < NEAR or identical["synthetic"] > identical["holdout"] + 0.01),
        ]

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON-able values; a figure that does not exist is null."""
        return as_json(
            {
                "schema_version": SCHEMA_VERSION,
                "kind": "series",
                "seed": self.seed,
                "sizes": {
                    role: {
                        "records": size.records, "series": size.flows,
                        "compared_records": size.compared_records, "compared_series": size.compared_flows,
                    }
                    for role, size in self.sizes.items()
                },
                "notes": list(self.notes),
                "geometric_mean_ratio": self.ratio,
                "geometric_mean_ratio_interval": self.ratio_interval,
                "distances": [asdict(row) for row in self.distances],
                "autocorrelation_errors": self.autocorrelation_errors,
                "neighbours": self.neighbours.to_json(),
                "extra": self.extra,
            }
        )  # fmt: skip

    def summary(self) -> str:
        """The findings and all distances as plain text for a terminal."""
        lines = [f"{finding.heading}: {finding.sentence}" for finding in self.verdict()]
        lines += ["", f"{'compared':<48} {'measure':<32} {'d(S,B)':>9} {'d(A,B)':>9} {'ratio':>7}"]
        lines += [
            f"{row.title:<48} {row.measure:<32} {row.synthetic:9.4f} {row.floor:9.4f} {row.ratio:7.2f}"
            for row in self.distances
        ]
        return "\n".join([*lines, "", *(f"Note: {note}" for note in self.notes)])


def evaluate_series(
    train: TimeSeries,
    synthetic: TimeSeries,
    holdout: TimeSeries | None = None,
    *,
    extra: Mapping[str, Any] | None = None,
    seed: int = 0,
    redraws: int = 20,
) -> SeriesReport:
    """All figures about synthetic series.

    Args:
        train: the real series A that the model was trained on.
        synthetic: the synthetic ones.
        holdout: real series B that the model has not seen; without them A is halved, and distances are flattering.
        extra: settings, training figures and the like, shown as they are.
        seed: of the draws that make the sets equally large, and of the bootstrap.
        redraws: how often whole series are drawn again, with replacement, for the distances' confidence intervals; 0
            for no intervals.

    Raises:
        InputError: there are no series, or they have other columns than the training series.
        ConfigError: `seed` is negative.
    """
    if seed < 0:
        raise ConfigError(f"seed: found {seed}, give 0 or more")
    notes: list[str] = []
    real = train
    if holdout is None:
        real, second = split_series(train, 0.5, seed)
        holdout = second if second is not None else train
        notes.append("No held-back series were given: A and B are halves of the training series, which flatters S.")
    for name, each in (("synthetic", synthetic), ("held-back", holdout)):
        _check(name, each, train)
    whole = dict(zip((*ROLES, "all"), with_common_categories([real, holdout, synthetic, train]), strict=True))
    rng = np.random.default_rng(seed)
    fewest = min(len(whole[role]) for role in ROLES)
    compared = {role: _drawn(whole[role], fewest, rng) for role in ROLES}
    if fewest < 100:
        notes.append(f"Only {fewest} series of each set are compared: every distance is unsteady.")
    features = {role: features_of(each, compared["holdout"]) for role, each in compared.items()}
    rows = tuple(_row(features, name) for name in features["holdout"])
    rows, within = _with_intervals(rows, compared, redraws, rng)
    neighbours, chart = _neighbours(whole["all"], compared["holdout"], compared["synthetic"], rng)
    return SeriesReport(
        seed=seed,
        sizes={
            role: TraceSize(int(whole[role].offsets[-1]), len(whole[role]), int(each.offsets[-1]), fewest)
            for role, each in compared.items()
        },
        notes=tuple(notes),
        distances=rows,
        neighbours=neighbours,
        charts=(*series_charts(features, compared["holdout"].categories), chart),
        extra=dict(extra or {}),
        ratio_interval=within,
    )


def _with_intervals(
    rows: tuple[DistanceRow, ...], compared: Mapping[str, TimeSeries], redraws: int, rng: np.random.Generator
) -> tuple[tuple[DistanceRow, ...], tuple[float, float] | None]:
    """The rows with 95% intervals, and that of the ratios' geometric mean, by drawing series again in all three sets.

    As for traces, an interval is made of the standard deviation of the redrawn distances (see `intervals`).
    """
    if redraws == 0:
        return rows, None
    found = np.full((redraws, len(rows), 2), np.nan)
    for draw in range(redraws):
        again = {role: each.take(rng.integers(0, len(each), len(each))) for role, each in compared.items()}
        features = {role: features_of(each, compared["holdout"]) for role, each in again.items()}
        for i, row in enumerate(rows):
            if all(row.field in each for each in features.values()):
                redrawn = _row(features, row.field)
                found[draw, i] = redrawn.synthetic, redrawn.floor
    logs = np.log(np.maximum(found[:, :, 0], RATIO_FLOOR) / np.maximum(found[:, :, 1], RATIO_FLOOR))
    deviations, log_deviations = np.nanstd(found[:, :, 0], axis=0, ddof=1), np.nanstd(logs, axis=0, ddof=1)
    told = [Interval(float(d), float(log)) for d, log in zip(deviations, log_deviations, strict=True)]
    floors = [interval_around(row.floor, found[:, i, 1], 0.0) for i, row in enumerate(rows)]
    overall = Interval(0.0, float(np.nanstd(np.nanmean(logs, axis=1), ddof=1)))
    whole = tuple(
        replace(
            row,
            interval=each.around(row.synthetic),
            ratio_interval=each.around_ratio(row.ratio),
            floor_interval=floor,
        )
        for row, each, floor in zip(rows, told, floors, strict=True)
    )
    return whole, overall.around_ratio(geometric_mean([row.ratio for row in rows]))


def _check(name: str, series: TimeSeries, train: TimeSeries) -> None:
    if not len(series):
        raise InputError(f"{name} series: there are none, nothing can be compared")
    for side in ("metadata", "measurements"):
        own, wanted = getattr(series, side), getattr(train, side)
        if missing := [column for column in wanted if column not in own]:
            raise InputError(f"{name} series: no {side} column {missing[0]}, which the training series have")
        if other := [c for c in wanted if (series.kinds[c] == "categorical") != (train.kinds[c] == "categorical")]:
            raise InputError(
                f"{name} series: {other[0]} is {series.kinds[other[0]]}, in training {train.kinds[other[0]]}"
            )


def _drawn(series: TimeSeries, count: int, rng: np.random.Generator) -> TimeSeries:
    return series if len(series) == count else series.take(np.sort(rng.permutation(len(series))[:count]))


def _row(features: dict[str, dict[str, Feature]], name: str) -> DistanceRow:
    a, b, s = (features[role][name] for role in ("train", "holdout", "synthetic"))
    same = {role: Feature(f.name, f.title, f.of, b.measure, f.values, f.classes) for role, f in (("a", a), ("s", s))}
    ours, floor = distance(same["s"], b), distance(same["a"], b)
    return DistanceRow(
        field=name, title=b.title, measure=MEASURE_TEXT[b.measure], of=b.of, synthetic=ours, floor=floor, bootstrap=None,
        ratio=ratio_to_floor(ours, floor), bootstrap_ratio=None, n_synthetic=len(s.values), n_train=len(a.values),
        n_holdout=len(b.values),
    )  # fmt: skip


def _neighbours(
    train: TimeSeries, holdout: TimeSeries, synthetic: TimeSeries, rng: np.random.Generator
) -> tuple[Section, Chart]:
    """How near synthetic and held-back series come to training series, on standardised outlines."""
    described = [_outlines(each, train) for each in (train, holdout, synthetic)]
    middle, spread = described[0].mean(axis=0), described[0].std(axis=0)
    spread[spread < 1e-9] = 1.0
    known, held, made = ((each - middle) / spread for each in described)
    to_train = {
        role: nearest(each[rng.permutation(len(each))[:MOST_SERIES]], known)
        for role, each in (("holdout", held), ("synthetic", made))
    }
    distances = distances_in_figures(to_train, rng)
    medians = distances["median"]
    within = median_ratio_interval(to_train["synthetic"], to_train["holdout"], rng)
    ratio = medians["synthetic"] / medians["holdout"] if medians["holdout"] > 0 else float("nan")
    table = Table(
        "Distance to the nearest training series",
        DISTANCE_HEADS,
        distance_rows(distances),
        f"Median of S over median of B: {ratio:.2f} ({said(within[0])} to {said(within[1])}); well below 1 says that "
        "training series were repeated.",
    )
    figures = {"median_ratio": ratio, "median_ratio_interval": within, **distances}
    text = (
        f"Series as {SEGMENTS} means over equal parts of their length, on a logarithmic scale, with their metadata; "
        "standardised, Euclidean."
    )
    records = {
        "train": int(train.offsets[-1]),
        "holdout": int(holdout.offsets[-1]),
        "synthetic": int(synthetic.offsets[-1]),
    }
    section = Section("neighbours", "Nearest training series", text, (table,), figures=figures, records=records)
    return section, nearest_chart(to_train)


def _outlines(series: TimeSeries, reference: TimeSeries) -> np.ndarray:
    """float64[n_series, d]: metadata, length, and the outline of every measurement."""
    columns = [np.log(series.lengths.astype(np.float64))[:, None]]
    for side in (series.metadata, series.measurements):
        for name in side:
            records = name in series.measurements
            if series.kinds[name] == "categorical":
                texts = len(series.categories[name])
                for code in range(min(texts, 20)):
                    is_code = (side[name] == code).astype(np.float64)
                    columns.append(_segments(is_code, series.offsets) if records else is_code[:, None])
                continue
            known = reference.measurements[name] if records else reference.metadata[name]
            scale = float(np.median(np.abs(known))) or 1.0
            values = np.arcsinh(side[name] / scale)
            columns.append(_segments(values, series.offsets) if records else values[:, None])
    return np.hstack(columns)


def _segments(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """float64[n_series, SEGMENTS]: means over equal parts of each series (the value nearby where a part holds none)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    lengths = np.diff(offsets)
    low = offsets[:-1, None] + lengths[:, None] * np.arange(SEGMENTS) // SEGMENTS
    high = np.maximum(offsets[:-1, None] + lengths[:, None] * np.arange(1, SEGMENTS + 1) // SEGMENTS, low + 1)
    return (total[high] - total[low]) / (high - low)
