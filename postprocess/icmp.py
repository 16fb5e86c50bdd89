"""ICMP and ICMPv6 messages: echoes with identifier and sequence, errors with the packet that caused them, neighbour
discovery with options (RFC 792, RFC 4443, RFC 4861, RFC 3810)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netshare.postprocess import rules
from netshare.postprocess.checksums import fold, word_sums
from netshare.postprocess.rules import ICMP, ICMPV6
from netshare.preprocess.trace import Trace

_TRACEROUTE_PORTS = (33_434, 33_435)  # what causes most errors: a UDP probe of traceroute
_OPTION_SOURCE_LINK_LAYER, _OPTION_EXPERIMENTAL = 1, 253  # RFC 4861, 4.6.1; RFC 4727, 5.1.3
_UDP = 17


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
        header[:, 4:6] = identifier[some].astype(">u2").view(np.uint8).reshape(-1, 2)
        header[:, 6:8] = echo_sequence[some].astype(">u2").view(np.uint8).reshape(-1, 2)
        yield some, header, 2
    for error, version in ((error4, 4), (error6, 6)):
        some = chosen[error]
        if len(some):
            cause = _original_ipv4(rows, some, length[some]) if version == 4 else _original_ipv6(rows, some, length)
            yield some, np.concatenate([_fixed_part(rows, some), cause], axis=1), 2
    for number in np.unique(kind[lists]):
        some = chosen[lists & (kind == number)]
        yield some, _listing(rows, some, int(number), length[some]), 2


def _fixed_part(rows: Trace, chosen: np.ndarray) -> np.ndarray:
    header = np.zeros((len(chosen), 8), dtype=np.uint8)
    header[:, 0] = rows["icmp_type"][chosen]
    header[:, 1] = rows["icmp_code"][chosen]
    return header


def _listing(rows: Trace, chosen: np.ndarray, kind: int, length: np.ndarray) -> np.ndarray:
    """Messages that end in a list: one option (neighbour discovery), or the number of address records (MLDv2)."""
    minimum, unit = int(rules.ICMPV6_MINIMUM[kind]), int(rules.ICMPV6_UNIT[kind])
    count = (length - minimum) // unit
    header = np.zeros((len(chosen), minimum + (2 if unit == 8 else 0)), dtype=np.uint8)
    header[:, :2] = _fixed_part(rows, chosen)[:, :2]
    if unit == 8:
        header[:, minimum] = np.where(count == 1, _OPTION_SOURCE_LINK_LAYER, _OPTION_EXPERIMENTAL)
        header[:, minimum + 1] = np.minimum(count, rules.ICMPV6_MAXIMUM_UNITS)
    else:
        header[:, 6:8] = count.astype(">u2").view(np.uint8).reshape(-1, 2)
    return header


def _original_ipv4(rows: Trace, chosen: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The header of the datagram that caused an error: a UDP probe from the error's destination."""
    size = length - 8
    header = np.zeros((len(chosen), 14), dtype=">u2")
    header[:, 0] = 0x4500
    header[:, 1] = size
    header[:, 4] = 64 << 8 | _UDP
    target = rows["dst_lo"][chosen]
    header[:, 6], header[:, 7] = target >> np.uint64(16) & np.uint64(0xFFFF), target & np.uint64(0xFFFF)
    source = rows["src_lo"][chosen]
    header[:, 8], header[:, 9] = source >> np.uint64(16) & np.uint64(0xFFFF), source & np.uint64(0xFFFF)
    header[:, 5] = fold(word_sums(header[:, :10].copy().view(np.uint8).reshape(len(chosen), 20)))
    header[:, 10], header[:, 11] = _TRACEROUTE_PORTS
    header[:, 12] = size - 20
    return header.view(np.uint8).reshape(len(chosen), 28)


def _original_ipv6(rows: Trace, chosen: np.ndarray, length: np.ndarray) -> np.ndarray:
    size = length[chosen] - 8 - 40
    header = np.zeros((len(chosen), 48), dtype=np.uint8)
    header[:, 0] = 0x60
    header[:, 4:6] = size.astype(">u2").view(np.uint8).reshape(-1, 2)
    header[:, 6], header[:, 7] = _UDP, 64
    for at, name in ((8, "dst_hi"), (16, "dst_lo"), (24, "src_hi"), (32, "src_lo")):
        header[:, at : at + 8] = rows[name][chosen].astype(">u8").view(np.uint8).reshape(-1, 8)
    ports = np.array(_TRACEROUTE_PORTS, dtype=">u2")
    header[:, 40:44] = ports.view(np.uint8)
    header[:, 44:46] = size.astype(">u2").view(np.uint8).reshape(-1, 2)
    total = word_sums(header[:, 8:]) + size + _UDP  # pseudo header and UDP header; the payload is zeros
    checksum = fold(total)
    checksum[checksum == 0] = 0xFFFF
    header[:, 46:48] = checksum.astype(">u2").view(np.uint8).reshape(-1, 2)
    return header
