"""Protocol facts: what is possible on the wire, as tables and vectorised checks.

Repair makes synthetic records obey these facts, and the evaluation counts how often a trace breaks them, so both
import them from here. Every function takes whole columns and answers with an array of the same length.

    minimum_length(protocol, ip_version)                   # smallest legal IP packet, bytes
    port_protocol_violation(src_port, dst_port, protocol)  # a port that the protocol cannot carry
"""

from __future__ import annotations

import numpy as np

ICMP, IGMP, TCP, UDP, DCCP, ICMPV6, SCTP, UDPLITE = 1, 2, 6, 17, 33, 58, 132, 136

MAX_IP_LENGTH = 65_535  # RFC 791, 3.1: a 16-bit total length
IP_HEADER = {4: 20, 6: 40}  # RFC 791, 3.1 without options; RFC 8200, 3
FRAGMENT_HEADER = 8  # RFC 8200, 4.5
TCP_MIN_HEADER, TCP_MAX_HEADER = 20, 60  # RFC 9293, 3.1: data offset 5 to 15 words
ETHERNET_HEADER, VLAN_TAG = 14, 4  # IEEE 802.3, IEEE 802.1Q
MAX_VLAN = 4094  # IEEE 802.1Q: 4095 is reserved

TRANSPORT_MINIMUM = {
    TCP: TCP_MIN_HEADER,
    UDP: 8,  # RFC 768
    ICMP: 8,  # RFC 792
    ICMPV6: 8,  # RFC 4443: four bytes of header, four of message body in every message defined there
    IGMP: 8,  # RFC 2236
    DCCP: 12,  # RFC 4340, 5.1
    SCTP: 12,  # RFC 9260, 3.1
    UDPLITE: 8,  # RFC 3828
}

MINIMUM_PACKET: dict[tuple[int, int], int] = {
    (protocol, version): IP_HEADER[version] + TRANSPORT_MINIMUM.get(protocol, 0)
    for protocol in range(256)
    for version in (4, 6)
}

PORT_PROTOCOLS = (TCP, UDP, DCCP, SCTP, UDPLITE)  # IANA service names and port numbers: transports with ports

# Ports that one transport only is used on. Kept to services whose protocol has no mapping at all onto the other
# transport: 443/udp (QUIC), 53/tcp, 500/tcp, 161/tcp, 3389/udp, 88, 389, 514, 1812 and the like stay legal.
PORT_RULES: dict[int, tuple[int, str]] = {
    20: (TCP, "FTP data, RFC 959"),
    21: (TCP, "FTP control, RFC 959"),
    22: (TCP, "SSH, RFC 4253"),
    23: (TCP, "Telnet, RFC 854"),
    25: (TCP, "SMTP, RFC 5321"),
    67: (UDP, "BOOTP and DHCP server, RFC 2131"),
    68: (UDP, "BOOTP and DHCP client, RFC 2131"),
    69: (UDP, "TFTP, RFC 1350"),
    80: (TCP, "HTTP, RFC 9112; over UDP it is spoken on 443"),
    110: (TCP, "POP3, RFC 1939"),
    123: (UDP, "NTP, RFC 5905"),
    143: (TCP, "IMAP, RFC 9051"),
    179: (TCP, "BGP, RFC 4271"),
    465: (TCP, "Submission over TLS, RFC 8314"),
    520: (UDP, "RIP, RFC 2453"),
    521: (UDP, "RIPng, RFC 2080"),
    546: (UDP, "DHCPv6 client, RFC 8415"),
    587: (TCP, "Submission, RFC 6409"),
    993: (TCP, "IMAP over TLS, RFC 8314"),
    995: (TCP, "POP3 over TLS, RFC 8314"),
    1433: (TCP, "Microsoft SQL Server, MS-TDS"),
    1900: (UDP, "SSDP, UPnP device architecture 2.0"),
    3306: (TCP, "MySQL, IANA registry"),
    5432: (TCP, "PostgreSQL, IANA registry"),
}

# ICMPv4 and ICMPv6 messages: bytes of the smallest valid message, header included.
ICMP_MINIMUM = np.full(256, 8, dtype=np.int64)
ICMP_MINIMUM[[3, 4, 5, 11, 12]] = 8 + 20 + 8  # RFC 792: header and 8 bytes of the datagram that caused the error
ICMP_MINIMUM[[13, 14]] = 20  # RFC 792: three timestamps
ICMP_MINIMUM[[17, 18]] = 12  # RFC 950: an address mask
ICMP_MINIMUM[[9]] = 8  # RFC 1256
ICMP_ERRORS = (3, 4, 5, 11, 12)

ICMPV6_ERRORS = (1, 2, 3, 4)  # RFC 4443, 3
ICMPV6_MINIMUM = np.full(256, 8, dtype=np.int64)
ICMPV6_MINIMUM[[1, 2, 3, 4]] = 8 + 40 + 8  # RFC 4443, 3: as much of the invoking packet as fits
ICMPV6_MINIMUM[[130, 131, 132]] = 24  # RFC 2710, 3
ICMPV6_MINIMUM[134] = 16  # RFC 4861, 4.2
ICMPV6_MINIMUM[[135, 136]] = 24  # RFC 4861, 4.3 and 4.4
ICMPV6_MINIMUM[137] = 40  # RFC 4861, 4.5
ICMPV6_MINIMUM[[138, 139, 140]] = 16  # RFC 2894, RFC 4620
ICMPV6_MINIMUM[149] = 12  # RFC 3971, 6.4
ICMPV6_MINIMUM[155] = 40  # RFC 6550, 6
ICMPV6_MINIMUM[[157, 158]] = 32  # RFC 6775, 4.4
# What follows the minimum comes in units of so many bytes (1: any number; 0: nothing follows).
ICMPV6_UNIT = np.ones(256, dtype=np.int64)
ICMPV6_UNIT[[133, 134, 135, 136, 137]] = 8  # RFC 4861, 4.6: options, in units of 8 bytes
ICMPV6_UNIT[143] = 20  # RFC 3810, 5.2: IPv6 multicast address records
ICMPV6_UNIT[[138, 139, 141, 142, 145, 147, 148, 149, 150, 154, 159]] = 0  # rare messages leave in their minimal form
ICMPV6_MAXIMUM_UNITS = 255  # RFC 4861, 4.6: the length of one option is a byte

# IANA, ICMP and ICMPv6 parameters: types whose only code is 0.
ICMP_SOLE_CODE = (0, 8, 13, 14, 17, 18)
ICMPV6_SOLE_CODE = (128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 143, 159)

TCP_FIN, TCP_SYN, TCP_RST, TCP_PSH, TCP_ACK, TCP_URG = 1, 2, 4, 8, 16, 32
TCP_FLAG_MASK = 0x1FF  # NS CWR ECE URG ACK PSH RST SYN FIN
IP_MORE_FRAGMENTS, IP_DONT_FRAGMENT = 1, 2

_SOLE_PROTOCOL = np.zeros(65_536, dtype=np.uint8)
for _port, (_protocol, _) in PORT_RULES.items():
    _SOLE_PROTOCOL[_port] = _protocol
_TRANSPORT_MINIMUM = np.array([TRANSPORT_MINIMUM.get(protocol, 0) for protocol in range(256)], dtype=np.int64)
_HAS_PORTS = np.isin(np.arange(256), PORT_PROTOCOLS)


def has_ports(protocol: np.ndarray) -> np.ndarray:
    """bool[n]: the protocol has port numbers (TCP, UDP, DCCP, SCTP, UDP-Lite)."""
    return _HAS_PORTS[protocol]


def ip_header_length(ip_version: np.ndarray) -> np.ndarray:
    """int64[n], bytes of the IP header without options or extension headers: 20 or 40."""
    return np.where(ip_version == 6, IP_HEADER[6], IP_HEADER[4]).astype(np.int64)


def minimum_length(
    protocol: np.ndarray,
    ip_version: np.ndarray,
    *,
    tcp_header_length: np.ndarray | None = None,
    fragment_offset: np.ndarray | None = None,
) -> np.ndarray:
    """int64[n], bytes of the smallest legal IP packet of this protocol.

    Args:
        protocol: uint8[n].
        ip_version: uint8[n], 4 or 6.
        tcp_header_length: uint8[n]; where given, TCP counts it instead of its minimum of 20.
        fragment_offset: uint16[n]; a fragment that is not the first holds at least one byte and no transport header.
    """
    transport = _TRANSPORT_MINIMUM[protocol]
    if tcp_header_length is not None:
        transport = np.where(protocol == TCP, np.maximum(tcp_header_length, TCP_MIN_HEADER), transport)
    if fragment_offset is not None:
        transport = np.where(fragment_offset > 0, 1, transport)
    return ip_header_length(ip_version) + transport


def port_protocol_violation(src_port: np.ndarray, dst_port: np.ndarray, protocol: np.ndarray) -> np.ndarray:
    """bool[n]: the record cannot be: ports on a protocol that has none (ICMP's destination port in flow records is
    not judged here), or a TCP or UDP record from or to a port of PORT_RULES that belongs to the other of the two.

    A port of the table only counts where the other end is not a service of the right transport itself: a client may
    happen to use port 5432/udp as its ephemeral port when it asks a name server.
    """
    portless = ~has_ports(protocol) & ~np.isin(protocol, (ICMP, ICMPV6)) & ((src_port > 0) | (dst_port > 0))
    return portless | (sole_protocol(src_port, dst_port, protocol) > 0)


def sole_protocol(src_port: np.ndarray, dst_port: np.ndarray, protocol: np.ndarray) -> np.ndarray:
    """uint8[n]: the only transport (TCP or UDP) that the record's service port allows, where the record has the other
    one; 0 where there is nothing to object to. The service port is the lower of the two, if either is below 1,024,
    else whichever is listed; a pair of two listed ports follows the lower one."""
    low, high = np.minimum(src_port, dst_port), np.maximum(src_port, dst_port)
    judged = np.where((low > 0) & (low < 1024), low, np.where(_SOLE_PROTOCOL[low] > 0, low, high))
    sole = _SOLE_PROTOCOL[judged]
    either = (protocol == TCP) | (protocol == UDP)
    return np.where(either & (sole > 0) & (sole != protocol), sole, 0).astype(np.uint8)


def is_multicast(ip_version: np.ndarray, hi: np.ndarray, lo: np.ndarray) -> np.ndarray:
    """bool[n]: 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291, 2.7)."""
    return np.where(ip_version == 6, (hi >> np.uint64(56)) == 0xFF, (lo >> np.uint64(28)) == 0xE)


def first_octet(lo: np.ndarray) -> np.ndarray:
    """uint64[n]: the first octet of an IPv4 address."""
    return (lo >> np.uint64(24)) & np.uint64(0xFF)


def icmp_minimum(protocol: np.ndarray, icmp_type: np.ndarray) -> np.ndarray:
    """int64[n]: bytes of the smallest ICMP or ICMPv6 message of this type, 0 for other protocols."""
    v4 = np.where(protocol == ICMP, ICMP_MINIMUM[icmp_type], 0)
    return np.where(protocol == ICMPV6, ICMPV6_MINIMUM[icmp_type], v4)
