"""Overrides of a config on the command line: `--set section.key=value`."""

from __future__ import annotations

import json
from typing import Any

from netshare.preprocess.errors import ConfigError


def override(raw: dict[str, Any], text: str) -> None:
    """Set one value of a raw config in place.

    Args:
        raw: the config, as it is read from JSON.
        text: `section.key=value`; the value is JSON, or else taken as text.

    Raises:
        ConfigError: the text has no `=`, or a part before the last one is not a section.
    """
    key, separator, value = text.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"--set {text}: write it as section.key=value, for instance training.steps=500")
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        parsed = value
    where = raw
    for part in parts[:-1]:
        inner = where.setdefault(part, {})
        if part == "input" and not isinstance(inner, dict):
            inner = where[part] = {"files": inner if isinstance(inner, list) else [inner]}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {text}: {part} is not a section")
        where = inner
    where[parts[-1]] = parsed
