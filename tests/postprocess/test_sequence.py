import numpy as np

from netshare.postprocess.sequence import datagram_lengths, echo_numbers, endpoints, ranks
from netshare.preprocess.trace import Trace, make_trace


def packets(n: int, **columns: object) -> Trace:
    given = {"ip_version": 4, "src_lo": 1, "dst_lo": 2, "protocol": 1, "length": 84, **columns}
    return make_trace("packet", {"time": np.arange(n), **{name: np.broadcast_to(v, n) for name, v in given.items()}})


def test_requests_and_replies_of_a_pair_share_an_identifier_and_count_up_apart():
    trace = packets(5, src_lo=[1, 2, 1, 2, 3], dst_lo=[2, 1, 2, 1, 2], icmp_type=[8, 0, 8, 0, 8])
    identifier, sequence = echo_numbers(trace)
    assert sequence.tolist() == [1, 1, 2, 2, 1]
    assert len(set(identifier[:4].tolist())) == 1
    assert identifier[4] != identifier[0]


def test_other_packets_have_no_echo_numbers():
    trace = packets(3, icmp_type=[3, 8, 8], protocol=[1, 6, 17])
    assert not np.any(echo_numbers(trace))


def test_the_first_fragment_knows_how_long_its_datagram_is():
    """Two fragments of 1,480 and the rest of 20 bytes, and a datagram whose last fragment is missing."""
    trace = packets(
        5,
        protocol=17,
        length=[1500, 1500, 40, 1500, 100],
        ip_flags=[1, 1, 0, 1, 0],
        fragment_offset=[0, 185, 370, 0, 0],
        ip_id=[7, 7, 7, 8, 9],
    )
    assert datagram_lengths(trace).tolist() == [2980, 1480, 20, 1480, 80]


def test_ranks_count_earlier_rows_with_the_same_key():
    assert ranks(np.array([5, 3, 5, 5, 3], np.uint64)).tolist() == [0, 0, 1, 2, 1]


def test_an_end_of_a_connection_has_one_number_in_both_directions():
    trace = packets(2, protocol=6, src_lo=[1, 2], dst_lo=[2, 1], src_port=[1000, 80], dst_port=[80, 1000])
    source, destination = endpoints(trace, np.arange(2))
    assert source[0] == destination[1] != destination[0] == source[1]
