"""Nothing of a user's is destroyed from Python either: every public function that writes, against a file that is there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netshare.evaluation import evaluate, write_html, write_json, write_markdown
from netshare.evaluation.evaluate_series import evaluate_series
from netshare.evaluation.render.series_html import write_series_html
from netshare.postprocess import flows_from_packets, repair, write_trace
from netshare.postprocess.convert import convert
from netshare.postprocess.writers.series import write_series
from netshare.preprocess.errors import InputError
from netshare.preprocess.readers import read_trace
from netshare.preprocess.timeseries import TimeSeries, read_series
from netshare.preprocess.trace import Trace

SUFFIXES = ("pcap", "pcapng", "pcap.gz", "parquet", "csv", "log", "json")
SERIES_SUFFIXES = ("csv", "csv.gz", "parquet", "npz")
KEPT = b"something of the user's"


@pytest.fixture(scope="module")
def packets(sample_capture) -> Trace:
    return repair(read_trace(sample_capture).take(slice(0, 400)))[0]


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> TimeSeries:
    path = tmp_path_factory.mktemp("series") / "in.csv"
    rows = [f"{key},{day},{key * 7 + day * day}" for key in range(40) for day in range(5)]
    path.write_text("key,day,value\n" + "\n".join(rows) + "\n")
    return read_series(path, key="key", order="day")


@pytest.fixture(scope="module")
def reports(packets, series) -> tuple[Any, Any]:
    half = np.arange(len(packets)) % 2 == 0
    return evaluate(packets, packets.take(half)), evaluate_series(series, series, None)


WRITERS = (
    *(f"write_trace .{suffix}" for suffix in SUFFIXES),
    *(f"write_series .{suffix}" for suffix in SERIES_SUFFIXES),
    *("write_json .json", "write_html .html", "write_markdown .md", "write_series_html .html"),
    *("Report.to_html .html", "Report.to_markdown .md", "SeriesReport.to_html .html", "convert .parquet"),
)


def writer(name: str, packets: Trace, series: TimeSeries, reports: tuple[Any, Any]) -> Callable[..., Any]:
    """The function of this name, called with the file's path and `force`."""
    function, suffix = name.split(" .")
    trace, of_series = reports
    if function == "write_trace":
        data = packets if suffix.startswith(("pcap", "parquet")) else flows_from_packets(packets)
        return lambda path, **force: write_trace(data, path, **force)
    return {
        "write_series": lambda path, **force: write_series(series, path, **force),
        "write_json": lambda path, **force: write_json(trace, path, **force),
        "write_html": lambda path, **force: write_html(trace, path, **force),
        "write_markdown": lambda path, **force: write_markdown(trace, path, **force),
        "write_series_html": lambda path, **force: write_series_html(of_series, path, **force),
        "Report.to_html": trace.to_html,
        "Report.to_markdown": trace.to_markdown,
        "SeriesReport.to_html": of_series.to_html,
        "convert": lambda path, **force: convert(packets, path, **force),
    }[function]


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_exists_is_replaced_only_by_force(packets, series, reports, tmp_path, name):
    write = writer(name, packets, series, reports)
    path = tmp_path / f"out.{name.split(' .')[1]}"
    path.write_bytes(KEPT)
    with pytest.raises(InputError, match="exists already; choose another output"):
        write(path)
    assert path.read_bytes() == KEPT
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    write(path, force=True)
    assert path.read_bytes() != KEPT
    for place in (tmp_path, tmp_path / "missing" / path.name):
        with pytest.raises(InputError):
            write(place, force=True)


def test_the_description_of_three_arrays_is_kept_too(series, tmp_path):
    (tmp_path / "out.fields.json").write_bytes(KEPT)
    with pytest.raises(InputError, match=r"out\.fields\.json: exists already"):
        write_series(series, tmp_path / "out.npz")
    assert [each.name for each in tmp_path.iterdir()] == ["out.fields.json"]


@pytest.mark.parametrize("way", ["itself", "symlink", "hard link"])
@pytest.mark.parametrize("suffix", ["pcap", "csv"])
def test_a_file_that_a_trace_was_read_from_is_never_replaced(packets, tmp_path, way, suffix):
    source = tmp_path / f"in.{suffix}"
    write_trace(packets if suffix == "pcap" else flows_from_packets(packets), source)
    before, other = source.read_bytes(), tmp_path / f"other.{suffix}"
    if way == "symlink":
        other.symlink_to(source)
    elif way == "hard link":
        os.link(source, other)
    else:
        other = Path(os.path.relpath(source))
    trace = read_trace(source)
    with pytest.raises(InputError, match="is the input"):
        write_trace(trace.take(slice(0, 10)), other, force=True)
    assert source.read_bytes() == before
