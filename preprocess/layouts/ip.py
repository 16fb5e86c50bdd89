"""IPv4 (RFC 791, 3.1) and IPv6 with its extension headers (RFC 8200, 3 and 4)."""

from __future__ import annotations

import numpy as np

IPV4 = np.dtype([
    ("version_ihl", "u1"), ("tos", "u1"), ("length", ">u2"), ("identification", ">u2"), ("flags_offset", ">u2"),
    ("ttl", "u1"), ("protocol", "u1"), ("checksum", ">u2"), ("src", ">u4"), ("dst", ">u4"),
])  # fmt: skip  # without options
IPV6 = np.dtype([
    ("version_class_flow", ">u4"), ("payload_length", ">u2"), ("next_header", "u1"), ("hop_limit", "u1"),
    ("src_hi", ">u8"), ("src_lo", ">u8"), ("dst_hi", ">u8"), ("dst_lo", ">u8"),
])  # fmt: skip
# The first bytes of any extension header. They are all of a fragment header, whose `length` is reserved.
IPV6_EXTENSION = np.dtype([("next_header", "u1"), ("length", "u1"), ("flags_offset", ">u2"), ("identification", ">u4")])
