"""The secret key by which the addresses of synthetic traces are re-mapped (`addresses.prefixes`).

It lies in the file `address.key` of a run folder, readable by its owner alone, and is never in what is handed over: whoever
has it can undo the map. The same key gives the same map, so that all traces of a run agree in their addresses.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from netshare.postprocess.prefix_permutation import KEY_BYTES
from netshare.preprocess.errors import RunFolderError

KEY_FILE = "address.key"


def new_key() -> bytes:
    """A key from the operating system's secure source."""
    return secrets.token_bytes(KEY_BYTES)


def read_key(folder: Path) -> bytes | None:
    """The key in a folder, or None where there is none.

    Raises:
        RunFolderError: the file is a link, or is no key.
    """
    path = folder / KEY_FILE
    if not os.path.lexists(path):
        return None
    if path.is_symlink() or not path.is_file() or path.stat().st_size != KEY_BYTES:
        raise RunFolderError(f"{path}: is no file of {KEY_BYTES} bytes; remove it, and addresses get another map")
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror}); make it readable, or remove it") from None


def write_key(folder: Path, key: bytes) -> None:
    """Write a key into a folder that has none, readable by its owner alone (mode 0600).

    Raises:
        RunFolderError: the file exists, or cannot be written.
    """
    path = folder / KEY_FILE
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written ({error.strerror}); make the folder writable") from None


def kept_key(folder: Path) -> bytes:
    """The key in a folder; drawn and written the first time.

    Raises:
        RunFolderError: as of `read_key` and `write_key`.
    """
    key = read_key(folder)
    if key is None:
        key = new_key()
        write_key(folder, key)
    return key
