"""What `netshare init` writes: a config for a given trace, and why each value was chosen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netshare.preprocess.chunks import NANOSECONDS, RECORDS_PER_CHUNK, plan_chunks
from netshare.preprocess.flows import group_flows
from netshare.preprocess.trace import Trace


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
