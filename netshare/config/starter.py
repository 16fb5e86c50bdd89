"""What `netshare inspect` prints and `netshare init` chooses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netshare.preprocess.chunks import NANOSECONDS, RECORDS_PER_CHUNK, plan_chunks
from netshare.preprocess.flows import group_flows
from netshare.preprocess.trace import Trace

SHOWN = 8  # entries of a table before the rest is summed up


def format_description(description: Mapping[str, Any]) -> str:
    """A description by `netshare.preprocess.describe_trace` as text, one fact a line."""
    return "\n".join(_lines(description, ""))


def starter_config(trace: Trace, files: Sequence[str], folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A config for a trace, and for each choice made why.

    Args:
        trace: the trace that `files` hold.
        files: as the user named them.
        folder: where the config will lie; file names in it are relative to this.
    """
    preset = "pcap" if trace.kind == "packet" else "netflow"
    plan = plan_chunks(trace["time"])
    lengths = group_flows(trace).lengths
    what = "packets" if trace.kind == "packet" else "flow records"
    names = [os.path.relpath(Path(name).resolve(), folder) for name in files]
    config = {
        "input": names[0] if len(names) == 1 else names,
        "preset": preset,
        "chunks": {"count": plan.count},
        "seed": 0,
    }
    reasons = {
        "preset": f"{preset}, because the input holds {what}",
        "chunks.count": (
            f"{plan.count} of {plan.width / NANOSECONDS:,.3f} s, one for about every {RECORDS_PER_CHUNK:,} records "
            f"({len(trace):,} here)"
        ),
        "seed": "0; the same seed repeats the run, another gives another synthetic trace",
        "(not set)": (
            f"as many flows are generated as the input has ({len(lengths):,}, the longest of {int(lengths.max()):,} "
            "records); 20% of them are held back to measure the result; `netshare schema` lists every key"
        ),
    }
    return config, reasons


def _lines(value: Any, indent: str) -> list[str]:
    lines: list[str] = []
    for key, item in value.items():
        name = key.replace("_", " ")
        if isinstance(item, Mapping) and item:
            lines += [f"{indent}{name}:", *_lines(dict(list(item.items())[:SHOWN]), indent + "  ")]
            if len(item) > SHOWN:
                lines.append(f"{indent}  ... and {len(item) - SHOWN} more")
        elif isinstance(item, list) and item and isinstance(item[0], Mapping):
            lines.append(f"{indent}{name}:")
            for entry in item[:SHOWN]:
                inner = _lines(entry, indent + "    ")
                lines += [f"{indent}  - {inner[0].strip()}", *inner[1:]]
            if len(item) > SHOWN:
                lines.append(f"{indent}  ... and {len(item) - SHOWN} more")
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
