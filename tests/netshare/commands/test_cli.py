"""What a user meets on the command line, on real input."""

import gzip
import json
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest

import netshare
from netshare.commands.main import main
from netshare.preprocess import read_trace
from netshare.preprocess.flows import group_flows
from tests.netshare.conftest import QUICK
from tests.postprocess.tshark import complaints


@pytest.mark.referee("tshark")
def test_a_run_leaves_a_valid_capture_flow_records_and_a_report(quick_run):
    synthetic = read_trace(quick_run / "synthetic" / "synthetic.pcap")
    assert complaints(quick_run / "synthetic" / "synthetic.pcap") == []
    assert np.all(np.diff(synthetic["time"]) >= 0)
    real = read_trace(quick_run / "trace" / "full.parquet")
    flows, real_flows = (len(group_flows(trace, "bidirectional")) for trace in (synthetic, real))
    assert 0.95 <= flows / real_flows <= 1.15  # a repaired address may join two flows, or part one
    records = read_trace(quick_run / "synthetic" / "synthetic.csv")
    assert records.kind == "flow"
    assert records["packets"].sum() == len(synthetic)
    assert json.loads((quick_run / "report" / "report.json").read_text())["kind"] == "packet"
    manifest = json.loads((quick_run / "manifest.json").read_text())
    assert list(manifest["stages"]) == ["trace", "chunks", "models", "generated", "synthetic", "report"]
    assert "synthetic/synthetic.pcap" in manifest["stages"]["synthetic"]["outputs"]


def test_a_second_run_does_nothing_and_a_changed_setting_redoes_what_depends_on_it(quick_run, capsys):
    config = str(quick_run.parent / "config.json")
    before = (quick_run / "models" / "stage.json").stat().st_mtime_ns
    assert main(["run", config, "--work-dir", str(quick_run)]) == 0
    assert capsys.readouterr().err.count("up to date") == 6
    assert main(["run", config, "--work-dir", str(quick_run), "--set", 'output.formats=["pcap","csv"]']) == 0
    assert capsys.readouterr().err.count("up to date") == 4
    assert (quick_run / "models" / "stage.json").stat().st_mtime_ns == before
    assert main(["run", config, "--work-dir", str(quick_run), "-q"]) == 0


def test_more_data_from_a_finished_run(quick_run, tmp_path):
    first, again, other = (tmp_path / name for name in ("first.pcap", "again.pcap", "other.pcap.gz"))
    for path, seed in ((first, 7), (again, 7), (other, 8)):
        assert main(["generate", str(quick_run), "--flows", "40", "--seed", str(seed), "-o", str(path), "-q"]) == 0
    assert first.read_bytes() == again.read_bytes()
    for path in (
        first,
        other,
    ):  # a conversation with an impossible sender is two after repair; the model is half trained
        assert 38 <= len(group_flows(read_trace(path), "bidirectional")) <= 52
    assert complaints(first) == []


def test_inspect_tells_what_a_trace_holds(sample_capture, capsys):
    assert main(["inspect", str(sample_capture), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["records"] == len(read_trace(sample_capture))
    assert main(["inspect", str(sample_capture)]) == 0
    assert "TCP" in capsys.readouterr().out


def test_init_writes_a_config_that_validates_and_explains_itself(sample_capture, tmp_path, capsys):
    path = tmp_path / "config.json"
    assert main(["init", str(sample_capture), "-o", str(path)]) == 0
    assert "preset: pcap, because" in capsys.readouterr().out
    assert main(["validate", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["preset"] == "pcap"
    assert main(["init", str(sample_capture), "-o", str(path)]) == 2


def test_evaluate_compares_any_traces(quick_run, tmp_path, capsys):
    parts = [str(quick_run / "trace" / f"{name}.parquet") for name in ("train", "holdout")]
    synthetic = str(quick_run / "synthetic" / "synthetic.pcap")
    command = ["evaluate", "--train", parts[0], "--holdout", parts[1], "--synthetic", synthetic]
    assert main([*command, "--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]) == 0
    assert "Fidelity" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["geometric_mean_ratio"] > 0
    assert "<html" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_report_that_cannot_be_written_is_one_line(sample_capture, tmp_path, capsys, option):
    small = tmp_path / "small.parquet"
    assert main(["convert", str(sample_capture), str(small), "--limit", "200"]) == 0
    place = tmp_path / "missing" / "report"
    assert main(["evaluate", "--train", str(small), "--synthetic", str(small), option, str(place)]) == 2
    printed = capsys.readouterr().err.strip().splitlines()
    assert len(printed) == 1 and f"{place}: cannot be written" in printed[0]


def test_what_cannot_be_written_is_refused_before_training(sample_netflow, tmp_path, capsys):
    config = tmp_path / "config.json"
    base = QUICK | {"input": {"files": [str(sample_netflow)], "limit": 300}, "chunks": {}}
    for extra, message in (
        ({"output": {"formats": ["pcap"]}}, "hold no packets"),
        ({"addresses": {"prefixes": ["2001:db8::/32"]}}, "the input also has IPv4 addresses"),
    ):
        config.write_text(json.dumps(base | extra))
        assert main(["run", str(config), "-q"]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "config-run" / "models").exists()


def one_packet(sample_capture, path):
    data = gzip.decompress(sample_capture.read_bytes())
    captured = int.from_bytes(data[32:36], "little")
    path.write_bytes(data[: 24 + 16 + captured])


def test_a_trace_of_a_single_packet_is_too_little_to_learn_from(sample_capture, tmp_path, capsys):
    one_packet(sample_capture, tmp_path / "one.pcap")
    (tmp_path / "config.json").write_text(json.dumps(QUICK | {"input": "one.pcap", "chunks": {}}))
    assert main(["run", str(tmp_path / "config.json"), "-q"]) == 2
    assert "one.pcap: 1 record(s) of 1 flow(s) are too few" in capsys.readouterr().err


def test_a_truncated_capture_is_read_as_far_as_it_is_whole(sample_capture, tmp_path, capsys):
    path = tmp_path / "cut.pcap"
    path.write_bytes(gzip.decompress(sample_capture.read_bytes())[:20_000])
    assert main(["inspect", str(path)]) == 0
    assert "truncated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "extra", "message"),
    [
        (b"", {}, "empty"),
        (b"just some text\nthat is no trace\n", {}, "trace"),
        (b"srcip,dstip,srcport\n1,2,3\n", {}, "dstport"),
        (None, {"chunks": {"count": 500_000}}, "lasts only"),
        (None, {"chunks": {"cuont": 5}}, "did you mean count?"),
        (None, {"training": {"steps": "ten"}}, "training.steps"),
        (None, {"training": {"device": "cuda:99"}}, "training.device"),
        (None, {"preset": "netflow"}, "preset is netflow"),
        (None, {"fields": {"encodings": {"nonsense": "bits"}}}, "nonsense"),
        (None, {"output": {"folder": "/proc/nowhere"}}, "--work-dir"),
        (None, {"cluster": {"mode": "inline", "address": "127.0.0.1:1"}}, "cluster.address"),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_2(sample_capture, tmp_path, capsys, content, extra, message):
    if content is not None:
        (tmp_path / "input.bin").write_bytes(content)
    name = str(sample_capture) if content is None else "input.bin"
    (tmp_path / "config.json").write_text(
        json.dumps(QUICK | {"input": {"files": [name], "limit": 300}, "chunks": {}} | extra)
    )
    assert main(["run", str(tmp_path / "config.json"), "-q"]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.strip().splitlines()) == 1
    assert "Traceback" not in printed


def test_a_capture_without_a_single_ip_packet_says_what_was_skipped(tmp_path, capsys):
    from scapy.layers.l2 import ARP, Ether
    from scapy.utils import wrpcap

    wrpcap(str(tmp_path / "arp.pcap"), [Ether() / ARP()] * 3)
    assert main(["inspect", str(tmp_path / "arp.pcap")]) == 2
    assert "ARP" in capsys.readouterr().err


def test_the_python_interface_has_the_same_shape(sample_capture, tmp_path):
    config = netshare.load_config(
        QUICK | {"input": {"files": [str(sample_capture)], "limit": 500}, "chunks": {"count": 1}},
        work_dir=tmp_path / "run",
    )
    result = netshare.run(config)
    assert {path.suffix for path in result.outputs} == {".pcap", ".csv", ".parquet"}
    assert result.report == tmp_path / "run" / "report" / "report.html"
    report = netshare.evaluate(*(read_trace(result.folder / "trace" / f"{n}.parquet") for n in ("train", "holdout")))
    assert report.ratio > 0


def test_netflow_comes_out_in_the_layout_that_went_in(sample_netflow, tmp_path):
    config = netshare.load_config(
        QUICK | {"input": {"files": [str(sample_netflow)], "limit": 800}, "chunks": {"count": 1}},
        work_dir=tmp_path / "run",
    )
    result = netshare.run(config)
    assert {path.suffix for path in result.outputs} == {".csv", ".parquet"}
    real_header = gzip.decompress(sample_netflow.read_bytes()).split(b"\n")[0]
    assert (result.folder / "synthetic" / "synthetic.csv").read_bytes().split(b"\n")[0].strip() == real_header.strip()


def test_other_formats_and_addresses_of_ones_own(quick_run, tmp_path):
    from netshare.postprocess.address_map import addresses_of

    folder = tmp_path / "run"
    shutil.copytree(quick_run, folder)
    sets = ['output.formats=["pcapng", "ipfix", "zeek-tsv"]', "evaluate.enabled=true", "addresses.avoid_real=true"]
    sets += ['addresses.prefixes=["198.18.0.0/15", "2001:db8:ffff::/48"]']
    config = str(quick_run.parent / "config.json")
    command = ["postprocess", config, "--work-dir", str(folder), "-q", *(x for text in sets for x in ("--set", text))]
    assert main(command) == 0
    names = {path.name for path in (folder / "synthetic").glob("synthetic*")}
    assert names == {"synthetic.pcapng", "synthetic-ipfix.pcap", "synthetic-zeek-tsv.log", "synthetic.parquet"}
    real = {*zip(*(half.tolist() for half in addresses_of(read_trace(folder / "trace" / "full.parquet"))), strict=True)}
    synthetic = read_trace(folder / "synthetic" / "synthetic.pcapng")
    assert not real & {*zip(synthetic["src_hi"].tolist(), synthetic["src_lo"].tolist(), strict=True)}
    assert read_trace(folder / "synthetic" / "synthetic-ipfix.pcap").kind == "flow"
    assert str(tmp_path).encode() not in (folder / "synthetic" / "synthetic.parquet").read_bytes()
    assert main(["generate", str(folder), "-o", str(tmp_path / "more.pcap"), "-q"]) == 0
    more = read_trace(tmp_path / "more.pcap")
    assert not real & {*zip(more["src_hi"].tolist(), more["src_lo"].tolist(), strict=True)}
    key = folder / "address.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and len(secret := key.read_bytes()) == 32
    others = [path for path in folder.rglob("*") if path.is_file() and path != key]
    assert not [path for path in others if secret in path.read_bytes() or secret.hex().encode() in path.read_bytes()]
    again, other = tmp_path / "again", tmp_path / "other"
    shutil.copytree(folder, again)
    shutil.copytree(folder, other)
    (other / "address.key").unlink()
    for place in (again, other):
        shutil.rmtree(place / "synthetic")
        assert main([*command[:2], "--work-dir", str(place), *command[4:]]) == 0
    captures = [(place / "synthetic" / "synthetic.pcapng").read_bytes() for place in (folder, again, other)]
    assert captures[0] == captures[1] != captures[2]  # the same seed, but another key


def test_convert_reads_anything_and_writes_anything(sample_netflow, tmp_path, capsys):
    assert main(["convert", str(sample_netflow), str(tmp_path / "out.pcap"), "--to", "netflow-v9"]) == 0
    assert "netflow-v9" in capsys.readouterr().out
    again = read_trace(tmp_path / "out.pcap")
    assert again["packets"].sum() == read_trace(sample_netflow)["packets"].sum()
    assert main(["convert", str(sample_netflow), str(tmp_path / "no.pcap")]) == 2
    assert main(["convert", str(sample_netflow), str(tmp_path / "out.xyz")]) == 2


@pytest.mark.referee("tshark")
def test_conversations_are_learnt_in_both_directions(sample_capture, tmp_path):
    value = QUICK | {"input": {"files": [str(sample_capture)], "limit": 1500}, "chunks": {"count": 1}}
    value |= {"fields": {"flow_key": "bidirectional"}, "evaluate": {"enabled": False}}
    result = netshare.run(netshare.load_config(value, work_dir=tmp_path / "run"))
    synthetic = read_trace(result.folder / "synthetic" / "synthetic.pcap")
    assert len(group_flows(synthetic, "bidirectional")) < len(group_flows(synthetic))
    assert complaints(result.folder / "synthetic" / "synthetic.pcap") == []


def test_the_package_is_a_program(sample_netflow):
    done = subprocess.run(
        [sys.executable, "-m", "netshare", "inspect", str(sample_netflow)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("kind: flow")
