"""What is compared: the fields of packet and flow traces, how each is taken from a trace, and which distance it gets.

Abbreviations in brackets are those of the NetShare paper (section 6): SA, DA source and destination address, SP, DP
ports, PR protocol, PS packet size, PAT packet arrival time, FS flow size, TS, TD flow start and duration, PKT, BYT
packets and bytes of a flow record.

Units: times and durations in milliseconds, except interarrival times and the duration of packet flows, which are in
microseconds, because the logarithmic distance resolves values above its unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from netshare.evaluation.metrics import distances
from netshare.preprocess.flows import group_flows_by_hash
from netshare.preprocess.hashing import destination_hashes, source_hashes
from netshare.preprocess.protocols import TCP
from netshare.preprocess.trace import CATEGORY_COLUMNS, Kind, Trace

Measure = Literal["jsd", "jsd_rank", "jsd_bins", "jsd_time", "emd", "emd_log", "share"]

TIME_BINS = 100  # of the real traces' common time span

MEASURE_TEXT: dict[Measure, str] = {
    "jsd": "JSD, values",
    "jsd_rank": "JSD, popularity ranks",
    "jsd_bins": "JSD, bins 1, 2, 3-4, 5-8 ...",
    "jsd_time": f"JSD, {TIME_BINS} time bins",
    "emd": "EMD / std",
    "emd_log": "EMD of log / std",
    "share": "difference of shares",
}


@dataclass(frozen=True)
class FieldSpec:
    """A field that is compared: `measures` are ours, `paper` is the one that the papers use for it (if they use it).

    `name` is a key of what `extract` returns; `of` says what one value stands for.
    """

    name: str
    title: str
    of: str
    measures: tuple[Measure, ...]
    paper: Literal["jsd", "jsd_rank", "emd"] | None = None
    unit: str = ""


@dataclass(frozen=True)
class TimeFrame:
    """The real traces' common time span, ns since the Unix epoch; times are counted from its start."""

    start: int
    end: int

    @property
    def edges(self) -> np.ndarray:
        """float64[TIME_BINS + 1] (ms from the start): borders of the time bins."""
        return np.linspace(0, max((self.end - self.start) / 1e6, 1e-6), TIME_BINS + 1)


_FIVE_TUPLE_FIELDS = (
    FieldSpec("src_address", "Source address [SA]", "record", ("jsd", "jsd_rank"), "jsd_rank"),
    FieldSpec("dst_address", "Destination address [DA]", "record", ("jsd", "jsd_rank"), "jsd_rank"),
    FieldSpec("src_port", "Source port [SP]", "record", ("jsd",), "jsd"),
    FieldSpec("dst_port", "Destination port [DP]", "record", ("jsd",), "jsd"),
    FieldSpec("protocol", "Protocol [PR]", "record", ("jsd",), "jsd"),
)

PACKET_FIELDS: tuple[FieldSpec, ...] = (
    *_FIVE_TUPLE_FIELDS,
    FieldSpec("length", "Packet size [PS]", "packet", ("jsd", "emd"), "emd", "bytes"),
    FieldSpec("ttl", "TTL or hop limit", "packet", ("jsd",)),
    FieldSpec("tcp_flags", "TCP flags", "TCP packet", ("jsd",)),
    FieldSpec("time", "Arrival time [PAT]", "packet", ("jsd_time", "emd"), "emd", "ms"),
    FieldSpec("rate", "Packets a time bin", "time bin", ("emd_log",), None, "packets"),
    FieldSpec("flow_size", "Packets a flow [FS]", "flow", ("jsd_bins", "emd_log"), "emd", "packets"),
    FieldSpec("repeats", "Flows with more than one packet", "flow", ("share",)),
    FieldSpec("interarrival", "Interarrival time within a flow", "packet but a flow's first", ("emd_log",), None, "µs"),
    FieldSpec("flow_duration", "Flow duration", "flow", ("emd_log",), None, "µs"),
    FieldSpec("flow_volume", "Bytes a flow", "flow", ("emd_log",), None, "bytes"),
)

FLOW_FIELDS: tuple[FieldSpec, ...] = (
    *_FIVE_TUPLE_FIELDS,
    FieldSpec("time", "Start time [TS]", "record", ("jsd_time", "emd"), "emd", "ms"),
    FieldSpec("rate", "Records a time bin", "time bin", ("emd_log",), None, "records"),
    FieldSpec("duration", "Duration [TD]", "record", ("emd_log",), "emd", "ms"),
    FieldSpec("packets", "Packets [PKT]", "record", ("jsd_bins", "emd_log"), "emd", "packets"),
    FieldSpec("bytes", "Bytes [BYT]", "record", ("emd_log",), "emd", "bytes"),
    FieldSpec("bytes_per_packet", "Bytes a packet", "record with packets", ("emd",), None, "bytes"),
    FieldSpec("tcp_flags", "TCP flags", "TCP record", ("jsd",)),
    FieldSpec("flow_size", "Records a five-tuple", "five-tuple", ("jsd_bins", "emd_log"), None, "records"),
    FieldSpec("repeats", "Five-tuples with more than one record", "five-tuple", ("share",)),
    FieldSpec(
        "interarrival",
        "Time between starts, same five-tuple",
        "record but a five-tuple's first",
        ("emd_log",),
        None,
        "µs",
    ),
    FieldSpec("label", "Label", "record", ("jsd",)),
    FieldSpec("attack_type", "Attack type", "record", ("jsd",)),
)


def fields_of(kind: Kind) -> tuple[FieldSpec, ...]:
    """All fields that traces of this kind are compared by, in the report's order."""
    return PACKET_FIELDS if kind == "packet" else FLOW_FIELDS


def extract(trace: Trace, frame: TimeFrame) -> dict[str, np.ndarray]:
    """The values of every field of a trace, by `FieldSpec.name`; optional fields that the trace lacks are left out."""
    flows = group_flows_by_hash(trace)
    time = trace["time"]
    milliseconds = (time - frame.start) / 1e6
    sizes = flows.lengths
    counts = np.histogram(np.clip(milliseconds, frame.edges[0], frame.edges[-1]), frame.edges)[0]
    values: dict[str, np.ndarray] = {
        "src_address": source_hashes(trace),
        "dst_address": destination_hashes(trace),
        "src_port": trace["src_port"],
        "dst_port": trace["dst_port"],
        "protocol": trace["protocol"],
        "time": milliseconds,
        "rate": counts.astype(np.float64),
        "flow_size": sizes,
        "repeats": sizes > 1,
        "interarrival": flows.interarrivals(time) / 1e3,
    }
    if "tcp_flags" in trace:
        values["tcp_flags"] = trace["tcp_flags"][trace["protocol"] == TCP]
    if trace.kind == "packet":
        values["length"] = trace["length"]
        values["ttl"] = trace["ttl"]
        values["flow_duration"] = flows.durations(time) / 1e3
        values["flow_volume"] = flows.totals(trace["length"])
        return values
    with_packets = trace["packets"] > 0
    values["duration"] = trace["duration"] / 1e6
    values["packets"] = trace["packets"]
    values["bytes"] = trace["bytes"]
    values["bytes_per_packet"] = trace["bytes"][with_packets] / trace["packets"][with_packets]
    values.update({name: trace[name] for name in CATEGORY_COLUMNS if name in trace})
    return values


def measure(name: Measure, sample: np.ndarray, reference: np.ndarray, frame: TimeFrame) -> float:
    """One of our distances of `sample` to `reference`."""
    if name == "jsd_time":
        return distances.jsd_of_histograms(sample, reference, frame.edges)
    return {
        "jsd": distances.jsd_of_values,
        "jsd_rank": distances.jsd_of_ranks,
        "jsd_bins": distances.jsd_of_coarse_sizes,
        "emd": distances.earth_mover_normalised,
        "emd_log": distances.earth_mover_log,
        "share": distances.share_difference,
    }[name](sample, reference)


def paper_measure(name: Literal["jsd", "jsd_rank", "emd"], sample: np.ndarray, reference: np.ndarray) -> float:
    """The papers' distance: JSD in nats, or the raw earth mover's distance."""
    if name == "emd":
        return distances.earth_mover(sample, reference)
    return (distances.jsd_of_ranks if name == "jsd_rank" else distances.jsd_of_values)(sample, reference, np.e)


def with_common_categories(traces: Sequence[Trace]) -> tuple[list[Trace], dict[str, tuple[str, ...]]]:
    """The traces with their text codes (labels) renumbered to one table that they share, and that table.

    Two traces read apart number the same texts differently; -1 (unset) stays -1.
    """
    texts: dict[str, dict[str, int]] = {name: {} for name in CATEGORY_COLUMNS}
    renumbered = []
    for trace in traces:
        columns = dict(trace.columns)
        for name in CATEGORY_COLUMNS:
            if name in trace:
                codes = texts[name]
                table = [codes.setdefault(text, len(codes)) for text in trace.categories.get(name, ())]
                columns[name] = np.array([*table, -1], np.int32)[np.clip(trace[name], -1, len(table))]
        renumbered.append(replace(trace, columns=columns))
    common = {name: tuple(codes) for name, codes in texts.items() if codes}
    return [replace(trace, categories=common) for trace in renumbered], common


def frame_of(traces: Sequence[Trace]) -> TimeFrame:
    """The time span that the traces cover together."""
    return TimeFrame(min(int(t["time"].min()) for t in traces), max(int(t["time"].max()) for t in traces))


def shared_fields(kind: Kind, values: Mapping[str, Mapping[str, np.ndarray]]) -> list[FieldSpec]:
    """The fields that every trace has and of which at least one trace has a value."""
    everywhere = [spec for spec in fields_of(kind) if all(spec.name in each for each in values.values())]
    return [spec for spec in everywhere if any(len(each[spec.name]) for each in values.values())]


def unshared_fields(kind: Kind, values: Mapping[str, Mapping[str, np.ndarray]]) -> list[FieldSpec]:
    """The fields that some traces have and others lack, which cannot be compared."""
    present = [(spec, sum(spec.name in each for each in values.values())) for spec in fields_of(kind)]
    return [spec for spec, traces in present if 0 < traces < len(values)]
