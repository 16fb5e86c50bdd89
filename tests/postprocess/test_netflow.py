"""Flow records of any packets: nothing is lost or counted twice, and no record breaks its timeouts."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.postprocess import flows_from_packets
from netshare.preprocess.trace import make_trace
from tests.postprocess.random_traces import random_packets

SECOND = 10**9


@settings(max_examples=25)
@given(st.integers(1, 200), st.integers(0, 9), st.floats(0.5, 20), st.floats(0.5, 20))
def test_records_hold_every_packet_once_within_the_timeouts(rows, seed, active, inactive):
    random = np.random.default_rng(seed)
    packets = random_packets(rows, seed)
    few = {name: packets[name][random.integers(0, min(3, rows), rows)] for name in packets}
    few |= {"time": random.integers(0, 60 * SECOND, rows), "length": packets["length"]}
    trace = make_trace("packet", few)
    flows = flows_from_packets(trace, active_timeout=active, inactive_timeout=inactive)
    assert int(flows["packets"].sum()) == rows
    assert int(flows["bytes"].sum()) == int(trace["length"].sum())
    assert (flows["packets"] >= 1).all() and (np.diff(flows["time"]) >= 0).all()
    assert (flows["duration"] <= int(active * SECOND)).all()
    assert (flows["duration"] <= (flows["packets"] - 1) * int(inactive * SECOND)).all()
    again = flows_from_packets(trace.take(random.permutation(rows)), active_timeout=active, inactive_timeout=inactive)
    assert len(again) == len(flows)
    assert sorted(again["bytes"].tolist()) == sorted(flows["bytes"].tolist())
