"""Captured frames to packet columns, whatever the frames were captured in: link layer, then IP, then what it carries."""

from __future__ import annotations

from typing import Any

import numpy as np

from netshare.preprocess.columns import Source
from netshare.preprocess.layouts.ethernet import LINK_NAMES
from netshare.preprocess.readers.frames import Frames, distinct
from netshare.preprocess.readers.ip import decode_packets
from netshare.preprocess.readers.link import network_layer
from netshare.preprocess.readers.tunnels import decapsulate


class FrameDecoder:
    """Frames to packet columns, batch by batch, with an account of what is left out and what is cut.

    Attributes:
        records: packets decoded so far.
        end: where the last batch's last frame ended in its buffer.
    """

    def __init__(self, *, inner: bool = False) -> None:
        """With `inner`, a tunnel is replaced by the packet in it."""
        self.records = 0
        self.end = 0
        self._inner = inner
        self._skipped: dict[str, int] = {}
        self._link_types: list[int] = []
        self._cut_frames = self._cut_transport = self._opened = 0

    def decode(self, buffer: np.ndarray, frames: Frames, limit: int | None = None) -> dict[str, np.ndarray]:
        """Packet columns (all but `epoch`) of the frames of a buffer (uint8[size]) that hold an IP packet; no more than
        `limit` packets over all calls."""
        packets = decode_packets(buffer, frames, network_layer(buffer, frames))
        if limit is not None and self.records + len(packets.rows) > limit:
            frames = frames.first(int(packets.rows[limit - self.records - 1]) + 1)
            packets = decode_packets(buffer, frames, network_layer(buffer, frames))
        if self._inner:
            packets, tunnels = decapsulate(buffer, frames, packets)
            self._opened += tunnels
        self.records += len(packets.rows)
        for reason, count in packets.skipped.items():
            self._skipped[reason] = self._skipped.get(reason, 0) + count
        self._link_types += [value for value in distinct(frames.link_type) if value not in (-1, *self._link_types)]
        self._cut_frames += int(np.count_nonzero(frames.captured < frames.wire))
        self._cut_transport += packets.cut_transport
        self.end = int(frames.offset[-1] + frames.captured[-1])
        return packets.columns

    def source(self, path: str, format: str, notes: list[str], details: dict[str, Any]) -> Source:
        """What is known of all frames so far; `notes` and `details` are of what held them, and receive more."""
        if self._cut_transport:
            notes.append(
                f"{self._cut_transport} packets are captured too short for their transport header: what is missing of it "
                f"is 0"
            )
        if self._opened:
            notes.append(f"{self._opened} packets are tunnels, what is in them was read")
        details.update(link_type_numbers=self._link_types, frames_cut=self._cut_frames)
        return Source(
            path=path,
            format=format,
            records=self.records,
            link_type=", ".join(dict.fromkeys(LINK_NAMES.get(value, str(value)) for value in self._link_types)) or None,
            skipped=self._skipped,
            notes=tuple(notes),
            details=details,
        )
