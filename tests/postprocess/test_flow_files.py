"""Flow records: written CSVs read back, and packets become the records that an exporter would make."""

from pathlib import Path

import numpy as np
import pytest

from postprocess import flows_from_packets, repair, write_trace
from preprocess.readers.read import read_trace
from preprocess.trace import FLOW_COLUMNS, make_trace
from tests.postprocess.random_traces import random_flows


@pytest.mark.parametrize("name", ["n1_ugr16-small", "n2_iot23", "n3_enterprise-v9"])
def test_a_real_csv_reads_back_in_its_own_layout(name: str, development_traces: Path, tmp_path: Path):
    trace = read_trace(development_traces / f"{name}.csv.gz")
    report = write_trace(trace, tmp_path / "out.csv.gz")
    back = read_trace(tmp_path / "out.csv.gz")
    assert (report.format, report.lossy) == (trace.sources[0].format, ())
    assert back.sources[0].details["header"] == trace.sources[0].details["header"]
    assert [column for column in trace if not np.array_equal(trace[column], back[column])] == []


@pytest.mark.parametrize("layout", ["netshare-csv", "nfdump-csv", "zeek-csv"])
def test_random_records_read_back_but_for_what_the_report_says(layout: str, tmp_path: Path):
    trace, _ = repair(random_flows(3000, seed=1))
    usual = np.isin(trace["protocol"], (1, 6, 17)) & (trace["ip_version"] == 4)
    trace = trace.take(usual)
    report = write_trace(trace, tmp_path / "out.csv", format=layout)
    back = read_trace(tmp_path / "out.csv")
    assert len(back) == len(trace)
    cut = {"times": "time", "durations": "duration"}
    lost = {cut.get(line.split(":")[0].split(" ")[0], line.split(":")[0]) for line in report.lossy}
    for column in FLOW_COLUMNS:
        if column not in lost:
            assert np.array_equal(trace[column], back[column]), column


def test_packets_become_records_with_timeouts():
    second = 1_000_000_000
    times = np.array([0, 1, 2, 30, 31]) * second
    constant = {"ip_version": 4, "src_lo": 0x0A000001, "dst_lo": 0x0A000002, "src_port": 9, "dst_port": 80}
    constant |= {"protocol": 6, "length": 100}
    columns = {name: np.full(5, value) for name, value in constant.items()}
    flows = flows_from_packets(
        make_trace("packet", {"time": times, "tcp_flags": np.array([2, 16, 1, 16, 4]), **columns})
    )
    assert flows["packets"].tolist() == [3, 2]
    assert flows["bytes"].tolist() == [300, 200]
    assert flows["duration"].tolist() == [2 * second, second]
    assert flows["tcp_flags"].tolist() == [19, 20]


def test_long_flows_are_cut_at_the_active_timeout():
    times = np.arange(0, 4000, 10) * 1_000_000_000
    columns = {"ip_version": np.full(400, 4), "length": np.full(400, 50), "protocol": np.full(400, 17)}
    flows = flows_from_packets(make_trace("packet", {"time": times, **columns}))
    assert flows["packets"].sum() == 400
    assert (flows["duration"] <= 1800 * 10**9).all()
    assert len(flows) == 3


def test_icmp_records_carry_type_and_code():
    columns = {
        "ip_version": np.array([4]),
        "protocol": np.array([1]),
        "icmp_type": np.array([3]),
        "icmp_code": np.array([1]),
    }
    flows = flows_from_packets(make_trace("packet", {"time": np.zeros(1), "length": np.array([56]), **columns}))
    assert (flows["src_port"][0], flows["dst_port"][0]) == (0, 769)
