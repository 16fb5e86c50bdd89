"""The description of a trace: known answers on a small one, and facts of real ones."""

import json

import numpy as np

from preprocess import describe_trace, make_trace, read_trace
from preprocess.trace import Source


def test_known_answers():
    trace = make_trace(
        "packet",
        {
            "time": np.array([0, 500_000_000, 1_500_000_000, 2_000_000_000]),
            "ip_version": np.array([4, 4, 4, 6]),
            "src_lo": np.array([1, 1, 2, 1]),
            "dst_lo": np.array([9, 9, 9, 9]),
            "dst_port": np.array([443, 443, 53, 0]),
            "protocol": np.array([6, 6, 17, 58]),
            "length": np.array([40, 1500, 60, 80]),
        },
        sources=[Source("x.pcap", "pcap", 4, "ethernet", {"not IP (ARP)": 3}, ("truncated",))],
    )
    described = describe_trace(trace)
    json.dumps(described)
    assert (described["records"], described["flows"], described["bytes"]) == (4, 3, 1680)
    assert described["start"] == "1970-01-01T00:00:00.000000000Z" and described["duration_seconds"] == 2.0
    assert described["protocols"]["TCP"] == {"records": 2, "share": 0.5}
    assert described["ip_versions"]["IPv6"]["share"] == 0.25
    assert (described["distinct_source_addresses"], described["distinct_destination_addresses"]) == (3, 2)
    assert described["top_destination_ports"][0] == {"protocol": "TCP", "port": 443, "records": 2, "share": 0.5}
    assert described["top_source_addresses"][0] == {"address": "0.0.0.1", "records": 2}
    assert described["records_per_flow"]["max"] == 2
    assert described["records_per_flow"]["share_of_flows_with_more_than_one"] == 1 / 3
    assert described["skipped"] == {"not IP (ARP)": 3} and described["notes"] == ["x.pcap: truncated"]


def test_trace_without_records():
    described = describe_trace(make_trace("flow", {"time": np.empty(0, np.int64)}))
    json.dumps(described)
    assert described["records"] == described["flows"] == 0


def test_real_traces(development_traces):
    isp = describe_trace(read_trace(development_traces / "p1_isp-2007.pcap.gz"))
    assert isp["records"] == 9995 and isp["records_per_flow"]["max"] == 554
    iot = describe_trace(read_trace(development_traces / "n2_iot23.csv.gz"))
    assert iot["flows"] == 13_754 and iot["records_per_flow"]["max"] == 14_159
    enterprise = describe_trace(read_trace(development_traces / "n3_enterprise-v9.csv.gz"))
    assert enterprise["flows"] == 18_173 and enterprise["packets"] == 2_753_084
    json.dumps([isp, iot, enterprise])
