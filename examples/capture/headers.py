"""Header lengths of Ethernet frames, and a capture cut to them: no payload byte is kept.

`cut_capture` rewrites a pcap so that each record's captured length ends where the headers end; the wire length stays.
What counts as header: Ethernet, IPv4 with options, IPv6 with extension headers, then TCP with options (RFC 9293), UDP,
the first 8 bytes of ICMP and ICMPv6, and for ICMP errors the quoted IP and transport header too. ARP frames stay whole.
"""

from __future__ import annotations

import struct
from pathlib import Path

ETHERNET = 14
IPV4, IPV6 = 0x0800, 0x86DD  # EtherTypes
ICMP, TCP, UDP, FRAGMENT, ICMPV6 = 1, 6, 17, 44, 58  # IANA protocol numbers
EXTENSIONS = {0, 43, 60}  # hop-by-hop, routing, destination options (RFC 8200)
ICMP_ERRORS = {3, 4, 5, 11, 12}  # types that quote a packet (RFC 792)
PCAP_LITTLE_ENDIAN = 0xA1B2C3D4


def cut_capture(source: Path, target: Path) -> int:
    """Copy a little-endian pcap, every frame cut after its headers; returns the number of records.

    Records are put into the order of their times: two processors may hand frames to the capture a little out of order.
    """
    data = source.read_bytes()
    if struct.unpack_from("<I", data)[0] != PCAP_LITTLE_ENDIAN:
        raise ValueError(f"{source}: not a little-endian microsecond pcap")
    records: list[tuple[tuple[int, int], bytes]] = []
    position = 24
    while position + 16 <= len(data):
        seconds, fraction, captured, wire = struct.unpack_from("<IIII", data, position)
        frame = data[position + 16 : position + 16 + captured]
        kept = frame[: header_length(frame)]
        records.append(((seconds, fraction), struct.pack("<IIII", seconds, fraction, len(kept), wire) + kept))
        position += 16 + captured
    records.sort(key=lambda record: record[0])
    target.write_bytes(data[:24] + b"".join(record for _, record in records))
    return len(records)


def header_length(frame: bytes) -> int:
    """Bytes of an Ethernet frame that belong to headers."""
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype not in (IPV4, IPV6):
        return len(frame)
    return min(len(frame), ip_header_length(frame, ETHERNET, quoted=False))


def ip_header_length(frame: bytes, start: int, quoted: bool) -> int:
    """Offset at which the headers of the IP packet at `start` end."""
    try:
        version = frame[start] >> 4
        if version == 4:
            protocol, position = frame[start + 9], start + 4 * (frame[start] & 15)
            if int.from_bytes(frame[start + 6 : start + 8], "big") & 0x1FFF:
                return position  # a later fragment has no transport header
        else:
            protocol, position = frame[start + 6], start + 40
            while protocol in EXTENSIONS or protocol == FRAGMENT:
                if protocol == FRAGMENT and int.from_bytes(frame[position + 2 : position + 4], "big") >> 3:
                    return position + 8
                length = 8 if protocol == FRAGMENT else 8 * (frame[position + 1] + 1)
                protocol, position = frame[position], position + length
        if protocol == TCP:
            return position + 4 * (frame[position + 12] >> 4)
        if protocol == UDP:
            return position + 8
        error = (protocol == ICMP and frame[position] in ICMP_ERRORS) or (protocol == ICMPV6 and frame[position] < 128)
        if error and not quoted:
            return ip_header_length(frame, position + 8, quoted=True)
        neighbour = protocol == ICMPV6 and 133 <= frame[position] <= 137  # RFC 4861: all of it is header
        return len(frame) if neighbour else position + 8
    except IndexError:
        return len(frame)
