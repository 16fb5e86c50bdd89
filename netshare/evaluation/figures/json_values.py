"""Figures as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from netshare.evaluation.metrics.plugins import PluginResults
from netshare.preprocess.atomic import write_text
from netshare.preprocess.outputs import check_output

SCHEMA_VERSION = 1


class HasJson(Protocol):
    """A report on traces or on series."""

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON-able values."""


def write_json(report: HasJson, path: Path | str, *, force: bool = False) -> None:
    """Write `report.to_json()` to a file, atomically.

    Args:
        report: its figures.
        path: the file.
        force: replace it where it exists.

    Raises:
        InputError: it exists, or is no place for a file.
        OSError: it cannot be written.
    """
    check_output(path, force=force)
    write_text(Path(path), json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")


def plugins_as_json(plugins: PluginResults) -> dict[str, Any]:
    """Figures and failures of the plugins."""
    return {
        "figures": [asdict(each) for each in plugins.figures],
        "failures": [asdict(each) for each in plugins.failures],
    }


def as_json(value: Any) -> Any:
    """NumPy scalars, paths and the like as JSON-able values, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if hasattr(value, "tolist"):
        return as_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
