"""Tunnels of IP: where the packet within a packet begins.

IPv4 and IPv6 in IP (RFC 2003, RFC 4213), GRE (RFC 2784, RFC 2890), also with PPP (RFC 2637), Ethernet and ERSPAN
in it, MPLS and Ethernet in IP (RFC 4023, RFC 3378), VXLAN (RFC 7348), Geneve (RFC 8926), GTP-U (3GPP TS 29.281),
Teredo (RFC 4380). The last four are known by their UDP ports.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netshare.preprocess.layouts.ethernet import BRIDGED_ETHERNET_TYPE, IPV4_TYPE, IPV6_TYPE, MPLS_TYPES
from netshare.preprocess.layouts.transport import UDP_HEADER
from netshare.preprocess.protocols import ETHERNET_IN_IP, GRE, IPV4_IN_IP, IPV6_IN_IP, MPLS_IN_IP, UDP
from netshare.preprocess.readers.frames import Frames, gather
from netshare.preprocess.readers.ip import Packets, decode_packets
from netshare.preprocess.readers.link import ANY_IP, ETHERNET_FRAME, PPP_FRAME, NetworkLayer, walk

_MAX_TUNNEL_LAYERS = 8  # an inner packet is smaller than its outer: this bounds what a crafted one can cost
_NONE = 0
_GRE_PPP, _ERSPAN_2, _ERSPAN_3 = 0x880B, 0x88BE, 0x22EB  # of GRE's type field, beside EtherTypes
_VXLAN, _GENEVE, _GTP_U, _TEREDO = (4789, 8472), (6081,), (2152,), (3544,)

_GRE_HEADER = np.dtype([("flags", ">u2"), ("type", ">u2")])
_VXLAN_HEADER = np.dtype([("flags", "u1"), ("rest", "V7")])
_GENEVE_HEADER = np.dtype([("options", "u1"), ("flags", "u1"), ("type", ">u2"), ("network", "V4")])
_GTP_HEADER = np.dtype([("flags", "u1"), ("message", "u1"), ("rest", "V9"), ("next", "u1")])
_TEREDO_HEADER = np.dtype([("kind", ">u2"), ("id_length", "u1"), ("value_length", "u1")])
_BYTE = np.dtype([("value", "u1")])


def decapsulate(buffer: np.ndarray, frames: Frames, packets: Packets) -> tuple[Packets, int]:
    """The innermost packets: columns of a packet that is a tunnel become those of the packet in it, layer by layer.
    Time and VLAN stay, and so does a tunnel whose inner packet is not IP, is cut, or is a later fragment.

    Returns:
        the packets, and how many of them were tunnels.
    """
    columns = {name: values.copy() for name, values in packets.columns.items()}
    transport, end = packets.transport.copy(), packets.end.copy()
    rows, opened = np.arange(len(packets.rows)), np.zeros(len(packets.rows), dtype=bool)
    cut = packets.cut_transport
    for _ in range(_MAX_TUNNEL_LAYERS):
        here = {name: values[rows] for name, values in columns.items()}
        protocol, offset = _inner(buffer, here, transport[rows], end[rows])
        found = protocol != _NONE
        rows, protocol, offset = rows[found], protocol[found], offset[found]
        if not len(rows):
            break
        vlan = np.zeros(len(rows), dtype=np.uint16)
        walk(buffer, protocol, offset, end[rows], vlan)
        start = np.minimum(offset, end[rows])
        outer = frames.offset[packets.rows[rows]]
        inner = Frames(
            offset=start,
            captured=end[rows] - start,
            wire=np.maximum(frames.wire[packets.rows[rows]] - (start - outer), end[rows] - start),
            time=columns["time"][rows],
            link_type=frames.link_type[packets.rows[rows]],
        )
        decoded = decode_packets(buffer, inner, NetworkLayer(protocol, start, vlan))
        rows = rows[decoded.rows]
        for name, values in decoded.columns.items():
            kept = columns["vlan"][rows] if name == "vlan" else 0
            columns[name][rows] = np.where(kept != 0, kept, values) if name == "vlan" else values
        transport[rows], end[rows] = decoded.transport, decoded.end
        opened[rows] = True
        cut += decoded.cut_transport
    opened_packets = replace(packets, columns=columns, transport=transport, end=end, cut_transport=cut)
    return opened_packets, int(opened.sum())


def _inner(
    buffer: np.ndarray, columns: dict[str, np.ndarray], transport: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What each packet carries (an EtherType or a constant of `link`, _NONE where it is no tunnel), and where it
    begins."""
    protocol = columns["protocol"]
    whole = (columns["fragment_offset"] == 0) & (transport < end)
    found = np.full(len(protocol), _NONE, dtype=np.int32)
    offset = transport.copy()
    for number, kind, skip in ((IPV4_IN_IP, IPV4_TYPE, 0), (IPV6_IN_IP, IPV6_TYPE, 0), (ETHERNET_IN_IP, ETHERNET_FRAME, 2),
                               (MPLS_IN_IP, MPLS_TYPES[0], 0)):  # fmt: skip
        rows = whole & (protocol == number)
        found[rows] = kind
        offset[rows] += skip
    readers = (
        (protocol == GRE, _gre, 0),
        (_on(columns, _VXLAN), _vxlan, UDP_HEADER.itemsize),
        (_on(columns, _GENEVE), _geneve, UDP_HEADER.itemsize),
        (_on(columns, _GTP_U), _gtp_u, UDP_HEADER.itemsize),
        (_on(columns, _TEREDO), _teredo, UDP_HEADER.itemsize),
    )
    for chosen, read, skip in readers:
        rows = np.flatnonzero(whole & chosen)
        if len(rows):
            kinds, lengths = read(buffer, transport[rows] + skip, end[rows])
            offset[rows] = transport[rows] + skip + lengths
            found[rows] = np.where(offset[rows] < end[rows], kinds, _NONE)
    return found, offset


def _on(columns: dict[str, np.ndarray], ports: tuple[int, ...]) -> np.ndarray:
    is_udp = columns["protocol"] == UDP
    return is_udp & (np.isin(columns["dst_port"], ports) | np.isin(columns["src_port"], ports))


def _gre(buffer: np.ndarray, at: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """GRE's header grows by four bytes for a checksum, a key, a sequence and (version 1) an acknowledgement number."""
    header = gather(buffer, at, _GRE_HEADER)
    flags, kind = header["flags"].astype(np.int64), header["type"].astype(np.int32)
    version = flags & 7
    length = np.full(len(at), 4, dtype=np.int64)
    for bit in (0x8000, 0x2000, 0x1000):
        length += np.where(flags & bit != 0, 4, 0)
    length += np.where((version == 1) & (flags & 0x0080 != 0), 4, 0)
    length += np.where(kind == _ERSPAN_2, np.where(flags & 0x1000 != 0, 8, 0), 0)
    length += np.where(kind == _ERSPAN_3, 12, 0)
    found = kind.copy()
    found[np.isin(kind, (BRIDGED_ETHERNET_TYPE, _ERSPAN_2, _ERSPAN_3))] = ETHERNET_FRAME
    found[kind == _GRE_PPP] = PPP_FRAME
    found[(flags & 0x4000 != 0) | (version > 1)] = _NONE  # routing, which RFC 2784 has withdrawn
    return found, length


def _vxlan(buffer: np.ndarray, at: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    is_valid = gather(buffer, at, _VXLAN_HEADER)["flags"] & 8 != 0
    return np.where(is_valid, ETHERNET_FRAME, _NONE), np.full(len(at), 8, dtype=np.int64)


def _geneve(buffer: np.ndarray, at: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    header = gather(buffer, at, _GENEVE_HEADER)
    kind = header["type"].astype(np.int32)
    found = np.where(kind == BRIDGED_ETHERNET_TYPE, ETHERNET_FRAME, kind)
    found = np.where(header["options"] >> 6 == 0, found, _NONE)
    return found, 8 + (header["options"] & 0x3F).astype(np.int64) * 4


def _gtp_u(buffer: np.ndarray, at: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Version 1, message 255: user data. An extension header holds its length, in units of four bytes, and whether another
    one follows."""
    header = gather(buffer, at, _GTP_HEADER)
    flags = header["flags"]
    is_data = (flags >> 5 == 1) & (flags & 0x10 != 0) & (header["message"] == 0xFF)
    length = 8 + np.where(flags & 7 != 0, 4, 0).astype(np.int64)
    more = np.flatnonzero(is_data & (flags & 4 != 0) & (header["next"] != 0))
    while len(more):
        here = at[more] + length[more]
        size = gather(buffer, here, _BYTE)["value"].astype(np.int64) * 4
        inside = (size > 0) & (here + size <= end[more])
        is_data[more[~inside]] = False
        more, here, size = more[inside], here[inside], size[inside]
        length[more] += size
        more = more[gather(buffer, here + size - 1, _BYTE)["value"] != 0]
    return np.where(is_data, ANY_IP, _NONE), length


def _teredo(buffer: np.ndarray, at: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An authentication (kind 1) and an origin indication (kind 0) may come before the IPv6 packet."""
    length = np.zeros(len(at), dtype=np.int64)
    header = gather(buffer, at, _TEREDO_HEADER)
    size = 13 + header["id_length"].astype(np.int64) + header["value_length"]
    length += np.where(header["kind"] == 1, size, 0)
    here = np.minimum(at + length, end)
    length += np.where(gather(buffer, here, _TEREDO_HEADER)["kind"] == 0, 8, 0)
    here = np.minimum(at + length, end)
    is_v6 = gather(buffer, here, _BYTE)["value"] >> 4 == 6
    return np.where(is_v6, IPV6_TYPE, _NONE), length
