"""The bytes of an input file, decompressed where they are compressed, and what format they are in.

Both are told by content, never by the file's name.
"""

from __future__ import annotations

import mmap
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from netshare.preprocess.errors import InputError
from netshare.preprocess.readers.compressed import COMPRESSED, Source, decompressed
from netshare.preprocess.readers.erf import is_erf
from netshare.preprocess.readers.export_messages import is_export
from netshare.preprocess.readers.pcap import PCAP_MAGICS
from netshare.preprocess.readers.pcapng import PCAPNG_MAGIC
from netshare.preprocess.readers.window import Window

_File = Any  # what `open` gives for binary files, with `readinto`
Format = Literal["pcap", "pcapng", "erf", "netflow-export", "nfcapd", "parquet", "csv"]

READABLE = (
    "pcap, pcapng, ERF, NetFlow v5, v9 or IPFIX, nfcapd files, flow records in CSV or JSON lines, or Parquet, plain or "
    "compressed by gzip, bzip2, xz or zstd"
)
MAXIMUM_BYTES = 4 << 30
STANDARD_INPUT = Path("-")
_NFCAPD_MAGIC = b"\x0c\xa5"  # of both nfdump layouts, little-endian
_KNOWN_OTHERS = {
    b"\xcf\x10": "a flow-tools file, turn it into NetFlow CSV with flow-export",
    b"\xa5\x0c": "an nfcapd file of a big-endian machine, read it there with nfdump",
    b"PK\x03\x04": "a zip archive, unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive, unpack it",
}
_CHUNK = 1 << 20
_HEAD = 1 << 20  # bytes by which a format is told
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


@dataclass(frozen=True)
class Stream:
    """A file that is open, decompressed on the way.

    Attributes:
        name: as messages name it.
        format: what its beginning shows it to be.
        head: uint8[size], its first megabyte, or all of it.
        notes: receives a line where compressed data end early.
        size: bytes of all of it, None where that is not known.
    """

    name: str
    format: Format
    head: np.ndarray
    notes: list[str]
    size: int | None
    _source: Source
    _file: _File | None
    _max_bytes: int

    def window(self) -> Window:
        """Its bytes from the beginning, block by block. Only one of `window` and `contents` can be used, once."""
        return Window(self.head, self._source.readinto)

    def contents(self) -> Contents:
        """All of its bytes: mapped into memory where they lie in a file as they are, else read.

        Raises:
            InputError: it cannot be read or decompressed, or holds more than it may.
        """
        if self.size is not None and self._file is not None:
            try:
                mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise InputError(f"{self.name}: cannot be read ({getattr(error, 'strerror', error)})") from None
            return Contents(np.frombuffer(mapped, np.uint8), self.format, tuple(self.notes))
        self._source.most = self._max_bytes
        plain = bytearray(self.head.data)
        while block := self._source.read(_CHUNK):
            plain += block
        return Contents(np.frombuffer(plain, np.uint8), self.format, tuple(self.notes))


@contextmanager
def open_stream(path: Path, max_bytes: int = MAXIMUM_BYTES, *, bounded_input: bool = True) -> Iterator[Stream]:
    """Open, decompress and recognise a file; `-` is standard input.

    Args:
        path: the file.
        max_bytes: how many bytes compressed data, a pipe or standard input may hold.
        bounded_input: whether that also goes for a pipe or standard input that is not compressed, when it is read as a
            window.

    Raises:
        InputError: it cannot be read, is empty, cannot be decompressed, holds more than `max_bytes`, or is in no
            format that can be read. Also from what reads the stream.
    """
    name = display_name(path)
    with ExitStack() as stack:
        notes: list[str] = []
        file, size = _open(path)
        if path != STANDARD_INPUT:
            stack.enter_context(file)
        source = Source(name, file.readinto, max_bytes if size is None and bounded_input else None)
        mapped: _File | None = file
        for _ in range(_LAYERS):
            kind = next((kind for start, kind in COMPRESSED.items() if source.peek(6).startswith(start)), None)
            if kind is None:
                break
            source, size, mapped = decompressed(name, kind, source, notes, max_bytes), None, None
        head = np.frombuffer(source.read(_HEAD), np.uint8)
        if not len(head):
            raise InputError(f"{name}: {source.why_empty}, expected {READABLE}")
        yield Stream(name, _recognise(name, head), head, notes, size, source, mapped, max_bytes)


def open_contents(path: Path, max_bytes: int = MAXIMUM_BYTES) -> Contents:
    """Read, decompress and recognise a file; `-` is standard input. See `open_stream`."""
    with open_stream(path, max_bytes) as stream:
        return stream.contents()


def display_name(path: Path) -> str:
    """A file as messages and sources name it."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def _open(path: Path) -> tuple[_File, int | None]:
    """An open file, and its size where that is known."""
    if path == STANDARD_INPUT:
        return sys.stdin.buffer, None
    try:
        file = path.open("rb", buffering=0)
        status = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})") from None
    is_file = stat.S_ISREG(status.st_mode) and status.st_size > 0
    return file, status.st_size if is_file else None


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
    if is_erf(buffer):
        return "erf"
    known = next((hint for start, hint in _KNOWN_OTHERS.items() if magic.startswith(start)), None)
    if known:
        raise NotATraceError(f"{path}: not a trace but {known}")
    start = buffer[:_FIRST_LINE].tobytes()
    if b"\x00" not in start and start.strip():
        return "csv"
    shown = " ".join(f"{byte:02x}" for byte in buffer[:8].tolist())
    raise NotATraceError(f"{path}: not a trace (the file begins with the bytes {shown}), expected {READABLE}")
