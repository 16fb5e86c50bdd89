"""The presets: values of a config for a kind of input, or for a generator as its paper has it (`configs/`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any


def read_preset(name: str) -> dict[str, Any]:
    """The values of a preset, as in `configs/NAME.json`."""
    return json.loads((resources.files("netshare") / "presets" / f"{name}.json").read_text())


def merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """The values of both; where a key has one in each, that of `high`, section by section."""
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
