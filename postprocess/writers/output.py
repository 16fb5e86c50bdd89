"""Files that appear whole or not at all, compressed where the name ends in `.gz`."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from netshare.preprocess.atomic import atomic_file
from netshare.preprocess.errors import NetshareError

_GZIP_LEVEL = 1  # payloads are constant bytes: the lowest level already removes them


@contextmanager
def atomic_output(path: Path) -> Iterator[IO[bytes]]:
    """As `netshare.preprocess.atomic.atomic_file`, compressed where the name ends in `.gz`, errors in the user's words.

    Raises:
        NetshareError: the folder is missing or not writable, or the disk is full.
    """
    try:
        with atomic_file(path) as raw:
            if path.name.endswith(".gz"):
                with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed:
                    yield cast(IO[bytes], packed)
            else:
                yield raw
    except OSError as error:
        raise NetshareError(
            f"{path}: cannot be written ({error.strerror or error}); check folder and free space"
        ) from error
