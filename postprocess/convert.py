"""`netshare convert`: any trace that can be read, to any format that can be written.

    report = convert(["campus.pcap", "dorms.pcapng"], Path("both.nfcapd"))
    report.lossy    # what the format does not hold, one line each

Packets become flow records where the format holds those; the reverse is what models are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from netshare.postprocess import WriteReport, flows_from_packets, repair, write_trace
from netshare.postprocess.netflow import ACTIVE_TIMEOUT, INACTIVE_TIMEOUT
from netshare.postprocess.repair import CONVENTIONS
from netshare.postprocess.writers.write import format_of, kinds_of
from netshare.preprocess import Trace, read_trace
from netshare.preprocess.errors import InputError
from netshare.preprocess.readers.contents import MAXIMUM_BYTES

_MADE_UP = (
    "payloads, MAC addresses, TCP sequence numbers and options are made up: a trace keeps the other header fields"
)

# What real packets may do; segments of a real stream also end within a message.
_REAL = (*CONVENTIONS, "message_length")


def convert(
    inputs: Sequence[str],
    output: Path,
    *,
    to: str | None = None,
    limit: int | None = None,
    link_type: Literal["ethernet", "raw"] | None = None,
    nanoseconds: bool | None = None,
    snaplen: int | None = None,
    active_timeout: float = ACTIVE_TIMEOUT,
    inactive_timeout: float = INACTIVE_TIMEOUT,
    max_bytes: int = MAXIMUM_BYTES,
) -> WriteReport:
    """Read traces, merge them, and write them in another format.

    Args:
        inputs: files, patterns or folders, as `netshare.preprocess.read_trace` takes them.
        output: its suffix names the format, unless `to` does.
        to: one of `netshare.postprocess.writers.write.FORMATS`.
        limit: read no more than so many records.
        link_type, nanoseconds, snaplen: of a capture, as `netshare.postprocess.write_trace` takes them.
        active_timeout, inactive_timeout: seconds after which a flow record ends, where packets become flow records.
        max_bytes: how many bytes compressed inputs, or standard input, may hold.

    Returns:
        What was written, and line by line what of the input it does not hold.

    Raises:
        InputError: an input cannot be read, the format is unknown, or flow records are asked to become packets.
        FieldError: the format cannot hold the trace's times.
        NetshareError: the output cannot be written, or needs a program that is not installed.
    """
    format_of(output, None, to)  # an unknown format is said before anything is read
    trace = read_trace(list(inputs), limit=limit, max_bytes=max_bytes)
    chosen = format_of(output, trace.sources[0] if trace.sources else None, to)
    trace, changes = _fit(trace, chosen, output, active_timeout, inactive_timeout)
    report = write_trace(trace, output, format=chosen, link_type=link_type, nanoseconds=nanoseconds, snaplen=snaplen)
    return replace(report, lossy=(*changes, *report.lossy))


def _fit(
    trace: Trace, format: str, output: Path, active_timeout: float, inactive_timeout: float
) -> tuple[Trace, list[str]]:
    """The trace as the format holds it, and what was changed."""
    kinds = kinds_of(format)
    if trace.kind == "flow":
        if "flow" not in kinds:
            raise InputError(
                f"{output}: flow records do not tell of single packets, so they cannot become {format}; choose a "
                f"format for flow records, or train a model on packets"
            )
        return trace, []
    if "packet" not in kinds:
        flows = flows_from_packets(trace, active_timeout=active_timeout, inactive_timeout=inactive_timeout)
        return flows, [f"{len(trace)} packets are summed up as {len(flows)} flow records"]
    if format == "parquet":
        return trace, []
    repaired, said = repair(trace, except_rules=_REAL, assign_ip_id=False)
    changes = [
        f"{counts['before'] - counts['after']} packets are changed: {said.explanations[rule]}"
        for rule, counts in said.rules.items()
        if counts["before"] > counts["after"]
    ]
    return repaired, [_MADE_UP, *changes]
