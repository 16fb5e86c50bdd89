"""What a codec may be, where it is read from a file that may be damaged or a stranger's.

A codec that was fitted satisfies all of it; see `netshare.preprocess.fields.stored` for its fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, get_args

import numpy as np

from netshare.preprocess.clock import Clock
from netshare.preprocess.encoded import Schema
from netshare.preprocess.fields import Address, Constant, Exact, FieldEncoding, Style, Tags
from netshare.preprocess.series import FLOW_MEASUREMENTS, METADATA_OF_FLOW, PACKET_MEASUREMENTS
from netshare.preprocess.trace import CATEGORY_COLUMNS, Kind

MAX_LENGTH = 2**24  # records of a series
MAX_WIDTH = 2**62  # ns
MAX_CATEGORIES = 2**24  # over all columns of a schema
ADDRESSES = ("src_ip", "dst_ip")
OF_SERIES = ("start", "span", "starts_here", "continues", "continued", "chunk_tags")


def check_codec(codec: Any) -> None:
    """Whether a `netshare.preprocess.codec.Codec` can have been fitted.

    Raises:
        ValueError: what no fitted codec has.
    """
    if codec.kind not in get_args(Kind) or codec.style not in get_args(Style):
        raise ValueError(f"kind is {codec.kind!r} and style {codec.style!r}, of which one is unknown")
    check_whole("chunk_width", codec.chunk_width, MAX_WIDTH)
    check_whole("resolution", codec.resolution, MAX_WIDTH)
    check_sizes(codec.schema, codec.max_length)
    measured = PACKET_MEASUREMENTS if codec.kind == "packet" else FLOW_MEASUREMENTS
    halves = [name for name in METADATA_OF_FLOW if name[3:] not in ("_hi", "_lo")]
    needed = {*halves, *ADDRESSES, *OF_SERIES}
    _check_names("metadata", codec.metadata, needed, needed | set(CATEGORY_COLUMNS))
    _check_names("measurements", codec.measurements, {"interarrival"}, {"interarrival", "direction", *measured})
    for part in (*codec.metadata, *codec.measurements):
        _check_shape(part)
        if part.name not in ADDRESSES and np.dtype(codec.dtypes[part.name]).str[1:] not in _DTYPES:
            raise ValueError(f"field {part.name}: its type is {codec.dtypes[part.name]!r}")
    check_texts(codec.categories)
    for chunk, clock in codec.clocks.items():
        _check_clock(chunk, clock, codec.chunk_width)


def check_sizes(schema: Schema, max_length: int) -> None:
    """Whether models can be built for a schema and series of so many records.

    Raises:
        ValueError: they are larger than any that was fitted.
    """
    check_whole("max_length", max_length, MAX_LENGTH)
    categories = sum(column.cardinality for column in (*schema.metadata, *schema.measurements))
    if categories > MAX_CATEGORIES:
        raise ValueError(f"there are {categories:,} categories, more than {MAX_CATEGORIES:,}")


def _check_names(table: str, parts: Sequence[FieldEncoding], needed: set[str], known: set[str]) -> None:
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise ValueError(f"{table}: a field comes twice")
    for name in sorted(needed.symmetric_difference(names)):
        if name not in names:
            raise ValueError(f"{table}: no field {name}")
        if name not in known:
            raise ValueError(f"{table}: {name} is no field of such a trace")


def _check_shape(part: FieldEncoding) -> None:
    """Addresses have two numbers a row, tags several, everything else one; and there are two IP versions."""
    several = isinstance(part, Address | Tags) or (isinstance(part, Constant) and isinstance(part.value, tuple))
    if several != (part.name in (*ADDRESSES, "chunk_tags")):
        raise ValueError(f"field {part.name}: it cannot be {part.encoding}")
    if part.name == "ip_version":
        values = part.values if isinstance(part, Exact) else (part.value,) if isinstance(part, Constant) else ()
        if not values or not set(values) <= {4, 6}:
            raise ValueError("field ip_version: a version is neither 4 nor 6")


def _check_clock(chunk: int, clock: Clock, width: int) -> None:
    edges = [edge for stretch in zip(clock.begins, clock.ends, strict=False) for edge in stretch]
    knots = [clock.busy or (), clock.even or ()]
    holds = (
        clock.width == width
        and len(clock.begins) == len(clock.ends)
        and len(knots[0]) == len(knots[1])
        and (clock.busy is None) == (clock.even is None)
        and clock.busy != ()
        and all(type(number) is int and 0 <= number <= width for number in (*edges, *knots[0], *knots[1]))
        and all(low <= high for numbers in (edges, *knots) for low, high in pairwise(numbers))
        and clock.busy_width >= 1
    )
    if not holds:
        raise ValueError(f"the clock of chunk {chunk} does not go forward within its chunk")


def check_texts(categories: Mapping[str, Sequence[str]]) -> None:
    """Whether categories are texts, by column.

    Raises:
        ValueError: some are not.
    """
    for name, texts in categories.items():
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"the categories of {name} are no texts")


def check_whole(what: str, value: object, most: int) -> None:
    """Whether a value is a whole number from 1 to `most`.

    Raises:
        ValueError: it is not.
    """
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{what} is {value!r}, not a whole number from 1 to {most:,}")


_DTYPES = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", "b1"}
