"""pcapng files (draft-ietf-opsawg-pcapng): several sections and interfaces, both byte orders, any time resolution.

Enhanced, simple and obsolete packet blocks become frames; other blocks are passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netshare.preprocess.layouts.captures import (
    BLOCK_TRAILER,
    END_OF_OPTIONS,
    ENHANCED_PACKET_BLOCK,
    INTERFACE_BLOCK,
    MAXIMUM_SNAP_LENGTH,
    OBSOLETE_PACKET_BLOCK,
    PCAPNG_BYTE_ORDERS,
    PCAPNG_MAGIC,
    SECTION_BLOCK,
    SIMPLE_PACKET_BLOCK,
    TIME_OFFSET,
    TIME_RESOLUTION,
    enhanced_packet_header,
)
from netshare.preprocess.readers.capture import capture_reader
from netshare.preprocess.readers.frames import TIME_OUT_OF_RANGE, Frames, gather
from netshare.preprocess.readers.pcap import BATCH
from netshare.preprocess.readers.window import Window

_PACKET_BLOCKS = (ENHANCED_PACKET_BLOCK, SIMPLE_PACKET_BLOCK, OBSOLETE_PACKET_BLOCK)
_MIN_BLOCK_BYTES = {
    SECTION_BLOCK: 28,
    INTERFACE_BLOCK: 20,
    ENHANCED_PACKET_BLOCK: 32,
    OBSOLETE_PACKET_BLOCK: 32,
    SIMPLE_PACKET_BLOCK: 16,
}
_MAX_BLOCK_BYTES = 256 << 20  # bytes; a packet has no more than 128 MiB, whatever its link type
_MAX_INTERFACES = 65_536
_LAST_SECOND = 9_223_372_035  # the last whole second that int64 nanoseconds hold


@dataclass(frozen=True)
class _Interface:
    link_type: int
    snap_length: int
    ticks_per_second: int
    offset_seconds: int


@dataclass
class _Section:
    """The section being read: its byte order, its interfaces, and the packet blocks not yet turned into frames."""

    order: str = "<"
    interfaces: list[_Interface] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)


def scan_pcapng(window: Window, notes: list[str], details: dict[str, Any]) -> Generator[Frames, None, None]:
    """Batches of the frames of a pcapng file, of the window's buffer each.

    Args:
        window: at the beginning of the file.
        notes: receives a line where the file is truncated or broken, and where packets have no time of their own.
        details: receives the number of sections and of interfaces, and the largest snap length.
    """
    section, position, last_time = _Section(), 0, 0
    sections = interfaces = done = untimed = 0
    snap_length, resolution = 0, 1
    header_at = struct.Struct("<II").unpack_from
    problem, is_over = "", False
    while not is_over:
        data, size = window.buffer.data, len(window.buffer)
        starts, types = section.starts, section.types
        wanted = 0
        while not problem and len(starts) < BATCH:
            if position + 12 > size:
                wanted = 12
                break
            if data[position : position + 4] == PCAPNG_MAGIC:
                if starts:
                    break  # the pending blocks are of the section before
                order = PCAPNG_BYTE_ORDERS.get(bytes(data[position + 8 : position + 12]))
                if order is None:
                    problem = f"broken: a section header at offset {window.before + position} without byte-order magic"
                    break
                if position + _MIN_BLOCK_BYTES[SECTION_BLOCK] > size:
                    wanted = _MIN_BLOCK_BYTES[SECTION_BLOCK]
                    break
                header_at = struct.Struct(order + "II").unpack_from
            block_type, length = header_at(data, position)
            if length < _MIN_BLOCK_BYTES.get(block_type, 12) or length % 4 or length > _MAX_BLOCK_BYTES:
                problem = f"broken: a block at offset {window.before + position} has the length {length}"
                break
            if position + length > size:
                wanted = length
                break
            if block_type in _PACKET_BLOCKS:
                starts.append(position)
                types.append(block_type)
            elif block_type == SECTION_BLOCK:
                section, sections = _Section(order or "<"), sections + 1
                starts, types = section.starts, section.types
            elif block_type == INTERFACE_BLOCK:
                interface = _read_interface(data, position, length, section.order)
                section.interfaces.append(interface)
                interfaces += 1
                if len(section.interfaces) > _MAX_INTERFACES:
                    problem = f"broken: a section of more than {_MAX_INTERFACES} interfaces"
                    break
                snap_length = max(snap_length, interface.snap_length)
                resolution = max(resolution, interface.ticks_per_second)
            position += length
        details.update(
            sections=sections,
            interfaces=interfaces,
            snap_length=snap_length,
            byte_order="little" if section.order == "<" else "big",
            time_resolution_ns=max(1, 1_000_000_000 // resolution),
        )
        frames, last_time, missing = _frames(window.buffer, section, last_time)
        done, untimed = done + len(frames), untimed + missing
        if len(frames):
            yield frames
        if wanted:
            position, more = window.advance(position)
            left = len(window.buffer) - position
            if not more and left:
                where = window.before + position
                problem = (
                    f"truncated: the last block, at offset {where}, is cut"
                    if left >= 12
                    else f"truncated: {left} bytes of a block at the end"
                )
            is_over = not more
        is_over = is_over or bool(problem)
    if problem:
        notes.append(f"{problem}, {done} whole records read")
    if untimed:
        notes.append(f"{untimed} packets have no time (simple packet blocks) and took that of the packet before them")


def _frames(buffer: np.ndarray, section: _Section, last_time: int) -> tuple[Frames, int, int]:
    """Frames of the section's pending blocks (then none are pending), the last time seen, and how many had no time."""
    starts = np.array(section.starts, dtype=np.int64)
    types = np.array(section.types, dtype=np.int64)
    section.starts.clear()
    section.types.clear()
    order = section.order
    layout = enhanced_packet_header(order)
    blocks = gather(buffer, starts, layout)
    simple = types == SIMPLE_PACKET_BLOCK
    interface = blocks["interface"].astype(np.int64)
    obsolete = types == OBSOLETE_PACKET_BLOCK  # 16 bits of interface, then 16 of drop counter
    if obsolete.any():
        interface[obsolete] = interface[obsolete] >> 16 if order == ">" else interface[obsolete] & 0xFFFF
    captured = blocks["captured"].astype(np.int64)
    wire = blocks["wire"].astype(np.int64)
    offset = starts + layout.itemsize
    room = blocks["length"].astype(np.int64) - layout.itemsize - BLOCK_TRAILER
    if simple.any():
        snap = section.interfaces[0].snap_length if section.interfaces else 0
        wire[simple] = interface[simple]  # the original length stands where the others have the interface
        captured[simple] = np.minimum(wire[simple], snap or MAXIMUM_SNAP_LENGTH)
        interface[simple] = 0
        offset[simple] = starts[simple] + 12
        room[simple] += 16
    captured = np.minimum(captured, room)
    ticks = blocks["time_hi"].astype(np.uint64) << np.uint64(32) | blocks["time_lo"].astype(np.uint64)
    time = np.zeros(len(starts), dtype=np.int64)
    link_type = np.full(len(starts), -1, dtype=np.int32)
    described = interface < len(section.interfaces)
    known = np.unique(interface[described])
    if len(known) == 1:
        only = section.interfaces[int(known[0])]
        link_type[described] = only.link_type
        time[described] = _nanoseconds(
            ticks[described], np.uint64(only.ticks_per_second), np.int64(only.offset_seconds)
        )
    elif len(known):
        found = [section.interfaces[number] for number in known.tolist()]
        which = np.searchsorted(known, interface[described])
        link_type[described] = np.array([one.link_type for one in found])[which]
        per_second = np.array([one.ticks_per_second for one in found], np.uint64)[which]
        offset_seconds = np.array([one.offset_seconds for one in found], np.int64)[which]
        time[described] = _nanoseconds(ticks[described], per_second, offset_seconds)
    if simple.any():
        seen = np.where(simple, -1, np.arange(len(starts)))
        previous = np.maximum.accumulate(seen)
        time = np.where(previous >= 0, time[previous], last_time)
    last_time = int(time[-1]) if len(time) else last_time
    wire = np.maximum(wire, captured)
    return Frames(offset, captured, wire, time, link_type), last_time, int(simple.sum())


def _nanoseconds(
    ticks: np.ndarray, per_second: np.ndarray | np.uint64, offset_seconds: np.ndarray | np.int64
) -> np.ndarray:
    """int64 ns of uint64 ticks, of so many a second, since so many seconds after the epoch."""
    seconds, rest = np.divmod(ticks, per_second)
    exact = np.minimum(rest, np.uint64(1_000_000_000)) * np.uint64(1_000_000_000) // per_second
    rounded = (rest.astype(np.float64) * (1e9 / np.asarray(per_second, np.float64))).astype(np.uint64)
    fraction = np.where(per_second <= np.uint64(1_000_000_000), exact, rounded)
    whole = np.minimum(seconds, np.uint64(_LAST_SECOND)).astype(np.int64) + offset_seconds
    held = (seconds <= _LAST_SECOND) & (np.abs(whole) <= _LAST_SECOND)
    time = np.where(held, whole, 0) * 1_000_000_000 + fraction.astype(np.int64)
    return np.where(held, time, TIME_OUT_OF_RANGE)


def _read_interface(data: memoryview, position: int, length: int, order: str) -> _Interface:
    link_type, _, snap_length = struct.unpack_from(order + "HHI", data, position + 8)
    ticks_per_second, offset_seconds = 1_000_000, 0
    at, end = position + 16, position + length - 4
    while at + 4 <= end:
        code, size = struct.unpack_from(order + "HH", data, at)
        if code == END_OF_OPTIONS or at + 4 + size > end:
            break
        if code == TIME_RESOLUTION and size >= 1:
            value = data[at + 4]
            exponent = value & 0x7F
            ticks_per_second = 2 ** min(exponent, 63) if value & 0x80 else 10 ** min(exponent, 19)
        elif code == TIME_OFFSET and size >= 8:
            (offset_seconds,) = struct.unpack_from(order + "q", data, at + 4)
            offset_seconds = max(-_LAST_SECOND, min(_LAST_SECOND, offset_seconds))
        at += 4 + size + (-size % 4)
    return _Interface(link_type, snap_length, ticks_per_second, offset_seconds)


PCAPNG = capture_reader("pcapng", scan_pcapng, magics=(PCAPNG_MAGIC,))
