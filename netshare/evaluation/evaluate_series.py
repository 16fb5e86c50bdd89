"""Compare synthetic series with real ones: `evaluate_series(train, synthetic, holdout)` gives a `SeriesReport`.

As for traces, every distance d(S, B) to held-back series B stands beside the floor d(A, B), A the series that were
trained on, and what lies nearer to A than real series do was copied.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from netshare.evaluation.figures.findings import TraceSize
from netshare.evaluation.metrics.plugins import Metric, plugin_results
from netshare.evaluation.metrics.series_charts import series_charts
from netshare.evaluation.metrics.series_distances import rows_with_intervals, series_drawn_again, series_row
from netshare.evaluation.metrics.series_features import features_of, with_common_categories
from netshare.evaluation.report import SeriesReport
from netshare.evaluation.tasks.series_neighbours import series_neighbours
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.timeseries.table import TimeSeries, split_series

ROLES = ("train", "holdout", "synthetic")
MIN_STEADY_SERIES = 100  # series of each set: below it the report warns of unsteady distances


def evaluate_series(
    train: TimeSeries,
    synthetic: TimeSeries,
    holdout: TimeSeries | None = None,
    *,
    extra: Mapping[str, Any] | None = None,
    seed: int = 0,
    redraws: int = 20,
    metrics: Collection[Metric] | None = None,
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
        metrics: metrics of one's own; None for those that are installed as plugins (see `metrics.plugins`).

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
    if fewest < MIN_STEADY_SERIES:
        notes.append(f"Only {fewest} series of each set are compared: every distance is unsteady.")
    features = {role: features_of(each, compared["holdout"]) for role, each in compared.items()}
    rows = tuple(series_row(features, name) for name in features["holdout"])
    rows, within = rows_with_intervals(rows, compared, redraws, rng)
    neighbours, chart = series_neighbours(whole["all"], compared["holdout"], compared["synthetic"], rng)
    plugins = plugin_results(
        "series", compared, lambda role, rng: series_drawn_again(compared[role], rng), redraws, seed, metrics
    )
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
        plugins=plugins,
    )


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
