from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netshare.preprocess.flows import count_flows, group_flows, group_flows_by_hash, sample_flows
from netshare.preprocess.trace import Trace, make_trace


def small_trace(hosts: list[tuple[int, int, int, int]], version: int = 4) -> Trace:
    src, dst, sport, dport = (np.array(column, dtype=np.uint64) for column in zip(*hosts, strict=True))
    rows = len(hosts)
    return make_trace(
        "packet",
        {
            "time": np.arange(rows) * 10,
            "ip_version": np.full(rows, version),
            "src_lo": src,
            "dst_lo": dst,
            "src_port": sport,
            "dst_port": dport,
            "protocol": np.full(rows, 6),
        },
    )


hosts = st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=1, max_size=40)


@given(hosts, st.sampled_from([4, 6]))
def test_flows_are_the_groups_of_equal_five_tuples_in_order_of_first_record(rows, version):
    flows = group_flows(small_trace(rows, version))
    expected: dict[tuple, list[int]] = {}
    for position, row in enumerate(rows):
        expected.setdefault(row, []).append(position)
    found = [flows.order[a:b].tolist() for a, b in zip(flows.offsets[:-1], flows.offsets[1:], strict=True)]
    assert found == list(expected.values())


@given(hosts)
def test_conversations_join_both_directions_and_mark_each_record(rows):
    flows = group_flows(small_trace(rows), "bidirectional")
    expected: dict[frozenset, list[int]] = {}
    for position, (src, dst, sport, dport) in enumerate(rows):
        expected.setdefault(frozenset([(src, sport), (dst, dport)]), []).append(position)
    found = [flows.order[a:b].tolist() for a, b in zip(flows.offsets[:-1], flows.offsets[1:], strict=True)]
    assert found == list(expected.values())
    first = np.repeat(flows.first, flows.lengths)
    for position, direction, opener in zip(flows.order, flows.direction, first, strict=True):
        assert direction == (rows[position] != rows[opener])


def test_high_halves_of_addresses_distinguish_ipv6_flows():
    trace = make_trace("packet", {"time": [1, 2, 3], "ip_version": [6] * 3, "src_hi": [1, 2, 1], "src_lo": [5] * 3})
    assert group_flows(trace).lengths.tolist() == [2, 1]


def test_an_empty_trace_has_no_flows():
    assert len(group_flows(make_trace("packet", {"time": np.zeros(0, np.int64)}))) == 0


@given(hosts, st.randoms())
def test_flows_by_hash_are_those_by_five_tuple_in_an_order_of_their_own(rows, random):
    trace = small_trace(rows)
    exact, hashed = group_flows(trace), group_flows_by_hash(trace)

    def records(flows):
        return [tuple(flows.order[a:b].tolist()) for a, b in pairwise(flows.offsets)]

    assert sorted(records(exact)) == sorted(records(hashed))
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    again = group_flows_by_hash(trace.take(np.array(shuffled)))  # the same flows in the same order
    assert [[shuffled[i] for i in flow] for flow in records(again)] == [list(flow) for flow in records(hashed)]


# two flows, interleaved and out of order: a at 10, 40, 100 and b at 20, 25
TRACE = make_trace(
    "packet",
    {
        "time": np.array([40, 20, 10, 25, 100]),
        "ip_version": np.full(5, 4),
        "src_lo": np.array([1, 2, 1, 2, 1]),
        "length": np.array([100, 50, 60, 50, 1500]),
    },
)


def test_records_of_a_flow_are_in_time_order_whatever_their_order_in_the_trace() -> None:
    flows = group_flows_by_hash(TRACE)
    by_length = np.argsort(flows.lengths)
    assert flows.lengths[by_length].tolist() == [2, 3]
    assert flows.durations(TRACE["time"])[by_length].tolist() == [5, 90]
    assert flows.totals(TRACE["length"])[by_length].tolist() == [100, 1660]
    assert sorted(flows.interarrivals(TRACE["time"]).tolist()) == [5, 30, 60]


def test_sampled_flows_are_whole() -> None:
    one = sample_flows(TRACE, 1, np.random.default_rng(0))
    assert count_flows(one) == 1
    assert len(one) in (2, 3)
    assert sample_flows(TRACE, 2, np.random.default_rng(0)) is TRACE


def test_an_empty_trace_has_nothing_to_measure() -> None:
    empty = TRACE.take(np.zeros(0, np.int64))
    flows = group_flows_by_hash(empty)
    assert len(flows) == 0
    assert flows.interarrivals(empty["time"]).tolist() == []
    assert flows.totals(empty["length"]).tolist() == []
