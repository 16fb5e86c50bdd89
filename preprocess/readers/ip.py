"""IPv4 and IPv6 headers, and the first bytes of what they carry, as columns of a packet trace.

RFC 791 (IPv4), RFC 8200 (IPv6 and its extension headers), RFC 4302 (AH), RFC 9293 (TCP), RFC 768 (UDP), RFC 792 and
RFC 4443 (ICMP). Only the outermost IP header counts. A packet whose IP header is whole is kept even if what follows is
cut: ports, flags and types are then 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.preprocess.layouts.ethernet import IPV4_TYPE, IPV6_TYPE
from netshare.preprocess.layouts.fields import up_to
from netshare.preprocess.layouts.ip import IPV4, IPV6, IPV6_EXTENSION
from netshare.preprocess.layouts.transport import ICMP_HEADER, PORTS, TCP_HEADER
from netshare.preprocess.protocols import (
    AUTHENTICATION,
    DCCP,
    DESTINATION,
    FRAGMENT,
    HOP_BY_HOP,
    ICMP,
    ICMPV6,
    NO_NEXT_HEADER,
    ROUTING,
    SCTP,
    TCP,
    UDP,
    UDPLITE,
)
from netshare.preprocess.readers.frames import TIME_OUT_OF_RANGE, Frames, gather
from netshare.preprocess.readers.link import ANY_IP, NetworkLayer, reason_for
from netshare.preprocess.trace import PACKET_COLUMNS

_TCP_FIELDS = up_to(TCP_HEADER, "window")  # what is read of a TCP header; a packet may be cut behind it
_ICMP_FIELDS = up_to(ICMP_HEADER, "code")
_FIRST_BYTE = np.dtype([("version_ihl", "u1")])

_IS_EXTENSION = np.isin(np.arange(256), (HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION))
_NO_KIND, _PORTS_ONLY, _TCP_KIND, _ICMP_KIND = range(4)
_KIND = np.zeros(256, dtype=np.uint8)  # of upper layers, by protocol
_KIND[[UDP, UDPLITE, SCTP, DCCP]] = _PORTS_ONLY
_KIND[TCP], _KIND[[ICMP, ICMPV6]] = _TCP_KIND, _ICMP_KIND

TOO_SHORT = "captured too short for an IP header"
WRONG_VERSION = "IP version is neither 4 nor 6"
VERSION_CONFLICT = "IP version contradicts the link layer"
BAD_IHL = "IPv4 header length below 20 bytes"
BAD_LENGTH = "IPv4 total length below its header length"
BAD_TIME = "time beyond the years 1677 to 2262"
_REASONS = (TOO_SHORT, WRONG_VERSION, VERSION_CONFLICT, BAD_IHL, BAD_LENGTH, BAD_TIME)


@dataclass(frozen=True)
class Packets:
    """Packet columns of the frames at `rows` (int64[m], of n frames); `skipped` counts the others by reason;
    `cut_transport` of the m packets are captured too short for their ports, flags or ICMP type. `transport` and `end`
    (int64[m]) are where the upper layer begins in the buffer and where what is captured of the packet ends."""

    columns: dict[str, np.ndarray]
    rows: np.ndarray
    transport: np.ndarray
    end: np.ndarray
    skipped: dict[str, int]
    cut_transport: int


def decode_packets(buffer: np.ndarray, frames: Frames, network: NetworkLayer) -> Packets:
    """Packet columns (all but `epoch`) of every frame that holds a whole IP header."""
    reason, is_v6 = _check(buffer, frames, network)
    skipped = _count(reason, network.protocol)
    rows = np.flatnonzero(reason == 0)
    is_v6 = is_v6[rows]
    offset = network.offset[rows]
    end = (frames.offset + frames.captured)[rows]
    wire = (frames.wire - (network.offset - frames.offset))[rows]
    columns = {name: np.zeros(len(rows), dtype) for name, dtype in PACKET_COLUMNS.items() if name != "epoch"}
    columns["time"] = frames.time[rows]
    columns["vlan"] = network.vlan[rows]
    columns["ip_version"] = np.where(is_v6, 6, 4).astype(np.uint8)
    transport = np.empty(len(rows), dtype=np.int64)  # where the upper layer begins, `end` where it is not there
    v4, v6 = np.flatnonzero(~is_v6), np.flatnonzero(is_v6)
    if len(v4):
        transport[v4] = _decode_ipv4(buffer, offset[v4], wire[v4], v4, columns)
    if len(v6):
        transport[v6] = _decode_ipv6(buffer, offset[v6], end[v6], wire[v6], v6, columns)
    end = np.minimum(end, offset + columns["length"])
    first = np.flatnonzero(columns["fragment_offset"] == 0)
    cut = _decode_transport(buffer, transport, end, first, columns)
    return Packets(columns, rows, transport, end, skipped, cut)


def _check(buffer: np.ndarray, frames: Frames, network: NetworkLayer) -> tuple[np.ndarray, np.ndarray]:
    """Why each frame is left out (1 + index into _REASONS, -1 not IP, 0 it is not), and whether it is IPv6."""
    protocol = network.protocol
    available = frames.offset + frames.captured - network.offset
    reason = np.zeros(len(frames), dtype=np.int8)
    first = gather(buffer, network.offset, _FIRST_BYTE)["version_ihl"]
    version = first >> 4

    def mark(where: np.ndarray, text: str) -> None:
        reason[where & (reason == 0)] = 1 + _REASONS.index(text)

    reason[(protocol != IPV4_TYPE) & (protocol != IPV6_TYPE) & (protocol != ANY_IP)] = -1
    mark(available < 1, TOO_SHORT)
    mark((version != 4) & (version != 6), WRONG_VERSION)
    mark(((protocol == IPV4_TYPE) & (version == 6)) | ((protocol == IPV6_TYPE) & (version == 4)), VERSION_CONFLICT)
    is_v6 = version == 6
    mark(available < np.where(is_v6, IPV6.itemsize, IPV4.itemsize), TOO_SHORT)
    mark(~is_v6 & (first & 15 < 5), BAD_IHL)
    rows = np.flatnonzero(~is_v6 & (reason == 0))
    length = gather(buffer, network.offset[rows], IPV4)["length"]
    bad = np.zeros(len(frames), dtype=bool)
    bad[rows] = (length > 0) & (length < (first[rows] & 15) * 4)
    mark(bad, BAD_LENGTH)
    mark(frames.time == TIME_OUT_OF_RANGE, BAD_TIME)
    return reason, is_v6


def _count(reason: np.ndarray, protocol: np.ndarray) -> dict[str, int]:
    skipped: dict[str, int] = {}
    kinds, counts = np.unique(protocol[reason == -1], return_counts=True)
    texts = [reason_for(int(kind)) for kind in kinds]
    for text, count in zip(texts, counts.tolist(), strict=True):
        skipped[text] = skipped.get(text, 0) + count
    for number, text in enumerate(_REASONS, start=1):
        if count := int(np.count_nonzero(reason == number)):
            skipped[text] = count
    return skipped


def _decode_ipv4(
    buffer: np.ndarray, offset: np.ndarray, wire: np.ndarray, rows: np.ndarray, columns: dict[str, np.ndarray]
) -> np.ndarray:
    """Fill the rows' columns; returns where their upper layers begin."""
    header = gather(buffer, offset, IPV4)
    length = header["length"].astype(np.int64)
    columns["length"][rows] = np.where(length == 0, wire, length)  # 0: segmentation offload
    columns["tos"][rows] = header["tos"]
    columns["ip_id"][rows] = header["identification"]
    columns["ip_flags"][rows] = header["flags_offset"] >> 13
    columns["fragment_offset"][rows] = header["flags_offset"] & 0x1FFF
    columns["ttl"][rows] = header["ttl"]
    columns["protocol"][rows] = header["protocol"]
    columns["src_lo"][rows] = header["src"]
    columns["dst_lo"][rows] = header["dst"]
    return offset + (header["version_ihl"] & 15).astype(np.int64) * 4


def _decode_ipv6(
    buffer: np.ndarray,
    offset: np.ndarray,
    end: np.ndarray,
    wire: np.ndarray,
    rows: np.ndarray,
    columns: dict[str, np.ndarray],
) -> np.ndarray:
    """Fill the rows' columns, walking the extension headers; returns where their upper layers begin."""
    header = gather(buffer, offset, IPV6)
    payload = header["payload_length"].astype(np.int64)
    is_unknown = (payload == 0) & (header["next_header"] != NO_NEXT_HEADER)  # a jumbogram, or segmentation offload
    length = np.where(is_unknown, wire, payload + IPV6.itemsize)
    columns["length"][rows] = length
    columns["tos"][rows] = header["version_class_flow"] >> 20 & 0xFF
    columns["ttl"][rows] = header["hop_limit"]
    for name in ("src_hi", "src_lo", "dst_hi", "dst_lo"):
        columns[name][rows] = header[name]

    end = np.minimum(end, offset + length)
    protocol = header["next_header"].copy()
    transport = offset + IPV6.itemsize
    fragment = np.zeros(len(rows), dtype=np.uint16)
    active = np.flatnonzero(_IS_EXTENSION[protocol])
    while len(active):
        here = transport[active]
        extension = gather(buffer, here, IPV6_EXTENSION)
        kind = protocol[active]
        words = extension["length"].astype(np.int64)
        size = np.select(
            [kind == FRAGMENT, kind == AUTHENTICATION], [np.full(len(active), 8), (words + 2) * 4], (words + 1) * 8
        )
        whole = here + np.minimum(size, IPV6_EXTENSION.itemsize) <= end[active]
        active, extension, size = active[whole], extension[whole], size[whole]
        is_fragment = protocol[active] == FRAGMENT
        fragment[active[is_fragment]] = extension["flags_offset"][is_fragment]
        protocol[active] = extension["next_header"]
        transport[active] += size
        active = active[_IS_EXTENSION[protocol[active]] & (fragment[active] >> 3 == 0)]
    columns["protocol"][rows] = protocol
    columns["fragment_offset"][rows] = fragment >> 3
    columns["ip_flags"][rows] = fragment & 1  # more fragments
    return transport


def _decode_transport(
    buffer: np.ndarray, transport: np.ndarray, end: np.ndarray, rows: np.ndarray, columns: dict[str, np.ndarray]
) -> int:
    """Fill ports, TCP flags, window and header length, ICMP type and code of the rows; returns how many are cut."""
    kinds = _KIND[columns["protocol"][rows]]
    available = end - transport
    cut = 0

    def choose(kind: int, needed: int, minimum: int) -> np.ndarray:
        """Rows of this kind with at least `minimum` bytes; counts those that lack some of the `needed`."""
        nonlocal cut
        chosen = rows[kinds == kind]
        room = available[chosen]
        if not len(chosen) or int(room.min()) >= needed:
            return chosen
        cut += int(np.count_nonzero(room < needed))
        return chosen[room >= minimum]

    chosen = choose(_PORTS_ONLY, PORTS.itemsize, PORTS.itemsize)
    ports = gather(buffer, transport[chosen], PORTS)
    columns["src_port"][chosen] = ports["src_port"]
    columns["dst_port"][chosen] = ports["dst_port"]

    chosen = choose(_TCP_KIND, _TCP_FIELDS.itemsize, PORTS.itemsize)
    header = gather(buffer, transport[chosen], _TCP_FIELDS)
    columns["src_port"][chosen] = header["src_port"]
    columns["dst_port"][chosen] = header["dst_port"]
    whole = available[chosen] >= _TCP_FIELDS.itemsize
    if not whole.all():
        chosen, header = chosen[whole], header[whole]
    columns["tcp_flags"][chosen] = header["offset_flags"] & 0x1FF
    columns["tcp_header_length"][chosen] = (header["offset_flags"] >> 12) * 4
    columns["tcp_window"][chosen] = header["window"]

    chosen = choose(_ICMP_KIND, _ICMP_FIELDS.itemsize, _ICMP_FIELDS.itemsize)
    header = gather(buffer, transport[chosen], _ICMP_FIELDS)
    columns["icmp_type"][chosen] = header["type"]
    columns["icmp_code"][chosen] = header["code"]
    return cut
