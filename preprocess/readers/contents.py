"""The bytes of an input file, decompressed where they are compressed, and what format they are in.

Both are told by content, never by the file's name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from preprocess.errors import InputError
from preprocess.readers.export_messages import is_export
from preprocess.readers.pcap import PCAP_MAGICS
from preprocess.readers.pcapng import PCAPNG_MAGIC

Format = Literal["pcap", "pcapng", "netflow-export", "nfcapd", "parquet", "csv"]

READABLE = (
    "pcap, pcapng, NetFlow v5, v9 or IPFIX, nfcapd files, flow records in CSV or JSON lines, or Parquet, plain or "
    "compressed by gzip, bzip2, xz or zstd"
)
MAXIMUM_BYTES = 4 << 30
STANDARD_INPUT = Path("-")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_NFCAPD_MAGIC = b"\x0c\xa5"  # of both nfdump layouts, little-endian
_KNOWN_OTHERS = {
    b"\xcf\x10": "a flow-tools file, turn it into NetFlow CSV with flow-export",
    b"\xa5\x0c": "an nfcapd file of a big-endian machine, read it there with nfdump",
    b"PK\x03\x04": "a zip archive, unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive, unpack it",
}
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


def open_contents(path: Path, max_bytes: int = MAXIMUM_BYTES) -> Contents:
    """Read, decompress and recognise a file; `-` is standard input.

    Args:
        path: the file.
        max_bytes: how many bytes compressed data, or standard input, may hold.

    Raises:
        InputError: it cannot be read, is empty, cannot be decompressed, holds more than `max_bytes`, or is in no
            format that can be read.
    """
    notes: list[str] = []
    name = display_name(path)
    buffer = _read_standard_input(max_bytes) if path == STANDARD_INPUT else _read(path)
    for _ in range(_LAYERS):
        plain = _decompress(name, buffer, notes, max_bytes)
        if plain is None:
            break
        buffer = plain
    if not len(buffer):
        raise NotATraceError(f"{name}: the file is empty, expected {READABLE}")
    return Contents(buffer, _recognise(name, buffer), tuple(notes))


def display_name(path: Path) -> str:
    """A file as messages and sources name it."""
    return "standard input" if path == STANDARD_INPUT else str(path)


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


def _read_standard_input(max_bytes: int) -> np.ndarray:
    plain = bytearray()
    while block := sys.stdin.buffer.read(_CHUNK):
        plain += block
        _bound(display_name(STANDARD_INPUT), plain, max_bytes)
    return np.frombuffer(plain, np.uint8)


def _bound(name: str, plain: bytearray, max_bytes: int) -> None:
    if len(plain) > max_bytes:
        raise InputError(f"{name}: holds more than {max_bytes} bytes, raise max_bytes to read it")


def _decompress(path: str, buffer: np.ndarray, notes: list[str], max_bytes: int) -> np.ndarray | None:
    """What the buffer holds when decompressed, None where it is not compressed."""
    magic = buffer[:6].tobytes()
    name = next((name for start, name in _COMPRESSED.items() if magic.startswith(start)), None)
    if name is None:
        return None
    plain = bytearray()
    try:
        with _OPENERS[name](buffer) as stream:
            while block := stream.read1(_CHUNK):
                plain += block
                _bound(path, plain, max_bytes)
    except EOFError:
        notes.append(f"truncated: the {name} data end early, {len(plain)} bytes of what they hold were read")
    except (OSError, zlib.error, lzma.LZMAError) as error:
        if "Truncated compressed stream" in str(error):
            notes.append(f"truncated: the {name} data end early, {len(plain)} bytes of what they hold were read")
        else:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: damaged {name} data ({reason}), copy or compress the file again") from None
    if not plain:
        raise InputError(f"{path}: the {name} data hold nothing, expected {READABLE}")
    return np.frombuffer(plain, np.uint8)


class _Zstandard:
    """Arrow's zstd stream, with the one method that is used here."""

    def __init__(self, buffer: np.ndarray) -> None:
        self._stream = pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(buffer)), "zstd")

    def __enter__(self) -> _Zstandard:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read1(self, size: int) -> bytes:
        return self._stream.read(size)


_OPENERS: dict[str, Callable[[np.ndarray], Any]] = {
    "gzip": lambda buffer: gzip.GzipFile(fileobj=io.BytesIO(buffer.data)),
    "bzip2": lambda buffer: bz2.BZ2File(io.BytesIO(buffer.data)),
    "xz": lambda buffer: lzma.LZMAFile(io.BytesIO(buffer.data)),  # noqa: SIM115 (the caller closes it)
    "zstd": _Zstandard,
}


def _recognise(path: str, buffer: np.ndarray) -> Format:
    magic = buffer[:4].tobytes()
    if magic in PCAP_MAGICS:
        return "pcap"
    if magic == PCAPNG_MAGIC:
        return "pcapng"
    if magic == b"PAR1":
        return "parquet"
    if magic.startswith(_NFCAPD_MAGIC):
        return "nfcapd"
    if is_export(buffer, 0, len(buffer)):
        return "netflow-export"
    known = next((hint for start, hint in _KNOWN_OTHERS.items() if magic.startswith(start)), None)
    if known:
        raise NotATraceError(f"{path}: not a trace but {known}")
    start = buffer[:_FIRST_LINE].tobytes()
    if b"\x00" not in start and start.strip():
        return "csv"
    shown = " ".join(f"{byte:02x}" for byte in buffer[:8].tolist())
    raise NotATraceError(f"{path}: not a trace (the file begins with the bytes {shown}), expected {READABLE}")
