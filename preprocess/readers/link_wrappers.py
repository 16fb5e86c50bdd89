"""Link types that wrap another: ERF, macOS' PKTAP, and radio headers of 802.11 with the 802.11 header itself.

ERF types of Endace's record format: Ethernet, HDLC, raw IP. Of 802.11 (IEEE 802.11-2020, 9.3.2), data frames in the
clear are walked through to their 802.2 header; management, control, encrypted and aggregated (A-MSDU) frames are
not read as IP.
"""

from __future__ import annotations

import numpy as np

from netshare.preprocess.layouts.captures import ERF_HEADER
from netshare.preprocess.layouts.ethernet import LINKTYPE_802_11, LINKTYPE_ERF, LINKTYPE_PKTAP, LINKTYPE_RADIOTAP
from netshare.preprocess.readers.frames import gather

WRAPPERS = (LINKTYPE_ERF, LINKTYPE_PKTAP, LINKTYPE_RADIOTAP)
_CUT_LINK = -2

ERF_LINK_TYPES = {1: 104, 2: 1, 5: 104, 10: 104, 11: 1, 16: 1, 20: 1, 22: 228, 23: 229}  # LINKTYPE_ number by ERF type
_ERF_ETHERNET = (2, 11, 16, 20)  # two bytes of offset and padding come before the frame
_ERF_MULTICHANNEL = (5,)  # four bytes of channel come before it
_ERF_MORE = 0x80
_PKTAP = np.dtype([("length", "<u4"), ("record", "<u4"), ("link_type", "<u4")])
_RADIOTAP = np.dtype([("version", "u1"), ("pad", "u1"), ("length", "<u2"), ("present", "<u4")])
_WORD = np.dtype([("value", "<u4")])
_BYTE = np.dtype([("value", "u1")])
_802_11 = np.dtype([("control", "u1"), ("flags", "u1"), ("other", "V22")])


def unwrap(
    buffer: np.ndarray, offset: np.ndarray, end: np.ndarray, link_type: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Step into wrapped frames.

    Args:
        buffer: uint8[size]
        offset: int64[n], where frames begin.
        end: int64[n], where what is captured of them ends.
        link_type: int32[n], LINKTYPE_ values.

    Returns:
        offset int64[n] and link_type int32[n] of the innermost frames, and padded bool[n], true where an 802.11
        header is followed by bytes that align what it carries.
    """
    padded = np.zeros(len(offset), dtype=bool)
    for wrapper in WRAPPERS:
        rows = np.flatnonzero(link_type == wrapper)
        if not len(rows):
            continue
        offset, link_type = offset.copy(), link_type.copy()
        if wrapper == LINKTYPE_ERF:
            skip, inner = _erf(buffer, offset[rows], end[rows])
        elif wrapper == LINKTYPE_PKTAP:
            header = gather(buffer, offset[rows], _PKTAP)
            skip, inner = header["length"].astype(np.int64), header["link_type"].astype(np.int64)
            inner = np.where(np.isin(inner, WRAPPERS) | (inner > 0xFFFF), LINKTYPE_PKTAP, inner)
            inner = np.where(skip < _PKTAP.itemsize, LINKTYPE_PKTAP, inner)
        else:
            header = gather(buffer, offset[rows], _RADIOTAP)
            skip, inner = header["length"].astype(np.int64), np.full(len(rows), LINKTYPE_802_11)
            padded[rows] = _radiotap_padding(buffer, offset[rows])
        fits = offset[rows] + skip <= end[rows]
        link_type[rows] = np.where(fits, inner, _CUT_LINK)
        offset[rows] = np.where(fits & (inner != wrapper), offset[rows] + skip, offset[rows])
    return offset, link_type, padded


def _erf(buffer: np.ndarray, offset: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bytes before the frame in an ERF record, and the frame's link type (LINKTYPE_ERF where its ERF type is unknown)."""
    kind = gather(buffer, offset, ERF_HEADER)["type"].astype(np.int64)
    skip = np.full(len(offset), ERF_HEADER.itemsize, dtype=np.int64)
    more = np.flatnonzero(kind & _ERF_MORE)
    while len(more):  # extension headers of eight bytes, each saying whether another follows
        here = offset[more] + skip[more]
        skip[more] += 8
        more = more[(gather(buffer, here, _BYTE)["value"] & _ERF_MORE != 0) & (here + 8 < end[more])]
    kind &= ~_ERF_MORE
    inner = np.full(len(offset), LINKTYPE_ERF)
    for number, link_type in ERF_LINK_TYPES.items():
        inner[kind == number] = link_type
    skip += np.where(np.isin(kind, _ERF_ETHERNET), 2, np.where(np.isin(kind, _ERF_MULTICHANNEL), 4, 0))
    return skip, inner


def _radiotap_padding(buffer: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Whether by the radio header's flags there is padding after the 802.11 header (flag 0x20)."""
    present = gather(buffer, offset, _RADIOTAP)["present"]
    at = offset + _RADIOTAP.itemsize
    more = np.flatnonzero(present >> 31)
    for _ in range(8):
        if not len(more):
            break
        word = gather(buffer, at[more], _WORD)["value"]
        at[more] += 4
        more = more[word >> 31 == 1]
    has_time = present & 1 == 1
    at = np.where(has_time, offset + (at - offset + 7) // 8 * 8 + 8, at)
    return (present & 2 != 0) & (gather(buffer, at, _BYTE)["value"] & 0x20 != 0)


def ieee_802_11(
    buffer: np.ndarray, offset: np.ndarray, padded: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of 802.11 frames: whether they carry data in the clear, whether they are encrypted (bool[n] each), and the
    length of their header (int64[n])."""
    header = gather(buffer, offset, _802_11)
    control, flags = header["control"].astype(np.int64), header["flags"].astype(np.int64)
    is_data = (control >> 2 & 3 == 2) & (control >> 4 & 4 == 0)
    has_quality = control >> 4 & 8 != 0
    length = 24 + np.where(flags & 3 == 3, 6, 0)
    aggregated = has_quality & (gather(buffer, offset + length, _BYTE)["value"] & 0x80 != 0)
    length = length + np.where(has_quality, 2, 0) + np.where(has_quality & (flags & 0x80 != 0), 4, 0)
    length = np.where(padded, (length + 3) // 4 * 4, length)
    encrypted = is_data & (flags & 0x40 != 0)
    return is_data & ~encrypted & ~aggregated, encrypted, length
