"""A packet trace as packets of scapy and dpkt, with the bytes that `write_trace` would write.

    for packet in to_scapy(trace):
        print(packet.summary())

They are functions and not methods of `Trace`, because headers are built in `netshare.postprocess`, which stands above the
trace. `netshare.preprocess.readers.library_packets` has the way back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import dpkt
import scapy.layers.all  # noqa: F401 (so that all protocols are dissected)
from scapy.config import conf
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import EDecimal

from netshare.postprocess.headers import build_packets
from netshare.postprocess.link import LinkType
from netshare.postprocess.packet_plan import plan_packets
from netshare.preprocess.trace import Trace

_BLOCK = 1 << 12  # packets built at a time
_NS = Decimal(10**9)


def to_scapy(trace: Trace, *, link_type: LinkType | None = None, seed: int = 0) -> Iterator[Packet]:
    """The packets of a trace as scapy packets, in its order; they are built as they are asked for.

    Args:
        trace: a packet trace; `repair` it first where it was generated.
        link_type: by default raw IP where the trace's source was, else Ethernet, as `write_trace` has it.
        seed: varies TCP's initial sequence numbers.

    Returns:
        scapy packets with `time` (exact seconds since 1970) and `wirelen`; `bytes(packet)` is what `write_trace` writes.
        Where scapy would rebuild other bytes than it has dissected, what follows the first header is left undissected.

    Raises:
        FieldError: it is a flow trace, or packets are shorter than their headers.

    >>> from netshare.preprocess import make_trace
    >>> trace = make_trace("packet", {
    ...     "time": [1700000000000000001], "ip_version": [4], "src_lo": [167772161], "dst_lo": [167772162],
    ...     "protocol": [17], "src_port": [53], "dst_port": [4000], "length": [60], "ttl": [64],
    ... })
    >>> packet = next(to_scapy(trace))
    >>> packet["IP"].src, packet["UDP"].dport, str(packet.time)
    ('10.0.0.1', 4000, '1700000000.000000001')
    """
    return (_scapy_packet(data, time, first) for data, time, first in _frames(trace, link_type, seed))


def to_dpkt(trace: Trace, *, link_type: LinkType | None = None, seed: int = 0) -> Iterator[tuple[Decimal, dpkt.Packet]]:
    """The packets of a trace as pairs of time and dpkt packet, in its order, as `dpkt.pcap.Reader` has them but parsed.

    Args:
        trace, link_type, seed: as for `to_scapy`.

    Returns:
        Pairs of exact seconds since 1970 and a `dpkt.ethernet.Ethernet`, or a `dpkt.ip.IP` or `dpkt.ip6.IP6` where there is
        no link layer. Where dpkt would rebuild other bytes than it has parsed, what follows the first header are bytes.

    Raises:
        FieldError: it is a flow trace, or packets are shorter than their headers.

    >>> from netshare.preprocess import make_trace
    >>> trace = make_trace("packet", {
    ...     "time": [1700000000000000001], "ip_version": [4], "src_lo": [167772161], "dst_lo": [167772162],
    ...     "protocol": [17], "src_port": [53], "dst_port": [4000], "length": [60], "ttl": [64],
    ... })
    >>> time, packet = next(to_dpkt(trace))
    >>> str(time), packet.data.data.dport
    ('1700000000.000000001', 4000)
    """
    return ((Decimal(time) / _NS, _dpkt_packet(data, first)) for data, time, first in _frames(trace, link_type, seed))


def _frames(trace: Trace, link_type: LinkType | None, seed: int) -> Iterator[tuple[bytes, int, int]]:
    """Each frame's bytes, its time (ns), and its IP version where there is no link layer, else 0. What can be refused is
    refused at once, not with the first frame."""
    raw = bool(trace.sources) and trace.sources[0].link_type == "raw"
    link: LinkType = link_type or ("raw" if raw else "ethernet")
    plan = plan_packets(trace, seed=seed)

    def blocks() -> Iterator[tuple[bytes, int, int]]:
        for start in range(0, len(trace), _BLOCK):
            stop = min(start + _BLOCK, len(trace))
            buffer, offsets = build_packets(trace, plan, start=start, stop=stop, link_type=link)
            data, places = buffer.tobytes(), offsets.tolist()
            times = trace["time"][start:stop].tolist()
            versions = trace["ip_version"][start:stop].tolist() if link == "raw" else [0] * len(times)
            for at, (time, version) in enumerate(zip(times, versions, strict=True)):
                yield data[places[at] : places[at + 1]], time, version

    return blocks()


def _scapy_packet(data: bytes, time: int, version: int) -> Packet:
    layer: Any = {0: Ether, 6: IPv6}.get(version, IP)
    try:
        packet = layer(data)
    except Exception:  # what scapy's own readers do where a dissector fails
        if conf.debug_dissector:
            raise
        packet = None
    if packet is None or bytes(packet) != data:  # some layers are not rebuilt as they were (IGMP, for instance)
        header = {Ether: 14, IP: 20, IPv6: 40}[layer]
        packet = layer(data[:header]) / Raw(data[header:])
    packet.time = EDecimal(time) / EDecimal(_NS)
    packet.wirelen = len(data)
    return packet


def _dpkt_packet(data: bytes, version: int) -> dpkt.Packet:
    layer: Any = {0: dpkt.ethernet.Ethernet, 6: dpkt.ip6.IP6}.get(version, dpkt.ip.IP)
    try:
        packet = layer(data)
        if bytes(packet) == data:
            return packet
    except Exception:  # dpkt neither parses nor rebuilds every extension header of IPv6
        pass
    header = layer.__hdr_len__
    fields = zip(layer.__hdr_fields__, struct.unpack(layer.__hdr_fmt__, data[:header]), strict=True)
    packet = layer(**dict(fields))
    packet.data = data[header:]  # set afterwards: given to the constructor, it would be parsed
    return packet
