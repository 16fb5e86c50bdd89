"""`write_trace`: the format follows the file's name, the layout follows the input's.

report = write_trace(trace, "synthetic.pcap")
report.lossy    # what the format cannot hold, one line each
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from netshare.postprocess.link import LinkType
from netshare.postprocess.writers.capture import Container, write_capture
from netshare.postprocess.writers.export_capture import write_export_capture
from netshare.postprocess.writers.flow_csv import FLOW_TEXTS, write_flow_csv
from netshare.postprocess.writers.nfcapd import write_nfcapd
from netshare.postprocess.writers.pcap import Pcap
from netshare.postprocess.writers.pcapng import Pcapng
from netshare.preprocess.errors import InputError, NetshareError
from netshare.preprocess.layouts.exports import FORMAT_NAMES, V5
from netshare.preprocess.outputs import check_output
from netshare.preprocess.parquet import save_parquet
from netshare.preprocess.trace import Kind, Source, Trace

_CAPTURES: dict[str, Callable[[bool], Container]] = {"pcap": Pcap, "pcapng": Pcapng}  # given: whether in nanoseconds
_EXPORTS = {name: version for version, name in FORMAT_NAMES.items()}
FORMATS = (*_CAPTURES, *FLOW_TEXTS, *_EXPORTS, "nfcapd", "parquet")
# Each also with .gz, but Parquet, which is compressed; .csv follows the layout.
_SUFFIXES = {".pcap": "pcap", ".pcapng": "pcapng", ".nfcapd": "nfcapd", ".log": "zeek-tsv", ".json": "zeek-json"}


@dataclass(frozen=True)
class WriteReport:
    """What was written.

    Attributes:
        path, format, records: the file, its format, its records.
        lossy: one line for each thing of the trace that the format does not hold.
    """

    path: Path
    format: str
    records: int
    lossy: tuple[str, ...] = ()


def write_trace(
    trace: Trace,
    path: str | Path,
    *,
    format: str | None = None,
    layout: Source | None = None,
    link_type: Literal["ethernet", "raw"] | None = None,
    nanoseconds: bool | None = None,
    snaplen: int | None = None,
    seed: int = 0,
    force: bool = False,
) -> WriteReport:
    """Write a trace; the file appears whole or not at all.

    Args:
        trace: a packet trace for captures, a flow trace for records, either for Parquet. `repair` it first.
        path: `.pcap[.gz]`, `.pcapng[.gz]`, `.nfcapd[.gz]`, `.log[.gz]` and `.json[.gz]` (Zeek's), `.csv[.gz]`
            or `.parquet`.
        format: one of `FORMATS`, where the suffix is not to decide.
        layout: the source whose layout to follow; by default the trace's first one, if it has the right format.
        link_type: link layer of a capture; by default raw IP where the layout's was, else Ethernet.
        nanoseconds: time stamps of a capture; by default where the layout had them, or where there is no layout.
        snaplen: cut captured packets to so many bytes (the wire length is kept); by default they are whole.
        seed: varies TCP's initial sequence numbers.
        force: replace the file where it exists; a file that the trace was read from is never replaced.

    Raises:
        InputError: no known suffix or format, a trace of the wrong kind for it, or a file that would be lost
            (`netshare.preprocess.outputs`).
        FieldError: packets that cannot be built (see `repair`).
        NetshareError: the file cannot be written.
    """
    target = Path(path)
    source = layout if layout is not None else (trace.sources[0] if trace.sources else None)
    chosen = format_of(target, source, format)
    if trace.kind not in kinds_of(chosen):
        (wanted,) = kinds_of(chosen)
        hint = "; flows_from_packets() makes flow records of packets" if wanted == "flow" else ""
        raise InputError(f"{target}: {chosen} holds a {wanted} trace, this is a {trace.kind} trace{hint}")
    check_output(target, inputs=[each.path for each in trace.sources if each.path], force=force)
    if chosen == "parquet":
        try:
            save_parquet(trace, target)
        except OSError as error:
            raise NetshareError(f"{target}: cannot be written ({error}); check folder and free space") from error
        return WriteReport(target, chosen, len(trace))
    if chosen in _CAPTURES:
        link: LinkType = link_type or ("raw" if source is not None and source.link_type == "raw" else "ethernet")
        fine = _has_nanoseconds(source) if nanoseconds is None else nanoseconds
        write_capture(trace, target, _CAPTURES[chosen](fine), link_type=link, snaplen=snaplen, seed=seed)
        return WriteReport(target, chosen, len(trace), tuple(_capture_losses(trace, link, fine)))
    if chosen in _EXPORTS:
        lossy = write_export_capture(trace, target, _EXPORTS[chosen])
        if _EXPORTS[chosen] == V5:
            return WriteReport(target, chosen, int((trace["ip_version"] == 4).sum()), lossy)
    elif chosen == "nfcapd":
        lossy = write_nfcapd(trace, target)
    else:
        lossy = tuple(write_flow_csv(trace, target, layout_name=chosen, source=source))
    return WriteReport(target, chosen, len(trace), lossy)


def format_of(path: Path, source: Source | None = None, named: str | None = None) -> str:
    """The format in which `write_trace` would write: the one that is named, else that of the suffix.

    Raises:
        InputError: no known suffix or format.
    """
    if named is not None:
        if named not in FORMATS:
            raise InputError(f"{path}: unknown format {named!r}, choose one of {', '.join(FORMATS)}")
        return named
    name = path.name.lower().removesuffix(".gz")
    for suffix, format in _SUFFIXES.items():
        if name.endswith(suffix):
            return format
    if path.suffix.lower() == ".parquet":
        return "parquet"
    if name.endswith(".csv"):
        return source.format if source is not None and source.format in FLOW_TEXTS else "netshare-csv"
    known = ", ".join(f"{suffix}[.gz]" for suffix in (*_SUFFIXES, ".csv"))
    raise InputError(f"{path}: unknown suffix, choose one of {known}, .parquet, or name the format")


def kinds_of(format: str) -> tuple[Kind, ...]:
    """The kinds of trace that a format holds."""
    if format == "parquet":
        return ("packet", "flow")
    return ("packet",) if format in _CAPTURES else ("flow",)


def _has_nanoseconds(source: Source | None) -> bool:
    if source is None:
        return True
    return source.details.get("time_resolution_ns", 1000) < 1000


def _capture_losses(trace: Trace, link: str, nanoseconds: bool) -> Sequence[str]:
    losses = []
    if link == "raw" and (trace["vlan"] > 0).any():
        losses.append(f"vlan of {int((trace['vlan'] > 0).sum())} packets: raw IP has no link layer")
    if not nanoseconds and (trace["time"] % 1000 > 0).any():
        losses.append("times are cut to microseconds")
    if len(trace) and (trace["epoch"] != trace["epoch"][0]).any():
        losses.append("epoch: a capture does not say which input a packet belongs to")
    v6 = (trace["ip_version"] == 6) & (trace["fragment_offset"] > 0)
    if np.count_nonzero(v6):
        losses.append("IPv6 fragment identifications are made up")
    return losses
