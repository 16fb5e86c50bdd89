"""Flow records: written CSVs read back, and packets become the records that an exporter would make."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from netshare.postprocess import flows_from_packets, repair, write_trace
from netshare.postprocess.writers.flow_csv import FLOW_TEXTS
from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.readers.read import read_trace
from netshare.preprocess.trace import FLOW_COLUMNS, make_trace
from tests.postprocess.random_traces import random_flows


@pytest.mark.parametrize("name", ["n1_ugr16-small", "n2_iot23", "n3_enterprise-v9"])
def test_a_real_csv_reads_back_in_its_own_layout(name: str, development_traces: Path, tmp_path: Path):
    trace = read_trace(development_traces / f"{name}.csv.gz")
    report = write_trace(trace, tmp_path / "out.csv.gz")
    back = read_trace(tmp_path / "out.csv.gz")
    assert (report.format, report.lossy) == (trace.sources[0].format, ())
    assert back.sources[0].details["header"] == trace.sources[0].details["header"]
    assert [column for column in trace if not np.array_equal(trace[column], back[column])] == []


CSV_LAYOUTS = [name for name in FLOW_TEXTS if name.endswith("-csv")]


@pytest.mark.parametrize("layout", [name for name in FLOW_TEXTS if name != "ugr16-csv"])
def test_random_records_read_back_but_for_what_the_report_says(layout: str, tmp_path: Path):
    trace, _ = repair(random_flows(3000, seed=1))
    usual = np.isin(trace["protocol"], (1, 6, 17)) & (trace["ip_version"] == 4)
    trace = trace.take(usual)
    random = np.random.default_rng(2)
    labels = {name: random.integers(0, 2, len(trace)) for name in ("label", "attack_type")}
    categories = {"label": ("background", "DoS, slow"), "attack_type": ("none", "hulk")}
    trace = make_trace("flow", {**trace.columns, **labels}, categories=categories)
    report = write_trace(trace, tmp_path / "out.csv", format=layout)
    back = read_trace(tmp_path / "out.csv")
    assert len(back) == len(trace)
    assert back.sources[0].format == {"zeek-tsv": "zeek-csv"}.get(layout, layout)
    cut = {"times": "time", "durations": "duration"}
    lost = {cut.get(line.split(":")[0].split(" ")[0], line.split(":")[0]) for line in report.lossy}
    if "time" in lost:  # which may change the order
        trace, back = (
            some.take(np.lexsort([some[name] for name in FLOW_COLUMNS if name not in lost])) for some in (trace, back)
        )
    for column in trace:
        if column in lost or column == "epoch" or (column not in back and not trace[column].any()):
            continue
        assert np.array_equal(_plain(trace, column), _plain(back, column)), column


def _plain(trace, column: str) -> np.ndarray:
    """Texts of what is coded."""
    if column not in trace.categories:
        return trace[column]
    return np.array([*trace.categories[column], ""], dtype=object)[trace[column]]


@pytest.mark.parametrize("layout", CSV_LAYOUTS)
def test_what_was_read_is_written_in_its_own_layout(layout: str, sample_netflow: Path, tmp_path: Path):
    write_trace(read_trace(sample_netflow, limit=500), tmp_path / "a.csv", format=layout)
    report = write_trace(read_trace(tmp_path / "a.csv"), tmp_path / "b.csv")
    assert report.format == layout
    first, again = read_trace(tmp_path / "a.csv"), read_trace(tmp_path / "b.csv")
    assert [name for name in first if not np.array_equal(first[name], again[name])] == []


def test_zeeks_own_log_reads_back(development_traces: Path, tmp_path: Path):
    trace = read_trace(development_traces / "n2_iot23.csv.gz")
    report = write_trace(trace, tmp_path / "conn.log")
    assert (report.format, report.lossy) == ("zeek-tsv", ())
    back = read_trace(tmp_path / "conn.log")
    assert [column for column in trace if not np.array_equal(trace[column], back[column])] == []
    lines = (tmp_path / "conn.log").read_text().splitlines()
    names, types = lines[6].split("\t"), lines[7].split("\t")
    assert (names[0], types[0], lines[-1].split("\t")[0]) == ("#fields", "#types", "#close")
    assert len(names) == len(types) == len(lines[8].split("\t")) + 1
    assert dict(zip(names, types, strict=True))["id.orig_h"] == "addr"


def test_zeeks_json_has_a_record_a_line(development_traces: Path, tmp_path: Path):
    trace = read_trace(development_traces / "n2_iot23.csv.gz", limit=3000)
    write_trace(trace, tmp_path / "conn.json.gz")
    with gzip.open(tmp_path / "conn.json.gz", "rt") as stream:
        rows = [json.loads(line) for line in stream]
    hosts = format_addresses(trace["ip_version"], trace["src_hi"], trace["src_lo"])
    assert [row["id.orig_h"] for row in rows] == hosts.tolist()
    assert [row["resp_ip_bytes"] for row in rows] == trace["bytes_rev"].tolist()
    assert [round(row["duration"] * 1e6) for row in rows] == (trace["duration"] // 1000).tolist()
    labels = trace.categories["label"]
    assert [row.get("label", "-") for row in rows] == [labels[code] if code >= 0 else "-" for code in trace["label"]]


def test_labels_with_quotes_delimiters_and_other_letters_survive(tmp_path: Path):
    flows, _ = repair(random_flows(4, seed=1))
    flows = make_trace(
        "flow", {**flows.columns, "label": np.arange(4)}, categories={"label": ['a "b"', "c,d", "\u00fc\t", "plain"]}
    )
    write_trace(flows, tmp_path / "out.json")
    rows = [json.loads(line)["label"] for line in (tmp_path / "out.json").read_text().splitlines()]
    assert rows == list(flows.categories["label"])
    write_trace(flows.take(np.array([0, 1, 3])), tmp_path / "out.csv")
    back = read_trace(tmp_path / "out.csv")
    assert [back.categories["label"][code] for code in back["label"]] == ['a "b"', "c,d", "plain"]


def test_cidds_and_ugr16_say_what_their_data_sets_say(tmp_path: Path):
    flow = {"time": 1_500_000_000_123_456_789, "duration": 2_500_000_000, "ip_version": 4, "src_lo": 0x0A000001}
    flow |= {"dst_lo": 0x0A000002, "src_port": 0, "dst_port": 769, "protocol": 1, "packets": 3, "bytes": 300}
    columns = {name: np.array([value]) for name, value in {**flow, "tcp_flags": 0x1B, "tos": 8, "label": 0}.items()}
    trace = make_trace("flow", columns, categories={"label": ["normal"]})
    cidds = write_trace(trace, tmp_path / "cidds.csv", format="cidds-csv")
    assert (tmp_path / "cidds.csv").read_text().splitlines()[1] == (
        "2017-07-14 02:40:00.123,2.500,ICMP ,10.0.0.1,0,10.0.0.2,3.1,3,300,1,.AP.SF,8,normal,---,---,---"
    )
    assert cidds.lossy == ("times are cut to steps of 1000000 nanoseconds",)
    write_trace(trace, tmp_path / "ugr16.csv", format="ugr16-csv")
    assert (tmp_path / "ugr16.csv").read_text() == (
        "2017-07-14 02:40:02,2.500,10.0.0.1,10.0.0.2,0,769,ICMP,.AP.SF,0,8,3,300,normal\n"
    )


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
