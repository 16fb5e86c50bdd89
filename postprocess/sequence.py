"""TCP sequence and acknowledgement numbers, echo sequence numbers and fragment chains, computed from a whole trace.

None of these are learnt: they follow from the order of packets and their payload lengths (RFC 9293, 3.4).
"""

from __future__ import annotations

import numpy as np

from postprocess import rules
from preprocess.trace import Trace

RENEWAL = 1 << 24  # how far the sequence numbers of a new connection on the same five-tuple lie from the old ones
_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)


def tcp_numbers(trace: Trace, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sequence and acknowledgement numbers of every row.

    A direction's initial sequence number is a hash of its five-tuple and `seed`; the next number grows by the payload
    and by one for SYN and for FIN. Data after a FIN, or a SYN after data, is a new connection with other numbers; but a
    SYN and ACK after data that answers no SYN repeats the number with which its direction began, as a retransmission
    does, for analysers would take it for a new connection amid the old one's stream. The
    acknowledgement is the number expected next from the other direction at that point of the trace, 0 where the ACK
    flag is unset. Rows that are not TCP, and fragments other than the first, have zeros.

    Returns:
        sequence uint32[n] and acknowledgement uint32[n].
    """
    sequence, acknowledgement = np.zeros(len(trace), np.uint32), np.zeros(len(trace), np.uint32)
    rows = np.flatnonzero((trace["protocol"] == rules.TCP) & (trace["fragment_offset"] == 0))
    if not len(rows):
        return sequence, acknowledgement
    source, destination = endpoints(trace, rows)
    flags = trace["tcp_flags"][rows].astype(np.int64)
    headers = rules.ip_header_length(trace["ip_version"][rows]) + trace["tcp_header_length"][rows]
    sent = np.maximum(trace["length"][rows].astype(np.int64) - headers, 0)
    direction = mix(source) + destination
    again = _opens_again(flags, sent > 0, direction)
    stray = again & _answers_nothing(flags, sent > 0, direction, mix(destination) + source)
    renewed = RENEWAL * (again & ~stray)
    syn = (flags & rules.TCP_SYN) > 0
    sent += (syn & ~stray).astype(np.int64) + ((flags & rules.TCP_FIN) > 0) + renewed
    forward = source < destination
    order, starts = _grouped(_pair(source, destination))
    along = _exclusive_sums(np.where(forward, sent, 0)[order], starts)
    against = _exclusive_sums(np.where(forward, 0, sent)[order], starts)
    ahead = forward[order]
    own = np.where(ahead, along, against) + renewed[order]
    other = np.where(ahead, against, along)
    first = mix(source + mix(destination) + np.uint64(seed))[order]
    answer = mix(destination + mix(source) + np.uint64(seed))[order]
    sequence[rows[order]] = (first + own.astype(np.uint64)) & np.uint64(0xFFFFFFFF)
    if stray.any():
        opener = _openers(direction, again & syn & ~stray)[stray]
        sequence[rows[stray]] = sequence[rows[opener]] - (~syn[opener]).astype(np.uint32)
    expected = (answer + other.astype(np.uint64)) & np.uint64(0xFFFFFFFF)
    acknowledgement[rows[order]] = np.where(flags[order] & rules.TCP_ACK, expected, 0)
    return sequence, acknowledgement


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


def endpoints(trace: Trace, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint64 hashes of (version, address, port, protocol) of the two ends."""
    ends = []
    extra = trace["ip_version"][rows].astype(np.uint64) << np.uint64(8) | trace["protocol"][rows].astype(np.uint64)
    for side in ("src", "dst"):
        port = trace[f"{side}_port"][rows].astype(np.uint64) << np.uint64(16)
        hashed = mix(trace[f"{side}_lo"][rows] + mix(trace[f"{side}_hi"][rows] + (port | extra)))
        ends.append(hashed)
    return ends[0], ends[1]


def _opens_again(flags: np.ndarray, carries: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """bool[n]: rows with which a direction begins a new connection on the same five-tuple: data or SYN after a FIN, or
    a SYN after data.

    Args:
        flags: TCP flags of rows in time order.
        carries: bool[n], rows with a payload.
        direction: uint64[n], equal for rows of one direction of one five-tuple.
    """
    syn, fin = (flags & rules.TCP_SYN) > 0, (flags & rules.TCP_FIN) > 0
    rows = np.flatnonzero(carries | syn | fin)
    rows = rows[np.argsort(direction[rows], kind="stable")]
    again = np.zeros(len(flags), dtype=bool)
    before, after = rows[:-1], rows[1:]
    same = direction[before] == direction[after]
    again[after] = same & np.where(fin[before], carries[after] | syn[after], syn[after] & ~syn[before])
    return again


def _answers_nothing(flags: np.ndarray, carries: np.ndarray, direction: np.ndarray, opposite: np.ndarray) -> np.ndarray:
    """bool[n]: SYN and ACK, though the other direction sent no SYN since this one's last data.

    Args:
        flags, carries, direction: as in `_opens_again`.
        opposite: uint64[n], the `direction` of rows that go the other way.
    """
    kind = flags & (rules.TCP_SYN | rules.TCP_ACK)
    answers = np.flatnonzero(kind == (rules.TCP_SYN | rules.TCP_ACK))
    nothing = np.zeros(len(flags), dtype=bool)
    code = np.unique(np.concatenate([direction, opposite]), return_inverse=True)[1].astype(np.int64)
    own, other = code[: len(flags)] * len(flags), code[len(flags) :] * len(flags)

    def last(of: np.ndarray, group: np.ndarray) -> np.ndarray:
        """The last of the rows `of` in the group and before each of `answers`, -1 where there is none."""
        keys = np.sort(own[of] + of)
        found = np.searchsorted(keys, group[answers] + answers) - 1
        key = np.append(keys, -1)[found]
        return np.where(key >= group[answers], key - group[answers], -1)

    nothing[answers] = last(np.flatnonzero(kind == rules.TCP_SYN), other) < last(np.flatnonzero(carries), own)
    return nothing


def _openers(direction: np.ndarray, opens: np.ndarray) -> np.ndarray:
    """int64[n]: the row with which each row's connection began in its direction, its first or the last that `opens`."""
    order, starts = _grouped(direction)
    begin = np.maximum.accumulate(np.where(opens[order], np.arange(len(order)), starts))
    out = np.empty(len(order), dtype=np.int64)
    out[order] = order[begin]
    return out


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
    starts = np.maximum.accumulate(np.where(fresh, np.arange(len(keys)), 0))
    return order, starts


def _exclusive_sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums of the values before each position within its group."""
    before = np.cumsum(values) - values
    return before - before[starts]
