"""A private run by noisy counts: the private synthetic table is like the input, and nothing after it looks at the input."""

import json
import shutil

import numpy as np
import pytest

from netshare.commands.main import main
from netshare.config.load import load_config
from netshare.postprocess import write_trace
from netshare.preprocess import read_trace
from netshare.preprocess.flows import group_flows
from netshare.preprocess.parquet import load_parquet, save_parquet
from netshare.privacy.counts import CountingNoise, Window, draw_private_table
from netshare.privacy.noise import SeededRandomness
from netshare.privacy.units import UnitBounds
from netshare.runs.pipeline import run

pytestmark = pytest.mark.slow

TINY = {"epochs": 1, "metadata_state": 8, "record_state": 8, "condition": 8}


def drawn(trace, public, noise, *, key, max_records=256, seed=1):
    begin = int(trace["time"].min()) if len(trace) else 0
    window = Window(begin, int(trace["time"].max()) - begin + 1 if len(trace) else 10**9)
    counting = CountingNoise(noise, 1.0, SeededRandomness(seed))
    return draw_private_table(
        trace, public, window=window, bounds=UnitBounds(key, max_records), noise=counting, seed=seed
    )  # fmt: skip


def shares(values, other):
    names = np.union1d(values, other)
    return [np.array([(column == name).mean() for name in names]) for column in (values, other)]


def far(values, other):
    """Total variation distance."""
    one, two = shares(values, other)
    return abs(one - two).sum() / 2


def test_without_noise_flow_records_have_the_input_s_shares(sample_netflow):
    trace = read_trace(sample_netflow)
    found = drawn(trace, trace, 1e-6, key="unidirectional")
    assert abs(len(found) / len(trace) - 1) < 0.05
    assert abs(len(group_flows(found)) / len(group_flows(trace)) - 1) < 0.05
    four = [t.take(t["ip_version"] == 4) for t in (trace, found)]
    assert abs(len(four[1]) / len(four[0]) - 1) < 0.1
    for name, most in (("protocol", 0.02), ("src_lo", 0.15), ("dst_lo", 0.15), ("tcp_flags", 0.1)):
        assert far(four[0][name], four[1][name]) < most, name
    for name in ("packets", "bytes", "time"):
        quantiles = [
            np.quantile(np.log1p(t[name] - t[name].min()), np.linspace(0.05, 0.95, 10)) for t in (trace, found)
        ]
        assert np.abs(quantiles[0] - quantiles[1]).max() < 0.7, name


def test_without_noise_packets_have_the_input_s_shares(sample_capture):
    trace = read_trace(sample_capture, limit=20_000)
    found = drawn(trace, trace, 1e-6, key="bidirectional")
    for name, most in (("protocol", 0.1), ("ttl", 0.2), ("length", 0.3)):
        assert far(trace[name], found[name]) < most, name
    assert {name: found[name].dtype for name in found} == {name: trace[name].dtype for name in trace}
    totals = []
    for each in (trace, found):
        flows = group_flows(each, "bidirectional")
        first, time = flows.offsets[:-1], each["time"][flows.order]
        totals.append(
            (
                np.add.reduceat(each["length"][flows.order].astype(float), first),
                time[flows.offsets[1:] - 1] - time[first],
            )
        )
    for exact, made in zip(*totals, strict=True):
        quantiles = [np.quantile(np.log1p(values.astype(float)), np.linspace(0.1, 0.9, 9)) for values in (exact, made)]
        assert np.abs(quantiles[0] - quantiles[1]).mean() < 0.5


@pytest.mark.parametrize("records", [0, 1, 30])
@pytest.mark.parametrize("noise", [0.5, 200.0])
def test_any_input_gives_a_trace(sample_netflow, sample_capture, records, noise):
    for path, key in ((sample_netflow, "unidirectional"), (sample_capture, "bidirectional")):
        public = read_trace(path, limit=500)
        found = drawn(public.take(np.arange(records)), public, noise, key=key, max_records=20)
        assert len(found) > 0 and set(found) == set(public)


@pytest.mark.parametrize("unit", ["host", "record"])
def test_packets_of_hosts_or_records_are_protected_too(unit, tmp_path, sample_capture):
    trace = read_trace(sample_capture, limit=1500)
    write_trace(trace, tmp_path / "private.pcap")
    begin = str(np.datetime64(int(trace["time"][0]) // 10**9, "s")) + "Z"
    raw = {
        "input": str(tmp_path / "private.pcap"), "output": {"folder": str(tmp_path / "run"), "formats": ["pcap"]},
        "training": {"steps": 20}, "generator": {"autoregressive": TINY}, "evaluate": {"enabled": False},
        "privacy": {
            "epsilon": 8, "accountant": "rdp", "unit": unit,
            "bounds": {"begin": begin, "seconds": 600, "units": 30, "max_records": 50},
        },
    }  # fmt: skip
    if unit == "host":
        raw["privacy"]["max_flows_per_unit"] = 4
        raw["privacy"]["bounds"]["hosts"] = ["0.0.0.0/1", "::/0"]
    result = run(load_config(raw))
    assert len(read_trace(result.outputs[0])) > 0
    ledger = json.loads((tmp_path / "run" / "models" / "privacy.json").read_text())
    assert ledger["counts_sensitivity"] == (2.0 if unit == "host" else 1.0)
    assert ledger["accounted_for"]["group"] == (2 if unit == "record" else 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sample_netflow):
    """A run up to its private synthetic table, and its config."""
    folder = tmp_path_factory.mktemp("marginals")
    trace = read_trace(sample_netflow, limit=1200)
    begin = int(np.datetime64("2026-01-01T00:00:00", "ns").astype(np.int64))
    trace.columns["time"] = trace["time"] - int(trace["time"][0]) + begin
    write_trace(trace.take(slice(0, 900)), folder / "private.csv", format="netshare-csv")
    write_trace(trace.take(slice(900, 1200)), folder / "public.csv", format="netshare-csv")
    raw = {
        "input": str(folder / "private.csv"),
        "output": {"folder": str(folder / "run"), "formats": ["parquet"]},
        "training": {"steps": 20},
        "generator": {"autoregressive": TINY},
        "generate": {"flows": 60},
        "privacy": {
            "epsilon": 4, "accountant": "rdp", "public": str(folder / "public.csv"),
            "bounds": {"begin": "2026-01-01T00:00:00Z", "seconds": 600, "units": 900, "max_records": 20},
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(raw))
    assert main(["preprocess", str(folder / "config.json"), "-q"]) == 0
    return folder


def persisted(folder):
    """Every file of a run but the input's; JSON without times, sizes of files and the folder's name."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".lock", ".jsonl")):
        name = str(path.relative_to(folder))
        if name.startswith("trace/") or "tensorboard" in name or path.name == ".lock":
            continue
        content = path.read_bytes().replace(str(folder).encode(), b"R").replace(folder.name.encode(), b"R")
        found[name] = _timeless(json.loads(content)) if path.suffix == ".json" else content
    return found


def _timeless(value):
    if isinstance(value, dict):
        return {
            k: _timeless(v)
            for k, v in value.items()
            if not k.endswith(("seconds", "second", "bytes", "finished", "outputs"))
        }
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def test_nothing_after_the_private_table_reads_the_input(finished, sample_netflow):
    """With another trace in the place of the input the same is trained and generated, and every file but the input's is
    the same."""
    outputs, files = [], []
    for name in ("run-as-it-was", "run-exchanged"):
        shutil.copytree(finished / "run", finished / name)
        if name == "run-exchanged":
            other = read_trace(sample_netflow).take(slice(2000, 2400))
            for part in ("full", "train", "holdout"):
                save_parquet(other, finished / name / "trace" / f"{part}.parquet")
        config = load_config(finished / "config.json", [f"output.folder={finished / name}"])
        run(config, until="postprocess")
        outputs.append(load_parquet(finished / name / "synthetic" / "synthetic.parquet"))
        files.append(persisted(finished / name))
    assert {"chunks/codec.json", "models/privacy.json", "models/000/sampling.safetensors"} <= set(files[0])
    assert [name for name in files[0] if files[0][name] != files[1].get(name)] == []
    assert len(outputs[0]) == len(outputs[1]) > 0
    assert all(np.array_equal(outputs[0][column], outputs[1][column]) for column in outputs[0])


def test_the_whole_run_from_the_command_line(finished, capsys):
    assert main(["run", str(finished / "config.json"), "-q"]) == 0
    capsys.readouterr()
    assert main(["privacy", "statement", str(finished / "run")]) == 0
    printed = capsys.readouterr().out
    assert (
        "noisy counts of flows and records" in printed
        and "post-processing" in printed
        and "NO GUARANTEE" not in printed
    )
    ledger = json.loads((finished / "run" / "models" / "privacy.json").read_text())
    assert ledger["epsilon_spent"] <= 4 and ledger["method"] == "marginals"
    assert [m["name"] for m in ledger["mechanisms"]] == ["noisy counts of flows and records"]
    assert json.loads((finished / "run" / "manifest.json").read_text())["privacy"] == ledger
    report = json.loads((finished / "run" / "report" / "report.json").read_text())
    assert "NOT covered" in report["notes"][0]
    assert main(["privacy", "audit", str(finished / "run")]) == 0
    assert "not refuted" in capsys.readouterr().out


def test_records_outside_the_window_are_not_counted(sample_netflow):
    trace = read_trace(sample_netflow, limit=600)
    window = Window(int(trace["time"][100]), int(trace["time"][400] - trace["time"][100]))
    inside = trace.take((trace["time"] >= window.begin) & (trace["time"] < window.begin + window.width))
    tables = [
        draw_private_table(
            private, trace, window=window, bounds=UnitBounds("unidirectional", 20),
            noise=CountingNoise(1.0, 1.0, SeededRandomness(1)), seed=1,
        )
        for private in (trace, inside)
    ]  # fmt: skip
    assert 0 < len(inside) < len(trace)
    assert all(np.array_equal(tables[0][name], tables[1][name]) for name in tables[0])
