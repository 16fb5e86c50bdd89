"""Where the records of a pcap file begin.

Each record tells only its own length, so that the way from one to the next is a chain. Where records are short, the
chain is followed in many places of the file at once: a place in the middle is entered at bytes that look like a record's
header, and what is found there counts only if the chain from before arrives at just that header. The result is that of
the plain walk, whatever the bytes are.
"""

from __future__ import annotations

import struct

import numpy as np

from netshare.preprocess.layouts.captures import pcap_record_header
from netshare.preprocess.readers.frames import gather

_WALKED = 256  # records walked one by one before the chain is followed in many places
_LONG = 1024  # bytes of a record on average, from which on the plain walk is as fast
_STRETCH = 8 << 20  # bytes followed at a time
_APART = 4096  # bytes from one entrance to the next
_WALKED_ON = 2048  # and where that is not worth while
_FEWEST = 64  # entrances that make it worth while
_PATIENCE = 4  # times the expected number of steps


def find_records(
    buffer: np.ndarray, position: int, order: str, header_length: int, largest: int
) -> tuple[np.ndarray, int]:
    """The next records of a pcap file, some at least where there are any.

    Args:
        buffer: uint8[size]
        position: where the first of them begins.
        order: byte order, `<` or `>`.
        header_length: bytes of a record's header.
        largest: captured bytes that a record may have.

    Returns:
        where they begin (int64[n]; the whole header lies in the buffer), and where the next one does. A record that is
        too long or not whole may be the last one only in that what follows it is meaningless.
    """
    walked, after = _walk(buffer, position, order, header_length, _WALKED)
    mean = (after - position) // max(len(walked), 1)
    stop = min(after + _STRETCH, len(buffer) - header_length + 1)
    starts = np.empty(0, np.int64)
    if len(walked) == _WALKED and mean < _LONG and stop - after > _FEWEST * _APART:
        starts = _enter(buffer, int(walked[-1]), after, stop, mean, order, header_length, largest)
    if len(starts) and 2 * _APART * len(starts) > stop - after:
        found, after = _follow(buffer, starts, stop, mean, order, header_length)
    else:
        found, after = _walk(buffer, after, order, header_length, _WALKED_ON)
    return np.concatenate([walked, found]), after


def _walk(buffer: np.ndarray, position: int, order: str, header_length: int, most: int) -> tuple[np.ndarray, int]:
    """At most so many records, one after the other."""
    length_at = struct.Struct(order + "I").unpack_from
    data = buffer.data
    stop = len(buffer) - header_length
    starts: list[int] = []
    append = starts.append
    for _ in range(most):
        if position > stop:
            break
        append(position)
        position += header_length + length_at(data, position + 8)[0]
    return np.array(starts, dtype=np.int64), position


def _enter(
    buffer: np.ndarray, known: int, after: int, stop: int, mean: int, order: str, header_length: int, largest: int
) -> np.ndarray:
    """int64[lanes], ascending: `after`, then the likely beginning of a record every so many bytes.

    A header is likely where its time is near that of the record at `known`, its lengths are possible, and a header with
    such a time follows the record.
    """
    layout = pcap_record_header(order)
    seconds = int(gather(buffer, np.array([known]), layout)["seconds"][0])
    width = min(4 * mean + header_length, _APART)
    places = np.arange(after + _APART, stop - width, _APART)
    upper = struct.pack(order + "I", seconds)[slice(2, 4) if order == "<" else slice(0, 2)]
    pairs = np.ndarray(len(buffer) - 1, dtype=np.uint16, buffer=buffer.data, strides=(1,))
    at = 2 if order == "<" else 0
    windows = np.lib.stride_tricks.as_strided(pairs[int(places[0]) + at :], (len(places), width), (_APART, 1))
    lane, offset = np.divmod(np.flatnonzero(windows == np.frombuffer(upper, np.uint16)[0]), width)
    likely = places[lane] + offset
    header = gather(buffer, likely, layout)
    captured = header["captured"].astype(np.int64)
    good = (captured <= np.minimum(header["wire"], largest)) & (header["fraction"] < 1_000_000_000)
    following = gather(buffer, np.minimum(likely + header_length + captured, len(buffer)), layout)
    good &= (following["seconds"].astype(np.int64) >> 16 == seconds >> 16) | (likely + captured >= stop)
    lane, first = np.unique(lane[good], return_index=True)
    return np.concatenate([[after], likely[good][first]])


def _follow(
    buffer: np.ndarray, starts: np.ndarray, stop: int, mean: int, order: str, header_length: int
) -> tuple[np.ndarray, int]:
    """Follow the chain from all starts, each up to the next, as far as one leads to the next."""
    ends = np.append(starts[1:], stop)
    last = len(buffer) - header_length
    lengths = np.ndarray(len(buffer) - 3, dtype=order + "u4", buffer=buffer.data, strides=(1,))
    position, steps = starts, [starts]
    for _ in range(_PATIENCE * (_APART // mean + 1)):
        length = lengths[np.minimum(position, last) + 8].astype(np.int64)
        position = np.where(position < ends, position + header_length + length, position)
        steps.append(position)
        if bool((position >= ends).all()):
            break
    elsewhere = np.flatnonzero(position != ends)
    lanes = int(elsewhere[0]) + 1 if len(elsewhere) else len(starts)
    after = int(position[lanes - 1])
    table = np.stack(steps, axis=1)[:lanes]
    return table[table < np.minimum(ends[:lanes], after)[:, None]], after
