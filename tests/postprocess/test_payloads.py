"""Payloads: their sums are those of the bytes that are written, and ports choose them as Wireshark's dissectors do."""

import numpy as np
import pytest

from netshare.postprocess.payload_tables import BODIES, TCP_BODIES, UDP_BODIES
from netshare.postprocess.payloads import (
    START,
    body_arrays,
    body_minimum,
    body_numbers,
    body_sums,
    has_two_bodies,
    write_bodies,
)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 20, START - 1, START, START + 1, 200, 1401])
def test_the_sum_of_every_body_is_that_of_its_bytes(length):
    bodies, number = body_arrays(), np.arange(len(BODIES))
    whole = np.full(len(BODIES), length)
    position = np.arange(len(BODIES)) * (length + 1)
    buffer = np.zeros(len(BODIES) * (length + 1) + START, np.uint8)
    write_bodies(buffer, bodies, number, position, whole, whole)
    written = buffer[position[:, None] + np.arange(length)].astype(np.int64)
    words = written[:, 0::2].sum(axis=1) * 256 + written[:, 1::2].sum(axis=1)
    np.testing.assert_array_equal(body_sums(bodies, number, whole), words)
    assert (buffer[position[1:] - 1] == 0).all(), "a body writes beyond its end"


def test_a_body_that_is_cut_begins_as_the_whole_one():
    bodies, number = body_arrays(), np.arange(len(BODIES))
    length = np.full(len(BODIES), 150)
    whole, cut = (np.zeros((len(BODIES), 256), np.uint8) for _ in range(2))
    position = np.arange(len(BODIES)) * 256
    write_bodies(whole.reshape(-1), bodies, number, position, length, length)
    write_bodies(cut.reshape(-1), bodies, number, position, length, np.full(len(BODIES), 71))
    np.testing.assert_array_equal(cut[:, :71], whole[:, :71])
    assert not cut[:, 71:].any()


def test_the_lower_port_decides_unless_the_service_is_known():
    low, high = sorted(TCP_BODIES)[:2]
    protocol, source, destination = np.array([6, 6, 6, 17]), np.array([high, high, 40_000, 40_000]), np.array([low] * 4)
    service = np.array([0, high, 0, 0])
    numbers = body_numbers(protocol, source, destination, service)
    assert numbers[:3].tolist() == [TCP_BODIES[low], TCP_BODIES[high], TCP_BODIES[low]]
    assert numbers[3] == UDP_BODIES.get(low, 0)
    assert has_two_bodies(protocol, source, destination).tolist() == [True, True, False, False]
    assert body_minimum(numbers)[0] == BODIES[TCP_BODIES[low]].minimum
