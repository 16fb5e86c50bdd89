"""TCP options for a given header length: what real stacks send where it fits, NOPs for the rest.

SYN segments carry maximum segment size, SACK permitted, timestamps and window scale (RFC 9293, 3.2; RFC 2018; RFC
7323) as far as the space allows; other segments two NOPs and timestamps from 12 bytes on (RFC 7323, appendix A).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.postprocess import rules
from netshare.postprocess.tcp_connections import Connections
from netshare.preprocess.trace import Trace

_NOP = b"\x01"
_MSS = b"\x02\x04\x05\xb4"  # 1,460 bytes: Ethernet's 1,500 less two headers of 20
_SACK_PERMITTED = b"\x04\x02"
_WINDOW_SCALE = b"\x03\x03\x07"
_TIMESTAMPS = b"\x08\x0a" + bytes(8)
_MSS_IPV6 = 1440
_SYN_LAYOUTS = {
    4: _MSS,
    8: _MSS + _NOP + _WINDOW_SCALE,
    12: _MSS + _NOP + _WINDOW_SCALE + _NOP + _NOP + _SACK_PERMITTED,
    16: _MSS + _SACK_PERMITTED + _TIMESTAMPS,
    20: _MSS + _SACK_PERMITTED + _TIMESTAMPS + _NOP + _WINDOW_SCALE,
}
_ROUND_TRIP_MS = 20  # an echo of what is not in the trace lies this far back
_LARGEST_WINDOW = 1 << 20  # bytes; receive buffers of common stacks grow to one or a few MiB
_LARGEST_SHIFT = 7  # of stacks with a receive buffer of some MiB


@dataclass(frozen=True)
class OptionValues:
    """What options say; one entry a row of the trace, zeros where it is not TCP.

    Attributes:
        clock: uint32[n] (ms), the timestamp of the sender's clock, which begins anywhere (RFC 7323, 5.4).
        echoed: uint32[n] (ms), the timestamp of the last segment from the other side.
        shift: uint8[n], the window scale of the sender in this connection.
    """

    clock: np.ndarray
    echoed: np.ndarray
    shift: np.ndarray

    def take(self, index: slice | np.ndarray) -> OptionValues:
        """The values of some rows."""
        return OptionValues(self.clock[index], self.echoed[index], self.shift[index])


def option_values(trace: Trace, found: Connections, *, seed: int = 0) -> OptionValues:
    """Timestamps that echo each other, and window scales with which no window is above a mebibyte or so."""
    rows = found.rows
    begin, begin_opposite = found.initial(seed)
    milliseconds = (trace["time"][rows] // 1_000_000).astype(np.uint64)
    seen = np.where(
        found.previous_opposite >= 0, milliseconds[found.previous_opposite], milliseconds - np.uint64(_ROUND_TRIP_MS)
    )
    largest = _largest_of_side(found, np.where(found.has(rules.TCP_SYN), 0, trace["tcp_window"][rows]).astype(np.int64))
    values = OptionValues(
        np.zeros(len(trace), np.uint32), np.zeros(len(trace), np.uint32), np.zeros(len(trace), np.uint8)
    )
    values.clock[rows] = (milliseconds + begin) & np.uint64(0xFFFFFFFF)
    values.echoed[rows] = np.where(found.has(rules.TCP_ACK), (seen + begin_opposite) & np.uint64(0xFFFFFFFF), 0)
    room = np.log2(_LARGEST_WINDOW / np.maximum(largest, 1)).astype(np.int64)
    values.shift[rows] = np.minimum(room, _LARGEST_SHIFT)
    return values


def tcp_option_rows(space: int, flags: np.ndarray, ip_version: np.ndarray, values: OptionValues) -> np.ndarray:
    """Options of segments whose header has `space` bytes for them (a multiple of 4, 4 to 40).

    Args:
        flags: uint16[n]; ip_version: uint8[n]; values: of the same segments.

    Returns:
        uint8[n, space].
    """
    syn = (flags & rules.TCP_SYN) > 0
    templates = np.array([list(_plain_layout(space)), list(_syn_layout(space))], dtype=np.uint8)
    rows = templates[syn.astype(np.intp)]
    for is_syn, template in ((False, templates[0]), (True, templates[1])):
        chosen = np.flatnonzero(syn == is_syn)
        at = bytes(template).find(_TIMESTAMPS)
        if at >= 0 and len(chosen):
            rows[chosen, at + 2 : at + 6] = _four_bytes(values.clock[chosen])
            rows[chosen, at + 6 : at + 10] = _four_bytes(values.echoed[chosen])
        at = bytes(template).find(_WINDOW_SCALE)
        if at >= 0:
            rows[chosen, at + 2] = values.shift[chosen]
    small = np.flatnonzero(syn & (ip_version == 6))
    rows[small, 2:4] = np.array([_MSS_IPV6 >> 8, _MSS_IPV6 & 0xFF], dtype=np.uint8)
    return rows


def _largest_of_side(found: Connections, values: np.ndarray) -> np.ndarray:
    """int64[n]: the largest value in each segment's direction and connection."""
    side = found.number * 2 + found.forward
    most = np.zeros(int(found.number[-1]) * 2 + 2 if len(found) else 0, dtype=np.int64)
    np.maximum.at(most, side, values)
    return most[side]


def _syn_layout(space: int) -> bytes:
    fitting = max(length for length in _SYN_LAYOUTS if length <= space)
    return _SYN_LAYOUTS[fitting].ljust(space, _NOP)


def _plain_layout(space: int) -> bytes:
    return (_NOP + _NOP + _TIMESTAMPS if space >= 12 else b"").ljust(space, _NOP)


def _four_bytes(values: np.ndarray) -> np.ndarray:
    return values.astype(">u4").view(np.uint8).reshape(-1, 4)
