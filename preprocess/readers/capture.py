"""Packet captures to packet traces: frames, then link layer, then IP, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import numpy as np

from netshare.preprocess.readers.contents import Stream
from netshare.preprocess.readers.erf import scan_erf
from netshare.preprocess.readers.frame_decoder import FrameDecoder
from netshare.preprocess.readers.frames import Frames
from netshare.preprocess.readers.pcap import scan_pcap
from netshare.preprocess.readers.pcapng import scan_pcapng
from netshare.preprocess.readers.window import Window
from netshare.preprocess.trace import PACKET_COLUMNS, Source, Trace, make_trace

_MARGIN = 1.05
_MOST_TIMES = 1000  # a file of a few packets before something else is not worth more memory

_SCANS: dict[str, Callable[[Window, list[str], dict[str, Any]], Generator[Frames, None, None]]] = {
    "pcap": scan_pcap,
    "pcapng": scan_pcapng,
    "erf": scan_erf,
}


def scan_capture(
    window: Window, capture_format: str, notes: list[str], details: dict[str, Any]
) -> Generator[Frames, None, None]:
    """Batches of a capture's frames, in the window's buffer at that time; `notes` and `details` receive what the file's
    format tells of itself."""
    return _SCANS[capture_format](window, notes, details)


def read_capture(stream: Stream, limit: int | None = None, *, inner: bool = False) -> Trace:
    """The packets of a pcap, pcapng or ERF file, in file order, as a trace of one source. See `capture_batches`."""
    columns = _Columns(stream.size)
    batches = capture_batches(stream, limit, inner=inner)
    while True:
        try:
            columns.add(*next(batches))
        except StopIteration as end:
            return make_trace("packet", columns.filled(), sources=[end.value])


def capture_batches(
    stream: Stream, limit: int | None = None, *, inner: bool = False
) -> Generator[tuple[dict[str, np.ndarray], int], None, Source]:
    """Packet columns of a pcap, pcapng or ERF file (all but `epoch`) some thousands of packets at a time, and how many
    bytes of the file have been read for them; returns what is known of the source in the end.

    With `inner`, a tunnel is replaced by the packet in it. What is no IP packet, or cut within its IP header, is
    counted by reason in the source's `skipped`; with a limit, reading ends after that many packets.
    """
    notes = stream.notes
    details: dict[str, Any] = {}
    decoder = FrameDecoder(inner=inner)
    window = stream.window()
    with closing(scan_capture(window, stream.format, notes, details)) as batches:
        for frames in batches:
            columns = decoder.decode(window.buffer, frames, limit)
            if len(columns["time"]):
                yield columns, window.before + decoder.end
            if limit is not None and decoder.records >= limit:
                break
    return decoder.source(stream.name, stream.format, notes, details)


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
            likely = 0 if self._size is None else int(rows * min(self._size / read, _MOST_TIMES) * _MARGIN)
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
