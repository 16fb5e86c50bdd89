"""Write a packet trace as a capture file, in batches of bounded memory; the file format is a `Container`'s affair.

A container puts a few bytes before each frame and a few after the last one. So packets are built straight into the
buffer that is written, with room left before each, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from netshare.postprocess.headers import build_packets, plan_packets, scatter_rows
from netshare.postprocess.link import LINKTYPE_NUMBER, LinkType, link_header_length
from netshare.postprocess.writers.output import atomic_output
from netshare.preprocess.errors import FieldError
from netshare.preprocess.trace import Trace

BATCH_BYTES = 8 << 20  # a batch should stay in the processor's cache until it is written
MAX_SNAPLEN = 262_144

# (first packet, one after the last, bytes to leave free before each) -> the frames as `build_packets` returns them
FrameBuilder = Callable[[int, int, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Container(Protocol):
    """A capture file format: how frames are wrapped."""

    def check(self, time: np.ndarray) -> None:
        """Raises FieldError where the format cannot hold these times (int64 ns)."""

    def begin(self, snaplen: int, link_number: int) -> bytes:
        """What the file begins with."""

    def leads(self, captured: np.ndarray) -> np.ndarray:
        """int64[n]: bytes before each frame, when so many bytes of each are kept."""

    def wrap(
        self, buffer: np.ndarray, frames: np.ndarray, time: np.ndarray, captured: np.ndarray, wire: np.ndarray
    ) -> bytes:
        """Fill the bytes before each frame (which begin at `frames`); returns what follows the last one."""


def write_capture(
    trace: Trace,
    path: Path,
    container: Container,
    *,
    link_type: LinkType,
    snaplen: int | None,
    seed: int,
    batch_packets: int | None = None,
) -> int:
    """Write all packets in the trace's order; returns the bytes of the (uncompressed) capture.

    Raises:
        FieldError: the trace is no packet trace, packets are shorter than their headers, or times lie outside what
            the container can hold.
        NetshareError: the file cannot be written.
    """
    plan = plan_packets(trace, seed=seed)

    def build(start: int, stop: int, lead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return build_packets(trace, plan, start=start, stop=stop, link_type=link_type, lead=lead, snaplen=snaplen)

    return write_frames(
        trace, path, container, build, link_type=link_type, snaplen=snaplen, batch_packets=batch_packets
    )


def write_frames(
    trace: Trace,
    path: Path,
    container: Container,
    build: FrameBuilder,
    *,
    link_type: LinkType,
    snaplen: int | None = None,
    batch_packets: int | None = None,
) -> int:
    """As `write_capture`, of frames that `build` makes; their sizes are those of the trace's packets."""
    container.check(trace["time"])
    limit = MAX_SNAPLEN if snaplen is None else snaplen
    written = 0
    with atomic_output(path) as out:
        written += out.write(container.begin(limit, LINKTYPE_NUMBER[link_type]))
        step = batch_packets or _batch(trace, limit)
        for start in range(0, len(trace), step):
            stop = min(start + step, len(trace))
            part = slice(start, stop)
            wire = link_header_length(link_type, trace["vlan"][part]) + trace["length"][part]
            captured = np.minimum(wire, limit)
            lead = container.leads(captured)
            buffer, offsets = build(start, stop, lead)
            end = container.wrap(buffer, offsets[:-1] + lead, trace["time"][part], captured, wire)
            if offsets[-1] > int((captured + lead).sum()):
                buffer = _cut(buffer, offsets, captured + lead)
            written += out.write(buffer.data) + out.write(end)
    return written


def _batch(trace: Trace, limit: int) -> int:
    """Packets to write at a time."""
    mean = min(float(trace["length"].mean()), limit) if len(trace) else 0
    return max(1024, int(BATCH_BYTES / (mean + 32)))


def check_seconds(time: np.ndarray, last: int, name: str) -> None:
    """Raises FieldError unless all times (int64 ns) lie from 1970 to the second `last`."""
    if len(time) and (time.min() < 0 or time.max() // 1_000_000_000 > last):
        year = np.datetime64(last, "s").astype("datetime64[Y]")
        raise FieldError(f"a {name} file holds times from 1970 to {year} only; shift the column time first")


def _cut(buffer: np.ndarray, offsets: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The buffer with record i cut to `limit[i]` bytes."""
    kept = np.minimum(np.diff(offsets), limit)
    places = np.concatenate([[0], np.cumsum(kept)])
    cut = np.empty(int(places[-1]), dtype=np.uint8)
    for width in np.flatnonzero(np.bincount(kept)).tolist():  # few: no more than the longest record kept has bytes
        chosen = np.flatnonzero(kept == width)
        window = np.ndarray(len(buffer) - width + 1, np.dtype((np.void, width)), buffer.data, strides=(1,))
        scatter_rows(cut, places[chosen], window[offsets[chosen]].view(np.uint8).reshape(len(chosen), width))
    return cut
