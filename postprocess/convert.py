"""`netshare convert`: any trace that can be read, to any format that can be written.

    report = convert(["campus.pcap", "dorms.pcapng"], Path("both.nfcapd"))
    report.lossy    # what the format does not hold, one line each

Packets become flow records where the format holds those; the reverse is what models are for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from netshare.postprocess import WriteReport, flows_from_packets, repair, write_trace
from netshare.postprocess.netflow import ACTIVE_TIMEOUT, INACTIVE_TIMEOUT
from netshare.postprocess.repair import CONVENTIONS
from netshare.postprocess.writers.write import format_of, kinds_of
from netshare.preprocess import Trace, read_trace
from netshare.preprocess.errors import InputError
from netshare.preprocess.outputs import check_output
from netshare.preprocess.readers import list_files
from netshare.preprocess.readers.contents import MAXIMUM_BYTES
from netshare.preprocess.readers.in_memory import TraceLike, is_in_memory

_MADE_UP = (
    "payloads, MAC addresses, TCP sequence numbers and options are made up: a trace keeps the other header fields"
)

# What real packets may do; segments of a real stream also end within a message.
_REAL = (*CONVENTIONS, "message_length")


@dataclass(frozen=True)
class OutputOptions:
    """How captures and flow records are written; those that the output's format has no use for change nothing.

    Attributes:
        link_type, nanoseconds, snaplen: of a capture, as `netshare.postprocess.write_trace` takes them.
        active_timeout: seconds after which a flow record made of packets ends, although more packets come.
        inactive_timeout: seconds without a packet after which a flow record made of packets ends.
    """

    link_type: Literal["ethernet", "raw"] | None = None
    nanoseconds: bool | None = None
    snaplen: int | None = None
    active_timeout: float = ACTIVE_TIMEOUT
    inactive_timeout: float = INACTIVE_TIMEOUT


def convert(
    inputs: TraceLike,
    output: str | Path,
    *,
    to: str | None = None,
    limit: int | None = None,
    max_bytes: int = MAXIMUM_BYTES,
    options: OutputOptions = OutputOptions(),
    force: bool = False,
    announce: Callable[[str], None] | None = None,
) -> WriteReport:
    """Read traces, merge them, and write them in another format.

    Args:
        inputs: files, patterns or folders, as `netshare.preprocess.read_trace` takes them; or a trace, a data frame or an Arrow
            table.
        output: its suffix names the format, unless `to` does.
        to: one of `netshare.postprocess.writers.write.FORMATS`.
        limit: read no more than so many records.
        max_bytes: how many bytes compressed inputs, or standard input, may hold.
        options: how a capture is written, and when flow records end where packets become flow records.
        force: replace the output where it exists; an input is never replaced.
        announce: takes, before anything is written, one line for each thing that the output changes or makes up.

    Returns:
        What was written, and line by line what of the input it does not hold; what was announced comes first.

    Raises:
        InputError: an input cannot be read, the output is an input or exists, the format is unknown, or flow records are
            asked to become packets.
        FieldError: the format cannot hold the trace's times.
        NetshareError: the output cannot be written, or needs a program that is not installed.
    """
    target = Path(output)
    format_of(target, None, to)  # an unknown format is refused before anything is read
    files = [] if is_in_memory(inputs) else list_files(inputs)
    check_output(target, inputs=files, force=force)
    trace = inputs if isinstance(inputs, Trace) else read_trace(inputs, limit=limit, max_bytes=max_bytes)
    chosen = format_of(target, trace.sources[0] if trace.sources else None, to)
    trace, changes = _fit(trace, chosen, target, options)
    for line in changes:
        if announce is not None:
            announce(line)
    check_output(target, inputs=files, force=force)  # reading may have taken long
    report = write_trace(
        trace,
        target,
        format=chosen,
        link_type=options.link_type,
        nanoseconds=options.nanoseconds,
        snaplen=options.snaplen,
        force=force,
    )
    return replace(report, lossy=(*changes, *report.lossy))


def _fit(trace: Trace, format: str, output: Path, options: OutputOptions) -> tuple[Trace, list[str]]:
    """The trace as the format holds it, and what was changed or made up."""
    kinds = kinds_of(format)
    if trace.kind == "flow":
        if "flow" not in kinds:
            raise InputError(
                f"{output}: flow records do not tell of single packets, so they cannot become {format}; choose a "
                f"format for flow records, or train a model on packets"
            )
        return trace, []
    if "packet" not in kinds:
        flows = flows_from_packets(
            trace, active_timeout=options.active_timeout, inactive_timeout=options.inactive_timeout
        )
        return flows, [f"{len(trace)} packets are summed up as {len(flows)} flow records"]
    if format == "parquet":
        return trace, []
    repaired, repairs = repair(trace, except_rules=_REAL, assign_ip_id=False)
    changes = [
        f"{counts['before'] - counts['after']} packets are changed: {repairs.explanations[rule]}"
        for rule, counts in repairs.rules.items()
        if counts["before"] > counts["after"]
    ]
    return repaired, [_MADE_UP, *changes]
