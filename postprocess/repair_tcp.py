"""Repair rules for TCP streams: what no state machine sends, given what was sent before and after in its connection.

`netshare.postprocess.repair_packets` judges packets one by one; these rules need the order of segments, that of the
rows. The numbers of a stream need no repair, since they are computed (`netshare.postprocess.tcp_numbers`).
"""

from __future__ import annotations

import numpy as np

from netshare.postprocess.repair_addresses import Columns, Rule
from netshare.postprocess.rules import TCP, TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN
from netshare.postprocess.tcp_connections import (
    find_connections,
    find_conversations,
    first_after,
    last_before,
    payload_of,
)

_HANDSHAKE = TCP_SYN | TCP_ACK
_MAX_ROUNDS = 20
_LARGEST_WINDOW = 65_535  # RFC 9293, 3.1: 16 bits


def _order(columns: Columns) -> np.ndarray:
    """Flags decide where a connection begins and ends, and so which other flags are wrong: repeated until none is."""
    wrong = np.zeros(len(columns["time"]), dtype=bool)
    for _ in range(_MAX_ROUNDS):
        rows = np.concatenate([_move_early_fins(columns), _answer_syns(columns)])
        wrong[rows] = True
        if not len(rows):
            break
    return wrong


def _move_early_fins(columns: Columns) -> np.ndarray:
    """Rows with a FIN that data follows; they lose it. And the last rows of their sides, which get it if their side has no
    other FIN and no reset there: the side does close the connection, only later."""
    found = find_conversations(columns)
    every = np.ones(len(found), dtype=bool)
    fin, data = found.has(TCP_FIN), (found.payload > 0) & ~found.has(TCP_SYN | TCP_FIN)
    opening = (found.flags & _HANDSHAKE) == TCP_SYN
    starts = np.maximum.accumulate(np.where(opening, np.arange(len(found)), found.starts))
    early = fin & (first_after(data, found.forward, starts)[0] >= 0)
    last = (first_after(every, found.forward, starts)[0] < 0) & ~found.has(TCP_SYN | TCP_FIN | TCP_RST)
    gets = last & (last_before(early, found.forward, starts)[0] >= 0)
    gets &= last_before(fin & ~early, found.forward, starts)[0] < 0
    _drop_flag(columns, TCP_FIN, found.rows[early])
    columns["tcp_flags"][found.rows[gets]] |= TCP_FIN
    return found.rows[early | gets]


def _answer_syns(columns: Columns) -> np.ndarray:
    """Rows that are the first from the side which a SYN was sent to, and neither SYN and ACK nor a reset; they become a
    SYN and ACK. And rows with a SYN and ACK from the side that sent the SYN; they become an ACK."""
    found = find_connections(columns)
    first = found.starts == np.arange(len(found))
    handshake = found.flags & _HANDSHAKE
    opened, opened_opposite = found.sides(first & (handshake == TCP_SYN))
    answers = opened_opposite & (found.previous < 0) & ~first & found.whole & ~found.has(TCP_RST)
    mute = answers & ((handshake != _HANDSHAKE) | found.has(TCP_FIN))
    unasked = opened & (handshake == _HANDSHAKE)
    flags, length = columns["tcp_flags"].copy(), columns["length"].copy()
    rows = found.rows[mute]
    flags[rows] = flags[rows] & ~np.uint16(TCP_FIN | TCP_PSH) | np.uint16(_HANDSHAKE)
    length[rows] -= found.payload[mute].astype(length.dtype)
    flags[found.rows[unasked]] &= ~np.uint16(TCP_SYN)
    columns["tcp_flags"], columns["length"] = flags, length
    return found.rows[mute | unasked]


def _push(columns: Columns) -> np.ndarray:
    flags = columns["tcp_flags"]
    pushes = ((flags & TCP_PSH) > 0) & ((flags & (TCP_SYN | TCP_FIN | TCP_RST)) == 0)
    rows = np.flatnonzero((columns["protocol"] == TCP) & (columns["fragment_offset"] == 0) & pushes)
    payload, whole = payload_of(columns, rows)
    return _mask(columns, _drop_flag(columns, TCP_PSH, rows[whole & (payload == 0)]))


def _window(columns: Columns) -> np.ndarray:
    suspects = (columns["protocol"] == TCP) & (columns["tcp_window"] == 0) & ((columns["tcp_flags"] & TCP_RST) == 0)
    if not suspects.any():
        return suspects
    found = find_connections(columns)
    window = columns["tcp_window"][found.rows]
    open_, closed = (window > 0) & ~found.has(TCP_RST), (window == 0) & ~found.has(TCP_RST)
    opens_again, _ = first_after(open_, found.forward, found.starts)
    _, sent_into_it = first_after(found.payload > 1, found.forward, found.starts)  # one byte may be a probe
    wrong = closed & (sent_into_it >= 0) & ((opens_again < 0) | (sent_into_it < opens_again))
    before, _ = last_before(open_, found.forward, found.starts)
    nearest = np.where(before >= 0, before, opens_again)
    rows = found.rows[wrong]
    mended = columns["tcp_window"].copy()
    mended[rows] = np.where(nearest >= 0, window[nearest], _LARGEST_WINDOW)[wrong]
    columns["tcp_window"] = mended
    return _mask(columns, rows)


def _drop_flag(columns: Columns, flag: int, rows: np.ndarray) -> np.ndarray:
    flags = columns["tcp_flags"].copy()
    rest = flags[rows] & ~np.uint16(flag)
    flags[rows] = np.where(rest > 0, rest, TCP_ACK)
    columns["tcp_flags"] = flags
    return rows


def _mask(columns: Columns, rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(len(columns["time"]), dtype=bool)
    mask[rows] = True
    return mask


# Before the lengths of messages, which the service that a SYN calls decides.
STREAM_ORDER_RULE = Rule(
    "tcp_order", "SYN is answered by SYN and ACK or reset, FIN comes last (RFC 9293, 3.5 and 3.6)", _order
)
STREAM_RULES = (
    Rule("tcp_push", "a segment that only acknowledges pushes nothing (RFC 9293, 3.9.1)", _push),
    Rule("tcp_window", "nobody sends into a closed window: it is as open as it was before (RFC 9293, 3.8.6)", _window),
)
