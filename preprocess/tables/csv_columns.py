"""Texts of flow records as numbers, times and flags.

Every function takes n texts (an Arrow string array) and returns values[n] and bool[n], false where the text cannot be
read. Clean columns are cast at once; only a column with a bad value is looked at value by value.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netshare.preprocess.layouts.flow_forms import UNIT_NS

_UNIT_BELOW = (("s", 1e11), ("ms", 1e14), ("us", 1e17), ("ns", np.inf))  # of times since 1970: the years up to 5138
_TCP_FLAG_LETTERS = 8  # CWR ECE URG ACK PSH RST SYN FIN, as nfdump prints them; older ones leave out the first two
_INT64_MAX = 2**63 - 1
_FIRST_ROWS = 32  # rows
_UNIT_SAMPLE_ROWS = 1000  # rows whose magnitude decides a unit


def numbers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """float64 values; int64 where all texts are integers."""
    for kind in (pa.int64(), pa.float64()):
        values = cast_all(texts, kind)
        if values is not None:
            found = values.to_numpy(zero_copy_only=False)
            return found, np.isfinite(found)
    values = pd.to_numeric(texts.to_pandas(), errors="coerce").to_numpy(np.float64)
    return np.where(np.isfinite(values), values, 0.0), np.isfinite(values)


def cast_all(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """The texts as values of this type; None where one of them is no such value. The first rows are tried first, so that a
    column of another type costs little."""
    if texts.type == kind:
        return texts
    try:
        pc.cast(texts[:_FIRST_ROWS], kind)
        values = pc.cast(texts, kind)
    except pa.ArrowException:
        return None
    return values if values.null_count == 0 else None


def counts(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 values of what is counted: whole, not negative."""
    values, readable = numbers(texts)
    readable &= (values >= 0) & (values < _INT64_MAX)
    return np.where(readable, values, 0).astype(np.int64), readable


def abbreviated_counts(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 values as nfdump abbreviates them: `1.2 M` is 1,200,000; K, M, G, T are powers of 1000."""
    values, readable = counts(texts)
    if readable.all():
        return values, readable
    codes, distinct = pd.factorize(texts.to_pandas())
    found = np.array([*(_abbreviated(str(text)) for text in distinct), -1], dtype=np.int64)[codes]
    return np.maximum(found, 0), found >= 0


def any_ports(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint16 values of decimal or hexadecimal (`0x0303`) texts, 0 where there is none."""
    values, readable = ports(texts)
    if readable.all():
        return values, readable
    codes, distinct = pd.factorize(texts.to_pandas())
    found = np.array([*(_port(str(text).strip()) for text in distinct), -1], dtype=np.int64)[codes]
    return np.maximum(found, 0).astype(np.uint16), found >= 0


def ports(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint16 values."""
    values, readable = counts(texts)
    readable &= values <= 0xFFFF
    return np.where(readable, values, 0).astype(np.uint16), readable


def ports_or_icmp(texts: pa.Array, is_icmp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint16 values; nfdump prints ICMP's `type.code` in their place, which becomes type * 256 + code."""
    values, readable = ports(texts)
    if is_icmp.any():
        codes, distinct = pd.factorize(texts.filter(pa.array(is_icmp)).to_pandas())
        pairs = [text.partition(".") for text in distinct]
        known = [dot and kind.isdigit() and code.isdigit() and int(kind) < 256 > int(code) for kind, dot, code in pairs]
        found = [int(pair[0]) * 256 + int(pair[2]) if good else -1 for pair, good in zip(pairs, known, strict=True)]
        combined = np.array([*found, -1])[codes]
        rows = np.flatnonzero(is_icmp)[combined >= 0]
        values[rows] = combined[combined >= 0]
        readable[rows] = True
    return values, readable


def time_unit(texts: pa.Array) -> str:
    """The unit of times since 1970, by their magnitude: s, ms, us or ns."""
    some = (
        texts
        if len(texts) <= _UNIT_SAMPLE_ROWS
        else texts.take(pa.array(np.linspace(0, len(texts) - 1, _UNIT_SAMPLE_ROWS, dtype=np.int64)))
    )
    values, readable = numbers(some)
    middle = float(np.median(np.abs(values[readable].astype(np.float64)))) if readable.any() else 0.0
    return next(unit for unit, bound in _UNIT_BELOW if middle < bound)


def nanoseconds(texts: pa.Array, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """int64 ns of decimal numbers in the given unit, exact where the texts are plain decimals."""
    factor = UNIT_NS[unit]
    digits = {"s": 9, "ms": 6, "us": 3, "ns": 0}[unit]
    exact = None if texts.type == pa.int64() else cast_all(texts, pa.decimal128(19 + digits, digits))
    if exact is not None and len(exact):
        # A decimal is kept as a 128-bit integer of its last digit: with these digits, of nanoseconds.
        words = np.frombuffer(exact.buffers()[1], np.int64).reshape(-1, 2)[exact.offset : exact.offset + len(exact)]
        if bool(np.all(words[:, 1] == words[:, 0] >> 63)):
            return words[:, 0].copy(), np.ones(len(texts), dtype=bool)
    values, readable = numbers(texts)
    readable &= np.abs(values.astype(np.float64)) < _INT64_MAX / factor
    kept = np.where(readable, values, 0)
    if kept.dtype == np.int64:
        return kept * factor, readable
    whole = np.floor(kept)
    # A double holds seconds since 1970 to a quarter of a microsecond: round the rest to what it can mean.
    fraction = np.round((kept - whole) * min(factor, 1_000_000)).astype(np.int64) * (factor // min(factor, 1_000_000))
    return whole.astype(np.int64) * factor + fraction, readable


def date_times(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 ns since 1970 of `2015-09-08 14:49:59.123`, taken as UTC, or of numbers, their unit by magnitude."""
    if len(texts) and numbers(texts[:1])[1].all():
        return nanoseconds(texts, time_unit(texts))
    stamps = cast_all(texts, pa.timestamp("ns"))
    if stamps is not None:
        return pc.cast(stamps, pa.int64()).to_numpy(), np.ones(len(texts), dtype=bool)
    codes, distinct = pd.factorize(texts.to_pandas())
    parsed = _parse_times(pd.Series(distinct, dtype=object), "ISO8601")
    readable = np.append(parsed.notna().to_numpy(), False)[codes]
    values = np.append(parsed.fillna(pd.Timestamp(0, tz="UTC")).astype(np.int64).to_numpy(), 0)[codes]
    return values, readable


def day_first_times(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 ns since 1970 of `14/02/2018 08:31:01`, `3/7/2017 8:55` or `28/06/2022 04:49:27 PM`, taken as UTC; what
    begins with a year, or is a number, is read as `date_times` does."""
    values, readable = date_times(texts)
    if readable.all():
        return values, readable
    codes, distinct = pd.factorize(texts.to_pandas())
    parsed = pd.Series(pd.NaT, index=range(len(distinct)), dtype="datetime64[ns, UTC]")
    written = pd.Series(distinct, dtype=object)
    for layout in ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S.%f"):
        parsed = parsed.fillna(_parse_times(written, layout))
    found = np.append(parsed.fillna(pd.Timestamp(0, tz="UTC")).astype(np.int64).to_numpy(), 0)[codes]
    is_time = np.append(parsed.notna().to_numpy(), False)[codes]
    return np.where(readable, values, found), readable | is_time


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


def _parse_times(texts: pd.Series, layout: str) -> pd.Series:
    """Times in ns and UTC; NaT where the text is none, or beyond the years that 64 bits of ns hold."""
    if texts.empty:
        return pd.Series([], dtype="datetime64[ns, UTC]")
    parsed = pd.to_datetime(texts, format=layout, errors="coerce", utc=True)
    return parsed.where((parsed.dt.year > 1677) & (parsed.dt.year < 2262)).dt.as_unit("ns")


def _abbreviated(text: str) -> int:
    """The count in a text such as `1.2 M`, -1 where it is none."""
    factor = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}.get(text[-1:].upper(), 1)
    try:
        value = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        return -1
    return round(value) if 0 <= value < _INT64_MAX else -1


def _port(text: str) -> int:
    """A port, 0 where there is none, -1 where the text is no port."""
    try:
        value = 0 if text in ("", "-") else int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        return -1
    return value if 0 <= value <= 0xFFFF else -1


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
