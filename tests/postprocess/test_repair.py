"""Repair: each rule on an example that breaks it, and repairing twice is repairing once."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.postprocess import broken_conventions, repair
from netshare.postprocess.rules import minimum_length, port_protocol_violation
from netshare.preprocess.errors import FieldError
from netshare.preprocess.trace import Trace, known_columns, make_trace
from tests.postprocess.random_traces import random_flows, random_packets

LEGAL = {
    "ip_version": 4,
    "src_lo": 0x0A000001,
    "dst_lo": 0x0A000002,
    "src_port": 50_000,
    "dst_port": 8080,
    "protocol": 6,
    "length": 60,
    "ttl": 64,
    "tcp_flags": 16,
    "tcp_header_length": 20,
}


def packet(**changes: int) -> Trace:
    values = {**LEGAL, **changes}
    return make_trace("packet", {"time": np.zeros(1), **{name: np.array([value]) for name, value in values.items()}})


def flow(**changes: int) -> Trace:
    values = {**LEGAL, "packets": 2, "bytes": 200, "duration": 5, **changes}
    kept = {name: value for name, value in values.items() if name in known_columns("flow")}
    return make_trace("flow", {"time": np.zeros(1), **{name: np.array([value]) for name, value in kept.items()}})


UDP = {"protocol": 17, "tcp_flags": 0, "tcp_header_length": 0}


@pytest.mark.parametrize(
    ("rule", "found", "legal"),
    [
        ("ip_version", {"ip_version": 5}, {"ip_version": 4}),
        ("icmp_version", {"protocol": 58}, {"protocol": 1}),
        ("ttl_vlan", {"ttl": 0}, {"ttl": 1}),
        ("ttl_vlan", {"vlan": 4095}, {"vlan": 4094}),
        ("ipv6_fields", {"ip_version": 6, "ip_flags": 2, "ip_id": 7}, {"ip_flags": 0, "ip_id": 0}),
        ("fragments", {"ip_flags": 3}, {"ip_flags": 2}),
        ("fragments", {"ip_flags": 4}, {"ip_flags": 0}),
        ("fragments", {"fragment_offset": 8191, "length": 1500}, {"fragment_offset": 8004}),
        ("portless", {"protocol": 47}, {"src_port": 0, "dst_port": 0}),
        ("port_protocol", {"dst_port": 123}, {"protocol": 17}),
        ("port_zero", {"dst_port": 0}, {"dst_port": 1}),
        ("source_address", {"src_lo": 0xE0000001}, {"src_lo": 0x80000001}),
        ("source_address", {"src_lo": 5}, {"src_lo": 0x0A000005}),
        ("destination_address", {"dst_lo": 9}, {"dst_lo": 0x0A000009}),
        ("foreign_fields", {"protocol": 17, "icmp_type": 3}, {"tcp_flags": 0, "icmp_type": 0}),
        ("tcp_header_length", {"tcp_header_length": 27}, {"tcp_header_length": 24}),
        ("tcp_header_length", {"tcp_header_length": 60}, {"tcp_header_length": 40, "length": 60}),
        ("tcp_flags", {"tcp_flags": 0}, {"tcp_flags": 16}),
        ("tcp_flags", {"tcp_flags": 3}, {"tcp_flags": 2}),
        ("tcp_flags", {"tcp_flags": 6}, {"tcp_flags": 4}),
        ("length", {"length": 39}, {"length": 40}),
        ("length", {**UDP, "length": 4}, {"length": 28}),
        ("length", {"length": 70_000}, {"length": 65_535}),
        ("fragment_length", {"ip_flags": 1, "length": 65}, {"length": 60}),
        ("message_length", {**UDP, "dst_port": 53, "length": 30}, {"length": 40}),
    ],
)
def test_a_packet_that_breaks_a_rule_is_mended(rule: str, found: dict[str, int], legal: dict[str, int]):
    mended, report = repair(packet(**found), assign_ip_id=False)
    assert report.rules[rule] == {"before": 1, "after": 0}
    assert {name: int(mended[name][0]) for name in legal} == legal


@pytest.mark.parametrize(
    "legal",
    [
        {},
        {**UDP, "dst_port": 443, "length": 1228},
        {**UDP, "src_lo": 0, "dst_lo": 0xFFFFFFFF, "src_port": 68, "dst_port": 67, "length": 328},
        {"dst_port": 53},
        {**UDP, "src_port": 0, "dst_port": 0, "ip_flags": 0, "fragment_offset": 185},
        {**UDP, "protocol": 1, "icmp_type": 8, "length": 84, "src_port": 0, "dst_port": 0},
    ],
)
def test_legal_packets_stay_as_they_are(legal: dict[str, int]):
    before = packet(**legal)
    after, report = repair(before, assign_ip_id=False)
    assert report.repaired == 0
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("rule", "found", "legal"),
    [
        ("ports", {"protocol": 47}, {"src_port": 0, "dst_port": 0}),
        ("ports", {"protocol": 1, "dst_port": 771}, {"src_port": 0, "dst_port": 771}),
        ("port_protocol", {"protocol": 17, "dst_port": 22}, {"protocol": 6}),
        ("not_negative", {"duration": -4}, {"duration": 0}),
        ("packets", {"packets": 0, "bytes": 50}, {"packets": 1, "bytes": 50, "duration": 0}),
        ("bytes", {"packets": 10, "bytes": 100}, {"bytes": 400}),
        ("bytes", {"packets": 1, "bytes": 10**6}, {"bytes": 65_535}),
        ("duration", {"packets": 1}, {"duration": 0}),
        ("tcp_flags", {**UDP, "tcp_flags": 2}, {"tcp_flags": 0}),
    ],
)
def test_a_flow_that_breaks_a_rule_is_mended(rule: str, found: dict[str, int], legal: dict[str, int]):
    mended, report = repair(flow(**found))
    assert report.rules[rule] == {"before": 1, "after": 0}
    assert {name: int(mended[name][0]) for name in legal} == legal


def test_records_without_packets_are_kept_where_the_source_has_them():
    mended, report = repair(flow(packets=0, bytes=0), allow_zero_packets=True)
    assert (mended["packets"][0], mended["bytes"][0], report.repaired) == (0, 0, 0)


def test_a_rule_can_be_left_out_but_must_exist():
    assert repair(packet(src_lo=0xE0000001), except_rules=["source_address"])[0]["src_lo"][0] == 0xE0000001
    with pytest.raises(FieldError, match="unknown repair rule 'sauce'"):
        repair(packet(), except_rules=["sauce"])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), packets=st.booleans())
def test_repairing_twice_is_repairing_once(seed: int, packets: bool):
    trace = random_packets(400, seed) if packets else random_flows(400, seed)
    once, report = repair(trace)
    twice, again = repair(once)
    types = known_columns(trace.kind)
    for name in trace:
        assert once[name].dtype == types[name]
        assert np.array_equal(once[name], twice[name]), name
    assert all(counts["after"] == 0 for counts in report.rules.values())
    assert again.repaired == 0
    assert len(once) == len(trace)


def test_the_report_is_json():
    report = repair(packet(ttl=0))[1]
    content = json.loads(json.dumps(report.to_json()))
    assert content["rules"]["ttl_vlan"]["before"] == 1
    assert content["rules"]["ttl_vlan"]["rule"]


def test_identifications_count_up_for_each_source():
    trace = make_trace(
        "packet",
        {
            "time": np.arange(4),
            "src_lo": np.array([1, 2, 1, 1]) << 24,
            **{k: np.full(4, v) for k, v in LEGAL.items() if k != "src_lo"},
        },
    )
    numbers = repair(trace)[0]["ip_id"].astype(int)
    assert (numbers[2] - numbers[0]) % 65_536 == 1
    assert (numbers[3] - numbers[2]) % 65_536 == 1
    assert not np.array_equal(numbers, repair(trace, seed=1)[0]["ip_id"])


def test_a_fragment_shares_the_identification_of_a_datagram_only_where_it_fits():
    rows = 5
    trace = make_trace(
        "packet",
        {
            **{k: np.full(rows, v) for k, v in LEGAL.items()},
            "time": np.arange(rows),
            "protocol": np.full(rows, 17),
            "length": np.array([1476, 44, 40, 1452, 1396]),
            "ip_flags": np.array([1, 1, 0, 0, 0]),
            "fragment_offset": np.array([0, 182, 182, 182, 182]),
        },
    )
    numbers = repair(trace)[0]["ip_id"].astype(int)
    assert numbers[1] == numbers[0]  # begins where the first one ends
    assert len({*numbers[1:]}) == 4  # each of the others would lie on one before it, or follow a last fragment


def test_protocol_facts():
    six, four = np.array([6, 17, 1, 47]), np.full(4, 4)
    assert minimum_length(six, four).tolist() == [40, 28, 28, 20]
    assert minimum_length(six, np.full(4, 6)).tolist() == [60, 48, 48, 40]
    violations = port_protocol_violation(np.array([50_000] * 4), np.array([22, 443, 53, 67]), np.array([17, 17, 6, 6]))
    assert violations.tolist() == [True, False, False, True]


def test_a_syn_carries_no_data():
    trace = make_trace(
        "packet",
        {
            "time": [1, 2],
            "ip_version": [4, 4],
            "src_lo": [0x0A000001] * 2,
            "dst_lo": [0x0A000002] * 2,
            "src_port": [1000] * 2,
            "dst_port": [80] * 2,
            "protocol": [6, 6],
            "length": [600, 600],
            "ttl": [64, 64],
            "tcp_flags": [0x02, 0x18],
            "tcp_header_length": [24, 20],
        },
    )
    repaired, report = repair(trace)
    assert repaired["length"].tolist() == [44, 600]
    assert report.rules["syn_payload"] == {"before": 1, "after": 0}


def test_conventions_that_real_traffic_breaks_are_left_alone():
    multicast_sources = {"time": [1, 2], "ip_version": [4, 4], "src_lo": [0xE0000001, 0x0A000001]}
    trace = make_trace(
        "packet", multicast_sources | {"dst_lo": [0x0A000002] * 2, "protocol": [17] * 2, "length": [40] * 2}
    )
    excepted = broken_conventions(trace)
    assert "source_address" in excepted
    assert repair(trace, except_rules=excepted)[0]["src_lo"].tolist() == trace["src_lo"].tolist()
    assert repair(trace)[0]["src_lo"][0] != trace["src_lo"][0]
