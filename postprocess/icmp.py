"""ICMP and ICMPv6 messages: echoes with identifier and sequence, errors with the packet that caused them, neighbour
discovery with options (RFC 792, RFC 4443, RFC 4861, RFC 3810)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netshare.postprocess import rules
from netshare.postprocess.checksums import fold, word_sums
from netshare.preprocess.layouts.fields import as_bytes
from netshare.preprocess.layouts.ip import IPV4, IPV6
from netshare.preprocess.layouts.transport import ICMP_HEADER, UDP_HEADER
from netshare.preprocess.protocols import ICMP, ICMPV6, UDP
from netshare.preprocess.trace import Trace

_TRACEROUTE_PORTS = (33_434, 33_435)  # what causes most errors: a UDP probe of traceroute
_OPTION_SOURCE_LINK_LAYER, _OPTION_EXPERIMENTAL = 1, 253  # RFC 4861, 4.6.1; RFC 4727, 5.1.3


def icmp_headers(
    rows: Trace, chosen: np.ndarray, length: np.ndarray, identifier: np.ndarray, echo_sequence: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Groups of ICMP rows with headers of one width.

    Args:
        chosen: row numbers; length: int64[n], bytes of each row's ICMP message.
        identifier, echo_sequence: uint16[n], for echo messages.

    Yields:
        row numbers, uint8[rows, width] with a zero checksum, and the checksum's position (2).
    """
    kind, protocol = rows["icmp_type"][chosen], rows["protocol"][chosen]
    error4 = (protocol == ICMP) & np.isin(kind, rules.ICMP_ERRORS)
    error6 = (protocol == ICMPV6) & np.isin(kind, rules.ICMPV6_ERRORS)
    units = rules.ICMPV6_UNIT[kind]
    lists = (protocol == ICMPV6) & (units > 1) & (length[chosen] > rules.ICMPV6_MINIMUM[kind])
    plain = ~(error4 | error6 | lists)
    if plain.any():
        some = chosen[plain]
        header = _fixed_part(rows, some)
        header["identifier"], header["sequence"] = identifier[some], echo_sequence[some]
        yield some, as_bytes(header), 2
    for error, version in ((error4, 4), (error6, 6)):
        some = chosen[error]
        if len(some):
            cause = _original_ipv4(rows, some, length[some]) if version == 4 else _original_ipv6(rows, some, length)
            yield some, np.concatenate([as_bytes(_fixed_part(rows, some)), cause], axis=1), 2
    for number in np.unique(kind[lists]):
        some = chosen[lists & (kind == number)]
        yield some, _listing(rows, some, int(number), length[some]), 2


def _fixed_part(rows: Trace, chosen: np.ndarray) -> np.ndarray:
    """ICMP_HEADER[n]: type and code; the rest is 0."""
    header = np.zeros(len(chosen), dtype=ICMP_HEADER)
    header["type"], header["code"] = rows["icmp_type"][chosen], rows["icmp_code"][chosen]
    return header


def _listing(rows: Trace, chosen: np.ndarray, kind: int, length: np.ndarray) -> np.ndarray:
    """Messages that end in a list: one option (neighbour discovery), or the number of address records (MLDv2)."""
    minimum, unit = int(rules.ICMPV6_MINIMUM[kind]), int(rules.ICMPV6_UNIT[kind])
    count = (length - minimum) // unit
    header = np.zeros((len(chosen), minimum + (2 if unit == 8 else 0)), dtype=np.uint8)
    header[:, :2] = as_bytes(_fixed_part(rows, chosen))[:, :2]
    if unit == 8:
        header[:, minimum] = np.where(count == 1, _OPTION_SOURCE_LINK_LAYER, _OPTION_EXPERIMENTAL)
        header[:, minimum + 1] = np.minimum(count, rules.ICMPV6_MAXIMUM_UNITS)
    else:
        header[:, 6:8] = count.astype(">u2").view(np.uint8).reshape(-1, 2)
    return header


def _original_ipv4(rows: Trace, chosen: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The headers of the datagram that caused an error: a UDP probe from the error's destination."""
    size = length - ICMP_HEADER.itemsize
    header = np.zeros(len(chosen), dtype=IPV4)
    header["version_ihl"], header["ttl"], header["protocol"] = 0x45, 64, UDP
    header["length"] = size
    header["src"], header["dst"] = rows["dst_lo"][chosen], rows["src_lo"][chosen]
    header["checksum"] = fold(word_sums(as_bytes(header)))
    probe = _probe(size - IPV4.itemsize)
    return np.concatenate([as_bytes(header), as_bytes(probe)], axis=1)


def _original_ipv6(rows: Trace, chosen: np.ndarray, length: np.ndarray) -> np.ndarray:
    size = length[chosen] - ICMP_HEADER.itemsize - IPV6.itemsize
    header = np.zeros(len(chosen), dtype=IPV6)
    header["version_class_flow"], header["next_header"], header["hop_limit"] = 6 << 28, UDP, 64
    header["payload_length"] = size
    for side, other in (("src", "dst"), ("dst", "src")):
        header[f"{side}_hi"], header[f"{side}_lo"] = rows[f"{other}_hi"][chosen], rows[f"{other}_lo"][chosen]
    probe = _probe(size)
    words = np.concatenate([as_bytes(header)[:, 8:], as_bytes(probe)], axis=1)
    checksum = fold(word_sums(words) + size + UDP)  # pseudo header and UDP header; the payload is zeros
    checksum[checksum == 0] = 0xFFFF  # RFC 768: zero means no checksum
    probe["checksum"] = checksum
    return np.concatenate([as_bytes(header), as_bytes(probe)], axis=1)


def _probe(length: np.ndarray) -> np.ndarray:
    """UDP_HEADER[n]: of datagrams of so many bytes, without a checksum."""
    header = np.zeros(len(length), dtype=UDP_HEADER)
    header["src_port"], header["dst_port"] = _TRACEROUTE_PORTS
    header["length"] = length
    return header
