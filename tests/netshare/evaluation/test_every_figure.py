"""Every figure of a report stands with the number of records behind it and a 95% interval; tables show no others."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from netshare.evaluation import Resampling, evaluate, split_by_flow
from netshare.evaluation.evaluate_series import evaluate_series
from netshare.preprocess.trace import Trace
from tests.netshare.evaluation.evaluation_traces import flow_trace
from tests.netshare.evaluation.test_series_report import series

Path = tuple[str, ...]

# a figure's interval is named after it, `X_interval` beside `X` (a mapping beside a mapping), but for these older names
NAMED_OTHERWISE = {"synthetic": "interval", "share": "interval", "holdout_share": "holdout_interval"}
# what counts the values behind a figure, in the same object or in one around it
COUNTS = {"n_synthetic", "synthetic_total", "tested", "records"}
OF_ALL = {"geometric_mean_ratio", "paper_means", "autocorrelation_errors"}  # counted by `sizes`
WITHOUT = {
    r"schema_version|seed|bootstraps": "settings",
    r".*(runs|threshold|memory|packets_a_vector|window_seconds)(\..*)?": "settings of a task",
    r"sizes\..*|.*\.records\..*": "counts",
    r".*\.(n_\w+|\w+_total|\w+_found|tested|passed|\w+_fields|claims|claims_holdout|training|candidates|connections|"
    r"segments)": "counts",
    r".*\.(learnt|judged|compared|flows|heavy_hitters)\.\w+": "counts",
    r".*bootstrap(_ratio)?": "the reference that is itself a mean over bootstraps, as many as `bootstraps` says",
    r"paper_means\.2\..*": "the same, as a candidate of the papers' means",
    r".*membership_standard_error": "itself the width of an interval",
}


@pytest.fixture(scope="module")
def packet_report(isp_packets: Trace) -> dict[str, Any]:
    return report(isp_packets)


def report(trace: Trace) -> dict[str, Any]:
    train, rest = split_by_flow(trace, 1 / 3, 0)
    holdout, synthetic = split_by_flow(rest, 0.5, 1)
    return evaluate(train, synthetic, holdout, resampling=Resampling(1, 5)).to_json()


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, float]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from leaves(each, (*path, str(i)))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def at(whole: Any, path: Path) -> Any:
    for key in path:
        if isinstance(whole, list):
            whole = whole[int(key)] if key.isdigit() and int(key) < len(whole) else None
        else:
            whole = whole.get(key) if isinstance(whole, dict) else None
    return whole


def interval_of(whole: Any, path: Path) -> Any:
    for i in range(len(path) - 1, -1, -1):
        names = {f"{path[i]}_interval", NAMED_OTHERWISE.get(path[i])} - {None}
        for name in sorted(names):
            found = at(whole, (*path[:i], name, *path[i + 1 :]))
            if isinstance(found, list) and len(found) == 2:
                return found
    return None


def is_counted(whole: Any, path: Path) -> bool:
    if path[0] in OF_ALL:
        return "sizes" in whole
    return any(COUNTS & set(holder) for i in range(1, len(path)) if isinstance(holder := at(whole, path[:i]), dict))


def figures_of(whole: dict[str, Any]) -> Iterator[tuple[Path, float]]:
    for path, value in leaves(whole):
        inside_interval = any(key == "interval" or key.endswith("_interval") for key in path)
        if not inside_interval and "tables" not in path and not excused(path):
            yield path, value


def excused(path: Path) -> bool:
    return any(re.fullmatch(pattern, ".".join(path)) for pattern in WITHOUT)


def check_all(whole: dict[str, Any]) -> int:
    checked = 0
    for path, value in figures_of(whole):
        assert is_counted(whole, path), f"{'.'.join(path)}: no number of records"
        found = interval_of(whole, path)
        assert found is not None, f"{'.'.join(path)}: no interval"
        assert found[0] <= value + 1e-9 and value - 1e-9 <= found[1], f"{'.'.join(path)}: {value} is not in {found}"
        checked += 1
    return checked


def check_tables(whole: dict[str, Any]) -> None:
    """Cells are figures of the section: none stands in a table alone."""
    for name, section in whole["tasks"].items():
        known = {value for _, value in leaves(section["figures"])} | set(section["records"].values())
        for table in section["tables"]:
            cells = [cell for row in table["rows"] for cell in row if isinstance(cell, int | float)]
            assert set(cells) <= known, f"{name}, {table['title']}: {sorted(set(cells) - known)[:3]}"


def test_of_packets(packet_report):
    assert check_all(packet_report) > 300
    check_tables(packet_report)
    assert {name for name, each in packet_report["tasks"].items() if not each["figures"]} == {"prediction"}


def test_of_flow_records():
    whole = report(flow_trace(1500))
    assert check_all(whole) > 200
    check_tables(whole)
    assert {name for name, each in whole["tasks"].items() if not each["figures"]} == {"connections", "netml"}


def test_of_series():
    whole = evaluate_series(series(60, 1), series(60, 2), series(60, 3), redraws=5).to_json()
    assert check_all(whole) > 20


def test_a_figure_that_stands_alone_is_found(packet_report):
    alone = {**packet_report, "tasks": {"new": {"figures": {"error": 0.5}, "records": {"train": 9}, "tables": []}}}
    with pytest.raises(AssertionError, match=r"tasks.new.figures.error: no interval"):
        check_all(alone)
    with pytest.raises(AssertionError, match=r"mean: no number of records"):
        check_all({"sizes": {}, "mean": 0.5, "mean_interval": [0, 1]})
