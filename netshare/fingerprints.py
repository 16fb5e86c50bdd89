"""Fingerprints: short hashes that tell whether settings or a file have changed since something was made from them.

A fingerprint of private data is keyed with a secret that stays where the data are. Without one, whoever has the
fingerprint and a guess at the data could see whether the guess is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SECRET_BYTES = 32


def fingerprint(*parts: Any, secret: bytes = b"") -> str:
    """32 hexadecimal digits, a hash of JSON-able values; the order of keys in dictionaries does not matter.

    With a `secret` of at most 64 bytes (keyed BLAKE2b, RFC 7693) nobody who lacks it can test which values were hashed.
    """
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16, key=secret).hexdigest()


def file_fingerprint(path: Path) -> str:
    """32 hexadecimal digits, a hash of a file's content.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def array_fingerprint(arrays: Mapping[str, np.ndarray], *parts: Any) -> str:
    """32 hexadecimal digits, a hash of arrays by name, of their types and values, and of further JSON-able values."""
    digest = hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16)
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        digest.update(values.view(np.uint8).data if values.size else b"")
    return digest.hexdigest()


def kept_secret(path: Path) -> bytes:
    """The 32 random bytes in a file that only its owner may read; the file is made where there is none.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be read or made.
    """
    if not path.exists():
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(secrets.token_bytes(SECRET_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"{path}: holds {len(secret)} bytes, expected a secret of {SECRET_BYTES}")
    return secret
