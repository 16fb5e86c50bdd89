"""ICMP messages as scapy reads them."""

import numpy as np
from scapy.layers.inet import ICMP, IP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6TimeExceeded, IPerror6, IPv6

from netshare.postprocess.icmp import icmp_headers
from netshare.preprocess.trace import make_trace


def message(kind: int, code: int, *, protocol: int, length: int) -> bytes:
    """One ICMP message from 10.0.0.1 to 10.0.0.2 (or 2001::1 to 2001::2), whose end is zeros."""
    version = 4 if protocol == 1 else 6
    values = {"ip_version": version, "src_lo": 0x0A000001, "dst_lo": 0x0A000002, "protocol": protocol}
    if version == 6:
        values |= {"src_hi": 0x2001 << 48, "dst_hi": 0x2001 << 48, "src_lo": 1, "dst_lo": 2}
    values |= {"time": 0, "length": length + 20, "icmp_type": kind, "icmp_code": code}
    trace = make_trace("packet", {name: np.array([value]) for name, value in values.items()})
    numbers = np.array([7], np.uint16), np.array([9], np.uint16)
    ((rows, header, checksum_at),) = icmp_headers(trace, np.array([0]), np.array([length]), *numbers)
    assert rows.tolist() == [0] and checksum_at == 2
    return header.tobytes().ljust(length, b"\0")


def test_an_echo_has_identifier_and_sequence():
    echo = ICMP(message(8, 0, protocol=1, length=64))
    assert (echo.type, echo.id, echo.seq) == (8, 7, 9)


def test_an_error_holds_the_datagram_that_its_receiver_sent():
    cause = IPerror(message(11, 0, protocol=1, length=8 + 60)[8:])
    assert (cause.src, cause.dst, cause.len) == ("10.0.0.2", "10.0.0.1", 60)
    assert (cause[UDPerror].sport, cause[UDPerror].dport, cause[UDPerror].len) == (33_434, 33_435, 40)
    rebuilt = IP(bytes(cause))
    del rebuilt.chksum
    assert IP(bytes(rebuilt)).chksum == cause.chksum


def test_an_icmpv6_error_holds_a_datagram_with_a_valid_checksum():
    header = message(3, 0, protocol=58, length=8 + 40 + 30)
    cause = ICMPv6TimeExceeded(header)[IPerror6]
    assert (cause.src, cause.dst, cause.plen) == ("2001::2", "2001::1", 30)
    found = UDP(header[48:])
    rebuilt = IPv6(src=cause.src, dst=cause.dst) / UDP(sport=found.sport, dport=found.dport) / bytes(30 - 8)
    assert IPv6(bytes(rebuilt))[UDP].chksum == found.chksum


def test_a_neighbour_solicitation_ends_in_the_option_that_its_length_leaves_room_for():
    one = ICMPv6ND_NS(message(135, 0, protocol=58, length=24 + 8))
    assert (one.payload.type, one.payload.len) == (1, 1)  # RFC 4861, 4.6.1: source link-layer address
    three = ICMPv6ND_NS(message(135, 0, protocol=58, length=24 + 24))
    assert (three.payload.type, three.payload.len) == (253, 3)  # RFC 4727, 5.1.3: experimental
    assert not ICMPv6ND_NS(message(135, 0, protocol=58, length=24)).payload
