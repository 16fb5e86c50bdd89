"""Packet captures to packet traces: frames, then link layer, then IP, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np

from netshare.preprocess.readers.contents import Stream
from netshare.preprocess.readers.frame_decoder import FrameDecoder
from netshare.preprocess.readers.reader import Reader, ReadOptions, ScanFrames
from netshare.preprocess.trace import PACKET_COLUMNS, Source, Trace, make_trace

_SIZE_MARGIN = 1.05
_MAX_GROWTH = 1000  # a file of a few packets before something else is not worth more memory


def capture_reader(
    name: str, scan: ScanFrames, *, magics: tuple[bytes, ...] = (), recognises: Callable[[bytes], bool] | None = None
) -> Reader:
    """The reader of a capture format, of which only its frames have to be found; see `Reader`."""
    return Reader(name, "packet", partial(read_capture, name, scan), magics, recognises, scan)


def read_capture(name: str, scan: ScanFrames, stream: Stream, options: ReadOptions) -> Trace:
    """The packets of a capture, in file order, as a trace of one source. See `capture_batches`."""
    columns = _Columns(stream.size)
    batches = capture_batches(name, scan, stream, options)
    while True:
        try:
            columns.add(*next(batches))
        except StopIteration as end:
            return make_trace("packet", columns.filled(), sources=[end.value])


def capture_batches(
    name: str, scan: ScanFrames, stream: Stream, options: ReadOptions
) -> Generator[tuple[dict[str, np.ndarray], int], None, Source]:
    """Packet columns of a capture (all but `epoch`) some thousands of packets at a time, and how many bytes of the file
    have been read for them; returns the source in the end.

    What is no IP packet, or cut within its IP header, is counted by reason in the source's `skipped`.

    Args:
        name: of the capture's format.
        scan: finds its frames.
        stream: the open file.
        options: with `decapsulate`, a tunnel is replaced by the packet in it; with a `limit`, reading ends after that
            many packets.
    """
    limit = options.limit
    notes = stream.notes
    details: dict[str, Any] = {}
    decoder = FrameDecoder(inner=options.decapsulate)
    window = stream.window()
    with closing(scan(window, notes, details)) as batches:
        for frames in batches:
            columns = decoder.decode(window.buffer, frames, limit)
            if len(columns["time"]):
                yield columns, window.before + decoder.end
            if limit is not None and decoder.records >= limit:
                break
    return decoder.source(stream.name, name, notes, details)


class _Columns:
    """Packet columns that grow: into memory for as many packets as the file will hold if it goes on as it begins."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._rows = 0
        self._columns = {name: np.empty(0, dtype) for name, dtype in PACKET_COLUMNS.items() if name != "epoch"}

    def add(self, columns: dict[str, np.ndarray], read: int) -> None:
        """More packets; `read` bytes of the file have been read by now."""
        rows = self._rows + len(columns["time"])
        if rows > len(self._columns["time"]):
            likely = 0 if self._size is None else int(rows * min(self._size / read, _MAX_GROWTH) * _SIZE_MARGIN)
            self._make_room(max(likely, 2 * self._rows, rows))
        for name, values in columns.items():
            self._columns[name][self._rows : rows] = values
        self._rows = rows

    def filled(self) -> dict[str, np.ndarray]:
        """The columns, as long as there are packets."""
        return {name: values[: self._rows] for name, values in self._columns.items()}

    def _make_room(self, rows: int) -> None:
        for name, values in self._columns.items():
            larger = np.empty(rows, values.dtype)
            larger[: self._rows] = values[: self._rows]
            self._columns[name] = larger
