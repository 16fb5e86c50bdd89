"""The Internet checksum (RFC 1071) over columns of headers, and CRC32c (RFC 9260, appendix A) for SCTP.

A packet's checksum is put together from sums of parts: the header words, the pseudo header of RFC 9293, 3.1 and
RFC 8200, 8.1, and the payload, whose sum follows from its fill byte and length without touching its bytes. Sums are
int64 and may be added freely before `fold`.
"""

from __future__ import annotations

import numpy as np


def internet_checksum(data: bytes) -> int:
    """The RFC 1071 checksum of a byte string (odd lengths are padded with a zero byte)."""
    padded = np.frombuffer(data + bytes(len(data) % 2), dtype=">u2")
    return int(fold(np.array([padded.sum(dtype=np.int64)]))[0])


def fold(sums: np.ndarray) -> np.ndarray:
    """uint16[n]: the ones' complement of the ones'-complement sums; `sums` are non-negative int64[n] word sums."""
    folded = (sums & 0xFFFF) + (sums >> 16)
    folded = (folded & 0xFFFF) + (folded >> 16)
    folded = (folded & 0xFFFF) + (folded >> 16)
    return (0xFFFF - folded).astype(np.uint16)


def word_sums(rows: np.ndarray) -> np.ndarray:
    """int64[n]: the sum of the big-endian 16-bit words of each row of uint8[n, even width]."""
    columns = np.ascontiguousarray(rows).view(">u2").T
    total = np.zeros(len(rows), dtype=np.int64)
    for column in columns:  # tens of words, not one per row: far faster than a reduction along a short axis
        total += column
    return total


def address_sums(hi: np.ndarray, lo: np.ndarray) -> np.ndarray:
    """int64[n]: the sum of the 16-bit words of addresses given as two uint64 halves (IPv4: the low 32 bits)."""
    total = _four_words(lo)
    return total + _four_words(hi) if hi.any() else total


def fill_sums(fill: np.ndarray, length: np.ndarray) -> np.ndarray:
    """int64[n]: the word sum of `length` times the byte `fill`, starting at an even offset."""
    byte = fill.astype(np.int64)
    return (length >> 1) * (byte << 8 | byte) + (length & 1) * (byte << 8)


def crc32c(rows: np.ndarray, length: np.ndarray) -> np.ndarray:
    """uint32[n]: CRC32c of the first `length[i]` bytes of each row of uint8[n, width]."""
    table = _crc32c_table()
    crc = np.full(len(rows), 0xFFFFFFFF, dtype=np.uint32)
    for position in range(rows.shape[1]):
        stepped = table[(crc ^ rows[:, position]) & 0xFF] ^ (crc >> np.uint32(8))
        crc = np.where(position < length, stepped, crc)
    return crc ^ np.uint32(0xFFFFFFFF)


def _four_words(half: np.ndarray) -> np.ndarray:
    mask = np.uint64(0xFFFF)
    words = (half & mask) + ((half >> np.uint64(16)) & mask) + ((half >> np.uint64(32)) & mask)
    return (words + (half >> np.uint64(48))).astype(np.int64)


def _crc32c_table() -> np.ndarray:
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, (values >> np.uint32(1)) ^ np.uint32(0x82F63B78), values >> np.uint32(1))
    return values.astype(np.uint32)
