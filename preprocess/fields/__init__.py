"""Field encodings: how each field of a series becomes columns of numbers, and back."""

from __future__ import annotations

from typing import Any

from netshare.preprocess.fields.base import Bounds, FieldEncoding
from netshare.preprocess.fields.category import Constant, Exact, PortTokens
from netshare.preprocess.fields.choose import Choice, Style, default_choice, fit_field, public_choice, split_choice
from netshare.preprocess.fields.digits import Address, Digits, Tags
from netshare.preprocess.fields.embedding import Embedded
from netshare.preprocess.fields.numeric import Numeric, NumericTokens
from netshare.preprocess.fields.stored import check_stored
from netshare.preprocess.ip2vec import IP2Vec

__all__ = [
    "Address",
    "Bounds",
    "Choice",
    "Constant",
    "Digits",
    "Embedded",
    "Exact",
    "FieldEncoding",
    "Numeric",
    "NumericTokens",
    "PortTokens",
    "Style",
    "Tags",
    "default_choice",
    "field_from_json",
    "fit_field",
    "public_choice",
    "split_choice",
]

KINDS: dict[str, type[FieldEncoding]] = {
    encoding.kind: encoding for encoding in (Address, Constant, Digits, Exact, Numeric, NumericTokens, PortTokens, Tags)
}


def field_from_json(value: dict[str, Any], ip2vec: IP2Vec | None = None) -> FieldEncoding:
    """The encoding that `FieldEncoding.to_json` described; `ip2vec` is the model of embedded fields.

    Raises:
        ValueError, TypeError, KeyError: no encoding can have been described so (`netshare.preprocess.fields.stored`).
        FieldError: the IP2Vec model is another one.
    """
    if value["kind"] == Embedded.kind:
        return Embedded.from_json(value, ip2vec)
    if value["kind"] not in KINDS:
        raise ValueError(f"field {value.get('name')}: no encoding {value['kind']!r} in this version")
    described = {key: item for key, item in value.items() if key != "kind"}
    check_stored(KINDS[value["kind"]], described)
    items: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in described.items()}
    return KINDS[value["kind"]](**items)
