"""Figures about series: what is alike scores as such, and each way of being unlike is found by the figure that is for it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netshare.config.load import load_config
from netshare.evaluation.evaluate_series import evaluate_series
from netshare.evaluation.metrics.series_features import correlations, with_common_categories
from netshare.evaluation.render.series_html import write_series_html
from netshare.preprocess.errors import InputError
from netshare.preprocess.timeseries import TimeSeries, read_series

LENGTH = 56


def series(count=300, seed=0):
    rng = np.random.default_rng(seed)
    big = rng.random(count) < 0.4
    level = np.exp(np.where(big, 5, 2) + rng.normal(0, 1, count))[:, None]
    week = 1 + 0.5 * np.sin(2 * np.pi * np.arange(LENGTH) / 7)
    load = level * week * rng.lognormal(0, 0.1, (count, LENGTH))
    return TimeSeries(
        {"plan": big.astype(np.int32), "age": rng.integers(18, 80, count)},
        {"load": load.ravel(), "errors": np.rint(load / level * 10).ravel().astype(np.int64)},
        np.arange(count + 1) * LENGTH,
        {"plan": "categorical", "age": "integer", "load": "continuous", "errors": "integer"},
        {"plan": ("small", "big")},
    )


def ratios(synthetic):
    report = evaluate_series(series(seed=1), synthetic, series(seed=2))
    return {row.field: row.ratio for row in report.distances}, report


def test_more_of_the_same_is_as_close_as_real_series_are():
    found, report = ratios(series(seed=3))
    assert report.ratio < 1.5
    assert max(found.values()) < 4
    assert report.neighbours.figures["median_ratio"] == pytest.approx(1, abs=0.1)
    assert not any(finding.warns for finding in report.verdict())


def test_shuffled_records_lose_their_autocorrelation_and_nothing_else():
    made = series(seed=3)
    rng = np.random.default_rng(0)
    order = np.argsort(rng.random((len(made), LENGTH)), axis=1) + made.offsets[:-1, None]
    found, report = ratios(
        replace(made, measurements={name: values[order.ravel()] for name, values in made.measurements.items()})
    )
    assert found["load autocorrelation"] > 20
    assert found["load"] < 2
    assert found["load total by plan"] < 2
    share = 0.125 / (0.125 + 1.125 * 0.01)  # of a series' variance that is its sine's; the rest is noise
    assert report.autocorrelation_errors["load"]["synthetic"] == pytest.approx(share**2 / 2, abs=0.05)


def test_swapped_classes_are_found_in_the_totals_alone():
    made = series(seed=3)
    plan = np.random.default_rng(0).permutation(made.metadata["plan"])
    found, _ = ratios(replace(made, metadata={**made.metadata, "plan": plan}))
    assert found["load total by plan"] > 4
    assert found["plan"] < 2
    assert found["load"] < 2


def test_unlinked_measurements_are_found_in_their_correlation():
    made, other = series(seed=3), series(seed=4)
    rng = np.random.default_rng(0)
    errors = rng.permutation(other.measurements["errors"])
    found, _ = ratios(replace(made, measurements={"load": made.measurements["load"], "errors": errors}))
    assert found["correlation load errors"] > 10


def test_copies_are_found():
    _, report = ratios(series(seed=1))
    assert report.neighbours.figures["identical"] == {"holdout": 0.0, "synthetic": 1.0}
    assert report.verdict()[1].warns


def test_correlations_are_pearsons():
    one, other = np.array([1.0, 2, 3, 5, 5, 1, 2]), np.array([2.0, 4, 6, 1, 2, 1, 0])
    found = correlations(one, other, np.array([0, 3, 5, 7]))
    assert found.tolist() == pytest.approx([1, -1])  # the middle one is constant


def test_categories_of_files_read_apart_are_matched(tmp_path):
    (tmp_path / "a.csv").write_text("k,c,v\n1,x,1\n1,x,2\n2,z,1\n")
    (tmp_path / "b.csv").write_text("k,c,v\n1,y,1\n1,y,2\n2,z,1\n")
    a, b = with_common_categories([read_series(tmp_path / f"{name}.csv", key="k") for name in "ab"])
    assert a.categories == b.categories
    assert (a.texts("c").tolist(), b.texts("c").tolist()) == (["x", "z"], ["y", "z"])


def test_other_columns_are_refused():
    made = series()
    with pytest.raises(InputError, match="no metadata column age"):
        evaluate_series(series(), replace(made, metadata={"plan": made.metadata["plan"]}))


def test_without_held_back_series_the_report_says_so(tmp_path):
    report = evaluate_series(series(60), series(60, 1))
    assert "flatters" in report.notes[0]
    json.dumps(report.to_json(), allow_nan=False)
    write_series_html(report, tmp_path / "r.html")
    assert "flatters" in (tmp_path / "r.html").read_text()


def test_the_quickstart_names_a_table_that_is_there():
    config = load_config(Path(__file__).parents[3] / "configs" / "quickstart-timeseries.json")
    links = read_series(config.input.files, key=config.series.key, order=config.series.order)
    assert list(links.metadata) == ["use", "capacity_mbps", "day.start"]
    assert list(links.measurements) == ["day.step", "gigabytes", "drops"]
    assert len(links) == 160
    assert config.generator.autoregressive.continuous_bins == 64  # of the preset
