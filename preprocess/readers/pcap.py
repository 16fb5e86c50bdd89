"""Classic pcap files: both byte orders, micro- and nanoseconds (draft-ietf-opsawg-pcap).

The only loop is the hop from one record's length to the next; everything else is gathered at once.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import Any

import numpy as np

from preprocess.readers.frames import Frames, gather

PCAP_MAGICS: dict[bytes, tuple[str, int, int]] = {  # byte order, ns per fraction unit, bytes of a record header
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 16),
    b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1, 16),
    b"\x34\xcd\xb2\xa1": ("<", 1000, 24),  # Alexey Kuznetsov's variant of old Linux distributions
    b"\xa1\xb2\xcd\x34": (">", 1000, 24),
}
FILE_HEADER_LENGTH = 24
MAXIMUM_SNAP_LENGTH = 262_144  # libpcap's MAXIMUM_SNAPLEN
_HUGE_SNAP_LENGTH = 128 << 20  # libpcap's bound for link types with very large frames
BATCH = 1 << 20


def scan_pcap(buffer: np.ndarray, notes: list[str], details: dict[str, Any]) -> Generator[Frames, None, None]:
    """Batches of the frames of a pcap file whose magic number has been recognised.

    Args:
        buffer: uint8[size], the whole file.
        notes: receives a line where the file is truncated or broken; what is whole before that is yielded.
        details: receives the file's snap length, byte order and time resolution.
    """
    order, fraction_ns, header_length = PCAP_MAGICS[buffer[:4].tobytes()]
    if len(buffer) < FILE_HEADER_LENGTH:
        notes.append(f"truncated: the file header has {len(buffer)} of {FILE_HEADER_LENGTH} bytes")
        return
    snap_length, link_type = struct.unpack_from(order + "II", buffer.data, 16)
    link_type &= 0xFFFF  # the upper bits tell of frame check sequences
    details.update(
        snap_length=snap_length,
        byte_order="little" if order == "<" else "big",
        time_resolution_ns=fraction_ns,
    )
    largest = max(MAXIMUM_SNAP_LENGTH, min(snap_length, _HUGE_SNAP_LENGTH))
    layout = np.dtype([("seconds", order + "u4"), ("fraction", order + "u4"), ("captured", order + "u4"),
                       ("wire", order + "u4")])  # fmt: skip
    position, done = FILE_HEADER_LENGTH, 0
    while position < len(buffer):
        starts, position = _record_starts(buffer, position, order, header_length)
        headers = gather(buffer, starts, layout)
        captured = headers["captured"].astype(np.int64)
        offset = starts + header_length
        end = offset + captured
        bad = np.flatnonzero((captured > largest) | (end > len(buffer)))
        whole = int(bad[0]) if len(bad) else len(starts)
        done += whole
        if whole:
            yield Frames(
                offset=offset[:whole],
                captured=captured[:whole],
                wire=np.maximum(headers["wire"][:whole].astype(np.int64), captured[:whole]),
                time=headers["seconds"][:whole].astype(np.int64) * 1_000_000_000
                + headers["fraction"][:whole].astype(np.int64) * fraction_ns,
                link_type=np.full(whole, link_type, np.int32),
            )
        if whole < len(starts):
            notes.append(_why_stopped(int(captured[whole]), largest, int(starts[whole]), done))
            return
        if not len(starts):
            notes.append(
                f"truncated: {len(buffer) - position} bytes of a record header at the end, {done} whole records read"
            )
            return


def _record_starts(buffer: np.ndarray, position: int, order: str, header_length: int) -> tuple[np.ndarray, int]:
    """Offsets of the next records, a batch at most, and the position after them. The last may not be whole."""
    length_at = struct.Struct(order + "I").unpack_from
    data = buffer.data
    stop = len(buffer) - header_length
    starts: list[int] = []
    append = starts.append
    for _ in range(BATCH):
        if position > stop:
            break
        append(position)
        position += header_length + length_at(data, position + 8)[0]
    return np.array(starts, dtype=np.int64), position


def _why_stopped(captured: int, largest: int, start: int, done: int) -> str:
    if captured > largest:
        return f"broken: a record of {captured} bytes at offset {start} is too long, {done} whole records read"
    return f"truncated: the last record, at offset {start}, is cut, {done} whole records read"
