"""ERF files, as Endace's capture cards write them: records one after another, without a file header."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from preprocess.readers.frames import Frames, gather
from preprocess.readers.link_wrappers import ERF, ERF_HEADER
from preprocess.readers.pcap import BATCH

_HEADER = ERF_HEADER.itemsize
_KINDS = (*range(1, 28), 48)  # TYPE_HDLC_POS to TYPE_META, padding
_PADDING = 48
_CHECKED = 4  # records by which a file is known
_EARLIEST, _LATEST = 631_152_000, 2_524_608_000  # the years 1990 and 2050


def is_erf(buffer: np.ndarray) -> bool:
    """Whether the first records have types, lengths and times of ERF; there is no magic number."""
    at = 0
    for _ in range(_CHECKED):
        if at == len(buffer) and at:
            return True
        if at + _HEADER > len(buffer):
            return False
        header = gather(buffer, np.array([at]), ERF_HEADER)[0]
        if int(header["type"]) & 0x7F not in _KINDS or int(header["length"]) < _HEADER:
            return False
        if not _EARLIEST <= int(header["seconds"]) < _LATEST or int(header["wire"]) == 0:
            return False
        at += int(header["length"])
    return at <= len(buffer)


def scan_erf(buffer: np.ndarray, notes: list[str], details: dict[str, Any]) -> Generator[Frames, None, None]:
    """Batches of the frames of an ERF file; each begins with its ERF header (LINKTYPE_ERF).

    Args:
        buffer: uint8[size], the whole file.
        notes: receives a line where the file is truncated or broken; what is whole before that is yielded.
        details: receives the time resolution.
    """
    details.update(time_resolution_ns=1, byte_order="little")
    data, size, position, done = buffer.data, len(buffer), 0, 0
    while position < size:
        starts: list[int] = []
        problem = ""
        while position < size and len(starts) < BATCH:
            length = data[position + 10] << 8 | data[position + 11] if position + _HEADER <= size else 0
            if length < _HEADER or position + length > size:
                kind = "truncated" if position + max(length, _HEADER) > size else "broken"
                problem = f"{kind}: the record at offset {position} is not whole"
                break
            starts.append(position)
            position += length
        offset = np.array(starts, dtype=np.int64)
        header = gather(buffer, offset, ERF_HEADER)
        kept = header["type"] & 0x7F != _PADDING
        offset, header = offset[kept], header[kept]
        done += len(offset)
        captured = header["length"].astype(np.int64)
        fraction = header["fraction"].astype(np.int64) * 1_000_000_000 + (1 << 31) >> 32
        if len(offset):
            yield Frames(
                offset=offset,
                captured=captured,
                wire=np.maximum(header["wire"].astype(np.int64) + _HEADER, captured),
                time=header["seconds"].astype(np.int64) * 1_000_000_000 + fraction,
                link_type=np.full(len(offset), ERF, np.int32),
            )
        if problem:
            notes.append(f"{problem}, {done} whole records read")
            return
