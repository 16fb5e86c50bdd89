import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.postprocess.payload_tables import BODIES, TCP_BODIES, UDP_BODIES
from netshare.postprocess.payloads import (
    body_arrays,
    body_minimum,
    body_numbers,
    body_sums,
    has_two_bodies,
    write_bodies,
)
from netshare.postprocess.rules import TCP, UDP

ARRAYS = body_arrays()
bodies = st.lists(st.tuples(st.integers(0, len(BODIES) - 1), st.integers(0, 400)), min_size=1, max_size=12)


def written(number: np.ndarray, length: np.ndarray, room: np.ndarray) -> list[bytes]:
    position = np.cumsum(length) - length
    buffer = np.zeros(int(length.sum()) + 64, np.uint8)
    write_bodies(buffer, ARRAYS, number, position, length, room)
    return [bytes(buffer[at : at + size]) for at, size in zip(position, length, strict=True)]


@given(bodies)
@settings(max_examples=50, deadline=None)
def test_a_body_has_the_word_sum_and_the_length_that_it_claims(chosen):
    number, length = (np.array(part, np.int64) for part in zip(*chosen, strict=True))
    sums = body_sums(ARRAYS, number, length)
    for (which, size), text, total in zip(chosen, written(number, length, length), sums.tolist(), strict=True):
        padded = np.frombuffer(text + bytes(size % 2), ">u2")
        assert (int(padded.sum(dtype=np.int64)) - total) % 0xFFFF == 0
        field = BODIES[which].length_field
        if field is not None and size >= field[0] + 2:
            assert int.from_bytes(text[field[0] : field[0] + 2]) == (size - field[1]) & 0xFFFF


@given(bodies, st.integers(0, 120))
@settings(max_examples=50, deadline=None)
def test_a_body_that_is_cut_has_the_beginning_of_the_whole_one(chosen, room):
    number, length = (np.array(part, np.int64) for part in zip(*chosen, strict=True))
    whole, cut = written(number, length, length), written(number, length, np.full(len(length), room))
    for one, other in zip(whole, cut, strict=True):
        assert other == one[:room] + bytes(max(len(one) - room, 0))


def test_the_service_decides_which_body_a_segment_has():
    two = sorted(port for port in TCP_BODIES if body_minimum(np.array([TCP_BODIES[port]]))[0] > 0)[:2]
    protocol, low, high = np.array([TCP]), np.array([two[0]]), np.array([two[1]])
    assert has_two_bodies(protocol, low, high).all()
    for service, expected in ((0, two[0]), (two[0], two[0]), (two[1], two[1]), (60_001, two[0])):
        assert body_numbers(protocol, high, low, np.array([service])).tolist() == [TCP_BODIES[expected]]
    assert not has_two_bodies(np.array([UDP]), low, high).any()


@pytest.mark.parametrize(("source", "destination"), [(53, 40_000), (40_000, 53)])
def test_a_datagram_has_the_body_of_the_port_that_is_known(source, destination):
    numbers = body_numbers(np.array([UDP]), np.array([source]), np.array([destination]))
    assert numbers.tolist() == [UDP_BODIES[53]]
    assert body_numbers(np.array([UDP]), np.array([40_000]), np.array([40_001])).tolist() == [0]
