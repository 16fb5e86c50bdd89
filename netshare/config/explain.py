"""What is wrong with a config, in the user's words: the key, what was found, what would be right."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from netshare.config.generator import keys_of
from netshare.config.schema import Config


def explain(item: Mapping[str, Any]) -> str:
    """One of the entries of `ValidationError.errors()` as a phrase that names the key and what was found there."""
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _known_keys(item["loc"][:-1])
        near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return f"{where} is not a known key; {hint}"
    if item["type"] == "missing":
        return f"{where} is missing"
    if item["type"] == "value_error" and not where:  # a contradiction between sections, which names them itself
        return str(item["ctx"]["error"])
    found = json.dumps(item.get("input"), default=str)[:60]
    if item["type"] == "model_type":
        wanted = "a file name, a list of them, or an object" if where == "input" else "an object of settings"
        return f"{where} is {found}: it should be {wanted}"
    wrong = item["msg"].removeprefix("Value error, ")
    return f"{where} is {found}: {wrong[0].lower()}{wrong[1:]}"


def _known_keys(location: Sequence[Any]) -> list[str]:
    model: Any = Config
    for part in location:
        declared = keys_of(model).get(part) if _is_section(model) else None
        model = declared.annotation if declared is not None else None
    return list(keys_of(model)) if _is_section(model) else []


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
