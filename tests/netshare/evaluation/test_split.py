import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netshare.evaluation import split_by_flow
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.hashing import conversation_hashes, five_tuple_hashes
from netshare.preprocess.trace import Trace, make_trace
from tests.netshare.evaluation.evaluation_traces import packet_trace


def both_directions(trace: Trace) -> Trace:
    swap = {"src_lo": "dst_lo", "dst_lo": "src_lo", "src_port": "dst_port", "dst_port": "src_port"}
    back = {name: trace[swap.get(name, name)] for name in trace}
    return make_trace("packet", {name: np.concatenate([trace[name], back[name]]) for name in trace})


@given(st.integers(0, 50), st.floats(0.1, 0.9))
def test_split_parts_the_records_and_no_conversation(seed: int, fraction: float) -> None:
    trace = both_directions(packet_trace(60, seed))
    a, b = split_by_flow(trace, fraction, seed)
    assert len(a) + len(b) == len(trace)
    assert not np.isin(conversation_hashes(a), conversation_hashes(b)).any()


def test_split_meets_its_fraction_and_depends_on_the_seed_only() -> None:
    trace = packet_trace(4000)
    a, b = split_by_flow(trace, 0.25, seed=3)
    flows = [len(np.unique(five_tuple_hashes(part))) for part in (a, b)]
    assert flows[0] / sum(flows) == pytest.approx(0.25, abs=0.03)
    shuffled_rows = trace.take(np.random.default_rng(1).permutation(len(trace)))
    again, _ = split_by_flow(shuffled_rows, 0.25, seed=3)
    assert set(five_tuple_hashes(again)) == set(five_tuple_hashes(a))
    other, _ = split_by_flow(trace, 0.25, seed=4)
    assert set(five_tuple_hashes(other)) != set(five_tuple_hashes(a))


def test_split_is_the_same_everywhere() -> None:
    trace = make_trace("packet", {"time": np.arange(12), "src_lo": np.arange(12), "ip_version": np.full(12, 4)})
    assert split_by_flow(trace, 0.5, seed=1)[0]["src_lo"].tolist() == [0, 1, 3, 4, 6, 7, 9, 10]


def test_split_is_even_over_addresses_that_differ_by_one() -> None:
    rows = np.arange(10_000)
    trace = make_trace("packet", {"time": rows, "src_lo": rows, "ip_version": np.full(len(rows), 4)})
    shares = [len(split_by_flow(trace, 0.5, seed)[0]) / len(rows) for seed in range(20)]
    assert np.max(np.abs(np.array(shares) - 0.5)) < 0.02  # four standard deviations of a fair coin


def test_a_fraction_outside_its_bounds_is_refused() -> None:
    with pytest.raises(ConfigError, match="fraction: found 1"):
        split_by_flow(packet_trace(5), 1, seed=0)
