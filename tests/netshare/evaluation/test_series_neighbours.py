"""Nearest training series, and the intervals of distances between series."""

from dataclasses import replace

import numpy as np
import pytest

from netshare.evaluation.metrics.series_charts import series_charts
from netshare.evaluation.metrics.series_distances import rows_with_intervals, series_drawn_again, series_row
from netshare.evaluation.metrics.series_features import features_of
from netshare.evaluation.tasks.series_neighbours import series_neighbours
from tests.netshare.evaluation.test_series_report import series


def test_copies_lie_at_distance_0_and_scaled_copies_far_off():
    train, holdout = series(60, 1), series(60, 2)
    section, chart = series_neighbours(train, holdout, train.take(np.arange(20)), np.random.default_rng(0))
    assert section.figures["identical"] == {"holdout": 0, "synthetic": 1}
    assert section.figures["median_ratio"] == pytest.approx(0, abs=1e-9)
    assert section.records == {"train": 60 * 56, "holdout": 60 * 56, "synthetic": 20 * 56}
    assert set(chart.series) == {"holdout", "synthetic"}
    far = replace(holdout, measurements={name: values * 1000 for name, values in holdout.measurements.items()})
    section, _ = series_neighbours(train, holdout, far, np.random.default_rng(0))
    assert section.figures["median_ratio"] > 2


def test_rows_hold_their_figures_within_intervals():
    compared = {role: series(60, seed) for seed, role in enumerate(("train", "holdout", "synthetic"))}
    features = {role: features_of(each, compared["holdout"]) for role, each in compared.items()}
    rows = tuple(series_row(features, name) for name in features["holdout"])
    assert rows_with_intervals(rows, compared, 0, np.random.default_rng(0)) == (rows, None)
    found, overall = rows_with_intervals(rows, compared, 5, np.random.default_rng(0))
    for row in found:
        assert row.interval[0] <= row.synthetic <= row.interval[1]
        assert row.floor_interval[0] <= row.floor <= row.floor_interval[1]
    assert overall is not None and overall[0] < overall[1]
    assert {row.field for row in rows} >= {"plan", "age", "load", "load autocorrelation", "load total by plan"}


def test_series_are_drawn_again_whole():
    given = series(30)
    again = series_drawn_again(given, np.random.default_rng(0))
    first = {tuple(given.measurements["load"][start : start + 3]) for start in given.offsets[:-1]}
    assert len(again) == len(given)
    assert {tuple(again.measurements["load"][start : start + 3]) for start in again.offsets[:-1]} < first


def test_every_feature_but_pairs_of_categories_has_a_chart():
    compared = {role: series(40, seed) for seed, role in enumerate(("train", "holdout", "synthetic"))}
    features = {role: features_of(each, compared["holdout"]) for role, each in compared.items()}
    charts = series_charts(features, compared["holdout"].categories)
    assert {chart.name.removesuffix("_bars") for chart in charts} == set(features["holdout"])
    assert all(set(chart.series) == set(compared) for chart in charts)
