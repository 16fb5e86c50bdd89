"""TCP sequence and acknowledgement numbers as two state machines would send them (RFC 9293, 3.4 and 3.10).

No number is learnt: they follow from the order of segments, their flags and the payload lengths of both directions. An
analyser that follows a connection (tshark's TCP analysis, for one) then finds no segment missing, no acknowledgement of
data that it has not seen, and as few duplicate acknowledgements as the generated order of packets allows.
"""

from __future__ import annotations

import numpy as np

from netshare.postprocess import rules
from netshare.postprocess.tcp_connections import Connections, groups_with, last_before
from netshare.preprocess.ragged import offsets_of, run_starts
from netshare.preprocess.trace import Trace

MAX_DELAY_NS = 10**9  # RFC 6298, 2.4: what is not acknowledged within a second is sent again
MAX_ACK_DELAY_NS = 5 * 10**8  # RFC 9293, 3.8.6.3: an acknowledgement is delayed by less than half a second
UNSEEN_BYTES = 2 * 1460  # that an acknowledgement adds where the other direction is not in the trace: two full segments
_MODULO = np.uint64(0xFFFFFFFF)
_UNBOUNDED = 1 << 60
_CLOCK_SHIFT = 10
_CONTROL = rules.TCP_SYN | rules.TCP_FIN | rules.TCP_RST


def tcp_numbers(trace: Trace, found: Connections, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sequence and acknowledgement numbers of every row of a trace.

    Sequence numbers begin at a hash of five-tuple, connection and `seed`, and grow by the payload, by one for SYN and by
    one for FIN. A repeated SYN or FIN has the number that it had before.

    An acknowledgement is the number after some segment of the other direction that comes before it in the trace. Where
    several acknowledgements follow one another, the segments before them are shared out among them, as a receiver
    acknowledges segments one after the other; but no segment waits longer than a second. Where the other direction is
    not in the trace, every acknowledgement grows by `UNSEEN_BYTES`. Without the ACK flag the number is 0.

    Args:
        trace: packet trace in time order.
        found: its connections.
        seed: another seed gives other initial numbers.

    Returns:
        sequence uint32[n] and acknowledgement uint32[n]; zeros for rows that are not TCP, and for fragments other than
        the first.
    """
    sequence, acknowledgement = np.zeros(len(trace), np.uint32), np.zeros(len(trace), np.uint32)
    if not len(found):
        return sequence, acknowledgement
    syn, ack = found.has(rules.TCP_SYN), found.has(rules.TCP_ACK)
    opened, opened_opposite = found.sides(syn & (found.previous < 0))
    consumed, sent, back = _consumed(found, opened, trace["tcp_window"][found.rows])
    initial, initial_opposite = found.initial(seed)
    begin = initial + ~opened
    own = np.where(syn & opened, 0, sent - back).astype(np.uint64)
    known, stalled = _acknowledged(found, trace["time"][found.rows], consumed, sent, opened_opposite)
    numbers = begin + own - _probes(found, trace["time"][found.rows], stalled)
    answer = np.where(ack, initial_opposite + ~opened_opposite + known.astype(np.uint64), np.uint64(0))
    numbers = np.where(_refuses(found, ack, opened_opposite), np.uint64(0), numbers)
    sequence[found.rows] = numbers & _MODULO
    acknowledgement[found.rows] = answer & _MODULO
    return sequence, acknowledgement


def empty_acknowledgements(trace: Trace, found: Connections) -> np.ndarray:
    """bool[len(found)]: segments without payload that acknowledge nothing new.

    Such are duplicate acknowledgements, window updates, keep-alive probes and their answers. No assignment of numbers to
    the other acknowledgements would leave them something to acknowledge.
    """
    if not len(found):
        return np.zeros(0, dtype=bool)
    opened, opened_opposite = found.sides(found.has(rules.TCP_SYN) & (found.previous < 0))
    consumed, sent, _ = _consumed(found, opened, trace["tcp_window"][found.rows])
    return _acknowledged(found, trace["time"][found.rows], consumed, sent, opened_opposite)[1]


def _consumed(found: Connections, opened: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, ...]:
    """How many sequence numbers segments consume.

    A byte that is sent into a closed window is a probe and consumes nothing (RFC 9293, 3.8.6.1).

    Returns:
        consumed int64[n], by each segment; sent int64[n], by all segments of its side before it; back int64[n], how far
        before the next expected number it begins: more than 0 where it repeats a FIN, or a SYN in midstream.
    """
    syn = found.has(rules.TCP_SYN)
    closed = (found.previous >= 0) & (found.previous_opposite >= 0) & (window[found.previous_opposite] == 0)
    probes = closed & (found.payload == 1) & ~syn
    fin = found.has(rules.TCP_FIN) & ~probes
    repeated_syn = syn & (found.previous >= 0)
    payload = np.where(repeated_syn | probes, 0, found.payload)
    repeated_fin = _repeats(found, fin, payload, (payload > 0) & ~fin & ~syn)
    consumed = np.where(repeated_syn | repeated_fin, 0, payload + syn + fin)
    sent, _ = found.sums(consumed)
    back = np.where(repeated_fin, 1 + payload, np.where(repeated_syn & ~opened, sent + 1, 0))
    return consumed, sent, back


def _repeats(found: Connections, fin: np.ndarray, payload: np.ndarray, data: np.ndarray) -> np.ndarray:
    """bool[n]: FINs that repeat an earlier FIN of their side: no data of that side came in between, and the payload is that
    of the earlier one, or empty."""
    repeated = np.zeros(len(found), dtype=bool)
    fins = np.bincount((found.number * 2 + found.forward)[fin], minlength=2 * int(found.number[-1]) + 2)
    rows = np.flatnonzero((fins.reshape(-1, 2).max(axis=1) > 1)[found.number])
    part = found.whole_groups(rows)
    last_fin, _ = last_before(fin[rows], part.forward, part.starts)
    last_data, _ = last_before(data[rows], part.forward, part.starts)
    same = (payload[rows] == 0) | (payload[rows] == payload[rows][last_fin])
    repeated[rows] = fin[rows] & (last_fin > last_data) & same
    return repeated


def _acknowledged(
    found: Connections, time: np.ndarray, consumed: np.ndarray, sent: np.ndarray, opened_opposite: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What each segment acknowledges.

    A segment acknowledges the first `count` segments of the other direction that consume numbers: at most those `seen`
    before it in the trace, and at least those that are `due`. A bare acknowledgement is one without payload or control
    flags; `bare` counts them. As far as possible each of them adds one to `count`, and none in a burst is left without
    a new segment to acknowledge: `wanted` is the largest count which allows that. Hence, from one segment of a side to
    its next one, `count - bare` becomes `min(seen - bare, max(wanted - bare, count - bare))`.

    Returns:
        int64[n], acknowledged numbers since the other direction's beginning; bool[n], bare acknowledgements that add
        nothing to the one before.
    """
    ack, moves = found.has(rules.TCP_ACK), consumed > 0
    pure = ack & (found.payload == 0) & ~found.has(_CONTROL)
    _, seen = found.sums(moves.astype(np.int64))
    seen = np.maximum(seen, opened_opposite)  # a SYN that was captured late counts as seen
    bare, _ = found.sums(pure.astype(np.int64))
    bare = bare + pure
    _, answered = found.sides(np.ones(len(found), dtype=bool))
    rows = np.flatnonzero(ack & answered)
    rows = rows[np.argsort(found.number[rows] * 2 + found.forward[rows], kind="stable")]
    group = found.number[rows] * 2 + found.forward[rows]
    clock = _clock(found, time)
    due = _due(found, clock, moves, opened_opposite)[rows]
    ceiling = seen[rows] - bare[rows]
    wanted = np.maximum(due - bare[rows], _minimum_from_end(ceiling, _bursts(group, clock[rows])))
    count = np.where(answered, 0, bare)
    count[rows] = bare[rows] + clamped_running_value(np.minimum(wanted, ceiling), ceiling, group)
    stalled = np.zeros(len(found), dtype=bool)
    stalled[rows[1:]] = pure[rows[1:]] & (group[1:] == group[:-1]) & (count[rows[1:]] <= count[rows[:-1]])
    return _ends(found, moves, sent + consumed, count), stalled


def clamped_running_value(least: np.ndarray, most: np.ndarray, group: np.ndarray) -> np.ndarray:
    """int64[n]: x with x[i] = min(most[i], max(least[i], x[i - 1])) within each group, and x[i] = least[i] at its first.

    It is a parallel prefix scan: two such steps in succession are one step of the same form, so that steps are combined
    to runs of twice the length until each run reaches back to the beginning of its group.

    Args:
        least, most: int64[n], `least <= most`.
        group: int64[n], equal for members of a group, which lie together.
    """
    low, high = least.copy(), most.copy()
    position = np.arange(len(group))
    begins = np.ones(len(group), dtype=bool)
    begins[1:] = group[1:] != group[:-1]
    high[begins] = low[begins]
    begins[1:] |= (low[1:] >= high[:-1]) | (low[1:] == high[1:])  # there the value before does not count
    high[begins] = low[begins]
    rank = position - run_starts(begins)
    active, stride = np.flatnonzero(rank >= 1), 1
    while len(active):
        before = active - stride
        low_here, high_here = low[active], high[active]
        low[active], high[active] = (
            np.minimum(np.maximum(low[before], low_here), high_here),
            np.minimum(np.maximum(high[before], low_here), high_here),
        )
        stride *= 2
        active = active[rank[active] >= stride]
    return low


def _bursts(group: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """int64[n]: the number of each segment's burst. A burst ends at the end of its group, and before a pause so long that
    a receiver would have acknowledged everything by then."""
    begins = np.ones(len(group), dtype=bool)
    begins[1:] = (group[1:] != group[:-1]) | (np.diff(clock) >= MAX_ACK_DELAY_NS >> _CLOCK_SHIFT)
    return np.cumsum(begins)


def _minimum_from_end(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """int64[n]: the minimum of each value and all values after it in its group; groups are numbered in ascending order."""
    step = group * (int(np.ptp(values)) + 1 if len(values) else 1)
    return np.minimum.accumulate((values + step)[::-1])[::-1] - step


def _due(found: Connections, clock: np.ndarray, moves: np.ndarray, opened_opposite: np.ndarray) -> np.ndarray:
    """int64[n]: how many of the other direction's segments each segment must acknowledge: those sent a second or more
    before, and the SYN. Where nothing from the other direction has been seen there is no bound (`-_UNBOUNDED`)."""
    until = np.maximum(np.searchsorted(clock, clock - (MAX_DELAY_NS >> _CLOCK_SHIFT), side="right"), found.starts)
    least = np.zeros(len(found), dtype=np.int64)
    for direction in (found.forward, ~found.forward):
        counted = offsets_of(moves & ~direction)
        least[direction] = (counted[until] - counted[found.starts])[direction]
    syn = found.has(rules.TCP_SYN)
    known = (found.previous_opposite >= 0) | syn | found.sides(syn)[1]
    return np.where(opened_opposite, np.maximum(least, 1), np.where(known, least, -_UNBOUNDED))


def _clock(found: Connections, time: np.ndarray) -> np.ndarray:
    """int64[n], in units of 1,024 ns: times that ascend over all segments, one connection after the other, as needed for
    binary search; within a connection differences are those of the real times."""
    elapsed = np.maximum(time - time[found.starts], 0) >> _CLOCK_SHIFT
    begins = np.flatnonzero(found.starts == np.arange(len(found)))
    spans = np.maximum.reduceat(elapsed, begins) + (MAX_DELAY_NS >> _CLOCK_SHIFT) + 1
    return np.maximum.accumulate(elapsed + (np.cumsum(spans) - spans)[found.number])


def _ends(found: Connections, moves: np.ndarray, ends: np.ndarray, count: np.ndarray) -> np.ndarray:
    """int64[n]: the end of the `count`-th segment of the other direction among those that consume numbers (`moves`).

    Where the trace has no such segment, every one counts `UNSEEN_BYTES`.
    """
    acknowledged = count * UNSEEN_BYTES
    for direction in (found.forward, ~found.forward):
        chosen = moves & ~direction
        opposite = np.flatnonzero(chosen)
        before = (np.cumsum(chosen) - chosen)[found.starts]
        chosen = np.flatnonzero(direction & (count > 0) & _within(found, opposite, before + count - 1))
        acknowledged[chosen] = ends[opposite[(before + count - 1)[chosen]]]
    return acknowledged


def _within(found: Connections, positions: np.ndarray, index: np.ndarray) -> np.ndarray:
    """bool[n]: `positions[index]` exists and lies in the same connection."""
    exists = (index >= 0) & (index < len(positions))
    number = np.append(found.number[positions], -1)
    return exists & (number[np.where(exists, index, -1)] == found.number)


def _probes(found: Connections, time: np.ndarray, stalled: np.ndarray) -> np.ndarray:
    """uint64[n]: 1 for keep-alive probes, whose number is one less than the next expected one (RFC 9293, 3.8.4).

    A bare acknowledgement that acknowledges nothing new, a second or more after the last segment that did something, is
    a probe or the answer to one: the answer if the segment before it is a probe of the other side. Connections that are
    being closed have no probes.
    """
    position = np.arange(len(found))
    news = np.maximum.accumulate(np.where(stalled, found.starts, position))
    quiet = stalled & (time - time[news] >= MAX_DELAY_NS)
    rows = np.flatnonzero(groups_with(quiet, found.starts))
    part = found.whole_groups(rows)
    closing = part.has(rules.TCP_FIN | rules.TCP_RST)
    quiet[rows] &= np.maximum(*last_before(closing, part.forward, part.starts)) < 0
    alternates = np.zeros(len(found), dtype=bool)
    alternates[1:] = quiet[1:] & quiet[:-1] & (found.forward[1:] != found.forward[:-1])
    run = run_starts(~alternates)
    return (quiet & ((position - run) % 2 == 0)).astype(np.uint64)


def _refuses(found: Connections, ack: np.ndarray, opened_opposite: np.ndarray) -> np.ndarray:
    """bool[n]: resets that refuse a connection, from sides that send nothing else; their number is 0 (RFC 9293, 3.5.2)."""
    speaks, _ = found.sides(~found.has(rules.TCP_RST) | (found.payload > 0))
    _, is_answered = found.sides(ack)
    return ack & opened_opposite & ~speaks & ~is_answered
