"""What `evaluate` takes, and what its reports offer."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from netshare.evaluation import Provenance, Report, Resampling, SeriesReport, evaluate, split_by_flow
from netshare.evaluation.figures.findings import percent
from netshare.evaluation.figures.json_values import as_json
from netshare.postprocess import write_trace
from netshare.preprocess.errors import ConfigError, InputError
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace
from tests.netshare.evaluation.test_series_report import series

FAST = Resampling(bootstrap=0, redraws=2)


def test_paths_and_traces_give_the_same_report(tmp_path):
    train, holdout = split_by_flow(packet_trace(200), 0.5, 0)
    half = len(train) // 2
    pieces = [train.take(np.arange(half)), train.take(np.arange(half, len(train)))]
    for name, trace in (("b", holdout), ("one", pieces[0]), ("two", pieces[1])):
        write_trace(trace, tmp_path / f"{name}.parquet")
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    read = evaluate(paths, str(tmp_path / "b.parquet"), tmp_path / "b.parquet", resampling=FAST, tasks=None)
    assert read.to_json() == evaluate(train, holdout, holdout, resampling=FAST, tasks=None).to_json()
    with pytest.raises(InputError, match="no such file"):
        evaluate(tmp_path / "missing.pcap", train)


def test_series_give_a_report_on_series(tmp_path):
    report = evaluate(
        series(40, 1), series(40, 2), series(40, 3), resampling=FAST, provenance=Provenance(extra={"steps": 7})
    )
    assert isinstance(report, SeriesReport)
    assert report.extra == {"steps": 7}
    report.to_html(tmp_path / "report.html")
    assert "Synthetic series" in (tmp_path / "report.html").read_text()
    assert "Fidelity" in report._repr_html_()


@pytest.mark.parametrize(
    "three", [(series(9), packet_trace(9)), (packet_trace(9), series(9)), (series(9), series(9), "x")]
)
def test_traces_and_series_are_not_mixed(three):
    with pytest.raises(ConfigError, match="series"):
        evaluate(*three)


@pytest.mark.parametrize(
    "inapplicable", [{"tasks": ["pairs"]}, {"provenance": Provenance(repairs={"ports": 1})}], ids=["tasks", "repairs"]
)
def test_what_is_for_traces_only_is_refused_for_series(inapplicable):
    with pytest.raises(ConfigError, match="traces only"):
        evaluate(series(20, 1), series(20, 2), **inapplicable)


@pytest.mark.parametrize("kind", [Report, SeriesReport])
def test_every_field_is_described(kind):
    described = {line.split(":")[0].strip() for line in (kind.__doc__ or "").splitlines() if ":" in line}
    assert {each.name for each in fields(kind)} <= described


def test_a_notebook_shows_a_short_summary():
    trace = flow_trace(200, labels=("<b>", "x"))
    report = evaluate(trace, trace, trace, resampling=FAST, tasks=["pairs"])
    shown = report._repr_html_()
    assert [shown.count(f"<b>{finding.heading}:</b>") for finding in report.verdict()] == [1, 1, 1]
    assert all(verdict.use in shown for verdict in report.uses())
    assert len(shown) < 5000


def test_shares_are_never_rounded_to_all_or_none():
    shares = (0.0, 0.0004, 0.5, 0.9994, 0.999999, 1.0, float("nan"))
    assert [percent(s) for s in shares] == ["0.0%", "<0.1%", "50.0%", "99.940%", "99.999%", "100.0%", "n/a"]


def test_any_figure_becomes_json():
    figures = {1: np.float32(0.5), "a": (np.nan, np.inf, np.arange(2)), "p": Path("x"), "b": True, "n": None}
    found = as_json(figures)
    assert found == {"1": 0.5, "a": [None, None, [0, 1]], "p": "x", "b": True, "n": None}
    json.dumps(found, allow_nan=False)
