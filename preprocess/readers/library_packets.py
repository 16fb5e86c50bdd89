"""Packets of scapy and dpkt as a packet trace, by the bytes of each and the reader of captures.

    from_scapy(scapy.all.sniff(count=100))
    from_dpkt(dpkt.pcap.Reader(file))

The bytes of a few thousand packets are put one after the other and decoded at once, as those of a capture are. The way
back is `netshare.postprocess.writers.library_packets`: a trace stands below what builds headers, so it is functions that
convert, not methods of `Trace`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

import dpkt
import numpy as np
from scapy.config import conf

from netshare.preprocess.columns import PACKET_COLUMNS
from netshare.preprocess.errors import InputError
from netshare.preprocess.readers.frame_decoder import FrameDecoder
from netshare.preprocess.readers.frames import TIME_OUT_OF_RANGE, Frames
from netshare.preprocess.trace import Trace, make_trace

_BATCH = 1 << 14  # packets decoded at once
_RAW = 101  # LINKTYPE_RAW: begins with an IP header of either version
_IP_ONLY = (12, 228, 229)  # the same of BSD, of IPv4, of IPv6
_ETHERNET = 1
_NS = Decimal(10**9)
_RANGE = Decimal(2**63)
_DPKT_LINKS: dict[type, int] = {
    dpkt.ethernet.Ethernet: _ETHERNET,
    dpkt.ip.IP: _RAW,
    dpkt.ip6.IP6: _RAW,
    dpkt.loopback.Loopback: 0,
    dpkt.ppp.PPP: 9,
    dpkt.ieee80211.IEEE80211: 105,
    dpkt.sll.SLL: 113,
    dpkt.radiotap.Radiotap: 127,
    dpkt.sll2.SLL2: 276,
}

_Packet = tuple[bytes, int, int, int]  # bytes, bytes on the wire, ns since 1970, LINKTYPE_ number


def from_scapy(packets: Iterable[Any], *, decapsulate: bool = False) -> Trace:
    """The packets of scapy as a trace, in their order.

    Args:
        packets: scapy packets (a `PacketList`, a `PcapReader`, a list, a generator), of any link layer that scapy has a
            LINKTYPE_ number for and the reader knows, or beginning with IP. Their `time` and `wirelen` count.
        decapsulate: whether a tunnel gives the packet in it instead of its own.

    Returns:
        A packet trace; what is no IP packet is counted by reason in its source's `skipped`.

    Raises:
        InputError: an element is no packet of a known link layer.

    >>> from scapy.layers.inet import IP, UDP
    >>> trace = from_scapy([IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=53, dport=4000)])
    >>> trace["src_port"].tolist(), trace["length"].tolist()
    ([53], [28])
    """
    return _decode((_of_scapy(at, packet) for at, packet in enumerate(packets)), "scapy packets", "scapy", decapsulate)


def from_dpkt(packets: Iterable[tuple[Any, Any]], *, datalink: int | None = None, decapsulate: bool = False) -> Trace:
    """The packets of dpkt as a trace, in their order.

    Args:
        packets: pairs of a time in seconds since 1970 (float, int or Decimal) and the packet, as bytes or as an object of
            dpkt; a `dpkt.pcap.Reader` gives such pairs.
        datalink: LINKTYPE_ number of packets that are bytes; by default what the reader says, or 1 (Ethernet).
        decapsulate: whether a tunnel gives the packet in it instead of its own.

    Returns:
        A packet trace; what is no IP packet is counted by reason in its source's `skipped`.

    Raises:
        InputError: an element is no such pair, or a packet of an unknown link layer.

    >>> import dpkt
    >>> packet = dpkt.ip.IP(src=b"\\n\\x00\\x00\\x01", dst=b"\\n\\x00\\x00\\x02", p=17, data=dpkt.udp.UDP(sport=53, dport=4000))
    >>> from_dpkt([(1700000000.5, packet)])["time"].tolist()
    [1700000000500000000]
    """
    link = datalink if datalink is not None else _said_by(packets)
    return _decode((_of_dpkt(at, pair, link) for at, pair in enumerate(packets)), "dpkt packets", "dpkt", decapsulate)


def _said_by(packets: object) -> int:
    ask = getattr(packets, "datalink", None)
    return int(ask()) if callable(ask) else _ETHERNET


def _of_scapy(at: int, packet: Any) -> _Packet:
    known = conf.l2types.layer2num
    layers = getattr(type(packet), "__mro__", ())
    link = next((known[layer] for layer in layers if layer in known), None)
    if link is None:
        raise InputError(
            f"scapy packets: element {at} is of type {type(packet).__name__}, expected a packet that begins with a link "
            f"layer or IP"
        )
    if link in _IP_ONLY:
        link = _RAW
    data = bytes(packet)
    return data, max(len(data), packet.wirelen or 0), _nanoseconds(at, packet.time), link


def _of_dpkt(at: int, pair: Any, datalink: int) -> _Packet:
    try:
        time, packet = pair
    except (TypeError, ValueError):
        raise InputError(f"dpkt packets: element {at} is no pair of time and packet") from None
    link = datalink
    if not isinstance(packet, (bytes, bytearray, memoryview)):
        known = next((_DPKT_LINKS[kind] for kind in type(packet).__mro__ if kind in _DPKT_LINKS), None)
        if known is None:
            raise InputError(
                f"dpkt packets: element {at} is of type {type(packet).__name__}, expected bytes or a packet that begins "
                f"with a link layer or IP"
            )
        link = known
    data = bytes(packet)
    return data, len(data), _nanoseconds(at, time), link


def _nanoseconds(at: int, time: Any) -> int:
    """ns since 1970 of seconds; of floats, the shortest decimal number that means them."""
    try:
        exact = Decimal(repr(float(time)) if isinstance(time, (float, np.floating)) else time) * _NS
        return round(exact) if abs(exact) < _RANGE else TIME_OUT_OF_RANGE
    except (TypeError, ValueError, ArithmeticError):
        raise InputError(f"packets: the time of element {at} is {time!r}, expected seconds since 1970") from None


def _batches(packets: Iterator[_Packet]) -> Iterator[tuple[np.ndarray, Frames]]:
    """Buffers and the frames in them."""
    while some := list(islice(packets, _BATCH)):
        data, wire, time, link = zip(*some, strict=True)
        captured = np.fromiter(map(len, data), np.int64, len(some))
        frames = Frames(
            offset=np.cumsum(captured) - captured,
            captured=captured,
            wire=np.array(wire, np.int64),
            time=np.array(time, np.int64),
            link_type=np.array(link, np.int32),
        )
        yield np.frombuffer(b"".join(data), np.uint8), frames


def _decode(packets: Iterator[_Packet], path: str, format: str, decapsulate: bool) -> Trace:
    decoder = FrameDecoder(inner=decapsulate)
    parts = [decoder.decode(buffer, frames) for buffer, frames in _batches(packets)]
    columns = {
        name: np.concatenate([np.empty(0, dtype), *(part[name] for part in parts)])
        for name, dtype in PACKET_COLUMNS.items()
        if name != "epoch"
    }
    return make_trace("packet", columns, sources=[decoder.source(path, format, [], {"time_resolution_ns": 1})])
