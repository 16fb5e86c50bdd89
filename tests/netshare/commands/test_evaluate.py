"""`netshare evaluate` as a user meets it: what is wrong is said in one line, before anything is computed where possible."""

import pytest

from netshare.commands.main import main
from netshare.evaluation import evaluate
from netshare.evaluation.evaluate_series import evaluate_series
from netshare.postprocess import write_trace
from netshare.preprocess.errors import ConfigError
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace
from tests.netshare.evaluation.test_series_report import series


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluate")
    write_trace(packet_trace(60), path / "packets.parquet")
    write_trace(flow_trace(60), path / "flows.parquet")
    (path / "text.csv").write_text("hello\n")
    (path / "empty.pcap").touch()
    (path / "folder").mkdir()
    return path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"--train": "missing.pcap"}, "missing.pcap: no such file"),
        ({"--synthetic": "text.csv"}, "text.csv: not a trace (a text that begins with 'hello')"),
        ({"--holdout": "empty.pcap"}, "empty.pcap: the file is empty"),
        (
            {"--synthetic": "flows.parquet"},
            "synthetic trace: it is a flow trace and the training trace is a packet trace",
        ),
        ({"--html": "folder"}, "folder: cannot be written (it is a folder)"),
        ({"--json": "nowhere/report.json"}, "report.json: cannot be written (no such folder)"),
        ({"--markdown": "nowhere/report.md"}, "report.md: cannot be written (no such folder)"),
        ({"--key": "src_ip", "--markdown": "report.md"}, "written for traces only"),
    ],
)
def test_mistakes_are_one_line(folder, monkeypatch, capsys, given, message):
    monkeypatch.chdir(folder)
    options = {"--train": "packets.parquet", "--synthetic": "packets.parquet"} | given
    assert main(["evaluate", *(text for option in options.items() for text in option)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    assert message in printed.err


@pytest.mark.parametrize("seed", ["-1", "1.5", "x", str(2**63)])
def test_a_seed_that_is_none_is_refused(folder, capsys, seed):
    trace = str(folder / "packets.parquet")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--train", trace, "--synthetic", trace, f"--seed={seed}"])
    assert ended.value.code == 2
    assert f"{seed}: give a whole number of 0 or more" in capsys.readouterr().err


def test_the_functions_refuse_it_too():
    with pytest.raises(ConfigError, match="seed: found -1"):
        evaluate(packet_trace(60), packet_trace(60), seed=-1)
    with pytest.raises(ConfigError, match="seed: found -1"):
        evaluate_series(series(30, 1), series(30, 2), seed=-1)
