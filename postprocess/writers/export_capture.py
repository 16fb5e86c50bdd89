"""Write flow records as a capture of the UDP datagrams in which a router would export them.

The exporter and the collector have addresses that are set aside for documentation (RFC 5737). Replayed to a collector
(`tcpreplay`, or its payloads sent to the port), the capture gives the records back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netshare.postprocess.checksums import address_sums, fold, word_sums
from netshare.postprocess.headers import build_packets, plan_packets, scatter_rows
from netshare.postprocess.writers.capture import write_frames
from netshare.postprocess.writers.export_packets import BATCH_MESSAGES, Exports, payloads, plan_exports
from netshare.postprocess.writers.pcap import Pcap
from netshare.postprocess.writers.pcapng import Pcapng
from netshare.preprocess.layouts.exports import IPFIX, V5, V9
from netshare.preprocess.layouts.fields import as_bytes
from netshare.preprocess.layouts.ip import IPV4
from netshare.preprocess.layouts.transport import UDP_HEADER
from netshare.preprocess.protocols import UDP
from netshare.preprocess.trace import Trace, make_trace

EXPORTER = 0xC0000201  # 192.0.2.1
COLLECTOR = 0xC0000202
COLLECTOR_PORT = {V5: 2055, V9: 2055, IPFIX: 4739}  # NetFlow's usual one; IANA's for IPFIX
_EXPORTER_PORT = 50_000
_DATAGRAM_GAP_NS = 1000  # ns between datagrams of one second


def write_export_capture(trace: Trace, path: Path, version: int) -> tuple[str, ...]:
    """Write a flow trace as export packets; returns what they do not hold, one line each.

    Args:
        path: a pcapng file where its name ends so, else pcap; compressed where it ends in `.gz`.
        version: 5, 9 or 10 (IPFIX).

    Raises:
        FieldError: records start before 1970 or end after 2106.
        NetshareError: the file cannot be written.
    """
    exports = plan_exports(trace, version)
    datagrams = _datagrams(exports)
    plan = plan_packets(datagrams)

    def build(start: int, stop: int, lead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        buffer, offsets = build_packets(datagrams, plan, start=start, stop=stop, lead=lead)
        _fill(buffer, offsets[1:], exports, start, stop)
        return buffer, offsets

    container = Pcapng() if path.name.lower().removesuffix(".gz").endswith(".pcapng") else Pcap(nanoseconds=True)
    write_frames(datagrams, path, container, build, link_type="ethernet", batch_packets=BATCH_MESSAGES)
    return exports.lossy


def _datagrams(exports: Exports) -> Trace:
    """The packet trace of the datagrams."""
    rows = len(exports)
    constant = {
        "ip_version": 4,
        "src_lo": EXPORTER,
        "dst_lo": COLLECTOR,
        "src_port": _EXPORTER_PORT,
        "dst_port": COLLECTOR_PORT[exports.version],
        "protocol": UDP,
        "ttl": 64,
    }
    number = np.arange(rows)
    new = np.append(True, exports.time[1:] != exports.time[:-1])
    within = number - np.maximum.accumulate(np.where(new, number, 0))
    columns = {
        "time": exports.time * 1_000_000_000 + within * _DATAGRAM_GAP_NS,
        "length": IPV4.itemsize + UDP_HEADER.itemsize + exports.lengths,
        "ip_id": number & 0xFFFF,
        **{name: np.full(rows, value) for name, value in constant.items()},
    }
    return make_trace("packet", columns)


def _fill(buffer: np.ndarray, ends: np.ndarray, exports: Exports, start: int, stop: int) -> None:
    """Put the payloads, and the UDP headers that fit them, into frames which end at `ends`."""
    rows, lengths = payloads(exports, start, stop)
    header = np.zeros(len(rows), dtype=UDP_HEADER)
    header["src_port"], header["dst_port"] = _EXPORTER_PORT, COLLECTOR_PORT[exports.version]
    header["length"] = UDP_HEADER.itemsize + lengths
    ends_of_link = [np.full(1, value, np.uint64) for value in (EXPORTER, COLLECTOR)]
    pseudo = sum(int(address_sums(np.zeros(1, np.uint64), address)[0]) for address in ends_of_link) + UDP
    total = pseudo + UDP_HEADER.itemsize + lengths + word_sums(as_bytes(header))
    total += rows.view(">u2").sum(axis=1, dtype=np.int64)
    checksum = fold(total)
    header["checksum"] = np.where(checksum == 0, 0xFFFF, checksum)  # RFC 768: zero means no checksum
    begins = ends - lengths
    scatter_rows(buffer, begins - UDP_HEADER.itemsize, as_bytes(header))
    for length in np.unique(lengths):  # few: all full messages of a kind are equally long
        chosen = lengths == length
        scatter_rows(buffer, begins[chosen], rows[chosen, :length])
