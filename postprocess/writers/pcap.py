"""Write a packet trace as a libpcap capture, in batches of bounded memory.

The file format is https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html: a 24-byte file header, then for each
packet 16 bytes (seconds, fraction, captured length, wire length) and the packet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netshare.postprocess.headers import scatter_rows
from netshare.postprocess.link import LinkType
from netshare.postprocess.writers.capture import check_seconds, write_capture
from netshare.preprocess.trace import Trace

_RECORD_HEADER = 16
_MAGIC = {False: 0xA1B2C3D4, True: 0xA1B23C4D}  # microseconds, nanoseconds
_MAX_SECONDS = 2**32 - 1


@dataclass(frozen=True)
class Pcap:
    """The container of libpcap captures, as `netshare.postprocess.writers.capture.Container` asks."""

    nanoseconds: bool

    def check(self, time: np.ndarray) -> None:
        """Seconds are unsigned 32-bit numbers."""
        check_seconds(time, _MAX_SECONDS, "pcap")

    def begin(self, snaplen: int, link_number: int) -> bytes:
        """The file header."""
        return np.array([_MAGIC[self.nanoseconds], 4 << 16 | 2, 0, 0, snaplen, link_number], dtype="<u4").tobytes()

    def leads(self, captured: np.ndarray) -> np.ndarray:
        """A record header before each frame."""
        return np.full(len(captured), _RECORD_HEADER, dtype=np.int64)

    def wrap(
        self, buffer: np.ndarray, frames: np.ndarray, time: np.ndarray, captured: np.ndarray, wire: np.ndarray
    ) -> bytes:
        """Record headers; nothing follows the last frame."""
        header = np.empty((len(time), 4), dtype="<u4")
        header[:, 0], fraction = time // 1_000_000_000, time % 1_000_000_000
        header[:, 1] = fraction if self.nanoseconds else fraction // 1000
        header[:, 2] = captured
        header[:, 3] = wire
        scatter_rows(buffer, frames - _RECORD_HEADER, header.view(np.uint8).reshape(len(time), _RECORD_HEADER))
        return b""


def write_pcap(
    trace: Trace,
    path: Path,
    *,
    link_type: LinkType,
    nanoseconds: bool,
    snaplen: int | None,
    seed: int,
    batch_packets: int | None = None,
) -> int:
    """Write all packets in the trace's order; returns the bytes of the (uncompressed) capture.

    Raises:
        FieldError: the trace is no packet trace, packets are shorter than their headers, or times lie outside
            1970 to 2106.
        NetshareError: the file cannot be written.
    """
    return write_capture(
        trace, path, Pcap(nanoseconds), link_type=link_type, snaplen=snaplen, seed=seed, batch_packets=batch_packets
    )
