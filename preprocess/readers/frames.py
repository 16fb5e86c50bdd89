"""Captured frames as columns, and the one way in which headers are taken from a capture's bytes.

A capture is one array of bytes; a frame is an offset into it. Headers are declared as packed numpy types and gathered
for all frames at once, whatever their alignment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TIME_OUT_OF_RANGE = -(2**63)


@dataclass(frozen=True)
class Frames:
    """Frames of one capture, in file order.

    offset: int64[n], where the link-layer header begins
    captured: int64[n], bytes of it that are in the file, which hold `offset + captured <= len(buffer)`
    wire: int64[n], bytes that it had on the wire
    time: int64[n], ns since the Unix epoch, TIME_OUT_OF_RANGE where 64 bits do not hold it
    link_type: int32[n], LINKTYPE_ value as tcpdump.org registers it, -1 where the file does not have it
    """

    offset: np.ndarray
    captured: np.ndarray
    wire: np.ndarray
    time: np.ndarray
    link_type: np.ndarray

    def __len__(self) -> int:
        return len(self.offset)

    def first(self, count: int) -> Frames:
        """The first `count` frames."""
        return Frames(
            self.offset[:count], self.captured[:count], self.wire[:count], self.time[:count], self.link_type[:count]
        )


def gather(buffer: np.ndarray, offsets: np.ndarray, layout: np.dtype) -> np.ndarray:
    """Headers of the given layout at the given offsets of a capture.

    Args:
        buffer: uint8[size]
        offsets: int64[n], of any alignment, at least 0.
        layout: a packed structured type.

    Returns:
        layout[n]; bytes past the end of the buffer are 0. What lies past a frame's end is the next frame's: the caller
        compares with the bytes that are available.
    """
    width = layout.itemsize
    last = len(buffer) - width
    if len(offsets) == 0:
        return np.empty(0, layout)
    if int(offsets.max()) <= last:
        return _windows(buffer, width)[offsets].view(layout)
    start = max(last + 1, 0)
    tail = np.concatenate([buffer[start:], np.zeros(width, np.uint8)])
    rows = np.empty(len(offsets), dtype=f"V{width}")
    inside = offsets <= last
    if inside.any():
        rows[inside] = _windows(buffer, width)[offsets[inside]]
    rows[~inside] = _windows(tail, width)[np.minimum(offsets[~inside] - start, len(tail) - width)]
    return rows.view(layout)


def distinct(values: np.ndarray) -> list[int]:
    """The distinct values of an array that mostly has one."""
    if len(values) and bool((values == values[0]).all()):
        return [int(values[0])]
    return np.unique(values).tolist()


def _windows(buffer: np.ndarray, width: int) -> np.ndarray:
    """Every run of `width` bytes of the buffer, as a view."""
    return np.ndarray((len(buffer) - width + 1,), dtype=f"V{width}", buffer=buffer.data, strides=(1,))
