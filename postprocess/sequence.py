"""Echo sequence numbers and fragment chains, computed from a whole trace, and the hashes that group its packets.

None of these are learnt: they follow from the order of packets (RFC 792, RFC 791).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netshare.postprocess import rules
from netshare.preprocess.ragged import run_starts
from netshare.preprocess.trace import Trace

_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)


def echo_numbers(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Identifier uint16[n] and sequence uint16[n] of ICMP echo messages: one identifier a pair of hosts, counting up
    within requests and within replies of the pair. Zeros for other rows."""
    identifier, sequence = np.zeros(len(trace), np.uint16), np.zeros(len(trace), np.uint16)
    protocol, kind = trace["protocol"], trace["icmp_type"]
    echo4 = (protocol == rules.ICMP) & ((kind == 0) | (kind == 8))
    echo6 = (protocol == rules.ICMPV6) & ((kind == 128) | (kind == 129))
    rows = np.flatnonzero(echo4 | echo6)
    if len(rows):
        source, destination = endpoints(trace, rows)
        pair = _pair(source, destination)
        identifier[rows] = pair & np.uint64(0xFFFF)
        order, starts = _grouped(mix(pair + kind[rows]))
        sequence[rows[order]] = (np.arange(len(rows)) - starts + 1).astype(np.uint16)
    return identifier, sequence


def datagram_lengths(trace: Trace) -> np.ndarray:
    """int64[n]: bytes after the IP header of the whole datagram that a row belongs to.

    For unfragmented packets that is the packet's own payload. The fragments of a datagram share source, destination,
    protocol, identification and version; where its last fragment is in the trace, the first one gets the length of
    the whole, so that the transport length and checksum hold after reassembly.
    """
    own = trace["length"].astype(np.int64) - rules.ip_header_length(trace["ip_version"])
    more = (trace["ip_flags"] & rules.IP_MORE_FRAGMENTS) > 0
    offset = trace["fragment_offset"].astype(np.int64)
    rows = np.flatnonzero(more | (offset > 0))
    if not len(rows):
        return own
    own[rows] -= np.where(trace["ip_version"][rows] == 6, rules.FRAGMENT_HEADER, 0)
    key = fragment_keys(trace, rows)
    distinct, code = np.unique(key, return_inverse=True)
    ends = np.zeros(len(distinct), dtype=np.int64)
    last = ~more[rows]
    np.maximum.at(ends, code[last], offset[rows][last] * 8 + own[rows][last])
    whole = ends[code]
    first = (offset[rows] == 0) & (whole > own[rows])
    own[rows[first]] = whole[first]
    return own


def fragment_keys(trace: Trace, rows: np.ndarray) -> np.ndarray:
    """uint64: one number for all fragments of a datagram (RFC 791, 2.3: addresses, protocol and identification)."""
    addresses = [trace[name][rows] for name in ("src_hi", "src_lo", "dst_hi", "dst_lo")]
    mixed = np.zeros(len(rows), dtype=np.uint64)
    for part in (*addresses, trace["protocol"][rows], trace["ip_id"][rows], trace["ip_version"][rows]):
        mixed = mix(mixed + part.astype(np.uint64))
    return mixed


def endpoints(trace: Trace | Mapping[str, np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint64 hashes of (version, address, port, protocol) of the two ends."""
    ends = []
    extra = trace["ip_version"][rows].astype(np.uint64) << np.uint64(8) | trace["protocol"][rows].astype(np.uint64)
    for side in ("src", "dst"):
        port = trace[f"{side}_port"][rows].astype(np.uint64) << np.uint64(16)
        hashed = mix(trace[f"{side}_lo"][rows] + mix(trace[f"{side}_hi"][rows] + (port | extra)))
        ends.append(hashed)
    return ends[0], ends[1]


def ranks(keys: np.ndarray) -> np.ndarray:
    """int64[n]: how many earlier rows have the same key."""
    order, starts = _grouped(keys)
    out = np.empty(len(keys), dtype=np.int64)
    out[order] = np.arange(len(keys)) - starts
    return out


def _pair(source: np.ndarray, destination: np.ndarray) -> np.ndarray:
    """uint64: the same number for both directions."""
    return mix(source) + mix(destination)


def mix(values: np.ndarray) -> np.ndarray:
    """A 64-bit finaliser: well spread, the same on every machine."""
    mixed = values.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(_MULTIPLIERS[0])
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(_MULTIPLIERS[1])
    return mixed ^ (mixed >> np.uint64(32))


def _grouped(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A stable order that brings equal keys together, and for each position of it where its group starts."""
    order = np.argsort(keys, kind="stable")
    fresh = np.ones(len(keys), dtype=bool)
    fresh[1:] = keys[order][1:] != keys[order][:-1]
    starts = run_starts(fresh)
    return order, starts
