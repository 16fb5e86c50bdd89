"""TCP options for a given header length: what real stacks send where it fits, NOPs for the rest.

SYN segments carry maximum segment size, SACK permitted, timestamps and window scale (RFC 9293, 3.2; RFC 2018; RFC
7323) as far as the space allows; other segments two NOPs and timestamps from 12 bytes on (RFC 7323, appendix A).
"""

from __future__ import annotations

import numpy as np

from postprocess import rules

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
_ROUND_TRIP_MS = 20  # an echoed timestamp lies this far back


def tcp_option_rows(space: int, flags: np.ndarray, ip_version: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Options of segments whose header has `space` bytes for them (a multiple of 4, 4 to 40).

    Args:
        flags: uint16[n]; ip_version: uint8[n]; time: int64[n] nanoseconds, whose milliseconds are the timestamps.

    Returns:
        uint8[n, space].
    """
    syn = (flags & rules.TCP_SYN) > 0
    templates = np.array([list(_plain_layout(space)), list(_syn_layout(space))], dtype=np.uint8)
    rows = templates[syn.astype(np.intp)]
    clock = ((time // 1_000_000) & 0xFFFFFFFF).astype(np.int64)
    echoed = np.where((flags & rules.TCP_ACK) > 0, np.maximum(clock - _ROUND_TRIP_MS, 0), 0)
    for is_syn, template in ((False, templates[0]), (True, templates[1])):
        at = bytes(template).find(_TIMESTAMPS)
        chosen = np.flatnonzero(syn == is_syn)
        if at >= 0 and len(chosen):
            rows[chosen, at + 2 : at + 6] = _four_bytes(clock[chosen])
            rows[chosen, at + 6 : at + 10] = _four_bytes(echoed[chosen])
    small = np.flatnonzero(syn & (ip_version == 6))
    rows[small, 2:4] = np.array([_MSS_IPV6 >> 8, _MSS_IPV6 & 0xFF], dtype=np.uint8)
    return rows


def _syn_layout(space: int) -> bytes:
    fitting = max(length for length in _SYN_LAYOUTS if length <= space)
    return _SYN_LAYOUTS[fitting].ljust(space, _NOP)


def _plain_layout(space: int) -> bytes:
    return (_NOP + _NOP + _TIMESTAMPS if space >= 12 else b"").ljust(space, _NOP)


def _four_bytes(values: np.ndarray) -> np.ndarray:
    return values.astype(">u4").view(np.uint8).reshape(-1, 4)
