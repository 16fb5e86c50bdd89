"""How the segments of a conversation are cut into connections (RFC 9293, 3.5 and 3.6)."""

import numpy as np
import pytest

from netshare.postprocess.rules import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from netshare.postprocess.tcp_connections import (
    MAXIMUM_LIFETIME_NS,
    Connections,
    find_connections,
    first_after,
    last_before,
    service_ports,
)
from netshare.preprocess.trace import Trace, make_trace

CLIENT, SERVER = 50_000, 443


def conversation(*segments: tuple[str, int], gap: int = 1000) -> Trace:
    """Segments of 10 bytes of payload, sent by `>` the client or `<` the server, `gap` ns apart."""
    forward = np.array([sender == ">" for sender, _ in segments])
    n = len(segments)
    return make_trace(
        "packet",
        {
            "time": np.arange(n) * gap,
            "ip_version": np.full(n, 4),
            "protocol": np.full(n, 6),
            "src_lo": np.where(forward, 1, 2),
            "dst_lo": np.where(forward, 2, 1),
            "src_port": np.where(forward, CLIENT, SERVER),
            "dst_port": np.where(forward, SERVER, CLIENT),
            "length": np.full(n, 50),
            "tcp_header_length": np.full(n, 20),
            "tcp_flags": np.array([flags for _, flags in segments]),
        },
    )


def numbers(found: Connections) -> list[int]:
    return found.number[np.argsort(found.rows)].tolist()


OPENING = (">", TCP_SYN), ("<", TCP_SYN | TCP_ACK), (">", TCP_ACK)


@pytest.mark.parametrize("closing", [TCP_FIN | TCP_ACK, TCP_RST])
def test_a_syn_after_the_end_begins_another_connection(closing):
    found = find_connections(conversation(*OPENING, (">", closing), *OPENING))
    assert numbers(found) == [0, 0, 0, 0, 1, 1, 1]
    assert found.occurrence.tolist() == found.number.tolist()


def test_a_syn_in_an_open_connection_repeats_one():
    assert set(numbers(find_connections(conversation((">", TCP_SYN), *OPENING)))) == {0}


def test_a_syn_after_long_silence_begins_another_connection():
    trace = conversation(*OPENING, (">", TCP_SYN), gap=MAXIMUM_LIFETIME_NS + 1)
    assert numbers(find_connections(trace))[-1] == 1


def test_a_refused_port_that_is_tried_again_stays_one_connection():
    found = find_connections(conversation((">", TCP_SYN), ("<", TCP_RST | TCP_ACK), (">", TCP_SYN), ("<", TCP_RST)))
    assert set(numbers(found)) == {0}


def test_sums_and_sides_are_those_of_the_connection_before_a_segment():
    found = find_connections(conversation((">", TCP_ACK), ("<", TCP_ACK), (">", TCP_ACK), (">", TCP_ACK)))
    assert found.payload.tolist() == [10, 10, 10, 10]
    own, other = found.sums(found.payload)
    assert own.tolist() == [0, 0, 10, 20]
    assert other.tolist() == [0, 10, 10, 10]
    mine, theirs = found.sides(found.forward)
    assert (mine != theirs).all() and (mine == found.forward).all()
    assert found.previous.tolist() == [-1, -1, 0, 2]
    assert found.previous_opposite.tolist() == [-1, 0, 1, 1]


def test_the_called_side_is_the_one_that_a_syn_was_sent_to():
    trace = conversation(*OPENING, (">", TCP_ACK))
    assert service_ports(find_connections(trace), trace).tolist() == [SERVER] * 4
    unknown = conversation((">", TCP_ACK), ("<", TCP_ACK))
    assert service_ports(find_connections(unknown), unknown).tolist() == [0, 0]


def test_neighbours_are_looked_for_in_the_same_group_and_direction():
    chosen = np.array([True, False, True, False, True])
    forward = np.array([True, True, False, True, True])
    starts = np.array([0, 0, 0, 0, 4])
    assert [part.tolist() for part in last_before(chosen, forward, starts)] == [[-1, 0, -1, 0, -1], [-1, -1, 0, 2, -1]]
    assert [part.tolist() for part in first_after(chosen, forward, starts)] == [
        [-1, -1, -1, -1, -1],
        [2, 2, -1, -1, -1],
    ]
