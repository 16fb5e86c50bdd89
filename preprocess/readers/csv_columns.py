"""Columns of a NetFlow CSV: texts to numbers, times and flags, with a mark where a text is none.

Every function takes n texts (an Arrow string array) and returns values[n] and bool[n], false where the text cannot be
read. Clean columns are cast at once; only a column with a bad value is looked at value by value.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_UNIT_BELOW = (("s", 1e11), ("ms", 1e14), ("us", 1e17), ("ns", np.inf))  # of times since 1970: the years up to 5138
_TCP_FLAG_LETTERS = 8  # CWR ECE URG ACK PSH RST SYN FIN, as nfdump prints them; older ones leave out the first two
_LARGEST = 2**63 - 1


def numbers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """float64 values; int64 where all texts are integers."""
    for kind in (pa.int64(), pa.float64()):
        try:
            values = pc.cast(texts, kind)
        except pa.ArrowInvalid:
            continue
        if values.null_count == 0:
            found = values.to_numpy(zero_copy_only=False)
            return found, np.isfinite(found)
    values = pd.to_numeric(texts.to_pandas(), errors="coerce").to_numpy(np.float64)
    return np.where(np.isfinite(values), values, 0.0), np.isfinite(values)


def counts(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 values of what is counted: whole, not negative."""
    values, readable = numbers(texts)
    readable &= (values >= 0) & (values < _LARGEST)
    return np.where(readable, values, 0).astype(np.int64), readable


def ports(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint16 values."""
    values, readable = counts(texts)
    readable &= values <= 0xFFFF
    return np.where(readable, values, 0).astype(np.uint16), readable


def time_unit(texts: pa.Array) -> str:
    """The unit of times since 1970, by their magnitude: s, ms, us or ns."""
    values, readable = numbers(texts)
    middle = float(np.median(np.abs(values[readable].astype(np.float64)))) if readable.any() else 0.0
    return next(unit for unit, bound in _UNIT_BELOW if middle < bound)


def nanoseconds(texts: pa.Array, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """int64 ns of decimal numbers in the given unit, exact where the texts are plain decimals."""
    factor = NANOSECONDS[unit]
    digits = {"s": 9, "ms": 6, "us": 3, "ns": 0}[unit]
    try:
        exact = pc.cast(texts, pa.decimal128(19 + digits, digits))
    except pa.ArrowException:
        exact = None
    if exact is not None and len(exact) and exact.null_count == 0:
        # A decimal is kept as a 128-bit integer of its last digit: with these digits, of nanoseconds.
        words = np.frombuffer(exact.buffers()[1], np.int64).reshape(-1, 2)[exact.offset : exact.offset + len(exact)]
        if bool(np.all(words[:, 1] == words[:, 0] >> 63)):
            return words[:, 0].copy(), np.ones(len(texts), dtype=bool)
    values, readable = numbers(texts)
    readable &= np.abs(values.astype(np.float64)) < _LARGEST / factor
    kept = np.where(readable, values, 0)
    if kept.dtype == np.int64:
        return kept * factor, readable
    whole = np.floor(kept)
    # A double holds seconds since 1970 to a quarter of a microsecond: round the rest to what it can mean.
    fraction = np.round((kept - whole) * min(factor, 1_000_000)).astype(np.int64) * (factor // min(factor, 1_000_000))
    return whole.astype(np.int64) * factor + fraction, readable


def date_times(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 ns since 1970 of `2015-09-08 14:49:59.123`, taken as UTC."""
    try:
        values = pc.cast(texts, pa.timestamp("ns"))
        if values.null_count == 0:
            return pc.cast(values, pa.int64()).to_numpy(), np.ones(len(texts), dtype=bool)
    except pa.ArrowException:
        pass
    codes, distinct = pd.factorize(texts.to_pandas())
    parsed = pd.to_datetime(pd.Series(distinct), format="ISO8601", errors="coerce", utc=True)
    parsed = parsed.dt.as_unit("ns") if len(parsed) else pd.Series([], dtype="datetime64[ns, UTC]")
    readable = np.append(parsed.notna().to_numpy(), False)[codes]
    values = np.append(parsed.fillna(pd.Timestamp(0, tz="UTC")).astype(np.int64).to_numpy(), 0)[codes]
    return values, readable


def tcp_flags(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint16 flag bits of nfdump's letters (`...AP.SF`), of hexadecimal (`0x1b`) or decimal numbers."""
    codes, distinct = pd.factorize(texts.to_pandas())
    values = [_flag_bits(str(text).strip()) for text in distinct]
    found = np.array([*values, -1], dtype=np.int64)[codes]
    return np.where(found >= 0, found, 0).astype(np.uint16), found >= 0


def category_codes(texts: pa.Array, unset: frozenset[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """int32 codes (-1 where the text is one of `unset`) and the texts that they stand for, by first appearance."""
    stripped = pc.utf8_trim_whitespace(texts).to_pandas()
    codes, distinct = pd.factorize(stripped.where(~stripped.isin(list(unset)), None))
    return codes.astype(np.int32), tuple(str(text) for text in distinct)


def _flag_bits(text: str) -> int:
    """Flag bits of one text, -1 where it is none."""
    if text.isascii() and text.isdigit() and len(text) <= 3:
        return int(text) if int(text) <= 0x1FF else -1
    if text.lower().startswith("0x"):
        try:
            return int(text, 16) & 0x1FF
        except ValueError:
            return -1
    if 0 < len(text) <= _TCP_FLAG_LETTERS and all(letter == "." or letter in "CEUAPRSF" for letter in text):
        return sum(1 << place for place, letter in enumerate(reversed(text)) if letter != ".")
    return -1
