import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netshare.preprocess.flows import group_flows
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
