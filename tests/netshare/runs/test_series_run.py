"""Time series through the command line: a run, more of them, other forms, comparisons, and what goes wrong."""

import json

import numpy as np
import pandas as pd
import pytest

import netshare
from netshare.commands.main import main
from netshare.preprocess.timeseries import read_series

pytestmark = pytest.mark.slow

QUICK = {
    "preset": "timeseries",
    "series": {"key": "link", "order": "day"},
    "generator": {"autoregressive": {"epochs": 2, "record_state": 16, "record_hidden": 16}},
    "cluster": {"mode": "inline"},
    "seed": 3,
}


def table(path, links=40, days=30, seed=0):
    rng = np.random.default_rng(seed)
    parts = []
    for link in range(links):
        n = days - int(rng.integers(0, 3)) * 5
        use = ["home", "office"][link % 2]
        level = rng.lognormal(3, 1.5)
        day = pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d")
        volume = (level * rng.lognormal(0, 0.2, n)).round(1)
        parts.append(
            pd.DataFrame({"link": f"l{link}", "day": day, "use": use, "gb": volume, "drops": rng.poisson(2, n)})
        )
    pd.concat(parts).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    table(folder / "links.csv")
    (folder / "config.json").write_text(json.dumps(QUICK | {"input": "links.csv", "output": {"formats": ["npz"]}}))
    assert main(["run", str(folder / "config.json"), "-q"]) == 0
    return folder / "config-run"


def test_a_run_writes_series_as_they_were_read_and_a_report(run):
    made = pd.read_csv(run / "synthetic" / "synthetic.csv")
    assert list(made.columns) == ["link", "day", "use", "gb", "drops"]
    assert made["link"].nunique() == 40
    assert set(made["use"]) == {"home", "office"}
    assert made["day"].str.fullmatch(r"2024-\d\d-\d\d").all()
    assert np.allclose(made["gb"], made["gb"].round(1))
    assert len(read_series(run / "synthetic" / "synthetic.npz")) == 40
    report = json.loads((run / "report" / "report.json").read_text())
    assert report["kind"] == "series"
    named = {row["field"] for row in report["distances"]}
    assert {"length", "use", "gb autocorrelation", "gb total by use", "correlation gb drops"} <= named
    assert report["autocorrelation_errors"]["gb"]["synthetic"] >= 0
    assert report["neighbours"]["figures"]["identical"]["synthetic"] == 0
    page = (run / "report" / "report.html").read_text()
    assert page.count("<svg") > 8
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_a_second_run_does_nothing(run, capsys):
    assert main(["run", str(run.parent / "config.json")]) == 0
    assert capsys.readouterr().err.count("up to date") == 6


def test_more_series_from_a_finished_run(run, tmp_path):
    for name in ("a", "b"):
        assert (
            main(["generate", str(run), "--flows", "7", "--seed", "4", "-o", str(tmp_path / f"{name}.csv"), "-q"]) == 0
        )
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert len(read_series(tmp_path / "a.csv", key="link", order="day")) == 7
    assert main(["generate", str(run), "-o", str(tmp_path / "a.pcap"), "-q"]) == 2


def test_commands_that_are_for_traces_alone_say_so(run, tmp_path, capsys):
    for arguments in (
        ["retrain-metadata", str(run), "--uniform", "use", "-o", str(tmp_path / "new")],
        ["compare", str(run.parent / "config.json"), "-o", str(tmp_path / "compared")],
        ["generate", str(run), "--metadata", str(run.parent / "links.csv"), "-o", str(tmp_path / "more.csv")],
    ):
        assert main([*arguments, "-q"]) == 2
        assert "traces only" in capsys.readouterr().err


def test_both_generators_learn_the_three_arrays(tmp_path):
    table(tmp_path / "links.csv")
    source, arrays = str(tmp_path / "links.csv"), str(tmp_path / "data_train.npz")
    assert main(["convert", source, arrays, "--key", "link"]) == 0
    small = {"lstm_units": 8, "critic_units": 16, "metadata_units": 16}
    for kind, own in (("doppelganger", {"doppelganger": small}), ("autoregressive", QUICK["generator"])):
        config = {**QUICK, "input": arrays, "series": {}, "training": {"steps": 6}}
        config["generator"] = {**own, "kind": kind}
        result = netshare.run(netshare.load_config(config, work_dir=tmp_path / kind))
        names = {path.name for path in result.outputs}
        assert {"synthetic.csv", "synthetic.npz", "synthetic.fields.json"} == names
        series = read_series(result.folder / "synthetic" / "synthetic.npz")
        assert series.kinds["use"] == "categorical"
        assert np.isfinite(series.measurements["gb"]).all()


def test_inspect_tells_what_a_table_holds(tmp_path, capsys):
    source = str(table(tmp_path / "links.csv", links=5))
    assert main(["inspect", source, "--key", "link", "--order", "day", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["series"] == 5
    assert {row["column"]: row["table"] for row in described["columns"]}["use"] == "metadata"
    assert main(["inspect", source, "--key", "link", "--order", "day"]) == 0
    assert "5 series of 20 to 30 records" in capsys.readouterr().out


def test_converting_back_gives_the_table(tmp_path, capsys):
    source, named = table(tmp_path / "links.csv", links=5), ["--key", "link", "--order", "day"]
    assert main(["convert", str(source), str(tmp_path / "t.parquet"), *named]) == 0
    assert "names in link are replaced" in capsys.readouterr().err
    assert main(["convert", str(source), str(tmp_path / "w.csv"), *named, "--form", "wide"]) == 2
    before = pd.read_csv(source).drop(columns="link")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "t.parquet").drop(columns="link"), before, check_dtype=False
    )


def test_tables_made_elsewhere_are_compared(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2), ("s", 3)):
        table(tmp_path / f"{name}.csv", seed=seed)
    a, b, s = (str(tmp_path / f"{name}.csv") for name in "abs")
    given = ["--key", "link", "--order", "day", "--html", str(tmp_path / "r.html"), "--json", str(tmp_path / "r.json")]
    assert main(["evaluate", "--train", a, "--holdout", b, "--synthetic", s, *given]) == 0
    assert 0.5 < json.loads((tmp_path / "r.json").read_text())["geometric_mean_ratio"] < 2
    assert main(["evaluate", "--train", a, "--holdout", b, "--synthetic", a, *given, "--force"]) == 0
    figures = json.loads((tmp_path / "r.json").read_text())["neighbours"]["figures"]
    assert figures["identical"]["synthetic"] == 1
    assert "100.0% repeat one exactly" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"series": {"key": "nobody"}}, "no column nobody"),
        ({"series": {"keys": "link"}}, "did you mean key?"),
        ({"output": {"formats": ["pcap"]}}, "output.formats has pcap, but preset is timeseries"),
        ({"fields": {"encodings": {"gb": "ip2vec"}}}, "ip2vec"),
        ({"fields": {"encodings": {"bg": "log1p"}}}, "no column 'bg'"),
        ({"input": {"files": ["links.csv"], "limit": 60}}, "too few to learn from"),
        ({"chunks": {"count": 3}}, "chunks.count is 3, but preset is timeseries"),
        ({"privacy": {"epsilon": 5.0}}, "built for traces only"),
        ({"preset": None}, '"preset": "timeseries"'),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, change, message, capsys):
    table(tmp_path / "links.csv")
    config = {k: v for k, v in {**QUICK, "input": "links.csv", **change}.items() if v is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["run", str(tmp_path / "config.json"), "-q"]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
