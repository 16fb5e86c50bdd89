"""Flow records as public data sets write them, and tables of the user's own: rows in the layouts that their
publishers document, and real files where the development traces have them."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.preprocess import read_trace
from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.errors import InputError

ARGUS = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,Label"
CIDDS = (
    "Date first seen,Duration,Proto,Src IP Addr,Src Pt,Dst IP Addr,Dst Pt,Packets,Bytes,Flows,Flags,Tos,class,"
    "attackType,attackID,attackDescription"
)
TON = (
    "ts,src_ip,src_port,dst_ip,dst_port,proto,service,duration,src_bytes,dst_bytes,conn_state,missed_bytes,src_pkts,"
    "src_ip_bytes,dst_pkts,dst_ip_bytes,label,type"
)
CIC_2017 = (
    "Flow ID, Source IP, Source Port, Destination IP, Destination Port, Protocol, Timestamp, Flow Duration, "
    "Total Fwd Packets, Total Backward Packets,Total Length of Fwd Packets, Total Length of Bwd Packets, Label"
)
ZEEK_FIELDS = (
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration", "orig_bytes",
    "resp_bytes", "conn_state", "local_orig", "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes",
    "resp_pkts", "resp_ip_bytes", "tunnel_parents",
)  # fmt: skip


def row(trace, at=0) -> dict:
    """One record, addresses and categories as texts."""
    record = {name: int(trace[name][at]) for name in trace}
    for end in ("src", "dst"):
        record[end] = format_addresses(trace["ip_version"], trace[f"{end}_hi"], trace[f"{end}_lo"])[at]
    for name, texts in trace.categories.items():
        record[name] = texts[record[name]] if record[name] >= 0 else None
    return record


def expect(trace, at=0, **values) -> None:
    record = row(trace, at)
    assert {name: record[name] for name in values} == values


def ns(text: str) -> int:
    return pd.Timestamp(text).value


def test_ugr16_without_header(read):
    line = "2016-03-18 10:47:59,2.500,42.219.145.151,10.0.0.2,443,61000,TCP,.AP..F,0,72,15,925,background"
    trace = read(line, line.replace("background", "blacklist"))
    assert trace.sources[0].format == "ugr16-csv" and len(trace) == 2
    expect(trace, time=ns("2016-03-18 10:47:56.5"), duration=2_500_000_000, src="42.219.145.151", dst="10.0.0.2",
           src_port=443, dst_port=61000, protocol=6, tcp_flags=0b011001, tos=72, packets=15, bytes=925,
           label="background")  # fmt: skip
    assert trace.sources[0].details["header"][10:] == ["pkt", "byt", "label"]


def test_nfdump_newer_csv(read):
    header = "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows"
    trace = read(
        header,
        "2024-01-15 10:00:00.250,1.500,TCP,10.0.0.1,5000,10.0.0.2,443,10,5000,1",
        "2024-01-15 10:00:01.250,0.000,ICMP,10.0.0.1,0,10.0.0.2,8.0,1,84,1",
    )
    assert trace.sources[0].format == "nfdump-short-csv"
    expect(trace, time=ns("2024-01-15 10:00:00.25"), duration=1_500_000_000, dst_port=443, packets=10, bytes=5000)
    expect(trace, 1, protocol=1, dst_port=2048)


def test_nfdump_fast_csv(read):
    trace = read(
        "cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,packets,bytes",
        "1,4,1705312800.250,1705312801.750,6,10.0.0.1,5000,10.0.0.2,443,0,0,1,2,27,8,10,5000",
    )
    expect(trace, time=1705312800_250000000, duration=1_500_000_000, tcp_flags=27, tos=8, packets=10, bytes=5000)


def test_cidds(read):
    trace = read(
        CIDDS,
        "2017-03-15 00:01:16.632,0.003,TCP  ,192.168.100.5,445,192.168.220.16,58844, 1, 1.2 M,1,.AP...,32,normal,---,,",
        "2017-03-15 00:01:17.632,    0.000,ICMP ,10001_34,0,EXT_SERVER,3.3,   1,  108,1,......,0,attacker,portScan,1,",
    )
    expect(trace, time=ns("2017-03-15 00:01:16.632"), duration=3_000_000, src="192.168.100.5", dst_port=58844,
           protocol=6, packets=1, bytes=1_200_000, tcp_flags=24, tos=32, label="normal", attack_type=None)  # fmt: skip
    expect(
        trace, 1, src="240.39.17.34", dst="250.0.0.1", dst_port=3 * 256 + 3, label="attacker", attack_type="portScan"
    )
    assert trace.skipped == {}


def test_ton_iot(read):
    trace = read(
        TON,
        "1554198358,192.168.1.37,4444,192.168.1.193,49178,tcp,-,290.371539,101568,2592,OTH,0,108,108064,31,3832,1,backdoor",
    )
    expect(trace, time=1554198358 * 10**9, duration=290_371_539_000, packets=108, bytes=108064, packets_rev=31,
           bytes_rev=3832, label="1", attack_type="backdoor", protocol=6, dst_port=49178)  # fmt: skip


def test_zeek_json_lines(read):
    record = {"ts": 1533042911.474174, "uid": "C1", "id.orig_h": "10.0.0.1", "id.orig_p": 123, "id.resp_h": "10.0.0.2",
              "id.resp_p": 124, "proto": "udp", "orig_pkts": 1, "orig_ip_bytes": 76, "resp_pkts": 2,
              "resp_ip_bytes": 152, "duration": 0.00549, "tags": ["a"]}  # fmt: skip
    other = {name: value for name, value in record.items() if name not in ("duration", "resp_pkts")}
    trace = read(json.dumps(record), json.dumps(other))
    assert len(trace) == 2 and trace.skipped == {} and trace.sources[0].format == "zeek-json"
    expect(trace, duration=5_490_000, packets=1, bytes=76, packets_rev=2, bytes_rev=152, src_port=123)
    assert abs(row(trace)["time"] - 1533042911_474174000) < 1000
    expect(trace, 1, duration=0, packets_rev=0)


def test_zeek_log_of_iot_23_joins_its_labels(read):
    values = "1533042911.474174,C1,10.0.0.1,123,10.0.0.2,124,tcp,-,2.5,0,0,S0,-,-,0,S,3,180,-,-".replace(",", "\t")
    trace = read(
        "#separator \\x09",
        "#set_separator\t,",
        "\t".join(["#fields", *ZEEK_FIELDS]) + "   label   detailed-label",
        "\t".join(["#types", *["string"] * 21]) + "   string   string",
        values + "\t(empty)   Malicious   PartOfAHorizontalPortScan",
        values + "\t-   Benign   -",
        "#close\t2018-07-31-15-15-40",
    )
    assert len(trace) == 2 and trace.skipped == {}
    expect(trace, time=1533042911_474174000, packets=3, bytes=180, label="Malicious",
           attack_type="PartOfAHorizontalPortScan")  # fmt: skip
    expect(trace, 1, label="Benign", attack_type=None)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("7/7/2017 3:30", "2017-07-07 03:30"),
        ("14/02/2018 08:31:01", "2018-02-14 08:31:01"),
        ("28/06/2022 04:49:27 PM", "2022-06-28 16:49:27"),
        ("2022-06-28 16:49:27", "2022-06-28 16:49:27"),
    ],
)
def test_cicflowmeter(read, stamp, expected):
    trace = read(CIC_2017, f"x,10.0.0.1,5000,10.0.0.2,443,6,{stamp},2500000,3,2,120,60,BENIGN")
    expect(trace, time=ns(expected), duration=2_500_000_000, packets=3, bytes=120, packets_rev=2, bytes_rev=60,
           protocol=6, label="BENIGN")  # fmt: skip


def test_argus(read):
    trace = read(
        ARGUS,
        "2011/08/10 09:46:53.047277,3550.1,udp,212.50.71.179,39678,<->,147.32.84.229,13363,CON,0,0,12,875,413,bg",
        "2011/08/10 09:46:54,0,icmp,212.50.71.179,0x0303,->,147.32.84.229,0x8000,URP,0,,1,70,70,",
        "2011/08/10 09:46:55,0,rtp,212.50.71.179,5,->,147.32.84.229,6,INT,,,1,70,70,",
    )
    expect(trace, time=ns("2011-08-10 09:46:53.047277"), duration=3550_100_000_000, packets=12, bytes=875,
           label="bg", dst_port=13363)  # fmt: skip
    expect(trace, 1, src_port=0x303, dst_port=0x8000, label=None)
    expect(trace, 2, protocol=17)


def test_argus_with_damaged_dates(development_traces):
    path = development_traces / "odd" / "argus-wannacry-badts.binetflow.gz"
    trace = read_trace(path)
    table = pd.read_csv(path)
    arp = int(table["Proto"].isin(["arp", "llc", "rarp"]).sum())
    assert trace.sources[0].format == "argus-csv" and len(trace) + sum(trace.skipped.values()) == len(table)
    assert trace.skipped.get("proto is no known protocol", 0) + trace.skipped.get("srcaddr is no IP address", 0) == arp
    assert row(trace)["time"] == ns("1970-01-01 01:00:10.157020")


def test_unsw_with_a_header_of_another_file(development_traces):
    path = development_traces / "odd" / "unsw-nb15-wrong-header.csv.gz"
    trace = read_trace(path)
    with gzip.open(path, "rt") as file:
        lines = [line.strip().split(",") for line in file][1:]
    assert trace.sources[0].format == "unsw-nb15-csv" and "does not fit" in trace.sources[0].notes[0]
    assert len(trace) + sum(trace.skipped.values()) == len(lines)
    assert int(trace["packets"].sum()) == sum(int(line[16]) for line in lines if line[4] != "arp")
    assert int(trace["bytes_rev"].sum()) == sum(int(line[8]) for line in lines if line[4] != "arp")


def test_columns_of_the_users_own(read, tmp_path):
    mapping = {"time": "When:ms", "src": "From", "dst": "To", "bytes": "Octets", "packets": "n", "protocol": "p",
               "duration": "d:us", "label": "Kind", "dst_port": "port"}  # fmt: skip
    lines = ("when,from,to,octets,n,p,d,kind,port", "1600000000123,10.0.0.1,::ffff,1.5 K,2,udp,250,odd,0x35",
             "1600000000124,10.0.0.1,10.0.0.2,60,1,17,,,53")  # fmt: skip
    trace = read(*lines, columns=mapping)
    assert trace.kind == "flow" and trace.skipped == {"one address is IPv4, the other IPv6": 1}
    expect(trace, time=1600000000_124000000, duration=0, bytes=60, packets=1, dst_port=53, protocol=17, label=None)
    table = pa.table({"when": [1600000000124], "from": ["10.0.0.1"], "to": ["10.0.0.2"], "octets": [60], "n": [1],
                      "p": ["UDP"], "d": [250], "kind": ["odd"], "port": [53]})  # fmt: skip
    pq.write_table(table, tmp_path / "table.parquet")
    expect(
        read_trace(tmp_path / "table.parquet", columns=mapping),
        time=1600000000_124000000,
        duration=250_000,
        label="odd",
    )


def test_columns_that_make_packets(read):
    mapping = {"time": "t", "src": "a", "dst": "b", "length": "size", "ttl": "hops", "protocol": "p"}
    lines = ("t,a,b,size,hops,p", "1600000000.5,10.0.0.1,10.0.0.2,60,64,6", "1600000000.6,10.0.0.1,10.0.0.2,60,640,6")
    trace = read(*lines, columns=mapping)
    assert trace.kind == "packet" and trace.skipped == {"hops cannot be read": 1}
    expect(trace, length=60, ttl=64, protocol=6, time=1600000000_500000000)


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"time": "t", "src": "a", "dst": "c"}, "without the columns c that are named .found t, a, b"),
        ({"time": "t", "src": "a"}, "columns: dst must be named"),
        ({"time": "t", "src": "a", "dst": "b", "size": "x"}, "columns: size is no column of a trace, use one of time"),
    ],
)
def test_mappings_that_cannot_be_are_one_line(read, mapping, expected):
    with pytest.raises(InputError, match=expected):
        read("t,a,b", "1,10.0.0.1,10.0.0.2", columns=mapping)


def test_unknown_layouts_name_the_way_out(read):
    with pytest.raises(InputError, match=r"any other table is read with a mapping .columns"):
        read("a,b,c", "1,2,3")
    with pytest.raises(InputError, match="cicflowmeter-csv file without the columns src ip"):
        read("timestamp,flow duration", "1,2")
    with pytest.raises(InputError, match=r"JSON lines cannot be parsed|not a trace"):
        read('{"a": 1', '{"b"')


def test_nfdumps_newer_csv_without_any_duration_is_one_line(read):
    with pytest.raises(InputError, match=r"nfdump-short-csv file without the columns duration .or lastSeen."):
        read(
            "firstSeen,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes",
            "2026-11-21 02:07:05,TCP,10.0.0.1,1,10.0.0.2,2,1,60",
        )


def test_dates_that_nanoseconds_do_not_hold_are_counted(read):
    lines = [
        f"{year}-03-15 00:01:16,0.003,TCP,10.0.0.1,445,10.0.0.2,58844,1,40,1,......,0,a,,," for year in (2017, 9017)
    ]
    trace = read(CIDDS, *lines)
    assert len(trace) == 1 and trace.skipped == {"date first seen cannot be read": 1}


SEEDS = (
    (ARGUS, "2011/08/10 09:46:53.047277,3550.1,udp,212.50.71.179,39678,<->,147.32.84.229,13363,CON,0,0,12,875,413,x"),
    (CIDDS, "2017-03-15 00:01:16.632,0.003,TCP,10001_34,445,192.168.220.16,58844,1,1.2 M,1,.AP...,32,normal,---,---,-"),
    (TON, "1554198358,192.168.1.37,4444,192.168.1.193,49178,tcp,-,290.3,101568,2592,OTH,0,108,108064,31,3832,1,x"),
    (CIC_2017, "x,10.0.0.1,5000,10.0.0.2,443,6,7/7/2017 3:30,2500000,3,2,120,60,BENIGN"),
    ("2016-03-18 10:47:59,2.500,42.219.145.151,10.0.0.2,443,61000,TCP,.AP..F,0,72,15,925,background",),
    ('{"ts": 1.5, "id.orig_h": "10.0.0.1", "id.orig_p": 1, "id.resp_h": "10.0.0.2", "id.resp_p": 2, "proto": "tcp", '
     '"duration": 1, "orig_pkts": 1, "orig_ip_bytes": 40}',),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_texts_never_crash(tmp_path_factory, lines, data):
    text = bytearray("\n".join((*lines, lines[-1])).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "flows"
    path.write_bytes(text)
    try:
        trace = read_trace(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert trace.kind == "flow" and (trace["packets"] >= 0).all() and np.isin(trace["ip_version"], (4, 6)).all()
