"""From the link layer to the IP header: where it begins, and the outermost VLAN tag passed on the way.

Link types: Ethernet, raw IP, Linux cooked (SLL, SLL2), BSD loopback, PPP, Cisco HDLC, data frames of 802.11, and those
that wrap another (see `link_wrappers`). Within them, 802.1Q and 802.1ad (QinQ) tags, PPPoE sessions, MPLS label stacks
and 802.2 SNAP are walked through. What lies behind a tunnel of IP (GRE, VXLAN, 6in4 ...) is that packet's payload: see
`tunnels`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.preprocess.layouts.ethernet import (
    ETHERNET,
    IPV4_TYPE,
    IPV6_TYPE,
    LINK_NAMES,
    LINKTYPE_802_11,
    LINKTYPE_ETHERNET,
    MPLS_TYPES,
    PPPOE_SESSION_TYPE,
    VLAN_IDENTIFIER_MASK,
    VLAN_TAG,
    VLAN_TYPES,
)
from netshare.preprocess.readers.frames import Frames, distinct, gather
from netshare.preprocess.readers.link_wrappers import WRAPPERS, ieee_802_11, unwrap

# What a network layer is known by beside an EtherType: numbers beyond 16 bits.
ANY_IP = 0x10000  # IP, whose version stands only in its own header
CUT = 0x10001  # the frame ends before its network layer is known
NO_INTERFACE = 0x10002
_LLC = 0x10003  # an IEEE 802.2 header follows
_NO_SNAP = 0x10005  # it did, and does not lead to an EtherType
PPP_FRAME = 0x10004  # a PPP protocol field follows
ETHERNET_FRAME = 0x10006  # an Ethernet header follows
_ENCRYPTED = 0x10007
_NO_DATA = 0x10008
_PPP = 0x20000  # + PPP protocol number
_UNSUPPORTED = 0x40000  # + LINKTYPE_ value
_ADDRESS_FAMILY = 0x80000  # + BSD address family

_WALKED = (*VLAN_TYPES, PPPOE_SESSION_TYPE, *MPLS_TYPES, _LLC, PPP_FRAME, ETHERNET_FRAME)

_ETHERTYPE_NAMES: dict[int, str] = {
    0x0806: "ARP",
    0x8035: "RARP",
    0x809B: "AppleTalk",
    0x8137: "IPX",
    0x8863: "PPPoE discovery",
    0x886D: "Intel teaming",
    0x888E: "EAPOL",
    0x8899: "Realtek",
    0x88B8: "GOOSE",
    0x88CC: "LLDP",
    0x88E1: "HomePlug",
    0x88F7: "PTP",
    0x8902: "CFM",
    0x9000: "loopback test",
}

_TYPE_AT_14 = np.dtype([("other", "V14"), ("type", ">u2")])
_SLL2 = np.dtype([("type", ">u2"), ("other", "V18")])
_HDLC = np.dtype([("other", "V2"), ("type", ">u2")])
_FAMILY = np.dtype([("family", "<u4")])
_PPPOE = np.dtype([("header", "V6")])
_LABEL = np.dtype([("label", ">u4")])
_SNAP = np.dtype([("dsap_ssap", ">u2"), ("control", "u1"), ("organisation", "u1", 3), ("type", ">u2")])
_PPP_FIELD = np.dtype([("bytes", "u1", 4)])


@dataclass(frozen=True)
class NetworkLayer:
    """Where each frame's network layer is.

    protocol: int32[n], an EtherType or one of this module's constants
    offset: int64[n], where it begins in the buffer
    vlan: uint16[n], outermost VLAN identifier, 0 where untagged
    """

    protocol: np.ndarray
    offset: np.ndarray
    vlan: np.ndarray


def network_layer(buffer: np.ndarray, frames: Frames) -> NetworkLayer:
    """Find the network layer of every frame."""
    protocol = np.empty(len(frames), dtype=np.int32)
    offset = np.empty(len(frames), dtype=np.int64)
    end = frames.offset + frames.captured
    start, inner = frames.offset, frames.link_type
    padded = np.zeros(0, dtype=bool)
    length: np.ndarray | int
    kinds = distinct(inner)
    if any(kind in (*WRAPPERS, LINKTYPE_802_11) for kind in kinds):
        start, inner, padded = unwrap(buffer, start, end, inner)
        kinds = distinct(inner)
    if len(kinds) == 1 and kinds[0] != LINKTYPE_802_11:
        protocol[:], length = _link_header(buffer, start, end - start, kinds[0])
        np.add(start, length, out=offset)
        kinds = []
    for link_type in kinds:
        rows = inner == link_type
        if link_type == LINKTYPE_802_11:
            protocol[rows], length = _wireless(buffer, start[rows], end[rows], padded[rows])
        else:
            protocol[rows], length = _link_header(buffer, start[rows], (end - start)[rows], link_type)
        offset[rows] = start[rows] + length
    vlan = np.zeros(len(frames), dtype=np.uint16)
    walk(buffer, protocol, offset, end, vlan)
    return NetworkLayer(protocol, offset, vlan)


def walk(buffer: np.ndarray, protocol: np.ndarray, offset: np.ndarray, end: np.ndarray, vlan: np.ndarray) -> None:
    """Step over tags and encapsulations until a network layer is reached, in place.

    Args:
        buffer: uint8[size]
        protocol: int32[n], EtherTypes or constants of this module.
        offset: int64[n], where each begins.
        end: int64[n], where what is captured ends.
        vlan: uint16[n], outermost VLAN identifier so far.
    """
    rows = np.flatnonzero((protocol != IPV4_TYPE) & (protocol != IPV6_TYPE))
    rows = rows[np.isin(protocol[rows], _WALKED)]
    while len(rows):
        _walk_one_layer(buffer, rows, protocol, offset, end, vlan)
        rows = rows[np.isin(protocol[rows], _WALKED)]


def reason_for(protocol: int) -> str:
    """Why a frame with this network-layer protocol is no record of a packet trace."""
    if protocol == CUT:
        return "captured too short for a link-layer header"
    if protocol == _ENCRYPTED:
        return "802.11 frame that is encrypted"
    if protocol == _NO_DATA:
        return "802.11 frame without data (management, control) or with several (A-MSDU)"
    if protocol == NO_INTERFACE:
        return "captured on an interface that the file does not describe"
    if protocol >= _ADDRESS_FAMILY:
        return f"not IP (address family {protocol - _ADDRESS_FAMILY})"
    if protocol >= _UNSUPPORTED:
        number = protocol - _UNSUPPORTED
        return f"link type {number} ({LINK_NAMES.get(number, 'unknown')}) cannot be read"
    if protocol >= _PPP:
        return f"not IP (PPP protocol 0x{protocol - _PPP:04x})"
    if protocol == _NO_SNAP:
        return "not IP (IEEE 802.2 LLC)"
    return f"not IP ({_ETHERTYPE_NAMES.get(protocol, f'EtherType 0x{protocol:04x}')})"


def _link_header(
    buffer: np.ndarray, offset: np.ndarray, captured: np.ndarray, link_type: int
) -> tuple[np.ndarray | int, int]:
    """Protocol that follows the link-layer header, and the header's length."""
    if link_type in (-1, -2):
        return (NO_INTERFACE if link_type == -1 else CUT), 0
    if link_type in (12, 14, 101):
        return ANY_IP, 0
    if link_type in (228, 229):
        return (IPV4_TYPE if link_type == 228 else IPV6_TYPE), 0
    if link_type in (9, 50):
        return PPP_FRAME, 0
    protocol: np.ndarray
    if link_type == LINKTYPE_ETHERNET:
        length = ETHERNET.itemsize
        ether_type = gather(buffer, offset, ETHERNET)["type"].astype(np.int32)
        protocol = np.where(ether_type >= 0x600, ether_type, _LLC)  # below: an 802.3 length
    elif link_type == 113:
        length = 16
        ether_type = gather(buffer, offset, _TYPE_AT_14)["type"].astype(np.int32)
        protocol = np.where(ether_type == 4, _LLC, ether_type)
    elif link_type == 276:
        length = 20
        ether_type = gather(buffer, offset, _SLL2)["type"].astype(np.int32)
        protocol = np.where(ether_type == 4, _LLC, ether_type)
    elif link_type == 104:
        length = 4
        protocol = gather(buffer, offset, _HDLC)["type"].astype(np.int32)
    elif link_type in (0, 108):
        length = 4
        family = gather(buffer, offset, _FAMILY)["family"]
        family = np.where(family > 0xFFFF, family.byteswap(), family).astype(np.int64)  # the writer's own byte order
        protocol = np.minimum(family, 0xFFFF).astype(np.int32) + _ADDRESS_FAMILY
        ether_type = gather(buffer, offset, _HDLC)["type"]
        is_type = np.isin(ether_type, (IPV4_TYPE, IPV6_TYPE))  # some writers end the field with an EtherType
        protocol[is_type] = ether_type[is_type]
        protocol[family == 2] = IPV4_TYPE
        protocol[np.isin(family, (10, 23, 24, 28, 30))] = IPV6_TYPE  # AF_INET6 of Linux, Windows, the BSDs, macOS
    else:
        return _UNSUPPORTED + link_type, 0
    return np.where(captured >= length, protocol, CUT), length


def _wireless(
    buffer: np.ndarray, offset: np.ndarray, end: np.ndarray, padded: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What an 802.11 header leads to, and its length."""
    is_clear, encrypted, length = ieee_802_11(buffer, offset, padded)
    protocol = np.where(is_clear, _LLC, np.where(encrypted, _ENCRYPTED, _NO_DATA))
    return np.where(offset + length <= end, protocol, CUT), length


def _walk_one_layer(
    buffer: np.ndarray,
    rows: np.ndarray,
    protocol: np.ndarray,
    offset: np.ndarray,
    end: np.ndarray,
    vlan: np.ndarray,
) -> None:
    """Step over one tag or encapsulation of the given rows, in place."""
    here = protocol[rows].copy()

    def take(which: np.ndarray, layout: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Rows of this kind that hold the whole layer, with it; the others are cut."""
        chosen = rows[which]
        whole = end[chosen] - offset[chosen] >= layout.itemsize
        protocol[chosen[~whole]] = CUT
        chosen = chosen[whole]
        return chosen, gather(buffer, offset[chosen], layout)

    ethernet, headers = take(here == ETHERNET_FRAME, ETHERNET)
    ether_type = headers["type"].astype(np.int32)
    protocol[ethernet] = np.where(ether_type >= 0x600, ether_type, _LLC)
    offset[ethernet] += ETHERNET.itemsize

    tagged, tags = take(np.isin(here, VLAN_TYPES), VLAN_TAG)
    identifier = (tags["tag"] & VLAN_IDENTIFIER_MASK).astype(np.uint16)
    vlan[tagged] = np.where(vlan[tagged] == 0, identifier, vlan[tagged])
    ether_type = tags["type"].astype(np.int32)
    protocol[tagged] = np.where(ether_type >= 0x600, ether_type, _LLC)
    offset[tagged] += 4

    sessions, _ = take(here == PPPOE_SESSION_TYPE, _PPPOE)
    protocol[sessions] = PPP_FRAME
    offset[sessions] += 6

    labelled, labels = take(np.isin(here, MPLS_TYPES), _LABEL)
    bottom = (labels["label"] >> 8) & 1 == 1
    protocol[labelled[bottom]] = ANY_IP
    offset[labelled] += 4

    _walk_ppp(buffer, rows[here == PPP_FRAME], protocol, offset, end)

    framed = rows[here == _LLC]
    short = end[framed] - offset[framed] < _SNAP.itemsize
    snaps = gather(buffer, offset[framed], _SNAP)
    is_snap = ~short & (snaps["dsap_ssap"] == 0xAAAA) & (snaps["control"] == 3) & ~snaps["organisation"].any(axis=1)
    protocol[framed[is_snap]] = snaps["type"][is_snap]
    protocol[framed[~is_snap]] = _NO_SNAP
    offset[framed[is_snap]] += 8


def _walk_ppp(buffer: np.ndarray, rows: np.ndarray, protocol: np.ndarray, offset: np.ndarray, end: np.ndarray) -> None:
    """RFC 1661, 2 and RFC 1662, 3.1: address and control may be there or not, the protocol has one byte or two."""
    field = gather(buffer, offset[rows], _PPP_FIELD)["bytes"].astype(np.int32)
    skip = np.where((field[:, 0] == 0xFF) & (field[:, 1] == 3), 2, 0)
    each = np.arange(len(rows))
    first, second = field[each, skip], field[each, skip + 1]
    one_byte = first & 1 == 1
    number = np.where(one_byte, first, first << 8 | second)
    length = skip + np.where(one_byte, 1, 2)
    found = number + _PPP
    for ppp, ether_type in ((0x21, IPV4_TYPE), (0x57, IPV6_TYPE), (0x281, MPLS_TYPES[0]), (0x283, MPLS_TYPES[1])):
        found[number == ppp] = ether_type
    protocol[rows] = np.where(end[rows] - offset[rows] >= length, found, CUT)
    offset[rows] += length
