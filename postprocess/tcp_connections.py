"""Which TCP segments of a trace belong to which connection, and what each side has sent so far.

Segments of one five-tuple, in both directions, are a *conversation*; a conversation holds one connection after the
other (RFC 9293, 3.5 and 3.6). Everything is an array operation over the whole trace, whose rows are in time order.

    found = find_connections(trace)
    found.rows[found.number == 0]   # rows of the first connection, in time order
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from netshare.postprocess import rules
from netshare.postprocess.sequence import endpoints, mix
from netshare.preprocess.ragged import run_starts
from netshare.preprocess.trace import Trace

MAXIMUM_LIFETIME_NS = 120 * 10**9  # RFC 9293, 3.4.2: the maximum segment lifetime; no SYN is repeated after so long
_PER_CONNECTION = np.uint64(0xD1B54A32D192ED03)


@dataclass(frozen=True)
class Segments:
    """The TCP segments of a trace, those of a group (a conversation, or a connection) together in the order of their rows.

    All arrays are aligned:
        rows: int64[n], rows of the trace.
        starts: int64[n], position of the first segment of each segment's group.
        forward: bool[n], which of the two directions it takes.
        flags: int64[n], TCP flags.
        payload: int64[n] (bytes). 0 for fragments: analysers see those only where the datagram is complete.
        whole: bool[n], the segment is not in fragments.
        source, destination: uint64[n], hashes of its two ends.
    """

    rows: np.ndarray
    starts: np.ndarray
    forward: np.ndarray
    flags: np.ndarray
    payload: np.ndarray
    whole: np.ndarray
    source: np.ndarray
    destination: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, flags: int) -> np.ndarray:
        """bool[n]: segments with at least one of these flags."""
        return (self.flags & flags) > 0

    def whole_groups(self, positions: np.ndarray) -> Segments:
        """The segments at ascending positions, which are those of whole groups."""
        among = np.zeros(len(self), dtype=np.int64)
        among[positions] = np.arange(len(positions))
        taken = {field.name: getattr(self, field.name)[positions] for field in fields(Segments)}
        return Segments(**{**taken, "starts": among[taken["starts"]]})


@dataclass(frozen=True)
class Connections(Segments):
    """Segments by connection.

    number: int64[n], number of the connection, counting from 0.
    occurrence: int64[n], number of the connection within its conversation.
    previous: int64[n], position of the segment before in the same direction and connection, -1 for the first.
    """

    number: np.ndarray
    occurrence: np.ndarray
    previous: np.ndarray
    previous_opposite: np.ndarray

    def sums(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums over the segments before each one in its connection, of its own direction and of the other: int64[n]."""
        along = self._sums(np.where(self.forward, values, 0))
        against = self._sums(np.where(self.forward, 0, values))
        return np.where(self.forward, along, against), np.where(self.forward, against, along)

    def sides(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each segment, is any segment of its connection `chosen`, in its own direction and in the other: bool[n]."""
        side = self.number * 2 + self.forward
        found = np.zeros(int(side[-1] | 1) + 1 if len(self) else 0, dtype=bool)
        found[side[chosen]] = True
        return found[side], found[side ^ 1]

    def initial(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """uint64[n]: where the sequence numbers of each segment's direction begin, and those of the other direction."""
        renewed = self.occurrence.astype(np.uint64) * _PER_CONNECTION
        own = mix(self.source + mix(self.destination + renewed) + np.uint64(seed))
        return own, mix(self.destination + mix(self.source + renewed) + np.uint64(seed))

    def _sums(self, values: np.ndarray) -> np.ndarray:
        before = np.cumsum(values) - values
        return before - before[self.starts]


def find_conversations(trace: Trace | Mapping[str, np.ndarray]) -> Segments:
    """The TCP segments of a trace by five-tuple; fragments other than the first are left out."""
    rows = np.flatnonzero((trace["protocol"] == rules.TCP) & (trace["fragment_offset"] == 0))
    source, destination = endpoints(trace, rows)
    pair = mix(source) + mix(destination)
    order = np.argsort(pair, kind="stable")
    rows, source, destination = rows[order], source[order], destination[order]
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = pair[order][1:] != pair[order][:-1]
    payload, whole = payload_of(trace, rows)
    return Segments(
        rows=rows,
        starts=run_starts(begins),
        forward=source < destination,
        flags=trace["tcp_flags"][rows].astype(np.int64),
        payload=payload,
        whole=whole,
        source=source,
        destination=destination,
    )


def find_connections(trace: Trace | Mapping[str, np.ndarray]) -> Connections:
    """The TCP segments of a trace by connection.

    A SYN without ACK begins a new connection where the one before it was closed by a FIN or reset since its own SYN, or
    where nothing was sent for longer than the maximum segment lifetime; any other SYN opens its side of the connection,
    or repeats the SYN that did. One that follows another of its side is a repetition even after a reset: this is how
    stacks try a closed port again. A side of which nothing was seen or acknowledged before joins what there is.
    """
    found = find_conversations(trace)
    position = np.arange(len(found))
    begins = (found.starts == position) | _opens(found, trace["time"][found.rows])
    starts = run_starts(begins)
    number = np.cumsum(begins) - 1
    previous, previous_opposite = last_before(np.ones(len(found), dtype=bool), found.forward, starts)
    of_conversation = {field.name: getattr(found, field.name) for field in fields(Segments)}
    return Connections(
        **{**of_conversation, "starts": starts},
        number=number,
        occurrence=number - number[found.starts],
        previous=previous,
        previous_opposite=previous_opposite,
    )


def payload_of(trace: Trace | Mapping[str, np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 and bool: bytes after the TCP header of these rows, 0 in fragments; and which rows are no fragments."""
    headers = rules.ip_header_length(trace["ip_version"][rows]) + trace["tcp_header_length"][rows]
    whole = (trace["ip_flags"][rows] & rules.IP_MORE_FRAGMENTS) == 0
    return np.where(whole, np.maximum(trace["length"][rows].astype(np.int64) - headers, 0), 0), whole


def service_ports(found: Connections, trace: Trace | Mapping[str, np.ndarray]) -> np.ndarray:
    """uint16[n of the trace]: the port of the side that is called, as the last SYN of each TCP segment's connection tells;
    0 where there was none, and for other protocols."""
    position, syn = np.arange(len(found)), found.has(rules.TCP_SYN)
    latest = np.maximum.accumulate(np.where(syn, position, -1))
    known = latest >= found.starts
    called = np.where(found.has(rules.TCP_ACK), trace["src_port"][found.rows], trace["dst_port"][found.rows])
    ports = np.zeros(len(trace["time"]), dtype=np.uint16)
    ports[found.rows] = np.where(known, called[np.where(known, latest, 0)], 0)
    return ports


def groups_with(chosen: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """bool[n]: segments in whose group one is `chosen`."""
    found = np.zeros(len(starts), dtype=bool)
    found[starts[chosen]] = True
    return found[starts]


def last_before(chosen: np.ndarray, forward: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of the last `chosen` segment before each one in its group, in its own direction and in the other; -1
    where there is none: int64[n]."""
    position = np.arange(len(chosen))
    found = []
    for direction in (forward, ~forward):
        latest = np.full(len(chosen), -1)
        latest[1:] = np.maximum.accumulate(np.where(chosen & direction, position, -1))[:-1]
        found.append(np.where(latest >= starts, latest, -1))
    return np.where(forward, found[0], found[1]), np.where(forward, found[1], found[0])


def first_after(chosen: np.ndarray, forward: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `last_before`, of the first `chosen` segment after each one; -1 where there is none: int64[n]."""
    position, count = np.arange(len(chosen)), len(chosen)
    found = []
    for direction in (forward, ~forward):
        nearest = np.full(count + 1, count)
        nearest[:-1] = np.minimum.accumulate(np.where(chosen & direction, position, count)[::-1])[::-1]
        exists = nearest[1:] < count
        same = exists & (starts[np.where(exists, nearest[1:], 0)] == starts)
        found.append(np.where(same, nearest[1:], -1))
    return np.where(forward, found[0], found[1]), np.where(forward, found[1], found[0])


def _opens(found: Segments, time: np.ndarray) -> np.ndarray:
    """bool[n]: a SYN with which a conversation begins another connection."""
    position = np.arange(len(found))
    opens = np.zeros(len(found), dtype=bool)
    opening = found.has(rules.TCP_SYN) & ~found.has(rules.TCP_ACK)
    rows = np.flatnonzero(groups_with(opening & (position > found.starts), found.starts))
    if len(rows):
        part = found.whole_groups(rows)
        opens[rows] = opening[rows] & _begins_anew(part, opening[rows], time[rows])
    return opens


def _begins_anew(found: Segments, opening: np.ndarray, time: np.ndarray) -> np.ndarray:
    """bool[n]: at each segment, the connection that a conversation had before is over, and its sender took part in it."""
    syn, closing = found.has(rules.TCP_SYN), found.has(rules.TCP_FIN | rules.TCP_RST)
    own, _ = last_before(np.ones(len(found), dtype=bool), found.forward, found.starts)
    _, other_opening = last_before(opening, found.forward, found.starts)
    _, other_answer = last_before(found.has(rules.TCP_ACK), found.forward, found.starts)
    last_syn = np.maximum(*last_before(syn, found.forward, found.starts))
    last_closing = np.maximum(*last_before(closing, found.forward, found.starts))
    silence = time - time[np.maximum(np.arange(len(found)) - 1, 0)]
    repeats = (own >= 0) & syn[own] & (time - time[own] <= MAXIMUM_LIFETIME_NS)
    took_part = np.maximum(own, other_answer) > other_opening
    return ~repeats & took_part & ((last_closing > last_syn) | (silence > MAXIMUM_LIFETIME_NS))
