"""IP addresses as columns: texts or integers to (version, two 64-bit halves), and back.

    version, hi, lo, valid = parse_addresses(["10.0.0.1", "2001:db8::1", "nonsense"])
    format_addresses(version[valid], hi[valid], lo[valid])

IPv4 addresses are the low 32 bits of `lo`; texts leave as dotted quads, or as RFC 5952 recommends for IPv6. Both
directions work on distinct values only, so a column of a million rows with a thousand hosts costs a thousand
conversions.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_MAX_IPV4 = 0xFFFFFFFF
_LOW_64 = 0xFFFFFFFFFFFFFFFF
_MAX_IPV6 = (1 << 128) - 1
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_DOTTED_QUAD = rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$"


def parse_addresses(
    texts: np.ndarray | pd.Series | Sequence[str | int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Addresses given as dotted quads, IPv6 texts or integers (up to 2^32 - 1 IPv4, above IPv6) to columns.

    Args:
        texts: n values; an integer column, or texts, or a mixture. Integers written as text count as integers.

    Returns:
        ip_version uint8[n] (4, 6, or 0 where invalid), hi uint64[n], lo uint64[n], valid bool[n]. Invalid values
        (empty, malformed, out of range, with a zone such as `%eth0`) have zeros.
    """
    values = texts if isinstance(texts, pd.Series) else pd.Series(texts)
    if pd.api.types.is_integer_dtype(values.dtype) and not values.hasnans:
        return _parse_integers(values.to_numpy())
    codes, distinct = pd.factorize(values)
    # One more than the distinct values: the code -1 of a missing value.
    version = np.zeros(len(distinct) + 1, dtype=np.uint8)
    hi = np.zeros(len(distinct) + 1, dtype=np.uint64)
    lo = np.zeros(len(distinct) + 1, dtype=np.uint64)
    is_ipv4, ipv4 = _parse_ipv4_texts(distinct)
    at = np.flatnonzero(is_ipv4)
    version[at], lo[at] = 4, ipv4
    for row in np.flatnonzero(~is_ipv4):
        version[row], hi[row], lo[row] = _parse_one(distinct[row])
    return version[codes], hi[codes], lo[codes], version[codes] != 0


def format_addresses(ip_version: np.ndarray, hi: np.ndarray, lo: np.ndarray) -> np.ndarray:
    """Texts of addresses: dotted quads where the version is not 6, RFC 5952 texts where it is.

    Returns:
        object[n] of `str`.
    """
    is_v6 = np.asarray(ip_version) == 6
    hi = np.asarray(hi, dtype=np.uint64)
    lo = np.asarray(lo, dtype=np.uint64)
    texts = np.empty(len(is_v6), dtype=object)
    is_v4 = ~is_v6
    if is_v4.any():
        codes, distinct = pd.factorize(lo[is_v4])
        texts[is_v4] = _format_ipv4(distinct)[codes]
    if is_v6.any():
        hi_codes, hi_distinct = pd.factorize(hi[is_v6])
        lo_codes, lo_distinct = pd.factorize(lo[is_v6])
        codes, pairs = pd.factorize(hi_codes * len(lo_distinct) + lo_codes)
        upper, lower = np.divmod(pairs, len(lo_distinct))
        rows = zip(hi_distinct[upper].tolist(), lo_distinct[lower].tolist(), strict=True)
        texts[is_v6] = np.array([_format_ipv6(*row) for row in rows], dtype=object)[codes]
    return texts


def _parse_integers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    valid = values >= 0
    lo = np.where(valid, values, 0).astype(np.uint64)
    version = np.where(lo <= _MAX_IPV4, 4, 6) * valid
    return version.astype(np.uint8), np.zeros(len(values), dtype=np.uint64), lo, valid


def _parse_ipv4_texts(values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Which of the values are plain dotted quads or texts of 32-bit integers (bool[n]), and these addresses."""
    try:
        texts = pa.array(values, pa.string())
    except (pa.ArrowException, TypeError, ValueError):  # not only texts
        return np.zeros(len(values), dtype=bool), np.empty(0, dtype=np.uint64)
    is_quad = pc.match_substring_regex(texts, _DOTTED_QUAD).to_numpy(zero_copy_only=False)
    is_integer = pc.match_substring_regex(texts, r"^[0-9]{1,9}$").to_numpy(zero_copy_only=False)
    addresses = np.zeros(len(values), dtype=np.uint64)
    if is_quad.any():
        octets = pc.list_flatten(pc.split_pattern(texts.filter(pa.array(is_quad)), "."))
        table = pc.cast(octets, pa.uint64()).to_numpy().reshape(-1, 4)
        addresses[is_quad] = table @ np.array([1 << 24, 1 << 16, 1 << 8, 1], dtype=np.uint64)
    if is_integer.any():
        addresses[is_integer] = pc.cast(texts.filter(pa.array(is_integer)), pa.uint64()).to_numpy()
    plain = is_quad | is_integer
    return plain, addresses[plain]


def _parse_one(value: Any) -> tuple[int, int, int]:
    """(version, hi, lo) of one address, zeros where it is none."""
    if isinstance(value, str):
        text = value.strip()
        if ":" in text:
            try:
                packed = socket.inet_pton(socket.AF_INET6, text)
            except (OSError, UnicodeError, ValueError):
                return 0, 0, 0
            return 6, int.from_bytes(packed[:8]), int.from_bytes(packed[8:])
        if "." in text:
            try:
                return 4, 0, int.from_bytes(socket.inet_pton(socket.AF_INET, text))
            except (OSError, UnicodeError, ValueError):
                return 0, 0, 0
        if not (text.isascii() and text.isdigit() and len(text) < 40):
            return 0, 0, 0
        number = int(text)
    elif isinstance(value, (int, np.integer)) or (
        isinstance(value, (float, np.floating)) and float(value).is_integer() and value <= _MAX_IPV4
    ):
        number = int(value)
    else:
        return 0, 0, 0
    if not 0 <= number <= _MAX_IPV6:
        return 0, 0, 0
    return (4 if number <= _MAX_IPV4 else 6), number >> 64, number & _LOW_64


def _format_ipv4(values: np.ndarray) -> np.ndarray:
    octets = [((values >> np.uint64(shift)) & np.uint64(255)).tolist() for shift in (24, 16, 8, 0)]
    return np.array([f"{a}.{b}.{c}.{d}" for a, b, c, d in zip(*octets, strict=True)], dtype=object)


def _format_ipv6(hi: int, lo: int) -> str:
    if hi == 0 and lo >> 32 == 0xFFFF:  # IPv4-mapped: RFC 5952, section 5
        return "::ffff:" + ".".join(str(lo >> shift & 255) for shift in (24, 16, 8, 0))
    return IPv6Address(hi << 64 | lo).compressed
