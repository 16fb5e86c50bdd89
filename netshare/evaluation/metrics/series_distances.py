"""The rows of distances in a report on series, with 95% intervals: whole series are drawn again in all three sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from netshare.evaluation.metrics.distance_rows import DistanceRow
from netshare.evaluation.metrics.distances import geometric_mean, ratio_to_floor
from netshare.evaluation.metrics.intervals import Bounds, Interval, interval_around, log_ratios
from netshare.evaluation.metrics.series_features import Feature, features_of
from netshare.preprocess.timeseries.table import TimeSeries

Features = Mapping[str, Mapping[str, Feature]]  # role -> name -> feature


def series_row(features: Features, name: str) -> DistanceRow:
    """How far S lies from B in one feature, and A from B."""
    a, b, s = (features[role][name] for role in ("train", "holdout", "synthetic"))
    ours, floor = b.measure.distance(s, b), b.measure.distance(a, b)
    return DistanceRow(
        field=name,
        title=b.title,
        measure=b.measure.text,
        of=b.of,
        synthetic=ours,
        floor=floor,
        bootstrap=None,
        ratio=ratio_to_floor(ours, floor),
        bootstrap_ratio=None,
        n_synthetic=len(s.values),
        n_train=len(a.values),
        n_holdout=len(b.values),
    )


def rows_with_intervals(
    rows: tuple[DistanceRow, ...], compared: Mapping[str, TimeSeries], redraws: int, rng: np.random.Generator
) -> tuple[tuple[DistanceRow, ...], Bounds | None]:
    """The rows with 95% intervals, and the interval of their ratios' geometric mean.

    Args:
        rows: as `series_row` makes them.
        compared: `"train"`, `"holdout"`, `"synthetic"`.
        redraws: how often series are drawn again; 0 for no intervals.
        rng: what they are drawn with.
    """
    if redraws == 0:
        return rows, None
    found = np.full((redraws, len(rows), 2), np.nan)
    for draw in range(redraws):
        again = {role: series_drawn_again(each, rng) for role, each in compared.items()}
        features = {role: features_of(each, compared["holdout"]) for role, each in again.items()}
        for i, row in enumerate(rows):
            if all(row.field in each for each in features.values()):
                redrawn = series_row(features, row.field)
                found[draw, i] = redrawn.synthetic, redrawn.floor
    logs = log_ratios(found[:, :, 0], found[:, :, 1])
    deviations, log_deviations = np.nanstd(found[:, :, 0], axis=0, ddof=1), np.nanstd(logs, axis=0, ddof=1)
    intervals = [Interval(float(d), float(log)) for d, log in zip(deviations, log_deviations, strict=True)]
    whole = tuple(
        replace(row.within(each), floor_interval=interval_around(row.floor, found[:, i, 1], 0.0))
        for i, (row, each) in enumerate(zip(rows, intervals, strict=True))
    )
    overall = Interval(0.0, float(np.nanstd(np.nanmean(logs, axis=1), ddof=1)))
    return whole, overall.around_ratio(geometric_mean([row.ratio for row in rows]))


def series_drawn_again(series: TimeSeries, rng: np.random.Generator) -> TimeSeries:
    """As many series, drawn with replacement."""
    return series.take(rng.integers(0, len(series), len(series)))
