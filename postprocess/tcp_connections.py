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
    """The TCP segments of a trace in groups: conversations, or connections.

    Segments of a group lie together, in the order of their rows. A *position* is an index into these arrays:
        rows: int64[n], rows of the trace.
        starts: int64[n], position of the first segment of each segment's group.
        forward: bool[n], which of the two directions the segment takes.
        flags: int64[n], TCP flags.
        payload: int64[n], bytes; 0 for fragments, which analysers see only where the whole datagram is in the trace.
        whole: bool[n], the segment is not a fragment.
        source, destination: uint64[n], hashes of the segment's two ends (address, port, protocol).
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
        """The segments at `positions` (int64[k], ascending), which must be all segments of some of the groups."""
        among = np.zeros(len(self), dtype=np.int64)
        among[positions] = np.arange(len(positions))
        taken = {field.name: getattr(self, field.name)[positions] for field in fields(Segments)}
        return Segments(**{**taken, "starts": among[taken["starts"]]})


@dataclass(frozen=True)
class Connections(Segments):
    """The TCP segments of a trace by connection.

    number: int64[n], number of the segment's connection, from 0 on.
    occurrence: int64[n], number of the connection within its conversation, from 0 on.
    previous: int64[n], position of the last segment before in the same connection and direction; -1 where there is none.
    previous_opposite: int64[n], the same in the other direction.
    """

    number: np.ndarray
    occurrence: np.ndarray
    previous: np.ndarray
    previous_opposite: np.ndarray

    def sums(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of `values` (int64[n]) over the segments before each one in its connection: int64[n] over those in its
        own direction, and int64[n] over those in the other."""
        along = self._sums(np.where(self.forward, values, 0))
        against = self._sums(np.where(self.forward, 0, values))
        return np.where(self.forward, along, against), np.where(self.forward, against, along)

    def sides(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether any segment of each segment's connection is `chosen` (bool[n]): bool[n] for those in its own
        direction, and bool[n] for those in the other."""
        side = self.number * 2 + self.forward
        found = np.zeros(int(side[-1] | 1) + 1 if len(self) else 0, dtype=bool)
        found[side[chosen]] = True
        return found[side], found[side ^ 1]

    def initial(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Initial sequence numbers: uint64[n] of each segment's own direction, and uint64[n] of the other."""
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

    A SYN without ACK begins a new connection if the conversation's last one has been closed by a FIN or a reset, or if
    nothing was sent for longer than the maximum segment lifetime. There are two exceptions. A SYN that follows a SYN of
    its own side is a repetition, even after a reset: this is how stacks try a closed port again. And the first SYN of a
    side that has sent nothing, and none of whose data has been acknowledged, joins the current connection. Every other SYN
    opens its side of the connection or repeats the SYN that did.
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
    """Bytes after the TCP header of these rows (int64[n], 0 for fragments), and which rows are no fragments (bool[n])."""
    headers = rules.ip_header_length(trace["ip_version"][rows]) + trace["tcp_header_length"][rows]
    whole = (trace["ip_flags"][rows] & rules.IP_MORE_FRAGMENTS) == 0
    return np.where(whole, np.maximum(trace["length"][rows].astype(np.int64) - headers, 0), 0), whole


def service_ports(found: Connections, trace: Trace | Mapping[str, np.ndarray]) -> np.ndarray:
    """uint16[n_records]: for each row of the trace the service's port, to which the last SYN of its connection was sent.

    0 where no SYN came before, and for rows that are not TCP.
    """
    position, syn = np.arange(len(found)), found.has(rules.TCP_SYN)
    latest = np.maximum.accumulate(np.where(syn, position, -1))
    known = latest >= found.starts
    called = np.where(found.has(rules.TCP_ACK), trace["src_port"][found.rows], trace["dst_port"][found.rows])
    ports = np.zeros(len(trace["time"]), dtype=np.uint16)
    ports[found.rows] = np.where(known, called[np.where(known, latest, 0)], 0)
    return ports


def groups_with(chosen: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """bool[n]: segments of groups in which any segment is `chosen` (bool[n]); `starts` as in `Segments`."""
    found = np.zeros(len(starts), dtype=bool)
    found[starts[chosen]] = True
    return found[starts]


def last_before(chosen: np.ndarray, forward: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The position of the last `chosen` segment before each one in its group, -1 where there is none.

    Args:
        chosen: bool[n].
        forward, starts: as in `Segments`.

    Returns:
        int64[n] in the segment's own direction, and int64[n] in the other.
    """
    position = np.arange(len(chosen))
    found = []
    for direction in (forward, ~forward):
        latest = np.full(len(chosen), -1)
        latest[1:] = np.maximum.accumulate(np.where(chosen & direction, position, -1))[:-1]
        found.append(np.where(latest >= starts, latest, -1))
    return np.where(forward, found[0], found[1]), np.where(forward, found[1], found[0])


def first_after(chosen: np.ndarray, forward: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `last_before`, but the position of the first `chosen` segment after each one."""
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
    """bool[n]: segments of conversations that are a SYN which begins another connection; `time` in ns, int64[n]."""
    position = np.arange(len(found))
    opens = np.zeros(len(found), dtype=bool)
    opening = found.has(rules.TCP_SYN) & ~found.has(rules.TCP_ACK)
    rows = np.flatnonzero(groups_with(opening & (position > found.starts), found.starts))
    if len(rows):
        part = found.whole_groups(rows)
        opens[rows] = opening[rows] & _begins_anew(part, opening[rows], time[rows])
    return opens


def _begins_anew(found: Segments, opening: np.ndarray, time: np.ndarray) -> np.ndarray:
    """bool[n]: segments before which the conversation's last connection is over, and whose sender took part in it."""
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
