"""Where records of a pcap file begin: the walk in many places at once finds what the plain walk finds."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.preprocess.readers.pcap import scan_pcap
from netshare.preprocess.readers.record_starts import find_records
from netshare.preprocess.readers.window import Window

LARGEST = 262_144


def plain_walk(data: bytes, order: str, header_length: int) -> list[int]:
    """Every record's beginning up to the first that is too long or not whole."""
    position, found = 24, []
    while position + header_length <= len(data):
        (captured,) = struct.unpack_from(order + "I", data, position + 8)
        if captured > LARGEST or position + header_length + captured > len(data):
            break
        found.append(position)
        position += header_length + captured
    return found


def capture(seed: int, records: int, order: str, header_length: int, longest: int, spread: int) -> bytearray:
    """Records of random lengths whose bytes look like headers now and then."""
    random = np.random.default_rng(seed)
    content = bytearray(24)
    fake = struct.pack(order + "IIII", 1_600_000_000, 5, 60, 60)
    for length in random.integers(0, longest, records).tolist():
        seconds = 1_600_000_000 + int(random.integers(0, spread))
        content += struct.pack(order + "IIII", seconds, 7, length, length) + bytes(header_length - 16)
        body = (fake * (length // 16 + 1))[:length] if random.random() < 0.1 else random.bytes(length)
        content += body
    return content


@pytest.mark.slow
@pytest.mark.parametrize(("order", "header_length"), [("<", 16), (">", 16), ("<", 24)])
@pytest.mark.parametrize(("longest", "spread"), [(200, 1000), (60, 300_000), (3000, 10)])
def test_many_places_at_once_find_what_the_plain_walk_finds(order, header_length, longest, spread):
    content = capture(1, 12_000, order, header_length, longest, spread)
    buffer = np.frombuffer(content, np.uint8)
    position, found = 24, []
    while True:
        starts, position = find_records(buffer, position, order, header_length, LARGEST)
        if not len(starts):
            break
        found += starts.tolist()
    assert found == plain_walk(bytes(content), order, header_length)


BASE = bytes(capture(2, 8000, "<", 16, 160, 1000))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(24, len(BASE) - 1), st.integers(0, 255)), max_size=30), st.integers(24, 5000))
def test_damaged_records_end_the_file_where_the_plain_walk_ends(mutations, cut):
    content = bytearray(BASE[: len(BASE) - cut])
    for position, value in mutations:
        content[position % len(content)] = value
    content[:24] = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    notes: list[str] = []
    offsets = [frames.offset for frames in scan_pcap(Window(np.frombuffer(content, np.uint8)), notes, {})]
    expected = plain_walk(bytes(content), "<", 16)
    assert np.concatenate(offsets or [np.empty(0)]).tolist() == [start + 16 for start in expected]
    source = io.BytesIO(bytes(content))
    window = Window(np.frombuffer(source.read(1000), np.uint8), source.readinto)
    again: list[str] = []
    moved = [frames.offset + window.before for frames in scan_pcap(window, again, {})]
    assert np.concatenate(moved or [np.empty(0)]).tolist() == [start + 16 for start in expected]
    assert again == notes and len(notes) <= 1
