"""What a layout is: a packed structured numpy type, fields in their order on the wire, numbers big-endian."""

from __future__ import annotations

import struct

import numpy as np

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def up_to(layout: np.dtype, last: str) -> np.dtype:
    """The beginning of a layout, up to and with the field `last`."""
    names = layout.names or ()
    return np.dtype([(name, layout[name].base, layout[name].shape) for name in names[: names.index(last) + 1]])


def as_bytes(headers: np.ndarray) -> np.ndarray:
    """uint8[n, bytes of a header]: headers (layout[n], contiguous) as rows of bytes, a view."""
    return headers.view(np.uint8).reshape(len(headers), headers.dtype.itemsize)


def as_struct(layout: np.dtype) -> struct.Struct:
    """A big-endian layout of unsigned numbers for one header at a time, which `struct` takes apart faster than numpy."""
    return struct.Struct(">" + "".join(_CODES[layout[name].itemsize] for name in layout.names or ()))
