"""Where the records of a pcap file begin.

A record's header holds its own length only, so the records form a chain that is followed from one to the next. Where
records are short, the chain is followed in many places of the file at once: each place is entered at bytes that look
like a record's header, and what is found from there counts only if the chain from before arrives at just that header.
The result is that of the plain walk, whatever the bytes are.
"""

from __future__ import annotations

import struct

import numpy as np

from netshare.preprocess.layouts.captures import pcap_record_header
from netshare.preprocess.readers.frames import gather

_FIRST_WALK_RECORDS = 256  # records walked one by one before the chain is followed in many places
_LONG_RECORD_BYTES = 1024  # bytes of a record on average, from which on the plain walk is as fast
_STRETCH_BYTES = 8 << 20  # bytes followed at a time
_ENTRANCE_SPACING_BYTES = 4096  # bytes from one entrance to the next
_FURTHER_WALK_RECORDS = 2048  # records walked one by one where few entrances were found
_MIN_ENTRANCES = 64  # entrances for which the chain is followed in many places
_MAX_STEP_FACTOR = 4  # steps from one entrance to the next, as multiples of those that are expected


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
    walked, after = _walk(buffer, position, order, header_length, _FIRST_WALK_RECORDS)
    mean = (after - position) // max(len(walked), 1)
    stop = min(after + _STRETCH_BYTES, len(buffer) - header_length + 1)
    starts = np.empty(0, np.int64)
    if (
        len(walked) == _FIRST_WALK_RECORDS
        and mean < _LONG_RECORD_BYTES
        and stop - after > _MIN_ENTRANCES * _ENTRANCE_SPACING_BYTES
    ):
        starts = _enter(buffer, int(walked[-1]), after, stop, mean, order, header_length, largest)
    if len(starts) and 2 * _ENTRANCE_SPACING_BYTES * len(starts) > stop - after:
        found, after = _follow(buffer, starts, stop, mean, order, header_length)
    else:
        found, after = _walk(buffer, after, order, header_length, _FURTHER_WALK_RECORDS)
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
    width = min(4 * mean + header_length, _ENTRANCE_SPACING_BYTES)
    places = np.arange(after + _ENTRANCE_SPACING_BYTES, stop - width, _ENTRANCE_SPACING_BYTES)
    upper = struct.pack(order + "I", seconds)[slice(2, 4) if order == "<" else slice(0, 2)]
    pairs = np.ndarray(len(buffer) - 1, dtype=np.uint16, buffer=buffer.data, strides=(1,))
    at = 2 if order == "<" else 0
    windows = np.lib.stride_tricks.as_strided(
        pairs[int(places[0]) + at :], (len(places), width), (_ENTRANCE_SPACING_BYTES, 1)
    )
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
    for _ in range(_MAX_STEP_FACTOR * (_ENTRANCE_SPACING_BYTES // mean + 1)):
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
