"""Packet captures to packet traces: frames, then link layer, then IP, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import numpy as np

from preprocess.readers.contents import Contents
from preprocess.readers.frames import Frames
from preprocess.readers.ip import decode_packets
from preprocess.readers.link import LINK_NAMES, network_layer
from preprocess.readers.pcap import scan_pcap
from preprocess.readers.pcapng import scan_pcapng
from preprocess.trace import PACKET_COLUMNS, Source, Trace, make_trace

_SCANS: dict[str, Callable[[np.ndarray, list[str], dict[str, Any]], Generator[Frames, None, None]]] = {
    "pcap": scan_pcap,
    "pcapng": scan_pcapng,
}


def scan_capture(contents: Contents, notes: list[str], details: dict[str, Any]) -> Generator[Frames, None, None]:
    """Batches of a capture's frames; `notes` and `details` receive what the file's format tells of itself."""
    return _SCANS[contents.format](contents.buffer, notes, details)


def read_capture(path: str, contents: Contents, limit: int | None = None) -> Trace:
    """The packets of a pcap or pcapng file, in file order, as a trace of one source.

    What is no IP packet, or cut within its IP header, is counted by reason in the source's `skipped`; with a limit,
    reading ends after that many packets. A capture without any usable packet gives a trace of length 0.
    """
    notes = list(contents.notes)
    details: dict[str, Any] = {}
    skipped: dict[str, int] = {}
    parts: list[dict[str, np.ndarray]] = []
    link_types: list[int] = []
    records = cut_frames = cut_transport = 0
    with closing(scan_capture(contents, notes, details)) as batches:
        for frames in batches:
            packets = decode_packets(contents.buffer, frames, network_layer(contents.buffer, frames))
            if limit is not None and records + len(packets.rows) > limit:
                frames = frames.first(int(packets.rows[limit - records - 1]) + 1)
                packets = decode_packets(contents.buffer, frames, network_layer(contents.buffer, frames))
            parts.append(packets.columns)
            records += len(packets.rows)
            for reason, count in packets.skipped.items():
                skipped[reason] = skipped.get(reason, 0) + count
            link_types += [value for value in np.unique(frames.link_type).tolist() if value not in (-1, *link_types)]
            cut_frames += int(np.count_nonzero(frames.captured < frames.wire))
            cut_transport += packets.cut_transport
            if limit is not None and records >= limit:
                break
    if cut_transport:
        notes.append(
            f"{cut_transport} packets are captured too short for their transport header: what is missing of it is 0"
        )
    details.update(link_type_numbers=link_types, frames_cut=cut_frames)
    columns = (
        {name: np.concatenate([part[name] for part in parts]) for name in PACKET_COLUMNS if name != "epoch"}
        if parts
        else {"time": np.empty(0, np.int64)}
    )
    source = Source(
        path=path,
        format=contents.format,
        records=records,
        link_type=", ".join(dict.fromkeys(LINK_NAMES.get(value, str(value)) for value in link_types)) or None,
        skipped=skipped,
        notes=tuple(notes),
        details=details,
    )
    return make_trace("packet", columns, sources=[source])
