"""Which TCP segments of a trace belong to which connection, and what each side has sent so far.

Segments of one five-tuple, in both directions, are a *conversation*; a conversation holds one connection after the
other. A connection begins with its conversation, or with a SYN that is no repetition of an earlier one. Everything is
an array operation over the whole trace.

    connections = find_connections(trace)
    connections.rows[connections.starts == 0]   # rows of the first connection, in time order
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from postprocess import rules
from postprocess.sequence import endpoints, mix
from preprocess.trace import Trace

MAXIMUM_LIFETIME_NS = 120 * 10**9  # RFC 9293, 3.4.2: the maximum segment lifetime; no SYN is repeated after so long
_RENEWED = np.uint64(0xD1B54A32D192ED03)


@dataclass(frozen=True)
class Connections:
    """The TCP segments of a trace, those of a connection together, in time order; all arrays are aligned.

    Attributes:
        rows: int64[n], rows of the trace.
        starts: int64[n], position of the first segment of each segment's connection.
        number: int64[n], number of its connection, counting from 0.
        forward: bool[n], which of the two directions it takes.
        previous: int64[n], position of the segment before it in its direction and connection, -1 where it is the first.
        flags: int64[n], TCP flags.
        payload: int64[n] (bytes).
        initial: uint64[n], a hash of direction, connection and seed: where its direction's sequence numbers begin.
        initial_opposite: uint64[n], the same for the other direction.
    """

    rows: np.ndarray
    starts: np.ndarray
    number: np.ndarray
    forward: np.ndarray
    previous: np.ndarray
    flags: np.ndarray
    payload: np.ndarray
    initial: np.ndarray
    initial_opposite: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, flag: int) -> np.ndarray:
        """bool[n]: segments with this flag."""
        return (self.flags & flag) > 0

    def sums(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums over the segments before each one in its connection, of its own direction and of the other: int64[n]."""
        along = self._sums(np.where(self.forward, values, 0))
        against = self._sums(np.where(self.forward, 0, values))
        return np.where(self.forward, along, against), np.where(self.forward, against, along)

    def sides(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each segment, is any segment of its connection `chosen`, in its own direction and in the other: bool[n]."""
        count = int(self.number[-1]) + 1 if len(self) else 0
        found = np.zeros((2, count), dtype=bool)
        found[self.forward[chosen].astype(np.intp), self.number[chosen]] = True
        own = self.forward.astype(np.intp)
        return found[own, self.number], found[1 - own, self.number]

    def last(self, chosen: np.ndarray) -> np.ndarray:
        """int64[n]: position of the last segment before each one that is `chosen`, in its direction and connection; -1
        where there is none."""
        return last_before(chosen, self.forward, self.starts)[0]

    def _sums(self, values: np.ndarray) -> np.ndarray:
        before = np.cumsum(values) - values
        return before - before[self.starts]


def find_connections(trace: Trace, *, seed: int = 0) -> Connections:
    """The connections of a trace in time order; fragments other than the first are left out.

    A SYN without ACK begins a new connection where the one before it was closed by a FIN or reset since its own SYN, or
    where nothing was sent for longer than the maximum segment lifetime; any other SYN opens its side of the connection,
    or repeats the SYN that did. One that follows another of its side is a repetition even after a reset: this is how
    stacks try a closed port again.
    """
    rows = np.flatnonzero((trace["protocol"] == rules.TCP) & (trace["fragment_offset"] == 0))
    source, destination = endpoints(trace, rows)
    pair = mix(source) + mix(destination)
    order = np.argsort(pair, kind="stable")
    rows, source, destination = rows[order], source[order], destination[order]
    position = np.arange(len(rows))
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = np.diff(pair[order]) > 0
    conversation = np.maximum.accumulate(np.where(begins, position, 0))
    flags = trace["tcp_flags"][rows].astype(np.int64)
    forward = source < destination
    begins |= _opens(flags, trace["time"][rows], forward, conversation)
    starts = np.maximum.accumulate(np.where(begins, position, 0))
    number = np.cumsum(begins) - 1
    occurrence = (number - number[conversation]).astype(np.uint64) * _RENEWED
    first = np.ones(len(rows), dtype=bool)
    return Connections(
        rows=rows,
        starts=starts,
        number=number,
        forward=forward,
        previous=last_before(first, forward, starts)[0],
        flags=flags,
        payload=_payload(trace, rows),
        initial=mix(source + mix(destination + occurrence) + np.uint64(seed)),
        initial_opposite=mix(destination + mix(source + occurrence) + np.uint64(seed)),
    )


def last_before(chosen: np.ndarray, forward: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of the last `chosen` segment before each one since `starts`, in its own direction and in the other;
    -1 where there is none: int64[n]."""
    position = np.arange(len(chosen))
    found = []
    for direction in (forward, ~forward):
        latest = np.full(len(chosen), -1)
        latest[1:] = np.maximum.accumulate(np.where(chosen & direction, position, -1))[:-1]
        found.append(np.where(latest >= starts, latest, -1))
    return np.where(forward, found[0], found[1]), np.where(forward, found[1], found[0])


def _opens(flags: np.ndarray, time: np.ndarray, forward: np.ndarray, conversation: np.ndarray) -> np.ndarray:
    """bool[n]: a SYN with which a conversation begins another connection."""
    position, every = np.arange(len(flags)), np.ones(len(flags), dtype=bool)
    opening = (flags & (rules.TCP_SYN | rules.TCP_ACK)) == rules.TCP_SYN
    closing = (flags & (rules.TCP_FIN | rules.TCP_RST)) > 0
    own, _ = last_before(every, forward, conversation)
    own_opening, other_opening = last_before(opening, forward, conversation)
    _, other_answer = last_before((flags & rules.TCP_ACK) > 0, forward, conversation)
    took_part = np.maximum(own, other_answer) > other_opening
    last_opening = np.maximum(own_opening, other_opening)
    last_closing = np.maximum(*last_before(closing, forward, conversation))
    silence = time - time[np.maximum(position - 1, 0)]
    repeats = (own >= 0) & opening[own] & (time - time[own] <= MAXIMUM_LIFETIME_NS)
    return opening & ~repeats & took_part & ((last_closing > last_opening) | (silence > MAXIMUM_LIFETIME_NS))


def _payload(trace: Trace, rows: np.ndarray) -> np.ndarray:
    """int64[n]: bytes after the TCP header. Fragments count none: analysers see them only when they are complete."""
    headers = rules.ip_header_length(trace["ip_version"][rows]) + trace["tcp_header_length"][rows]
    length = trace["length"][rows].astype(np.int64) - headers
    whole = (trace["ip_flags"][rows] & rules.IP_MORE_FRAGMENTS) == 0
    return np.where(whole, np.maximum(length, 0), 0)
