"""Numbers that follow from the order of packets: of echoes, and of fragments."""

import numpy as np

from netshare.postprocess.sequence import datagram_lengths, echo_numbers, fragment_keys, ranks
from netshare.preprocess.trace import Trace, make_trace


def packets(**columns: list[int]) -> Trace:
    """Packets from 10.0.0.1 to 10.0.0.2 unless the columns say otherwise."""
    rows = len(next(iter(columns.values())))
    usual = {
        "time": range(rows),
        "ip_version": [4] * rows,
        "src_lo": [0x0A000001] * rows,
        "dst_lo": [0x0A000002] * rows,
    }
    return make_trace("packet", {name: np.array(values) for name, values in {**usual, **columns}.items()})


def test_requests_and_replies_count_up_each_for_themselves():
    a, b, c = 0x0A000001, 0x0A000002, 0x0A000003
    trace = packets(
        src_lo=[a, b, a, a, b, a, a],
        dst_lo=[b, a, b, c, a, b, b],
        protocol=[1, 1, 1, 1, 1, 17, 1],
        icmp_type=[8, 0, 8, 8, 0, 0, 3],
    )
    identifier, sequence = echo_numbers(trace)
    assert sequence.tolist() == [1, 1, 2, 1, 2, 0, 0]
    assert identifier[0] == identifier[1] == identifier[2] == identifier[4] != identifier[3]
    assert identifier[5:].tolist() == [0, 0]


def test_the_first_fragment_is_as_long_as_the_datagram():
    trace = packets(
        protocol=[17] * 5,
        length=[1500, 1500, 60, 100, 1500],
        ip_id=[7, 7, 7, 8, 9],
        ip_flags=[1, 1, 0, 2, 1],  # more fragments; more fragments; the last; do not fragment; more, but none comes
        fragment_offset=[0, 185, 370, 0, 0],
    )
    assert datagram_lengths(trace).tolist() == [2 * 1480 + 40, 1480, 40, 80, 1480]


def test_fragments_of_ipv6_leave_out_the_fragment_header():
    trace = packets(protocol=[17], ip_version=[6], length=[1280], ip_flags=[1])
    assert datagram_lengths(trace).tolist() == [1280 - 40 - 8]


def test_what_makes_two_fragments_parts_of_one_datagram():
    trace = packets(src_lo=[1, 1, 2, 1, 1], ip_id=[7, 7, 7, 8, 7], protocol=[17, 17, 17, 17, 6])
    keys = fragment_keys(trace, np.arange(5))
    assert keys[0] == keys[1]
    assert len(set(keys.tolist())) == 4


def test_ranks_count_earlier_rows_of_the_same_key():
    assert ranks(np.array([5, 3, 5, 5, 3, 9], np.uint64)).tolist() == [0, 0, 1, 2, 1, 0]
    assert ranks(np.zeros(0, np.uint64)).tolist() == []
