"""Bytes that are read from front to back, decompressed on the way, with a bound on how many there may be."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from netshare.preprocess.errors import InputError

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_BLOCK_BYTES = 1 << 17  # compressed bytes read at a time


class Source(io.RawIOBase):
    """Bytes of a file, from what fills memory with them.

    Attributes:
        count: bytes given so far.
        most: bytes that may be given; more are an error. None: any number.
        why_empty: what to say where there are none.
    """

    why_empty = "the file is empty"

    def __init__(self, name: str, readinto: Callable[[Any], int | None], most: int | None = None) -> None:
        super().__init__()
        self._name, self._readinto, self.most = name, readinto, most
        self._ahead = b""
        self.count = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def peek(self, count: int) -> bytes:
        """The next bytes, fewer at the end; they will still be read."""
        if len(self._ahead) < count:
            self._ahead += self._take(count - len(self._ahead))
        return self._ahead[:count]

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer only at the end."""
        if size < 0:
            return self.readall()
        ahead, self._ahead = self._ahead[:size], self._ahead[size:]
        return ahead + self._take(size - len(ahead))

    def readinto(self, target: Any) -> int:
        """Fill the target as far as bytes come at once; 0 is the end."""
        view = memoryview(target)
        if self._ahead:
            count = min(len(view), len(self._ahead))
            view[:count], self._ahead = self._ahead[:count], self._ahead[count:]
            return count
        try:
            count = self._readinto(view) or 0
        except InputError:
            raise
        except OSError as error:
            raise InputError(f"{self._name}: cannot be read ({error.strerror or error})") from None
        self.count += count
        if self.most is not None and self.count > self.most:
            raise InputError(f"{self._name}: holds more than {self.most} bytes, raise max_bytes to read it")
        return count

    def _take(self, size: int) -> bytes:
        ahead, self._ahead = self._ahead, b""
        taken = bytearray(size)
        filled = 0
        with memoryview(taken) as view:
            while filled < size and (count := self.readinto(view[filled:])):
                filled += count
        self._ahead = ahead
        return bytes(taken[:filled])


def decompressed(name: str, kind: str, packed: Source, notes: list[str], most: int) -> Source:
    """What a source holds that is compressed in one of the ways of `COMPRESSED`.

    Args:
        name: of the file, for messages.
        notes: receives a line where the data end early.
        most: bytes that it may hold.
    """
    stream = _OPENERS[kind](io.BufferedReader(packed, _BLOCK_BYTES))
    is_over = False

    def readinto(target: memoryview) -> int:
        nonlocal is_over
        if is_over:
            return 0
        try:
            block = stream.read1(len(target))
        except InputError:
            raise
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            if not isinstance(error, EOFError) and "Truncated compressed stream" not in str(error):
                reason = str(error).splitlines()[0]
                raise InputError(f"{name}: damaged {kind} data ({reason}), copy or compress the file again") from None
            notes.append(f"truncated: the {kind} data end early, {plain.count} bytes of what they hold were read")
            is_over = True
            return 0
        target[: len(block)] = block
        return len(block)

    plain = Source(name, readinto, most)
    plain.why_empty = f"the {kind} data hold nothing"
    return plain


class _Zstandard:
    """Arrow's zstd stream, with the one method that is used here."""

    def __init__(self, packed: io.BufferedReader) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(packed, "r"), "zstd")

    def read1(self, size: int) -> bytes:
        return self._stream.read(size)


_OPENERS: dict[str, Callable[[io.BufferedReader], Any]] = {
    "gzip": lambda packed: gzip.GzipFile(fileobj=packed),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": _Zstandard,
}
