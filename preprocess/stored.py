"""Reading files that were written by this project, but may since have been damaged, or made by a stranger.

    value = read_json(folder / "codec.json")
    rows = read_array(folder / "five_tuples.npy", FIVE_TUPLE_ROW)

Nothing is run, nothing is followed out of the folder, and no more memory is asked for than the file has a right to: its
size is looked at first, and an array's header must agree with it. Whatever is wrong is a `RunFolderError` of one line.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from netshare.preprocess.errors import RunFolderError

MAX_JSON_BYTES = 64 * 2**20
MAX_ARRAY_BYTES = 4 * 2**30
MAX_DIGITS = 20  # of a whole number; 2**64 has as many
MAX_SHOWN = 300  # characters of what is quoted in a message
GET_AGAIN = "get the folder again"


def shown(text: object) -> str:
    """What a message may quote of a stranger's text: one line, printable, not long."""
    line = " ".join(str(text).split())
    return "".join(sign if sign.isprintable() else "?" for sign in line)[:MAX_SHOWN]


def check_file(path: Path, max_bytes: int) -> int:
    """The size of a regular file in bytes.

    Raises:
        RunFolderError: it is missing, a link, no regular file, or larger than `max_bytes`.
    """
    try:
        if path.is_symlink():
            raise RunFolderError(f"{path}: is a link; do not use this folder")
        if not path.is_file():
            raise RunFolderError(f"{path}: no such file; {GET_AGAIN}")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: cannot be read ({shown(error)}); {GET_AGAIN}") from None
    if size > max_bytes:
        raise RunFolderError(f"{path}: has {size:,} bytes, more than {max_bytes:,}; it is no file of ours")
    return size


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """A JSON object whose keys are unique and whose numbers are finite and of 64 bits.

    Raises:
        RunFolderError: the file is missing, a link, too large, or holds something else.
    """
    check_file(path, max_bytes)
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(
            text, object_pairs_hook=_unique, parse_int=_whole, parse_float=_finite, parse_constant=_finite
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path}: cannot be read ({shown(error)}); {GET_AGAIN}") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{path}: holds a {type(value).__name__}, expected an object; {GET_AGAIN}")
    return value


def read_array(path: Path, *dtypes: np.dtype, axes: int = 1, max_bytes: int = MAX_ARRAY_BYTES) -> np.ndarray:
    """An array with `axes` axes from an npy file, whose header must name one of `dtypes` and agree with the file's size.

    Raises:
        RunFolderError: the file is missing, a link, too large, damaged, or holds another kind of array.
    """
    size = check_file(path, max_bytes)
    try:
        with path.open("rb") as file:
            major, _ = np.lib.format.read_magic(file)
            reader = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, _, found = reader(file)
            begin = file.tell()
        if found not in dtypes or len(shape) != axes or begin + math.prod(shape) * found.itemsize != size:
            raise ValueError(f"it says {shown(shape)} of {shown(found)} and has {size:,} bytes")
        return np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged header is parsed as Python literals, which raise whatever they like
        raise RunFolderError(f"{path}: not the array that belongs here ({shown(error)}); {GET_AGAIN}") from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_types(kind: type, value: Mapping[str, Any]) -> None:
    """Whether a JSON object has the fields of a dataclass, each with a value of its declared type.

    Raises:
        ValueError: a field is missing, unknown, or of another type; the first one is named.
    """
    try:
        _declared(kind).model_validate_json(json.dumps(value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{kind.__name__}.{where}: {first['msg']}") from None


@cache
def _declared(kind: type) -> type[BaseModel]:
    hints, declared = get_type_hints(kind), {}
    for each in fields(kind):
        needed = each.default is MISSING and each.default_factory is MISSING
        if each.init:
            declared[each.name] = (hints[each.name], ... if needed else each.default)
    options = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
    return create_model(kind.__name__, __config__=options, **declared)  # type: ignore[call-overload]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key comes twice")
    return value


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS + 1 or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"the number {text[:MAX_DIGITS]}... has more than 64 bits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text[:MAX_DIGITS]} is not finite")
    return number
