"""The bytes of an input file, decompressed where its content, never its name, shows that they are compressed."""

from __future__ import annotations

import mmap
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netshare.preprocess.errors import InputError
from netshare.preprocess.readers.compressed import COMPRESSED, Source, decompressed
from netshare.preprocess.readers.window import Window

_File = Any  # what `open` gives for binary files, with `readinto`

READABLE = (
    "pcap, pcapng, ERF, NetFlow v5, v9 or IPFIX, nfcapd files, flow records in CSV or JSON lines, or Parquet, plain or "
    "compressed by gzip, bzip2, xz or zstd"
)
MAXIMUM_BYTES = 4 << 30
STANDARD_INPUT = Path("-")
_BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 20  # bytes by which a format is known
_MAX_COMPRESSION_LAYERS = 3  # a .gz in a .gz happens; endless nesting is an attack


class NotATraceError(InputError):
    """The file is in no format that can be read: an error if it was named, left out if it lay in a folder."""


@dataclass(frozen=True)
class Contents:
    """The bytes of a file (uint8[size], decompressed), and notes on what is wrong with it."""

    buffer: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Stream:
    """A file that is open, decompressed on the way.

    Attributes:
        name: as messages name it.
        head: uint8[size], its first megabyte, or all of it.
        notes: receives a line where compressed data end early.
        size: bytes of all of it, None where that is not known.
    """

    name: str
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
            return Contents(np.frombuffer(mapped, np.uint8), tuple(self.notes))
        self._source.most = self._max_bytes
        plain = bytearray(self.head.data)
        while block := self._source.read(_BLOCK_BYTES):
            plain += block
        return Contents(np.frombuffer(plain, np.uint8), tuple(self.notes))


@contextmanager
def open_stream(path: Path, max_bytes: int = MAXIMUM_BYTES, *, bounded_input: bool = True) -> Iterator[Stream]:
    """Open and decompress a file; `-` is standard input.

    Args:
        path: the file.
        max_bytes: how many bytes compressed data, a pipe or standard input may hold.
        bounded_input: whether that also goes for a pipe or standard input that is not compressed, when it is read as a
            window.

    Raises:
        InputError: it cannot be read, is empty, cannot be decompressed, or holds more than `max_bytes`. Also from what
            reads the stream.
    """
    name = display_name(path)
    with ExitStack() as stack:
        notes: list[str] = []
        file, size = _open(path)
        if path != STANDARD_INPUT:
            stack.enter_context(file)
        source = Source(name, file.readinto, max_bytes if size is None and bounded_input else None)
        mapped: _File | None = file
        for _ in range(_MAX_COMPRESSION_LAYERS):
            kind = next((kind for start, kind in COMPRESSED.items() if source.peek(6).startswith(start)), None)
            if kind is None:
                break
            source, size, mapped = decompressed(name, kind, source, notes, max_bytes), None, None
        head = np.frombuffer(source.read(_HEAD_BYTES), np.uint8)
        if not len(head):
            raise InputError(f"{name}: {source.why_empty}, expected {READABLE}")
        yield Stream(name, head, notes, size, source, mapped, max_bytes)


def open_contents(path: Path, max_bytes: int = MAXIMUM_BYTES) -> Contents:
    """All bytes of a file, decompressed; `-` is standard input. See `open_stream`."""
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
