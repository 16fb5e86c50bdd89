"""Fingerprints: short hashes that tell whether settings or a file have changed since something was made from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def fingerprint(*parts: Any) -> str:
    """32 hexadecimal digits, a hash of JSON-able values; the order of keys in dictionaries does not matter."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


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
