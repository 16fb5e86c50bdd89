"""NetFlow CSVs: the three layouts, real files against a plain pandas computation, rows that cannot be read."""

import numpy as np
import pandas as pd
import pytest

from netshare.preprocess import read_trace
from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.errors import InputError

NETSHARE = "srcip,dstip,srcport,dstport,proto,ts,td,pkt,byt,type"
NFDUMP = "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt"
ZEEK = (
    "ts,uid,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,duration,orig_pkts,orig_ip_bytes,resp_pkts,resp_ip_bytes,"
    "label,detailed-label"
)


def addresses(trace, end: str) -> list[str]:
    return format_addresses(trace["ip_version"], trace[f"{end}_hi"], trace[f"{end}_lo"]).tolist()


@pytest.mark.parametrize(
    ("stamp", "unit", "nanoseconds"),
    [
        ("1458298072.364", "s", 1458298072_364000000),
        ("1458298072.364000001", "s", 1458298072_364000001),
        ("1458298072364", "ms", 1458298072_364000000),
        ("1458298072364000.0", "us", 1458298072_364000000),
        ("1458298072364000001", "ns", 1458298072_364000001),
        ("1.458298072e9", "s", 1458298072_000000000),
    ],
)
def test_netshare_layout_and_time_units(read, stamp, unit, nanoseconds):
    trace = read(NETSHARE, f"167772161,10.0.0.2,80,61698,TCP,{stamp},115.884,15,925,background")
    assert trace.kind == "flow"
    row = {name: trace[name][0] for name in trace}
    assert (row["time"], row["duration"], row["packets"], row["bytes"]) == (nanoseconds, 115_884_000_000, 15, 925)
    assert (addresses(trace, "src"), addresses(trace, "dst")) == (["10.0.0.1"], ["10.0.0.2"])
    assert (row["src_port"], row["dst_port"], row["protocol"], row["label"]) == (80, 61698, 6, 0)
    assert trace.categories == {"label": ("background",)}
    assert trace.sources[0].format == "netshare-csv"
    assert trace.sources[0].details == {
        "header": NETSHARE.split(","),
        "delimiter": ",",
        "time_unit": unit,
        "duration_unit": "s",
        "address_format": "int",
        "protocol_format": "name",
    }


def test_label_beside_type_makes_type_the_attack_type(read):
    trace = read(
        f"{NETSHARE},label",
        "10.0.0.1,10.0.0.2,1,2,UDP,1458298072,0,1,60,dos,attacker",
        "10.0.0.1,10.0.0.2,1,2,UDP,1458298073,0,1,60,,normal",
    )
    assert trace["label"].tolist() == [0, 1] and trace.categories["label"] == ("attacker", "normal")
    assert trace["attack_type"].tolist() == [0, -1] and trace.categories["attack_type"] == ("dos",)


def test_nfdump_layout(read):
    trace = read(
        NFDUMP,
        "2015-09-08 14:49:59.250,2015-09-08 14:50:07,8.064,8.1.60.59,9.2.178.142,80,2508,TCP,...AP.SF,0,8,68,76458,0,0",
        "2015-09-08 14:50:00,2015-09-08 14:50:07,1,2001:db8::1,2001:db8::2,0,0,ICMP6,........,0,0,0,0,3,300",
        "2015-09-08 14:50:01,2015-09-08 14:50:07,1,10.0.0.1,10.0.0.2,5,53,UDP,......,0,0,2,100,1,200",
        "Summary",
        "flows,bytes,packets,avg_bps,avg_pps,avg_bpp",
        "24652,1999140013,2753084,8117968,1397,726",
    )
    stamps = ("2015-09-08T14:49:59.25", "2015-09-08T14:50:00", "2015-09-08T14:50:01")
    assert trace["time"].tolist() == [pd.Timestamp(stamp).value for stamp in stamps]
    assert trace["tcp_flags"].tolist() == [0b011011, 0, 0] and trace["tos"].tolist() == [8, 0, 0]
    assert trace["packets"].tolist() == [68, 3, 2] and trace["bytes"].tolist() == [76458, 300, 100]
    assert trace["packets_rev"].tolist() == [0, 0, 1] and trace["bytes_rev"].tolist() == [0, 0, 200]
    assert trace["protocol"].tolist() == [6, 58, 17]
    assert addresses(trace, "dst") == ["9.2.178.142", "2001:db8::2", "10.0.0.2"]
    assert trace.skipped == {}


def test_zeek_layout(read):
    trace = read(
        ZEEK,
        "1533042911.474174,C1,192.168.100.113,123,81.2.254.224,123,udp,0.005490,1,76,2,152,Malicious,DDoS",
        "1533042912,C2,fe80::1,135,ff02::1,136,icmp,,-,-,,(empty),benign,-",
    )
    assert trace["time"].tolist() == [1533042911_474174000, 1533042912_000000000]
    assert trace["duration"].tolist() == [5_490_000, 0]
    assert trace["packets"].tolist() == [1, 0] and trace["bytes_rev"].tolist() == [152, 0]
    assert trace["protocol"].tolist() == [17, 58] and trace["ip_version"].tolist() == [4, 6]
    assert trace["label"].tolist() == [0, 1] and trace["attack_type"].tolist() == [0, -1]
    assert trace.categories["attack_type"] == ("DDoS",)


def test_zeeks_own_log(read):
    fields = [name for name in ZEEK.split(",") if not name.endswith("label")]
    row = "1533042911.474174,C1,10.0.0.1,123,10.0.0.2,124,tcp,-,1,76,0,0"
    trace = read(
        "#separator \\x09",
        "#set_separator\t,",
        "\t".join(["#fields", *fields]),
        "\t".join(["#types", *["string"] * len(fields)]),
        row.replace(",", "\t"),
        "#close\t2018-07-31-15-15-40",
    )
    assert trace["dst_port"].tolist() == [124] and trace["time"].tolist() == [1533042911_474174000]
    assert trace.skipped == {} and trace.sources[0].details["delimiter"] == "\t"
    assert trace.sources[0].details["header"] == fields


def test_rows_that_cannot_be_read_are_counted_by_reason(read):
    good = "10.0.0.1,10.0.0.2,1,2,UDP,1458298072,0,1,60,a"
    trace = read(
        NETSHARE,
        good,
        good.replace("10.0.0.1", "nonsense"),
        good.replace("10.0.0.1", "::1"),
        good.replace(",1,2,", ",1,70000,"),
        good.replace("UDP", "nonsense"),
        good.replace("1458298072", ""),
        good.replace(",0,1,60", ",-1,1,60"),
        good.replace(",1,60", ",1.5e400,60"),
        good.replace(",60,", ",-60,"),
        good + ",surplus",
        good.replace("60", "6O"),
    )
    assert len(trace) == 1
    assert trace.skipped == {
        "11 values where the header has 10": 1,
        "srcip is no IP address": 1,
        "one address is IPv4, the other IPv6": 1,
        "dstport cannot be read": 1,
        "proto is no known protocol": 1,
        "ts cannot be read": 1,
        "td is negative": 1,
        "pkt cannot be read": 1,
        "byt cannot be read": 2,
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((NETSHARE.replace("td,pkt", "duration"), "x"), "netshare-csv file without the columns td, pkt .found srcip"),
        (("a,b,c", "1,2,3"), "not a trace .a text that begins with 'a,b,c'"),
        (("ts,td,srcip,dstport,proto,pkt,byt", "1,1,10.0.0.1,6,TCP,7,8"), "netshare-csv with the columns .*srcport"),
        ((NETSHARE,), "no usable flow records .the file holds no usable records"),
        ((NETSHARE, "only,one"), "1 skipped: 2 values where the header has 10"),
        ((NETSHARE + ",ts", "x"), "the columns ts stand twice"),
    ],
)
def test_unusable_files_are_one_line_that_names_them(read, lines, expected):
    with pytest.raises(InputError, match=expected) as error:
        read(*lines)
    assert "flows.txt" in str(error.value) and "\n" not in str(error.value)


def test_other_delimiters_case_bytes_and_line_ends(read, tmp_path):
    row = "10.0.0.1,10.0.0.2,1,2,udp,1458298072,0,1,60,caf\xe9"
    path = tmp_path / "latin1.csv"
    path.write_bytes(f"{NETSHARE}\r\n{row}\r\n".replace(",", ";").upper().encode("latin-1"))
    trace = read_trace(path)
    assert trace.categories["label"] == ("CAF\xc9",) and trace["bytes"].tolist() == [60]
    assert trace.sources[0].details["delimiter"] == ";"
    path.write_bytes(("\ufeff" + NETSHARE + "\n" + row).encode())
    assert len(read_trace(path)) == 1


def test_limit(read):
    rows = [f"10.0.0.1,10.0.0.2,1,2,UDP,{1458298072 - at},0,1,60,a" for at in range(5)]
    trace = read(NETSHARE, *rows, limit=3)
    assert trace["time"].tolist() == [1458298070 * 10**9, 1458298071 * 10**9, 1458298072 * 10**9]
    assert "2 records are earlier than the record before them, sorted by time" in trace.sources[0].notes


def test_enterprise_netflow_agrees_with_pandas(development_traces):
    path = development_traces / "n3_enterprise-v9.csv.gz"
    trace = read_trace(path)
    assert len(trace) == 24_652 and trace.skipped == {}
    table = pd.read_csv(path, nrows=24_652, low_memory=False)
    assert int(trace["packets"].sum()) == int((table["ipkt"] + table["opkt"]).sum()) == 2_753_084
    assert int(trace["bytes"].sum()) == int((table["ibyt"] + table["obyt"]).sum()) == 1_999_140_013
    order = np.argsort(pd.to_datetime(table["ts"]).to_numpy(), kind="stable")
    assert addresses(trace, "src") == table["sa"].to_numpy()[order].tolist()
    assert trace["dst_port"].tolist() == table["dp"].to_numpy()[order].tolist()
    np.testing.assert_array_equal(trace["duration"], (table["td"].to_numpy()[order] * 1000).round() * 10**6)


def test_isp_netflow_agrees_with_pandas(development_traces):
    path = development_traces / "n1_ugr16-small.csv.gz"
    trace = read_trace(path)
    table = pd.read_csv(path).sort_values("ts", kind="stable")
    np.testing.assert_array_equal(trace["src_lo"], table["srcip"])
    np.testing.assert_array_equal(trace["time"], table["ts"].astype(np.int64) * 1000)
    np.testing.assert_array_equal(trace["bytes"], table["byt"])
    texts = np.array(trace.categories["label"])[trace["label"]]
    assert texts.tolist() == table["type"].tolist()


def test_iot_netflow_agrees_with_pandas(development_traces):
    path = development_traces / "n2_iot23.csv.gz"
    trace = read_trace(path)
    table = pd.read_csv(path, na_values=["-"], low_memory=False)
    assert len(trace) == 46_662
    assert int((trace["packets"] == 0).sum()) == int((table["orig_pkts"].fillna(0) == 0).sum())
    assert int(trace["bytes"].sum()) == int(table["orig_ip_bytes"].sum())
    assert int(trace["bytes_rev"].sum()) == int(table["resp_ip_bytes"].sum())
    assert int((trace["ip_version"] == 6).sum()) == 211
