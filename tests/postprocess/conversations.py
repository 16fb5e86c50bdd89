"""Conversations of TCP, written down segment by segment."""

from typing import NamedTuple

import numpy as np

from netshare.preprocess.trace import Trace, make_trace

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
CLIENT, SERVER = 0, 1
SECOND = 10**9


class Segment(NamedTuple):
    sender: int
    flags: int
    payload: int = 0
    gap: int = 1_000_000  # ns since the segment before
    window: int = 1000


HANDSHAKE = [Segment(CLIENT, SYN), Segment(SERVER, SYN | ACK), Segment(CLIENT, ACK)]
CLOSING = [Segment(CLIENT, FIN | ACK), Segment(SERVER, FIN | ACK), Segment(CLIENT, ACK)]


def conversation(segments: list[Segment], *, version: int = 4, ports: tuple[int, int] = (50_000, 8080)) -> Trace:
    """A trace of one five-tuple, in both directions; `ports` are the client's and the server's."""
    sender, flags, payload, gap, window = (np.array(column) for column in zip(*segments, strict=True))
    addresses, port = np.array([0x0A000001, 0x0A000002]), np.array(ports)
    rows = len(segments)
    header = np.where(flags & SYN, 40, 32)
    return make_trace(
        "packet",
        {
            "time": 10**18 + np.cumsum(gap),
            "ip_version": np.full(rows, version),
            "src_hi": np.full(rows, 0x2001 << 48 if version == 6 else 0),
            "dst_hi": np.full(rows, 0x2001 << 48 if version == 6 else 0),
            "src_lo": addresses[sender],
            "dst_lo": addresses[1 - sender],
            "src_port": port[sender],
            "dst_port": port[1 - sender],
            "protocol": np.full(rows, 6),
            "ttl": np.full(rows, 64),
            "tcp_flags": flags,
            "tcp_header_length": header,
            "tcp_window": window,
            "length": (40 if version == 6 else 20) + header + payload,
        },
    )
