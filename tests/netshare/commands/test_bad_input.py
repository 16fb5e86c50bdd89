"""Odd and bad input ends in one line or in a valid trace, never in numbers that are none, whichever the generator."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from netshare.commands.main import main
from netshare.postprocess import write_trace
from netshare.preprocess import Trace, make_trace, read_trace
from netshare.preprocess.flows import five_tuple_keys, number_by_first_appearance

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("kind", ["autoregressive", "doppelganger"])]
SETTINGS = {
    "autoregressive": {"epochs": 2, "metadata_state": 32, "record_state": 32},
    "doppelganger": {"batch_size": 16, "critic_units": 32, "critic_layers": 2},
}


def run(trace: Path, kind: str, folder: Path, **more) -> int:
    """Exit code of a short run on the trace."""
    config = folder / "config.json"
    generator = {"kind": kind, kind: SETTINGS[kind] | more.pop("settings", {})}
    training = {"steps": 30, "finetune_steps": 10, "device": "cpu"} | more.pop("training", {})
    value = {"input": str(trace), "generator": generator, "training": training, "cluster": {"mode": "inline"}}
    config.write_text(json.dumps(value | {"seed": 1} | more))
    return main(["run", str(config), "--work-dir", str(folder / "run"), "-q"])


def packets(sample: Path, n: int) -> Trace:
    trace = read_trace(sample)
    return trace.take(np.arange(n))


def written(trace: Trace, path: Path) -> Path:
    write_trace(trace, path)
    return path


def assert_whole(folder: Path) -> Trace:
    """The run's synthetic trace, whose generated numbers are all within their fields."""
    synthetic = read_trace(next((folder / "run" / "synthetic").glob("*.parquet")))
    assert len(synthetic) > 0
    assert all(np.isfinite(values.astype(np.float64)).all() for values in synthetic.columns.values())
    json.loads((folder / "run" / "report" / "report.json").read_text(), parse_constant=_refuse)
    return synthetic


def _refuse(constant: str) -> None:
    raise AssertionError(f"the report holds {constant}")


def test_fields_that_are_constant_come_out_as_they_are(kind, sample_capture, tmp_path):
    trace = packets(sample_capture, 1500)
    trace = trace.take((trace["protocol"] == 6) & (trace["ip_version"] == 4))
    still = {
        "ttl": 64,
        "length": 40,
        "tcp_window": 512,
        "tos": 0,
        "ip_flags": 2,
        "tcp_flags": 16,
        "tcp_header_length": 20,
    }
    columns = trace.columns | {name: np.full(len(trace), value) for name, value in still.items()}
    path = written(make_trace("packet", columns), tmp_path / "still.pcap")
    assert run(path, kind, tmp_path) == 0
    synthetic = assert_whole(tmp_path)
    assert set(synthetic["ttl"]) == {64}
    assert set(synthetic["length"]) == {40}


def test_a_trace_of_three_flows_is_too_little(kind, sample_capture, tmp_path, capsys):
    trace = packets(sample_capture, 3000)
    flow = number_by_first_appearance(five_tuple_keys(trace.columns)[0])
    path = written(trace.take(flow < 3), tmp_path / "three.pcap")
    assert run(path, kind, tmp_path) == 2
    printed = capsys.readouterr().err
    assert "3 flow(s) are too few" in printed
    assert "Traceback" not in printed


def test_a_chunk_of_one_flow_is_learnt_with_the_others(kind, sample_capture, tmp_path):
    trace = packets(sample_capture, 1500)
    late = make_trace("packet", {name: values[:1] for name, values in trace.columns.items()})
    late.columns["time"] = trace["time"][-1:] + 5 * (trace["time"][-1:] - trace["time"][:1])
    columns = {name: np.concatenate([trace[name], late[name]]) for name in trace}
    path = written(make_trace("packet", columns), tmp_path / "late.pcap")
    assert run(path, kind, tmp_path, chunks={"count": 4}, evaluate={"holdout": 0}) == 0
    chunks = json.loads((tmp_path / "run" / "chunks" / "chunks.json").read_text())
    assert chunks["chunks"]["3"]["series"] == 1
    assert chunks["plan"]["count"] - len(chunks["chunks"]) == 2
    assert_whole(tmp_path)


@pytest.mark.parametrize("value", ["nan", "NaN", "inf"])
def test_a_row_whose_number_is_none_is_left_out_and_counted(kind, value, sample_netflow, tmp_path):
    lines = gzip.decompress(sample_netflow.read_bytes()).decode().splitlines()[:400]
    cells = lines[5].split(",")
    cells[lines[0].split(",").index("ibyt")] = value
    lines[5] = ",".join(cells)
    path = tmp_path / "flows.csv"
    path.write_text("\n".join(lines) + "\n")
    assert run(path, kind, tmp_path) == 0
    assert sum(read_trace(path).skipped.values()) == 1
    assert_whole(tmp_path)


@pytest.mark.parametrize("steps", [1, 40])
def test_a_training_that_diverges_says_so_and_leaves_no_model(kind, steps, sample_capture, tmp_path, capsys):
    rates = {
        "autoregressive": {"learning_rate": 1e38, "warmup_steps": 0, "gradient_norm": 1e30, "epochs": 20},
        "doppelganger": {"generator_learning_rate": 1e38, "critic_learning_rate": 1e38, "average_decay": 0.0},
    }
    path = written(packets(sample_capture, 1500), tmp_path / "some.pcap")
    assert run(path, kind, tmp_path, settings=rates[kind], training={"steps": steps}) == 2
    printed = capsys.readouterr().err
    assert "learning_rate" in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "run" / "models").exists()
