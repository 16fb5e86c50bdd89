"""`netshare inspect FILE...`: what traces, or tables of time series, hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from netshare.commands.options import Commands, Options, add_command, add_max_bytes, add_series_options, of_series

MAX_SHOWN = 8  # entries of a table before the rest is summed up


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, "inspect", execute, "tell what traces hold, and what was skipped and why")
    added.add_argument("files", nargs="+", metavar="FILE")
    added.add_argument("--json", action="store_true", help="as JSON")
    add_max_bytes(added)
    add_series_options(added)


def execute(options: Options) -> None:
    """Print the description, as text or JSON."""
    if of_series(options):
        _inspect_series(options)
        return
    from netshare.preprocess import describe_files
    from netshare.preprocess.readers.contents import MAXIMUM_BYTES

    description = describe_files(options.files, max_bytes=options.max_bytes or MAXIMUM_BYTES)
    print(json.dumps(description, indent=2) if options.json else format_description(description))


def _inspect_series(options: Options) -> None:
    from netshare.preprocess.timeseries import describe_series, read_series

    series = read_series(options.files, key=options.key, order=options.order)
    rows = describe_series(series)
    if options.json:
        sizes = {"series": len(series), "records": int(series.offsets[-1]), "notes": list(series.notes)}
        print(json.dumps({**sizes, "columns": rows}, indent=2))
        return
    lengths = series.lengths
    print(f"{len(series):,} series of {lengths.min():,} to {lengths.max():,} records")
    for row in rows:
        between = "" if row["least"] is None else f", {row['least']:g} to {row['greatest']:g}"
        print(f"  {row['column']:<24} {row['table']:<13} {row['kind']:<12} {row['distinct']:,} values{between}")
    for note in series.notes:
        print(f"note: {note}")


def format_description(description: Mapping[str, Any]) -> str:
    """A description by `netshare.preprocess.describe_trace` as text, one fact a line."""
    return "\n".join(_lines(description, ""))


def _lines(value: Any, indent: str) -> list[str]:
    lines: list[str] = []
    for key, item in value.items():
        name = key.replace("_", " ")
        if isinstance(item, Mapping) and item:
            lines += [f"{indent}{name}:", *_lines(dict(list(item.items())[:MAX_SHOWN]), indent + "  ")]
            if len(item) > MAX_SHOWN:
                lines.append(f"{indent}  ... and {len(item) - MAX_SHOWN} more")
        elif isinstance(item, list) and item and isinstance(item[0], Mapping):
            lines.append(f"{indent}{name}:")
            for entry in item[:MAX_SHOWN]:
                inner = _lines(entry, indent + "    ")
                lines += [f"{indent}  - {inner[0].strip()}", *inner[1:]]
            if len(item) > MAX_SHOWN:
                lines.append(f"{indent}  ... and {len(item) - MAX_SHOWN} more")
        else:
            lines.append(f"{indent}{name}: {_plain(item)}")
    return lines


def _plain(item: Any) -> str:
    if isinstance(item, bool) or item is None:
        return {True: "yes", False: "no", None: "-"}[item]
    if isinstance(item, int):
        return f"{item:,}"
    if isinstance(item, float):
        return f"{item:,.4g}"
    if isinstance(item, list | tuple):
        return ", ".join(_plain(entry) for entry in item) or "none"
    return str(item) if item != {} else "none"
