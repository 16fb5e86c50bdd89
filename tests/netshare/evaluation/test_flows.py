import numpy as np

from netshare.evaluation.metrics.flows import count_flows, five_tuple_keys, group_by_flow, sample_flows
from netshare.preprocess.trace import make_trace

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


def test_flows_are_grouped_in_time_order() -> None:
    flows = group_by_flow(TRACE)
    by_size = np.argsort(flows.sizes)
    assert flows.sizes[by_size].tolist() == [2, 3]
    assert flows.durations(TRACE["time"])[by_size].tolist() == [5, 90]
    assert flows.total(TRACE["length"])[by_size].tolist() == [100, 1660]
    assert sorted(flows.interarrivals(TRACE["time"]).tolist()) == [5, 30, 60]


def test_each_part_of_the_five_tuple_makes_another_flow() -> None:
    names = ("src_lo", "src_hi", "dst_lo", "dst_hi", "src_port", "dst_port", "protocol", "ip_version")
    columns = {name: np.zeros(len(names) + 1, np.int64) for name in names}
    for row, name in enumerate(names):
        columns[name][row] = 1
    trace = make_trace("packet", {"time": np.arange(len(names) + 1), **columns})
    assert len(np.unique(five_tuple_keys(trace))) == len(names) + 1


def test_sampled_flows_are_whole() -> None:
    one = sample_flows(TRACE, 1, np.random.default_rng(0))
    assert count_flows(one) == 1
    assert len(one) in (2, 3)
    assert sample_flows(TRACE, 2, np.random.default_rng(0)) is TRACE


def test_an_empty_trace_has_no_flows() -> None:
    empty = TRACE.take(np.zeros(0, np.int64))
    flows = group_by_flow(empty)
    assert len(flows) == 0
    assert flows.interarrivals(empty["time"]).tolist() == []
    assert flows.total(empty["length"]).tolist() == []
