"""What the constants of a field encoding may be, where they are read from a file that may be damaged or a stranger's.

An encoding that was fitted satisfies all of it. What is refused here would ask for memory without bound, or fail, or give
nonsense, only when a sample is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from netshare.preprocess.fields.base import FieldEncoding
from netshare.preprocess.fields.category import Constant, Exact, PortTokens
from netshare.preprocess.fields.digits import Address, Digits, Tags
from netshare.preprocess.fields.numeric import Numeric, NumericTokens
from netshare.preprocess.stored import check_types

MAX_CATEGORIES = 2**24  # values that a category "other" may stand for
MAX_NUMBER = 2**62  # of what is decoded to int64
MAX_TAGS = 100_000  # chunks
VERSIONS = ((4,), (6,), (4, 6))


def check_stored(kind: type[FieldEncoding], value: Mapping[str, Any]) -> None:
    """Whether an encoding of this kind can have these fields, as `FieldEncoding.to_json` gives them without `kind`.

    Raises:
        ValueError: one is missing, unknown, of another type, or a value that no fitted encoding has.
    """
    check_types(kind, value)
    for what, holds in CHECKS[kind](value).items():
        if not holds:
            raise ValueError(f"field {value['name']}: {what}")


def _constant(value: Mapping[str, Any]) -> dict[str, bool]:
    constant, name = value["value"], value["name"]
    address = name in ("src_ip", "dst_ip")
    several = len(constant) if isinstance(constant, list) else 0
    return {
        "a constant address is two numbers": several == 2 if address else True,
        "a constant of several numbers is an address or tags": not several or address or name == "chunk_tags",
        "a number is too large": several > 0 or abs(constant) <= 2**63,
        "half an address is negative": not several or min(constant) >= 0,
    }


def _exact(value: Mapping[str, Any]) -> dict[str, bool]:
    other = value.get("other")
    within = other is None or (len(other) == 2 and 0 <= other[0] <= other[1] <= MAX_CATEGORIES)
    return {
        "values are not ascending": _ascend(value["values"]),
        "a value is too large": _within(value["values"], -MAX_NUMBER, MAX_NUMBER),
        "there is no value": bool(value["values"]) or other is not None,
        f"other is {other}, not a range up to {MAX_CATEGORIES:,}": within,
    }


def _port_tokens(value: Mapping[str, Any]) -> dict[str, bool]:
    ports = value["ports"]
    return {"ports are not ascending, or beyond 65535": _ascend(ports) and _within(ports, 0, 65535)}


def _digits(value: Mapping[str, Any]) -> dict[str, bool]:
    return {
        "maximum is out of range": 0 <= value["maximum"] < 2**63,
        "width is neither 1 nor 8": value.get("width", 1) in (1, 8),
    }


def _address(value: Mapping[str, Any]) -> dict[str, bool]:
    return {
        "versions are not 4, 6 or both": tuple(value.get("versions", (4, 6))) in VERSIONS,
        "width is neither 1 nor 8": value.get("width", 1) in (1, 8),
    }


def _tags(value: Mapping[str, Any]) -> dict[str, bool]:
    return {"count is out of range": 1 <= value["count"] <= MAX_TAGS}


def _numeric(value: Mapping[str, Any]) -> dict[str, bool]:
    low, high, atoms = value["minimum"], value["maximum"], value.get("atoms", [])
    knots, levels = value.get("knots", []), value.get("levels", [])
    ranged = low is not None and high is not None
    limit = MAX_NUMBER if value.get("integer", True) else 1e300
    numbers = [*atoms, *knots, *([low, high] if ranged else [])]
    return {
        "minimum and maximum go together": (low is None) == (high is None),
        "minimum is above maximum": not ranged or low <= high,
        "there is no value": ranged or bool(atoms),
        "a number is too large": _within(numbers, -limit, limit),
        "the log1p scale takes no negative values": not ranged or value["scale"] != "log1p" or low >= 0,
        "atoms are not ascending": _ascend(atoms),
        "knots or levels are not ascending": _ascend(knots, strictly=False) and _ascend(levels, strictly=False),
        "knots and levels are not as many": len(knots) == len(levels),
        "a quantile scale needs knots": not ranged or value["scale"] != "quantile" or bool(knots),
    }


def _numeric_tokens(value: Mapping[str, Any]) -> dict[str, bool]:
    spikes, edges = value["spikes"], value["edges"]
    return {
        "spikes or edges are not ascending": _ascend(spikes) and _ascend(edges),
        "a number is negative or too large": _within([*spikes, *edges], 0, MAX_NUMBER),
        "there is no value": bool(spikes) or len(edges) > 1,
    }


CHECKS: dict[type[FieldEncoding], Callable[[Mapping[str, Any]], dict[str, bool]]] = {
    Constant: _constant,
    Exact: _exact,
    PortTokens: _port_tokens,
    Digits: _digits,
    Address: _address,
    Tags: _tags,
    Numeric: _numeric,
    NumericTokens: _numeric_tokens,
}


def _ascend(values: Sequence[float], *, strictly: bool = True) -> bool:
    return all(low < high or (low == high and not strictly) for low, high in pairwise(values))


def _within(values: Sequence[float], low: float, high: float) -> bool:
    return all(low <= value <= high for value in values)
