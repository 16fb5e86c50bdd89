import numpy as np

from netshare.postprocess.netflow import flows_from_packets
from netshare.preprocess.trace import Trace, make_trace

SECOND = 10**9


def packets(seconds: list[float], **columns: object) -> Trace:
    n = len(seconds)
    given = {"src_lo": 1, "dst_lo": 2, "src_port": 1000, "dst_port": 80, "protocol": 6, "length": 100, **columns}
    return make_trace(
        "packet",
        {
            "time": (np.array(seconds) * SECOND).astype(np.int64),
            "ip_version": np.full(n, 4),
            **{name: np.broadcast_to(values, n) for name, values in given.items()},
        },
    )


def test_a_record_sums_up_the_packets_of_a_direction():
    trace = packets([0, 1, 3], length=[40, 1500, 60], tcp_flags=[2, 16, 17], tos=[8, 0, 0])
    flows = flows_from_packets(trace.take(np.array([2, 0, 1])))  # in any order
    assert len(flows) == 1
    found = {name: int(flows[name][0]) for name in ("packets", "bytes", "duration", "tcp_flags", "tos")}
    assert found == {"packets": 3, "bytes": 1600, "duration": 3 * SECOND, "tcp_flags": 19, "tos": 8}
    back = packets([0, 1], src_lo=[1, 2], dst_lo=[2, 1], src_port=[1000, 80], dst_port=[80, 1000])
    assert flows_from_packets(back)["packets"].tolist() == [1, 1]


def test_silence_ends_a_record_after_the_inactive_timeout():
    flows = flows_from_packets(packets([0, 15, 30.5, 31]))
    assert flows["packets"].tolist() == [2, 2]
    assert (flows["time"] / SECOND).tolist() == [0, 30.5]
    assert len(flows_from_packets(packets([0, 15, 30.5, 31]), inactive_timeout=20)) == 1


def test_long_flows_are_cut_at_the_active_timeout():
    flows = flows_from_packets(packets(list(range(0, 95, 5))), active_timeout=30)
    assert (flows["time"] / SECOND).tolist() == [0, 35, 70]
    assert flows["packets"].sum() == 19
    assert (flows["duration"] <= 30 * SECOND).all()


def test_icmp_records_carry_type_and_code_as_destination_port():
    trace = packets([0, 1], protocol=1, src_port=0, dst_port=0, icmp_type=[8, 3], icmp_code=[0, 1])
    assert sorted(flows_from_packets(trace)["dst_port"].tolist()) == [3 * 256 + 1, 8 * 256]


def test_no_packets_make_no_records():
    assert len(flows_from_packets(packets([]))) == 0
