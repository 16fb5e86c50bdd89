"""Write a packet trace as a libpcap capture, in batches of bounded memory.

The file format is https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html: a 24-byte file header, then for each
packet 16 bytes (seconds, fraction, captured length, wire length) and the packet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from postprocess.headers import build_packets, plan_packets, scatter_rows
from postprocess.link import LINKTYPE_NUMBER, LinkType
from postprocess.writers.output import atomic_output
from preprocess.errors import FieldError
from preprocess.trace import Trace

BATCH_PACKETS = 10_000
_RECORD_HEADER = 16
_MAGIC = {False: 0xA1B2C3D4, True: 0xA1B23C4D}  # microseconds, nanoseconds
_MAX_SNAPLEN = 262_144
_MAX_SECONDS = 2**32 - 1


def write_pcap(
    trace: Trace,
    path: Path,
    *,
    link_type: LinkType,
    nanoseconds: bool,
    snaplen: int | None,
    seed: int,
    batch_packets: int = BATCH_PACKETS,
) -> int:
    """Write all packets in the trace's order; returns the bytes of the (uncompressed) capture.

    Raises:
        FieldError: the trace is no packet trace, packets are shorter than their headers, or times lie outside
            1970 to 2106.
        NetshareError: the file cannot be written.
    """
    plan = plan_packets(trace, seed=seed)
    seconds = trace["time"] // 1_000_000_000
    if len(trace) and (seconds.min() < 0 or seconds.max() > _MAX_SECONDS):
        raise FieldError("a pcap file holds times from 1970 to 2106 only; shift the column time first")
    limit = _MAX_SNAPLEN if snaplen is None else snaplen
    written = 24
    with atomic_output(path) as out:
        out.write(_file_header(nanoseconds, limit, LINKTYPE_NUMBER[link_type]))
        for start in range(0, len(trace), batch_packets):
            stop = min(start + batch_packets, len(trace))
            buffer, offsets = build_packets(
                trace, plan, start=start, stop=stop, link_type=link_type, lead=_RECORD_HEADER
            )
            frames = np.diff(offsets) - _RECORD_HEADER
            headers = _record_headers(trace["time"][start:stop], frames, limit, nanoseconds)
            scatter_rows(buffer, offsets[:-1], headers)
            if snaplen is not None:
                buffer = _cut(buffer, offsets, limit + _RECORD_HEADER)
            out.write(buffer.data)
            written += len(buffer)
    return written


def _file_header(nanoseconds: bool, snaplen: int, link_number: int) -> bytes:
    words = np.array([_MAGIC[nanoseconds], 4 << 16 | 2, 0, 0, snaplen, link_number], dtype="<u4")
    return words.tobytes()


def _record_headers(time: np.ndarray, frames: np.ndarray, snaplen: int, nanoseconds: bool) -> np.ndarray:
    header = np.empty((len(time), 4), dtype="<u4")
    header[:, 0], fraction = time // 1_000_000_000, time % 1_000_000_000
    header[:, 1] = fraction if nanoseconds else fraction // 1000
    header[:, 2] = np.minimum(frames, snaplen)
    header[:, 3] = frames
    return header.view(np.uint8).reshape(len(time), _RECORD_HEADER)


def _cut(buffer: np.ndarray, offsets: np.ndarray, limit: int) -> np.ndarray:
    """The buffer with every record cut to `limit` bytes."""
    sizes = np.diff(offsets)
    within = np.arange(len(buffer)) - np.repeat(offsets[:-1], sizes)
    return buffer[within < limit]
