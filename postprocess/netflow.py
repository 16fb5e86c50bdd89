"""Unidirectional NetFlow records of a packet trace, as an exporter would make them.

A record ends when no packet came for the inactive timeout or when it has lasted the active timeout (RFC 5470, 5.1.1).
"""

from __future__ import annotations

import numpy as np

from netshare.preprocess.protocols import ICMP, ICMPV6
from netshare.preprocess.ragged import run_starts
from netshare.preprocess.trace import FIVE_TUPLE, Trace, make_trace

ACTIVE_TIMEOUT = 1800.0  # seconds, Cisco's default
INACTIVE_TIMEOUT = 15.0


def flows_from_packets(
    trace: Trace, *, active_timeout: float = ACTIVE_TIMEOUT, inactive_timeout: float = INACTIVE_TIMEOUT
) -> Trace:
    """The flow trace of a packet trace, sorted by start time.

    Args:
        trace: packet trace, in any order.
        active_timeout, inactive_timeout: seconds.

    Returns:
        Flow trace with TCP flags (union) and TOS (of the first packet). ICMP records have type * 256 + code as
        destination port, nfdump's convention. Bytes are those of the IP packets.
    """
    rows = trace.sorted_by_time()
    if not len(rows):
        return make_trace("flow", {name: np.zeros(0) for name in ("time", "tcp_flags", "tos")}, sources=trace.sources)
    key = {name: rows[name] for name in FIVE_TUPLE}
    icmp = (rows["protocol"] == ICMP) | (rows["protocol"] == ICMPV6)
    key["dst_port"] = np.where(icmp, rows["icmp_type"].astype(np.uint16) * 256 + rows["icmp_code"], key["dst_port"])
    key["src_port"] = np.where(icmp, 0, key["src_port"])
    order = np.lexsort([rows["time"], *key.values()])
    new_tuple = np.zeros(len(order), dtype=bool)
    new_tuple[0] = True
    for values in key.values():
        ordered = values[order]
        new_tuple[1:] |= ordered[1:] != ordered[:-1]
    time = rows["time"][order]
    first = new_tuple.copy()
    first[1:] |= np.diff(time) > int(inactive_timeout * 1e9)
    first = _split_active(time, first, int(active_timeout * 1e9))
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(order)) - 1
    columns = {name: values[order][starts] for name, values in key.items()}
    columns |= {
        "time": time[starts],
        "duration": time[ends] - time[starts],
        "packets": ends - starts + 1,
        "bytes": np.add.reduceat(rows["length"][order].astype(np.int64), starts),
        "tcp_flags": np.bitwise_or.reduceat(rows["tcp_flags"][order], starts),
        "tos": rows["tos"][order][starts],
        "epoch": rows["epoch"][order][starts],
    }
    return make_trace("flow", columns, sources=trace.sources).sorted_by_time()


def _split_active(time: np.ndarray, first: np.ndarray, timeout: int) -> np.ndarray:
    """Begin a new record wherever one would last longer than the active timeout.

    Each pass cuts every record that is too long once, at the first packet beyond the timeout; records much longer than
    the timeout take a pass a piece.
    """
    first = first.copy()
    while True:
        start = run_starts(first)
        late = time - time[start] > timeout
        cut = late & ~np.append(False, late[:-1] & (start[1:] == start[:-1]))
        if not cut.any():
            return first
        first |= cut
