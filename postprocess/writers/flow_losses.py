"""What a layout of flow records does not hold of a trace."""

from __future__ import annotations

from typing import Any

import numpy as np

from netshare.postprocess.writers.flow_layouts import Layout
from netshare.preprocess.layouts.flow_forms import UNIT_NS, Form
from netshare.preprocess.layouts.flow_tables import NETSHARE, ZEEK_PROTOCOLS
from netshare.preprocess.trace import Trace

_FLAGS_HELD = {Form.SIX_FLAG_LETTERS: (0x3F, "NS, CWR and ECE"), Form.FLAG_LETTERS: (0xFF, "NS")}


def losses(trace: Trace, layout: Layout, keys: list[str], details: dict[str, Any]) -> list[str]:
    """What a file does not hold, one line each.

    Args:
        trace: the flow records.
        layout: in which they are written.
        keys: the names of the columns that are written, in lower case.
        details: of the source that is mimicked.
    """
    table, held = layout.table, layout.held
    if table is NETSHARE and "label" not in keys:
        held = {**held, "label": "type", "attack_type": "label"}  # `type` alone is the label
    found = [
        f"{name}: {table.name} has no column for it"
        for name in trace
        if name in held and held[name] not in keys and np.any(trace[name])
    ]
    found += [f"{name}: {table.name} has no column for it" for name in trace if name not in held and name != "epoch"]
    time, step = table.column("time"), table.time_step
    if time is not None and time.form is Form.EPOCH_NUMBER and (unit := details.get("time_unit", "us")) != "s":
        step = UNIT_NS.get(unit, UNIT_NS["us"])
    moment = trace["time"] if time is not None else trace["time"] + trace["duration"]
    if (moment % step > 0).any():
        found.append(f"times are cut to steps of {step} nanoseconds")
    if (trace["duration"] % table.duration_step > 0).any():
        found.append(f"durations are cut to steps of {table.duration_step} nanoseconds")
    protocol, flags = table.column("protocol"), table.column("tcp_flags")
    if protocol is not None and protocol.form is Form.ZEEK_PROTOCOL:
        other = int(np.count_nonzero(~np.isin(trace["protocol"], list(ZEEK_PROTOCOLS))))
        found += [f"protocol of {other} records: Zeek names TCP, UDP and ICMP only"] if other else []
    if flags is not None and flags.form in _FLAGS_HELD and "tcp_flags" in trace:
        mask, lost = _FLAGS_HELD[flags.form]
        found += [f"tcp_flags: {table.name} has no place for {lost}"] if (trace["tcp_flags"] > mask).any() else []
    found += layout.caveats(trace) if layout.caveats is not None else []
    if len(trace) and (trace["epoch"] != trace["epoch"][0]).any():
        found.append("epoch: the layout does not say which input a record belongs to")
    return found
