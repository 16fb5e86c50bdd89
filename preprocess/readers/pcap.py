"""Classic pcap files: both byte orders, micro- and nanoseconds (draft-ietf-opsawg-pcap).

Where records begin, `record_starts` finds out; everything else is gathered from there at once.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from netshare.preprocess.layouts.captures import (
    MAXIMUM_SNAP_LENGTH,
    PCAP_VARIANTS,
    PcapVariant,
    pcap_file_header,
    pcap_record_header,
)
from netshare.preprocess.readers.capture import capture_reader
from netshare.preprocess.readers.frames import Frames, gather
from netshare.preprocess.readers.record_starts import find_records
from netshare.preprocess.readers.window import Window

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
    variant = PCAP_VARIANTS[buffer[:4].tobytes()]
    order, header_length = variant.order, variant.record_header
    file_header = pcap_file_header(order)
    if len(buffer) < file_header.itemsize:
        notes.append(f"truncated: the file header has {len(buffer)} of {file_header.itemsize} bytes")
        return
    header = buffer[: file_header.itemsize].view(file_header)[0]
    snap_length, link_type = int(header["snap_length"]), int(header["link_type"]) & 0xFFFF
    details.update(
        snap_length=snap_length,
        byte_order="little" if order == "<" else "big",
        time_resolution_ns=variant.fraction_ns,
    )
    largest = max(MAXIMUM_SNAP_LENGTH, min(snap_length, _HUGE_SNAP_LENGTH))
    position, done = file_header.itemsize, 0
    while True:
        starts, after = find_records(window.buffer, position, order, header_length, largest)
        is_cut = not len(starts)
        position = position if is_cut else after
        for first in range(0, len(starts), BATCH):
            some = starts[first : first + BATCH]
            frames, captured = _frames(window.buffer, some, variant, largest, link_type)
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
    buffer: np.ndarray, starts: np.ndarray, variant: PcapVariant, largest: int, link_type: int
) -> tuple[Frames, int]:
    """The frames of the records up to the first that is too long or not whole, and the length in this one's header."""
    headers = gather(buffer, starts, pcap_record_header(variant.order))
    captured = headers["captured"].astype(np.int64)
    offset = starts + variant.record_header
    bad = np.flatnonzero((captured > largest) | (offset + captured > len(buffer)))
    length = 0
    if len(bad):
        whole = int(bad[0])
        length = int(captured[whole])
        headers, captured, offset = headers[:whole], captured[:whole], offset[:whole]
    time = headers["seconds"].astype(np.int64) * 1_000_000_000
    time += headers["fraction"].astype(np.int64) * variant.fraction_ns
    frames = Frames(
        offset=offset,
        captured=captured,
        wire=np.maximum(headers["wire"].astype(np.int64), captured),
        time=time,
        link_type=np.full(len(offset), link_type, np.int32),
    )
    return frames, length


def _note_end(notes: list[str], left: int, header_length: int, start: int, done: int) -> None:
    """What stands at the end of the file that is no whole record."""
    if left >= header_length:
        notes.append(f"truncated: the last record, at offset {start}, is cut, {done} whole records read")
    elif left:
        notes.append(f"truncated: {left} bytes of a record header at the end, {done} whole records read")


PCAP = capture_reader("pcap", scan_pcap, magics=tuple(PCAP_VARIANTS))
