"""Files that appear whole or not at all: the one way in which this project replaces a file.

    write_text(Path("report.json"), text)
    with atomic_file(Path("trace.pcap")) as stream:
        stream.write(header)

A file is written under a hidden name beside its place, flushed to disk and then renamed, so that a reader sees the old
content or the new, whatever happens in between (an error, a kill, a full disk, a power cut). What a killed process
leaves is the hidden file, which the next attempt overwrites. Errors are left as `OSError`: the caller knows what to
advise.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def atomic_file(path: Path, *, replace: bool = True) -> Iterator[IO[bytes]]:
    """A binary stream whose content becomes the file `path` on leaving; after an error `path` is as it was.

    Args:
        path: the file; its folder exists.
        replace: whether an existing file gives way; otherwise one that appears in the meantime is left as it is.

    Raises:
        FileExistsError: the file exists, and is not to be replaced.
        OSError: the folder is missing or not writable, or the disk is full.
    """
    hidden = _hidden(path)
    try:
        hidden.unlink(missing_ok=True)  # never written through: it may be a link to another file
        with hidden.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            hidden.replace(path)
        else:
            _rename_to_new(hidden, path)
    except BaseException:
        with suppress(OSError):
            hidden.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file; raises as `atomic_file` does."""
    with atomic_file(path) as stream:
        stream.write(content)


def write_piece(path: Path, piece: memoryview, *, begin: int, size: int) -> None:
    """Write the bytes from `begin` on of a file of `size` bytes, which appears when the last piece is there.

    Pieces come in order; one that begins at 0 starts anew. Raises as `atomic_file` does.
    """
    hidden = _hidden(path)
    with hidden.open("r+b" if begin else "wb") as stream:
        stream.seek(begin)
        stream.write(piece)
        if begin + len(piece) < size:
            return
        stream.flush()
        os.fsync(stream.fileno())
    hidden.replace(path)
    _flush_folder(path.parent)


def write_text(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a text file in UTF-8; raises as `atomic_file` does."""
    with atomic_file(path, replace=replace) as stream:
        stream.write(text.encode())


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _rename_to_new(hidden: Path, path: Path) -> None:
    """Rename, unless there is a file: in one step where the file system has hard links, else in two."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "exists already", str(path)) from None
        hidden.replace(path)
    else:
        hidden.unlink()


def _flush_folder(folder: Path) -> None:
    """Make a rename within `folder` outlive a power cut (a no-op where folders cannot be opened or flushed)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
