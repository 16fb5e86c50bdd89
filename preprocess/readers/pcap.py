"""Classic pcap files: both byte orders, micro- and nanoseconds (draft-ietf-opsawg-pcap).

Where records begin is told by `record_starts`; everything else is gathered from there at once.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import Any

import numpy as np

from netshare.preprocess.readers.capture import capture_reader
from netshare.preprocess.readers.frames import Frames, gather
from netshare.preprocess.readers.record_starts import find_records
from netshare.preprocess.readers.window import Window

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
BATCH = 1 << 14  # frames decoded at once: their columns stay in the processor's cache


def scan_pcap(window: Window, notes: list[str], details: dict[str, Any]) -> Generator[Frames, None, None]:
    """Batches of the frames of a pcap file whose magic number has been recognised, of the window's buffer each.

    Args:
        window: at the beginning of the file.
        notes: receives a line where the file is truncated or broken; what is whole before that is yielded.
        details: receives the file's snap length, byte order and time resolution.
    """
    buffer = window.buffer
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
    position, done = FILE_HEADER_LENGTH, 0
    while True:
        starts, after = find_records(window.buffer, position, order, header_length, largest)
        is_cut = not len(starts)
        position = position if is_cut else after
        for first in range(0, len(starts), BATCH):
            some = starts[first : first + BATCH]
            frames, captured = _frames(window.buffer, some, order, header_length, largest, fraction_ns, link_type)
            done += len(frames)
            if len(frames):
                yield frames
            if len(frames) < len(some):
                position, is_cut = int(some[len(frames)]), True
                if captured > largest:
                    notes.append(
                        f"broken: a record of {captured} bytes at offset {window.before + position} is too long, "
                        f"{done} whole records read"
                    )
                    return
                break
        if not is_cut:
            continue
        position, more = window.advance(position)
        if not more:
            _note_end(notes, len(window.buffer) - position, header_length, window.before + position, done)
            return


def _frames(
    buffer: np.ndarray,
    starts: np.ndarray,
    order: str,
    header_length: int,
    largest: int,
    fraction_ns: int,
    link_type: int,
) -> tuple[Frames, int]:
    """The frames of the records up to the first that is too long or not whole, and the length that this one tells."""
    layout = np.dtype([(name, order + "u4") for name in ("seconds", "fraction", "captured", "wire")])
    headers = gather(buffer, starts, layout)
    captured = headers["captured"].astype(np.int64)
    offset = starts + header_length
    bad = np.flatnonzero((captured > largest) | (offset + captured > len(buffer)))
    told = 0
    if len(bad):
        whole = int(bad[0])
        told = int(captured[whole])
        headers, captured, offset = headers[:whole], captured[:whole], offset[:whole]
    time = headers["seconds"].astype(np.int64) * 1_000_000_000
    time += headers["fraction"].astype(np.int64) * fraction_ns
    frames = Frames(
        offset=offset,
        captured=captured,
        wire=np.maximum(headers["wire"].astype(np.int64), captured),
        time=time,
        link_type=np.full(len(offset), link_type, np.int32),
    )
    return frames, told


def _note_end(notes: list[str], left: int, header_length: int, start: int, done: int) -> None:
    """What stands at the end of the file that is no whole record."""
    if left >= header_length:
        notes.append(f"truncated: the last record, at offset {start}, is cut, {done} whole records read")
    elif left:
        notes.append(f"truncated: {left} bytes of a record header at the end, {done} whole records read")


PCAP = capture_reader("pcap", scan_pcap, magics=tuple(PCAP_MAGICS))
