"""Deterministic payloads that protocol analysers accept.

A synthetic packet has a length, but no content that was learnt. Its payload (here: its *body*) is zeros by default, which
most of Wireshark's dissectors accept. Where the dissector of a port or protocol would call zeros malformed, the tables of
`netshare.postprocess.payload_tables` give another beginning or filling, and the smallest length at which it holds. Bodies
depend on nothing but port or protocol and length, so they carry no information about the real trace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.postprocess import rules
from netshare.postprocess.checksums import fill_sums
from netshare.postprocess.payload_tables import BODIES, PROTOCOL_BODIES, TCP_BODIES, UDP_BODIES, Body
from netshare.preprocess.ragged import positions_within

START_BYTES = 64  # how many bytes at the beginning of a body may differ from its filling


@dataclass(frozen=True)
class BodyArrays:
    """The bodies of `BODIES` as arrays indexed by body number.

    Attributes:
        start: uint8[bodies, START_BYTES], the first bytes.
        start_sums: int64[bodies, START_BYTES + 1], word sums of the first 0 to START_BYTES bytes.
        fill: uint8[bodies], the byte that repeats after the start.
        minimum: int64[bodies], the smallest length (other than none) at which the body is valid.
        length_offset, length_less: int64[bodies], where a 16-bit field takes the body's length minus so many bytes
            (-1: nowhere).
        checksum_offset: int64[bodies], where the body's own Internet checksum stands (-1: nowhere).
        visible: bool[bodies], the body is more than zeros.
    """

    start: np.ndarray
    start_sums: np.ndarray
    fill: np.ndarray
    minimum: np.ndarray
    length_offset: np.ndarray
    length_less: np.ndarray
    checksum_offset: np.ndarray
    visible: np.ndarray


def body_arrays() -> BodyArrays:
    """The table of bodies as arrays (built anew at each call; keep it)."""
    start = np.array([list(_start(body)) for body in BODIES], dtype=np.uint8)
    words = start.astype(np.int64).copy()
    words[:, 0::2] <<= 8
    sums = np.concatenate([np.zeros((len(BODIES), 1), dtype=np.int64), np.cumsum(words, axis=1)], axis=1)
    length_field = [body.length_field or (-1, 0) for body in BODIES]
    fill = np.array([body.fill for body in BODIES], dtype=np.uint8)
    return BodyArrays(
        start=start,
        start_sums=sums,
        fill=fill,
        minimum=np.array([body.minimum for body in BODIES], dtype=np.int64),
        length_offset=np.array([offset for offset, _ in length_field], dtype=np.int64),
        length_less=np.array([less for _, less in length_field], dtype=np.int64),
        checksum_offset=np.array(
            [-1 if body.checksum_offset is None else body.checksum_offset for body in BODIES], dtype=np.int64
        ),
        visible=start.any(axis=1) | (fill > 0) | np.array([offset >= 0 for offset, _ in length_field]),
    )


def body_numbers(
    protocol: np.ndarray, src_port: np.ndarray, dst_port: np.ndarray, service_port: np.ndarray | None = None
) -> np.ndarray:
    """int16[n]: index into `BODIES` of each packet's payload (0: zeros).

    As in Wireshark, the `service_port` of a TCP connection decides if it is known (not 0) and has an entry in the table;
    otherwise the lower one of the two ports that has an entry.
    """
    numbers = _PROTOCOL[protocol]
    for transport, table in ((rules.TCP, _TCP), (rules.UDP, _UDP), (rules.UDPLITE, _UDP)):
        rows = np.flatnonzero(protocol == transport)
        low = table[np.minimum(src_port[rows], dst_port[rows])]
        high = table[np.maximum(src_port[rows], dst_port[rows])]
        numbers[rows] = np.where(low == 0, high, low)
        if transport == rules.TCP and service_port is not None:
            service = table[service_port[rows]]
            numbers[rows] = np.where(service == 0, numbers[rows], service)
    return numbers


def has_two_bodies(protocol: np.ndarray, src_port: np.ndarray, dst_port: np.ndarray) -> np.ndarray:
    """bool[n]: TCP packets whose ports both have an entry, so that their body depends on the service port."""
    return (protocol == rules.TCP) & (_TCP[src_port] > 0) & (_TCP[dst_port] > 0)


def body_minimum(numbers: np.ndarray) -> np.ndarray:
    """int64[n]: bytes of the smallest non-empty valid payload; for protocols without ports, of the smallest body."""
    return _MINIMUM[numbers]


def body_sums(bodies: BodyArrays, number: np.ndarray, length: np.ndarray) -> np.ndarray:
    """int64[n]: the word sum of a body of this length, its length field included and its checksum field as zero."""
    head = np.minimum(length, START_BYTES)
    total = bodies.start_sums[number, head] + fill_sums(bodies.fill[number], np.maximum(length - START_BYTES, 0))
    offset = bodies.length_offset[number]
    present = (offset >= 0) & (length >= offset + 2)
    field = (length - bodies.length_less[number]) & 0xFFFF
    field = np.where(offset & 1, field >> 8 | (field & 0xFF) << 8, field)
    return total - np.where(present, _overwritten(bodies, number, offset), 0) + np.where(present, field, 0)


def _overwritten(bodies: BodyArrays, number: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The word sum of the two bytes that a length field replaces."""
    first, second = bodies.start[number, offset].astype(np.int64), bodies.start[number, offset + 1].astype(np.int64)
    return np.where(offset & 1, second << 8 | first, first << 8 | second)


def write_bodies(
    buffer: np.ndarray,
    bodies: BodyArrays,
    number: np.ndarray,
    position: np.ndarray,
    length: np.ndarray,
    room: np.ndarray,
) -> None:
    """Write payloads into a zeroed buffer: row i's body starts at `position[i]` and has `length[i]` bytes, of which the
    first `room[i]` are written."""
    rows = np.flatnonzero(bodies.visible[number] & (length > 0) & (room > 0))
    if not len(rows):
        return
    number, position, length, room = number[rows], position[rows], length[rows], room[rows]
    here = np.minimum(length, room)
    _write_fillings(buffer, bodies.fill[number], position, here)
    long = here >= START_BYTES
    _scatter_blocks(buffer, position[long], bodies.start[number[long]])
    short = np.flatnonzero(~long)
    row, column = _ragged(here[short])
    buffer[position[short][row] + column] = bodies.start[number[short][row], column]
    offset = bodies.length_offset[number]
    field = np.flatnonzero((offset >= 0) & (length >= offset + 2))
    at, value = offset[field], length[field] - bodies.length_less[number[field]]
    write_words(buffer, position[field] + at, value, room[field] - at)


def write_words(buffer: np.ndarray, position: np.ndarray, values: np.ndarray, room: np.ndarray) -> None:
    """Write 16-bit big-endian values at byte positions; of each no more bytes than its `room`."""
    first, second = room > 0, room > 1
    buffer[position[first]] = (values[first] >> 8) & 0xFF
    buffer[position[second] + 1] = values[second] & 0xFF


def _write_fillings(buffer: np.ndarray, fill: np.ndarray, position: np.ndarray, length: np.ndarray) -> None:
    """The last block of each body that is longer than its start, then the whole blocks before it; the start, which the
    last may overlap, is written after it."""
    rows = np.flatnonzero((length > START_BYTES) & (fill > 0))
    last, blocks = position[rows] + length[rows] - START_BYTES, np.repeat(fill[rows, None], START_BYTES, axis=1)
    _scatter_blocks(buffer, last, blocks)
    at = position[rows] + START_BYTES
    while len(at):
        more = at < last
        at, last, blocks = at[more], last[more], blocks[more]
        _scatter_blocks(buffer, at, blocks)
        at = at + START_BYTES


def _scatter_blocks(buffer: np.ndarray, position: np.ndarray, blocks: np.ndarray) -> None:
    """Copy uint8[n, START_BYTES] to byte positions."""
    if len(position):
        block = np.dtype((np.void, START_BYTES))
        window = np.ndarray(len(buffer) - START_BYTES + 1, dtype=block, buffer=buffer.data, strides=(1,))
        window[position] = np.ascontiguousarray(blocks).view(block).ravel()


def _ragged(length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each element of a table whose rows have these lengths: int64[total] each."""
    row = np.repeat(np.arange(len(length)), length)
    return row, positions_within(length)


def _start(body: Body) -> bytes:
    return body.start[:START_BYTES].ljust(START_BYTES, bytes([body.fill]))


def _lookup(table: dict[int, int], size: int) -> np.ndarray:
    numbers = np.zeros(size, dtype=np.int16)
    numbers[list(table)] = list(table.values())
    return numbers


_TCP = _lookup(TCP_BODIES, 65_536)
_UDP = _lookup(UDP_BODIES, 65_536)
_PROTOCOL = _lookup(PROTOCOL_BODIES, 256)
_MINIMUM = np.array([body.minimum for body in BODIES], dtype=np.int64)
