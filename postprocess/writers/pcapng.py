"""Write a packet trace as a pcapng capture: one section, one interface, an enhanced packet block for each packet.

The file format is https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html. Times are 64-bit counts of
nanoseconds (microseconds if asked for), as the option `if_tsresol` of the interface block states.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from netshare.postprocess.headers import scatter_rows
from netshare.postprocess.writers.capture import check_seconds
from netshare.preprocess.layouts.captures import (
    BLOCK_TRAILER,
    ENHANCED_PACKET_BLOCK,
    INTERFACE_BLOCK,
    PCAPNG_BYTE_ORDER_MAGIC,
    SECTION_APPLICATION,
    SECTION_BLOCK,
    TIME_RESOLUTION,
    enhanced_packet_header,
)
from netshare.preprocess.layouts.fields import as_bytes

_UNKNOWN_LENGTH = 2**64 - 1  # of the section
_HEADER = enhanced_packet_header("<")
# The trailer of the block before, and a packet block's header.
_TRAILER_AND_HEADER = np.dtype([("block_before", "<u4"), *((name, _HEADER[name]) for name in _HEADER.names or ())])
_MAX_SECONDS = 2**63 // 1_000_000_000  # nothing that the column time can hold is too late


@dataclass(frozen=True)
class Pcapng:
    """The container of pcapng captures, as `netshare.postprocess.writers.capture.Container` asks."""

    nanoseconds: bool = True

    def check(self, time: np.ndarray) -> None:
        """Times are unsigned."""
        check_seconds(time, _MAX_SECONDS, "pcapng")

    def begin(self, snaplen: int, link_number: int) -> bytes:
        """The section header and the interface description."""
        section = struct.pack("<IHHQ", PCAPNG_BYTE_ORDER_MAGIC, 1, 0, _UNKNOWN_LENGTH) + _options(
            {SECTION_APPLICATION: b"netshare"}
        )
        resolution = {TIME_RESOLUTION: bytes([9 if self.nanoseconds else 6])}  # as a negative power of 10
        interface = struct.pack("<HHI", link_number, 0, snaplen) + _options(resolution)
        return _block(SECTION_BLOCK, section) + _block(INTERFACE_BLOCK, interface)

    def leads(self, captured: np.ndarray) -> np.ndarray:
        """A block's header before each frame, and before that the padding and the trailer of the block before."""
        lead = np.full(len(captured), _HEADER.itemsize, dtype=np.int64)
        lead[1:] += _padding(captured[:-1]) + BLOCK_TRAILER
        return lead

    def wrap(
        self, buffer: np.ndarray, frames: np.ndarray, time: np.ndarray, captured: np.ndarray, wire: np.ndarray
    ) -> bytes:
        """Headers and trailers; returns the padding and the trailer of the last block."""
        if not len(time):
            return b""
        block = _HEADER.itemsize + captured + _padding(captured) + BLOCK_TRAILER
        ticks = time if self.nanoseconds else time // 1000
        header = np.zeros(len(time), dtype=_TRAILER_AND_HEADER)  # interface 0
        header["block_before"][1:] = block[:-1]
        header["type"], header["length"] = ENHANCED_PACKET_BLOCK, block
        header["time_hi"], header["time_lo"] = ticks >> 32, ticks & 0xFFFFFFFF
        header["captured"], header["wire"] = captured, wire
        rows = as_bytes(header)
        scatter_rows(buffer, frames[:1] - _HEADER.itemsize, rows[:1, BLOCK_TRAILER:])
        scatter_rows(buffer, frames[1:] - _TRAILER_AND_HEADER.itemsize, rows[1:])
        return bytes(int(_padding(captured[-1:])[0])) + struct.pack("<I", int(block[-1]))


def _block(number: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", number) + length + body + length


def _options(values: dict[int, bytes]) -> bytes:
    written = [
        struct.pack("<HH", number, len(value)) + value + bytes(-len(value) % 4) for number, value in values.items()
    ]
    return b"".join(written) + bytes(4)  # opt_endofopt


def _padding(length: np.ndarray) -> np.ndarray:
    """Bytes up to the next multiple of four."""
    return -length % 4
