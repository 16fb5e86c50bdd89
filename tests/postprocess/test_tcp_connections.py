"""Connections of a trace, and what each segment has before and after it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netshare.postprocess.tcp_connections import find_connections, first_after, last_before, service_ports
from netshare.preprocess.merge import merge_traces
from tests.postprocess.conversations import (
    ACK,
    CLIENT,
    CLOSING,
    HANDSHAKE,
    RST,
    SECOND,
    SERVER,
    SYN,
    Segment,
    conversation,
)


def numbers(segments: list[Segment]) -> list[int]:
    """The connection of each segment, in the order of time."""
    found = find_connections(conversation(segments))
    return found.number[np.argsort(found.rows)].tolist()


def test_a_syn_after_a_closing_begins_another_connection():
    assert numbers([*HANDSHAKE, *CLOSING, *HANDSHAKE]) == [0] * 6 + [1] * 3


def test_a_syn_is_repeated_even_after_a_reset_but_not_for_ever():
    refused = [Segment(CLIENT, SYN), Segment(SERVER, RST | ACK)]
    assert numbers([*refused, *refused]) == [0, 0, 0, 0]
    assert numbers([*refused, Segment(CLIENT, SYN, gap=121 * SECOND)]) == [0, 0, 1]


def test_a_syn_in_the_middle_of_a_connection_stays_in_it():
    assert numbers([*HANDSHAKE, Segment(CLIENT, ACK, 100), Segment(CLIENT, SYN), Segment(SERVER, ACK)]) == [0] * 6


def test_conversations_are_told_apart_and_sums_run_within_them():
    data = [*HANDSHAKE, Segment(CLIENT, ACK, 100), Segment(SERVER, ACK, 40), Segment(CLIENT, ACK, 7)]
    trace = merge_traces([conversation(data), conversation(data, ports=(50_001, 443))])
    found = find_connections(trace)
    assert len(found) == 12 and sorted(found.number.tolist()) == [0] * 6 + [1] * 6
    own, other = found.sums(found.payload)
    for connection in (0, 1):
        among = found.number == connection
        assert own[among].tolist() == [0, 0, 0, 0, 0, 100]
        assert other[among].tolist() == [0, 0, 0, 0, 100, 40]


def test_the_port_that_the_syn_called_is_the_service():
    found = conversation([*HANDSHAKE, Segment(SERVER, ACK, 10)], ports=(40, 50_000))
    assert service_ports(find_connections(found), found).tolist() == [50_000] * 4
    unknown = conversation([Segment(CLIENT, ACK, 10), Segment(SERVER, ACK)])
    assert service_ports(find_connections(unknown), unknown).tolist() == [0, 0]


@pytest.mark.parametrize(("function", "step"), [(last_before, -1), (first_after, 1)])
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=30))
def test_the_nearest_chosen_segment_is_found_as_by_looking(function, step, segments):
    chosen, forward, begins = (np.array([s[i] for s in segments], bool) for i in range(3))
    starts = np.maximum.accumulate(np.where(begins, np.arange(len(segments)), 0)) if segments else np.zeros(0, int)

    def nearest(at: int, direction: bool) -> int:
        other = at + step
        while 0 <= other < len(segments) and starts[other] == starts[at]:
            if chosen[other] and forward[other] == direction:
                return other
            other += step
        return -1

    own, other = function(chosen, forward, starts)
    assert own.tolist() == [nearest(at, bool(forward[at])) for at in range(len(segments))]
    assert other.tolist() == [nearest(at, not forward[at]) for at in range(len(segments))]
