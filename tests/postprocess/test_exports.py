"""Written export packets: tshark finds nothing wrong, and a real collector has the records that were written."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from netshare.postprocess import repair, write_trace
from netshare.postprocess.writers.export_packets import payload_batches, plan_exports
from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.errors import FieldError, NetshareError
from netshare.preprocess.readers.read import read_trace
from netshare.preprocess.trace import Trace, make_trace
from tests.postprocess.collector import records, replay
from tests.postprocess.random_traces import random_flows

VERSIONS = ("netflow-v5", "netflow-v9", "ipfix")
MS = 1_000_000


@pytest.mark.referee("nfcapd", "nfdump")
@pytest.mark.parametrize("format", VERSIONS)
def test_a_collector_gets_every_record(format: str, tmp_path: Path):
    trace = _flows(4000)
    report = write_trace(trace, tmp_path / "out.pcap", format=format)
    if format == "netflow-v5":
        left_out = int((trace["ip_version"] == 6).sum())
        assert f"{left_out} IPv6 records are left out: NetFlow v5 holds IPv4 only" in report.lossy
        assert report.records == len(trace) - left_out
        trace = trace.take(trace["ip_version"] == 4)
        trace = make_trace("flow", {name: trace[name] for name in trace if not name.endswith("_rev")})
    assert records(replay(tmp_path / "out.pcap", tmp_path / "nfcapd")) == _as_nfdump_prints(trace)


def test_an_ipv6_trace_is_no_netflow_v5(tmp_path: Path):
    trace = _flows(200)
    with pytest.raises(FieldError, match="IPv4 only"):
        write_trace(trace.take(trace["ip_version"] == 6), tmp_path / "out.pcap", format="netflow-v5")
    assert not list(tmp_path.iterdir())


@pytest.mark.referee("nfcapd", "nfdump")
@pytest.mark.parametrize("name", ["n2_iot23", "n3_enterprise-v9"])
def test_a_collector_gets_the_records_of_a_real_trace(name: str, development_traces: Path, tmp_path: Path):
    trace = read_trace(development_traces / f"{name}.csv.gz", limit=12_000)
    write_trace(trace, tmp_path / "out.pcap", format="netflow-v9")
    assert records(replay(tmp_path / "out.pcap", tmp_path / "nfcapd")) == _as_nfdump_prints(trace)


@pytest.mark.referee("tshark")
@pytest.mark.parametrize("format", VERSIONS)
@pytest.mark.parametrize("suffix", ["pcap", "pcapng.gz"])
def test_tshark_finds_nothing_wrong(format: str, suffix: str, tmp_path: Path):
    trace = _flows(2000)
    write_trace(trace, tmp_path / f"out.{suffix}", format=format)
    checks = ["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    command = ["tshark", "-r", str(tmp_path / f"out.{suffix}"), *checks, "-Y"]
    bad = "_ws.malformed || _ws.expert.severity >= 0x600000 || udp.checksum.status == 0 || ip.checksum.status == 0"
    done = subprocess.run([*command, bad], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    octets = [*command, "cflow", "-T", "fields", "-e", "cflow.octets"]
    done = subprocess.run(octets, capture_output=True, text=True, check=True)
    seen = [int(value) for line in done.stdout.splitlines() for value in line.split(",") if value]
    held = trace["ip_version"] == 4 if format == "netflow-v5" else np.ones(len(trace), bool)
    assert sum(seen) >= trace["bytes"][held].sum()


def test_templates_come_first_and_again():
    exports = plan_exports(_flows(9000), 9)
    kinds = np.concatenate([rows[:, 20:22].astype(int) @ [256, 1] for rows, _ in payload_batches(exports)])
    assert kinds[0] == 0  # a template set
    assert np.diff(np.flatnonzero(kinds == 0)).max() <= 65
    assert set(kinds.tolist()) == {0, 256, 257}


@pytest.mark.referee("nfcapd", "nfdump")
def test_a_trace_of_a_year_is_exported_in_v5(tmp_path: Path):
    """Its milliseconds do not fit 32 bits."""
    trace = _flows(1500, days=365)
    trace = trace.take(trace["ip_version"] == 4)
    trace = make_trace("flow", {name: trace[name] for name in trace if not name.endswith("_rev")})
    write_trace(trace, tmp_path / "out.pcap", format="netflow-v5")
    assert records(replay(tmp_path / "out.pcap", tmp_path / "nfcapd")) == _as_nfdump_prints(trace)


def test_an_empty_trace_and_one_record(tmp_path: Path):
    one = _flows(50).take(np.arange(1))
    for format in VERSIONS:
        assert write_trace(one.take(np.zeros(0, int)), tmp_path / f"none-{format}.pcap", format=format).records == 0
        assert write_trace(one, tmp_path / f"one-{format}.pcap", format=format).records == 1


def test_times_that_do_not_fit_are_refused(tmp_path: Path):
    trace = _flows(10)
    late = make_trace("flow", {**trace.columns, "time": trace["time"] + 2**32 * 1_000_000_000})
    with pytest.raises(FieldError, match="1970 to 2106"):
        write_trace(late, tmp_path / "out.pcap", format="ipfix")


@pytest.mark.referee("nfcapd", "nfdump")
def test_nfcapd_files_hold_the_records(tmp_path: Path):
    trace = _flows(5000)
    report = write_trace(trace, tmp_path / "out.nfcapd")
    assert (report.format, report.records, report.lossy) == ("nfcapd", len(trace), ())
    assert records(tmp_path / "out.nfcapd") == _as_nfdump_prints(trace)


def test_a_missing_nfcapd_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NetshareError, match="the program nfcapd, which is not installed"):
        write_trace(_flows(3), tmp_path / "out.nfcapd")
    assert list(tmp_path.iterdir()) == []


def _flows(rows: int, days: float = 1) -> Trace:
    """Flow records of whole milliseconds, both IP versions, with large counters."""
    trace, _ = repair(random_flows(rows, seed=2))
    rng = np.random.default_rng(5)
    start = 1_600_000_000_000 + np.sort(rng.integers(0, int(days * 86_400_000), rows))
    columns = {name: trace[name] for name in trace if name not in ("label", "attack_type")}
    columns |= {"time": start * MS, "duration": rng.integers(0, 1_800_000, rows) * (trace["packets"] > 1) * MS}
    columns["tcp_flags"] = trace["tcp_flags"] & 0xFF
    columns["bytes"] = trace["bytes"] + rng.integers(0, 2**31, rows)
    return make_trace("flow", columns)


def _as_nfdump_prints(trace: Trace) -> list[str]:
    """The fields of `collector.FIELDS`; nfdump prints no source port of ICMP, and flags of TCP only."""
    letters = np.array(["".join(x if n >> (7 - b) & 1 else "." for b, x in enumerate("CEUAPRSF")) for n in range(256)])
    zeros = np.zeros(len(trace), np.int64)
    icmp = np.isin(trace["protocol"], (1, 58))
    ports = trace["dst_port"].astype(str).astype(object)
    ports[icmp] = [f"{port >> 8}.{port & 255}" for port in trace["dst_port"][icmp].tolist()]
    columns = [
        [f"{t // 1000}.{t % 1000:03d}" for t in (trace["time"] // MS).tolist()],
        [f"{t // 1000}.{t % 1000:03d}" for t in (trace["duration"] // MS).tolist()],
        trace["protocol"],
        format_addresses(trace["ip_version"], trace["src_hi"], trace["src_lo"]),
        format_addresses(trace["ip_version"], trace["dst_hi"], trace["dst_lo"]),
        np.where(icmp, 0, trace["src_port"]),
        ports,
        letters[np.where(trace["protocol"] == 6, trace.columns.get("tcp_flags", zeros) & 0xFF, 0)],
        trace.columns.get("tos", zeros),
        trace["packets"],
        trace["bytes"],
        trace.columns.get("packets_rev", zeros),
        trace.columns.get("bytes_rev", zeros),
    ]
    return sorted(",".join(map(str, row)) for row in zip(*columns, strict=True))


@pytest.mark.parametrize(
    "format",
    ["netflow-v9", "ipfix", pytest.param("nfcapd", marks=pytest.mark.referee("nfcapd", "nfdump")), "parquet"],
)
def test_records_read_back_but_for_what_the_report_says(format: str, tmp_path: Path):
    trace = _flows(2000)
    report = write_trace(trace, tmp_path / "out", format=format)
    back = read_trace(tmp_path / "out", late_templates=True)
    losses = " ".join(report.lossy)
    for name in ("ip_version", "src_hi", "src_lo", "dst_hi", "dst_lo", "protocol", "packets", "bytes", "tos"):
        assert sorted(back[name].tolist()) == sorted(trace[name].tolist()), (name, losses)
    for name in ("time", "duration"):
        step = 1 if format == "parquet" else MS
        np.testing.assert_array_equal(np.sort(back[name] // step), np.sort(trace[name] // step))
    if format == "parquet":
        assert [name for name in trace if not np.array_equal(trace[name], back[name])] == []
