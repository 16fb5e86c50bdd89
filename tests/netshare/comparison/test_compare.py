"""`netshare compare` on the shipped sample: ranking, copying, resuming, its files and its errors."""

import json
import re
from dataclasses import asdict

import pytest

from netshare.commands.main import main
from netshare.comparison.compare import compare
from netshare.comparison.rows import Failed, ranked
from netshare.comparison.table import HEADS, mean_emd
from netshare.config.load import load_config
from netshare.preprocess.errors import ConfigError, InputError
from tests.netshare.comparison.rows import measured

pytestmark = pytest.mark.slow

METHODS = ("row-bootstrap", "independent-columns", "ctgan")


@pytest.fixture(scope="module")
def compared(tmp_path_factory, sample_capture):
    folder = tmp_path_factory.mktemp("compare")
    config = load_config({"input": {"files": [str(sample_capture)], "limit": 1500}}, work_dir=folder / "run")
    return config, compare(config, methods=METHODS, budget=0.5, folder=folder / "out")


def test_every_method_has_its_figures_and_copying_is_ruled_out(compared):
    _, result = compared
    rows = {row.method: row for row in result.rows}
    assert set(rows) == set(METHODS)
    assert rows["row-bootstrap"].copies and rows["row-bootstrap"].rank is None
    assert rows["row-bootstrap"].copying["five-tuples"]["share"] == 1
    assert not rows["ctgan"].copies and rows["ctgan"].rank is not None
    assert result.rows[-1].method == "row-bootstrap"
    assert rows["row-bootstrap"].ratio < rows["ctgan"].ratio
    assert rows["ctgan"].steps >= 1 and not rows["ctgan"].ended_itself


def test_the_files_say_the_same(compared):
    _, result = compared
    whole = json.loads((result.folder / "results.json").read_text())
    assert [row["method"] for row in whole["methods"]] == [row.method for row in result.rows]
    markdown = (result.folder / "table.md").read_text()
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(METHODS)
    assert all(line.count("|") == len(HEADS) + 1 for line in table)
    page = (result.folder / "compare.html").read_text()
    assert all(page.count(name) >= 3 for name in METHODS)
    assert "<svg" in page and not re.search(r"(src|href)=\"?http", page)


def test_an_interrupted_comparison_goes_on_and_another_budget_begins_anew(compared):
    config, result = compared
    files = {name: result.folder / "methods" / f"{name}.json" for name in METHODS}
    before = {name: path.stat().st_mtime_ns for name, path in files.items()}
    files["independent-columns"].unlink()
    again = compare(config, methods=METHODS, budget=0.5, folder=result.folder)
    assert files["ctgan"].stat().st_mtime_ns == before["ctgan"]
    assert files["independent-columns"].exists()

    def without_times(rows):
        return [{k: v for k, v in asdict(row).items() if not k.endswith("_seconds")} for row in rows]

    assert without_times(again.rows) == without_times(result.rows)
    compare(config, methods=["row-bootstrap"], budget=0.4, folder=result.folder)
    assert files["row-bootstrap"].stat().st_mtime_ns != before["row-bootstrap"]


def test_ranks_go_by_distance_among_those_that_do_not_copy():
    rows = [
        measured("far", ratio=3.0),
        Failed("failed", "Failed", "rows", "diverged", "key"),
        measured("copier", ratio=1.0, copies=True),
        measured("near", ratio=2.0),
    ]
    assert [(row.method, row.rank) for row in ranked(rows)] == [
        ("near", 1), ("far", 2), ("copier", None), ("failed", None),
    ]  # fmt: skip


def test_the_papers_mean_emd_is_scaled_field_by_field():
    rows = tuple(measured(name, emd={"a": a, "b": b}) for name, a, b in (("x", 0, 10), ("y", 1, 20), ("z", 2, 15)))
    assert mean_emd(rows) == pytest.approx({"x": 0.1, "y": 0.7, "z": 0.7})


def test_a_flow_trace_is_compared_by_the_command(tmp_path, sample_netflow, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"input": str(sample_netflow)}))
    assert main(["compare", str(path), "--methods", "bayesian-network,hmm", "--budget", "0.3", "-q"]) == 0
    printed = capsys.readouterr().out
    assert "bayesian-network" in printed and "hmm" in printed
    assert (tmp_path / "config-compare" / "table.md").exists()


def test_mistakes_are_said_in_one_line(tmp_path, sample_capture, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"input": str(sample_capture)}))
    assert main(["compare", str(path), "--methods", "ctgan,nonsense"]) == 2
    printed = capsys.readouterr().err
    assert "nonsense" in printed and "row-bootstrap" in printed and printed.count("\n") == 1
    assert main(["compare", str(path), "--budget", "-1"]) == 2
    assert "--budget" in capsys.readouterr().err
    config = load_config({"input": {"files": [str(sample_capture)], "limit": 10}}, work_dir=tmp_path / "run")
    with pytest.raises(InputError, match="too few"):
        compare(config, methods=["hmm"], folder=tmp_path / "few")
    with pytest.raises(ConfigError, match="nonsense"):
        compare(config, methods=["nonsense"], folder=tmp_path / "few")
    private = {"epsilon": 4, "bounds": {"begin": "2015-09-08T14:00:00Z", "seconds": 3600, "units": 2000}}
    path.write_text(json.dumps({"input": str(sample_capture), "privacy": private}))
    assert main(["compare", str(path)]) == 2
    assert "privacy.epsilon" in capsys.readouterr().err
