"""TCP (RFC 9293, 3.1), UDP (RFC 768), ICMP and ICMPv6 (RFC 792, RFC 4443, 2.1)."""

from __future__ import annotations

import numpy as np

TCP_HEADER = np.dtype([
    ("src_port", ">u2"), ("dst_port", ">u2"), ("sequence", ">u4"), ("acknowledgement", ">u4"),
    ("offset_flags", ">u2"), ("window", ">u2"), ("checksum", ">u2"), ("urgent", ">u2"),
])  # fmt: skip  # without options
UDP_HEADER = np.dtype([("src_port", ">u2"), ("dst_port", ">u2"), ("length", ">u2"), ("checksum", ">u2")])
ICMP_HEADER = np.dtype(  # of an echo; other messages have other fields after the checksum
    [("type", "u1"), ("code", "u1"), ("checksum", ">u2"), ("identifier", ">u2"), ("sequence", ">u2")]
)
PORTS = np.dtype([("src_port", ">u2"), ("dst_port", ">u2")])  # what TCP, UDP, SCTP, DCCP and UDP-Lite begin with
