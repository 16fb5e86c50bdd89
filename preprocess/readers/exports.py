"""Raw NetFlow v5, v9 and IPFIX: a capture of export packets, or a file of their payloads, as a flow trace.

    read_trace("export.pcap")                           # known by content: most packets are export packets
    read_trace("mixed.pcap", netflow_exports=True)      # the records, whatever else was captured
    read_trace(["templates.dat", "data.dat"])           # templates of one file serve the others

IPFIX files (RFC 5655) are payloads one after another and are read as such.
"""

from __future__ import annotations

from contextlib import closing

import numpy as np

from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.layouts.exports import FORMAT_NAMES
from netshare.preprocess.layouts.transport import UDP_HEADER
from netshare.preprocess.protocols import UDP
from netshare.preprocess.readers.contents import Contents, Stream
from netshare.preprocess.readers.export_messages import Exports, add_packet, is_export
from netshare.preprocess.readers.export_records import decode_records
from netshare.preprocess.readers.frames import Frames
from netshare.preprocess.readers.ip import decode_packets
from netshare.preprocess.readers.link import network_layer
from netshare.preprocess.readers.reader import Reader, ReadOptions, ScanFrames
from netshare.preprocess.readers.window import Window
from netshare.preprocess.trace import Source, Trace, make_trace

_SAMPLE_PACKETS = 2000  # packets by which a capture is judged
_NOT_UDP = "packets that are no UDP"
_NO_EXPORTER = ""  # a file of payloads does not name who sent them


def holds_exports(head: np.ndarray, scan: ScanFrames) -> bool:
    """Whether most of a capture's packets, by the first 2,000 in its first bytes, are export packets."""
    with closing(scan(Window(head), [], {})) as batches:
        frames = next(batches, None)
    if frames is None:
        return False
    frames = frames.first(_SAMPLE_PACKETS)
    starts, ends, _, _ = _udp_payloads(head, frames)
    if 2 * len(starts) <= len(frames):
        return False
    found = sum(is_export(head, *place) for place in zip(starts.tolist(), ends.tolist(), strict=True))
    return 2 * found > len(frames)


def read_exports(stream: Stream, options: ReadOptions, scan: ScanFrames | None = None, *, again: bool = False) -> Trace:
    """The flow records of NetFlow or IPFIX export packets, in file order, as one source.

    Args:
        stream: the open file.
        options: its `templates` serve this file's data, and receive this file's templates.
        scan: finds the frames of a capture of export packets; None: the file holds their payloads, one after another.
        again: the file is read a second time, with templates that came in other files.
    """
    path, contents, known, limit = stream.name, stream.contents(), options.templates, options.limit
    before = known.incomplete.pop(path) if again else dict(known.templates)
    exports = Exports(late_templates=known.late_templates, templates=dict(before))
    notes = list(contents.notes)
    if scan is None:
        add_packet(exports, contents.buffer, 0, len(contents.buffer), _NO_EXPORTER)
    else:
        _add_capture(exports, contents, scan, notes)
    if not again:
        known.templates.update(exports.templates)
        if exports.waiting:
            known.incomplete[path] = before
    exports.settle(known.templates)
    columns = decode_records(contents.buffer, exports, notes)
    if not exports.sets and exports.templates and not exports.skipped:
        notes.append(f"{len(exports.templates)} templates and no data records, read the data's file with this one")
    if exports.sampling:
        rates = ", ".join(f"1 in {rate}" for rate in sorted(exports.sampling))
        notes.append(f"the exporter samples packets ({rates}), counters are as it sent them, not scaled")
    versions = sorted(set(exports.version))
    records = len(columns["time"])
    kept = records if limit is None else min(records, limit)
    source = Source(
        path=path,
        format=FORMAT_NAMES[versions[0]] if len(versions) == 1 else "netflow-export",
        records=kept,
        skipped=exports.skipped,
        notes=tuple(notes),
        details={
            "versions": versions,
            "messages": len(exports.version),
            "exporters": len(set(exports.exporter)),
            "sampling": sorted(exports.sampling),
        },
    )
    return make_trace("flow", columns, sources=[source]).take(np.arange(kept))


def _add_capture(exports: Exports, contents: Contents, scan: ScanFrames, notes: list[str]) -> None:
    """Take apart all export packets of a capture."""
    with closing(scan(Window(contents.buffer), notes, {})) as batches:
        for frames in batches:
            starts, ends, exporters, others = _udp_payloads(contents.buffer, frames)
            for reason, count in others.items():
                exports.leave_out(reason, count)
            for start, end, exporter in zip(starts.tolist(), ends.tolist(), exporters.tolist(), strict=True):
                add_packet(exports, contents.buffer, start, end, exporter)


def _udp_payloads(buffer: np.ndarray, frames: Frames) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """Where UDP payloads begin and end (int64[m]), who sent them (texts), and how many frames are none, by reason."""
    packets = decode_packets(buffer, frames, network_layer(buffer, frames))
    columns = packets.columns
    is_udp = (columns["protocol"] == UDP) & (columns["fragment_offset"] == 0)
    is_udp &= packets.end - packets.transport >= UDP_HEADER.itemsize
    others = dict(packets.skipped)
    if count := int(np.count_nonzero(~is_udp)):
        others[_NOT_UDP] = count
    version, hi, lo = (columns[name][is_udp] for name in ("ip_version", "src_hi", "src_lo"))
    return (
        packets.transport[is_udp] + UDP_HEADER.itemsize,
        packets.end[is_udp],
        format_addresses(version, hi, lo),
        others,
    )


def _begins_with_export(head: bytes) -> bool:
    return is_export(np.frombuffer(head, np.uint8), 0, len(head))


NETFLOW_EXPORT = Reader("netflow-export", "flow", read=read_exports, recognises=_begins_with_export)
