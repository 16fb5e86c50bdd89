"""The bytes of an input file, decompressed where they are compressed, and what format they are in.

Both are told by content, never by the file's name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from preprocess.errors import InputError
from preprocess.readers.pcap import PCAP_MAGICS
from preprocess.readers.pcapng import PCAPNG_MAGIC

Format = Literal["pcap", "pcapng", "parquet", "csv"]

READABLE = (
    "pcap, pcapng, NetFlow CSV (NetShare's, nfdump's or Zeek's columns) or Parquet, plain or compressed by gzip, "
    "bzip2 or xz"
)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_CHUNK = 1 << 20
_LAYERS = 3  # a .gz in a .gz happens; endless nesting is an attack
_FIRST_LINE = 1 << 16


class NotATraceError(InputError):
    """The file is in no format that can be read: an error if it was named, left out if it lay in a folder."""


@dataclass(frozen=True)
class Contents:
    """bytes of a file (uint8[size], decompressed), their format, and notes on what is wrong with the file."""

    buffer: np.ndarray
    format: Format
    notes: tuple[str, ...]


def open_contents(path: Path) -> Contents:
    """Read, decompress and recognise a file.

    Raises:
        InputError: it cannot be read, is empty, cannot be decompressed, or is in no format that can be read.
    """
    notes: list[str] = []
    buffer = _read(path)
    for _ in range(_LAYERS):
        plain = _decompress(path, buffer, notes)
        if plain is None:
            break
        buffer = plain
    if not len(buffer):
        raise NotATraceError(f"{path}: the file is empty, expected {READABLE}")
    return Contents(buffer, _recognise(path, buffer), tuple(notes))


def _read(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return np.frombuffer(file.read(), np.uint8)
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})") from None


def _decompress(path: Path, buffer: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """What the buffer holds when decompressed, None where it is not compressed."""
    magic = buffer[:6].tobytes()
    name = next((name for start, name in _COMPRESSED.items() if magic.startswith(start)), None)
    if name is None:
        return None
    openers: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
    plain = bytearray()
    try:
        with openers[name](io.BytesIO(buffer.data), "rb") as stream:
            while block := stream.read1(_CHUNK):
                plain += block
    except EOFError:
        notes.append(f"truncated: the {name} data end early, {len(plain)} bytes of what they hold were read")
    except (OSError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path}: damaged {name} data ({error}), copy or compress the file again") from None
    if not plain:
        raise InputError(f"{path}: the {name} data hold nothing, expected {READABLE}")
    return np.frombuffer(plain, np.uint8)


def _recognise(path: Path, buffer: np.ndarray) -> Format:
    magic = buffer[:4].tobytes()
    if magic in PCAP_MAGICS:
        return "pcap"
    if magic == PCAPNG_MAGIC:
        return "pcapng"
    if magic == b"PAR1":
        return "parquet"
    start = buffer[:_FIRST_LINE].tobytes()
    if b"\x00" not in start and start.strip():
        return "csv"
    shown = " ".join(f"{byte:02x}" for byte in buffer[:8].tolist())
    raise NotATraceError(f"{path}: not a trace (the file begins with the bytes {shown}), expected {READABLE}")
