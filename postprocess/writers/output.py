"""Files that appear whole or not at all, compressed where the name says so."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from preprocess.errors import NetshareError

_GZIP_LEVEL = 1  # payloads are constant bytes: the lowest level already removes them


@contextmanager
def atomic_output(path: Path) -> Iterator[IO[bytes]]:
    """A binary stream into a temporary file beside `path`, which takes the name at the end if nothing went wrong.

    Raises:
        NetshareError: the folder is missing or not writable, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as raw:
            if path.name.endswith(".gz"):
                with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed:
                    yield cast(IO[bytes], packed)
            else:
                yield raw
        temporary.replace(path)
    except OSError as error:
        raise NetshareError(
            f"{path}: cannot be written ({error.strerror or error}); check folder and free space"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
