"""ERF files, as Endace's capture cards write them: records one after another, without a file header."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from netshare.preprocess.layouts.captures import ERF_HEADER
from netshare.preprocess.layouts.ethernet import LINKTYPE_ERF
from netshare.preprocess.readers.capture import capture_reader
from netshare.preprocess.readers.frames import Frames, gather
from netshare.preprocess.readers.pcap import BATCH
from netshare.preprocess.readers.window import Window

_HEADER_BYTES = ERF_HEADER.itemsize
_ERF_TYPES = (*range(1, 28), 48)  # TYPE_HDLC_POS to TYPE_META, padding
_PADDING_TYPE = 48
_SAMPLE_RECORDS = 4  # records by which a file is known
_EARLIEST_SECOND, _LATEST_SECOND = 631_152_000, 2_524_608_000  # the years 1990 and 2050


def is_erf(head: bytes) -> bool:
    """Whether the first records have types, lengths and times of ERF; there is no magic number."""
    buffer, at = np.frombuffer(head, np.uint8), 0
    for _ in range(_SAMPLE_RECORDS):
        if at == len(buffer) and at:
            return True
        if at + _HEADER_BYTES > len(buffer):
            return False
        header = gather(buffer, np.array([at]), ERF_HEADER)[0]
        if int(header["type"]) & 0x7F not in _ERF_TYPES or int(header["length"]) < _HEADER_BYTES:
            return False
        if not _EARLIEST_SECOND <= int(header["seconds"]) < _LATEST_SECOND or int(header["wire"]) == 0:
            return False
        at += int(header["length"])
    return at <= len(buffer)


def scan_erf(window: Window, notes: list[str], details: dict[str, Any]) -> Generator[Frames, None, None]:
    """Batches of the frames of an ERF file, of the window's buffer each; each begins with its ERF header
    (LINKTYPE_ERF).

    Args:
        window: at the beginning of the file.
        notes: receives a line where the file is truncated or broken; what is whole before that is yielded.
        details: receives the time resolution.
    """
    details.update(time_resolution_ns=1, byte_order="little")
    position = done = 0
    while True:
        starts, position, needed = _record_starts(window.buffer, position)
        frames = _frames(window.buffer, starts)
        done += len(frames)
        if len(frames):
            yield frames
        if needed == 0:
            continue
        if needed >= _HEADER_BYTES:
            position, more = window.advance(position)
            if more:
                continue
            if position == len(window.buffer):
                return
        kind = "truncated" if needed >= _HEADER_BYTES else "broken"
        notes.append(f"{kind}: the record at offset {window.before + position} is not whole, {done} whole records read")
        return


def _record_starts(buffer: np.ndarray, position: int) -> tuple[np.ndarray, int, int]:
    """Offsets of the next whole records (int64[n]), a batch at most, where the one after them begins, and how many bytes
    that one asks for if it is not whole (below a header's: it cannot be), else 0."""
    data, size = buffer.data, len(buffer)
    starts: list[int] = []
    needed = 0
    while not needed and len(starts) < BATCH:
        length = data[position + 10] << 8 | data[position + 11] if position + _HEADER_BYTES <= size else _HEADER_BYTES
        if length < _HEADER_BYTES or position + length > size:
            needed = max(length, 1)
        else:
            starts.append(position)
            position += length
    return np.array(starts, dtype=np.int64), position, needed


def _frames(buffer: np.ndarray, offset: np.ndarray) -> Frames:
    header = gather(buffer, offset, ERF_HEADER)
    kept = header["type"] & 0x7F != _PADDING_TYPE
    offset, header = offset[kept], header[kept]
    captured = header["length"].astype(np.int64)
    fraction = header["fraction"].astype(np.int64) * 1_000_000_000 + (1 << 31) >> 32
    return Frames(
        offset=offset,
        captured=captured,
        wire=np.maximum(header["wire"].astype(np.int64) + _HEADER_BYTES, captured),
        time=header["seconds"].astype(np.int64) * 1_000_000_000 + fraction,
        link_type=np.full(len(offset), LINKTYPE_ERF, np.int32),
    )


ERF_FILE = capture_reader("erf", scan_erf, recognises=is_erf)
