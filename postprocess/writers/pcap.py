"""Write a packet trace as a libpcap capture, in batches of bounded memory.

The file format is https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html: a 24-byte file header, then for each
packet 16 bytes (seconds, fraction, captured length, wire length) and the packet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.postprocess.headers import scatter_rows
from netshare.postprocess.writers.capture import check_seconds
from netshare.preprocess.layouts.captures import PCAP_VARIANTS, PCAP_VERSION, pcap_file_header, pcap_record_header
from netshare.preprocess.layouts.fields import as_bytes

_ORDER = "<"
_RECORD_HEADER = pcap_record_header(_ORDER)
_MAGIC = {  # by nanoseconds of a unit of a time's fraction
    variant.fraction_ns: magic
    for magic, variant in PCAP_VARIANTS.items()
    if (variant.order, variant.record_header) == (_ORDER, _RECORD_HEADER.itemsize)
}
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
        header = np.zeros(1, pcap_file_header(_ORDER))
        header["magic"] = np.frombuffer(_MAGIC[1 if self.nanoseconds else 1000], "<u4")
        header["major"], header["minor"] = PCAP_VERSION
        header["snap_length"], header["link_type"] = snaplen, link_number
        return header.tobytes()

    def leads(self, captured: np.ndarray) -> np.ndarray:
        """A record header before each frame."""
        return np.full(len(captured), _RECORD_HEADER.itemsize, dtype=np.int64)

    def wrap(
        self, buffer: np.ndarray, frames: np.ndarray, time: np.ndarray, captured: np.ndarray, wire: np.ndarray
    ) -> bytes:
        """Record headers; nothing follows the last frame."""
        header = np.empty(len(time), dtype=_RECORD_HEADER)
        header["seconds"], fraction = time // 1_000_000_000, time % 1_000_000_000
        header["fraction"] = fraction if self.nanoseconds else fraction // 1000
        header["captured"], header["wire"] = captured, wire
        scatter_rows(buffer, frames - _RECORD_HEADER.itemsize, as_bytes(header))
        return b""
