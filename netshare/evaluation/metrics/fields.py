"""The fields that packet and flow traces are compared by: how each is taken from a trace, and which distances it gets.

Abbreviations in brackets are those of the NetShare paper (section 6): SA, DA source and destination address, SP, DP
ports, PR protocol, PS packet size, PAT packet arrival time, FS flow size, TS, TD flow start and duration, PKT, BYT
packets and bytes of a flow record.

Units: times and durations in milliseconds, except interarrival times and the duration of packet flows, which are in
microseconds, because the logarithmic distance resolves values above its unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from netshare.evaluation.metrics.measures import (
    EMD,
    EMD_OF_LOG,
    JSD,
    JSD_OF_RANKS,
    JSD_OF_SIZES,
    JSD_OF_TIMES,
    PAPER_EMD,
    PAPER_JSD,
    PAPER_JSD_OF_RANKS,
    SHARE,
    Measure,
    TimeFrame,
)
from netshare.preprocess.flows import Flows, group_flows_by_hash
from netshare.preprocess.hashing import destination_hashes, source_hashes
from netshare.preprocess.protocols import TCP
from netshare.preprocess.trace import CATEGORY_COLUMNS, Kind, Trace


@dataclass(frozen=True)
class TraceView:
    """A trace with its flows and the time frame, as the fields are taken from it; everything is computed once."""

    trace: Trace
    frame: TimeFrame

    @cached_property
    def flows(self) -> Flows:
        """The trace's records by five-tuple."""
        return group_flows_by_hash(self.trace)

    @cached_property
    def flow_of_record(self) -> np.ndarray:
        """int64[n_records]: the flow of each record."""
        return self.flows.of_record

    @cached_property
    def is_tcp(self) -> np.ndarray:
        """bool[n_records]."""
        return self.trace["protocol"] == TCP

    @cached_property
    def has_packets(self) -> np.ndarray:
        """bool[n_records] of a flow trace."""
        return self.trace["packets"] > 0

    @cached_property
    def milliseconds(self) -> np.ndarray:
        """float64[n_records]: time since the frame's start."""
        return (self.trace["time"] - self.frame.start) / 1e6

    @cached_property
    def time_bin(self) -> np.ndarray:
        """int64[n_records]: the time bin of each record; those outside the frame count in the first or last one."""
        edges = self.frame.edges
        inside = np.clip(self.milliseconds, edges[0], edges[-1])
        return np.clip(np.searchsorted(edges, inside, "right") - 1, 0, len(edges) - 2)

    def rate(self, weights: np.ndarray | None = None) -> np.ndarray:
        """float64[TIME_BINS]: records in each time bin, each counted as often as float64[n_records] says."""
        return np.bincount(self.time_bin, weights, minlength=len(self.frame.edges) - 1).astype(np.float64)


@dataclass(frozen=True)
class FieldSpec:
    """A field that is compared.

    name: the key of its values in what `extract` returns, and the report's `field`
    title: as people read it
    of: what one value stands for
    measures: our distances of it
    take: a trace's values of it
    flow_of: the flow that each of these values belongs to; None where the values are sums over time bins
    paper: the distance that the papers use for it, if they use it
    unit: of the values
    """

    name: str
    title: str
    of: str
    measures: tuple[Measure, ...]
    take: Callable[[TraceView], np.ndarray]
    flow_of: Callable[[TraceView], np.ndarray] | None
    paper: Measure | None = None
    unit: str = ""


def _column(name: str) -> Callable[[TraceView], np.ndarray]:
    return lambda view: view.trace[name]


def _of_record(view: TraceView) -> np.ndarray:
    return view.flow_of_record


def _of_flow(view: TraceView) -> np.ndarray:
    return np.arange(len(view.flows))


def _of_gap(view: TraceView) -> np.ndarray:
    return np.repeat(np.arange(len(view.flows)), view.flows.lengths - 1)


def _tcp_flags(view: TraceView) -> np.ndarray:
    return view.trace["tcp_flags"][view.is_tcp]


def _of_tcp_record(view: TraceView) -> np.ndarray:
    return view.flow_of_record[view.is_tcp]


def _bytes_per_packet(view: TraceView) -> np.ndarray:
    return view.trace["bytes"][view.has_packets] / view.trace["packets"][view.has_packets]


def _milliseconds(view: TraceView) -> np.ndarray:
    return view.milliseconds


def _rate(view: TraceView) -> np.ndarray:
    return view.rate()


def _sizes(view: TraceView) -> np.ndarray:
    return view.flows.lengths


def _repeats(view: TraceView) -> np.ndarray:
    return view.flows.lengths > 1


def _interarrival(view: TraceView) -> np.ndarray:
    return view.flows.interarrivals(view.trace["time"]) / 1e3


_FIVE_TUPLE_FIELDS = (
    FieldSpec(
        "src_address", "Source address [SA]", "record", (JSD, JSD_OF_RANKS),
        lambda view: source_hashes(view.trace), _of_record, PAPER_JSD_OF_RANKS,
    ),
    FieldSpec(
        "dst_address", "Destination address [DA]", "record", (JSD, JSD_OF_RANKS),
        lambda view: destination_hashes(view.trace), _of_record, PAPER_JSD_OF_RANKS,
    ),
    FieldSpec("src_port", "Source port [SP]", "record", (JSD,), _column("src_port"), _of_record, PAPER_JSD),
    FieldSpec("dst_port", "Destination port [DP]", "record", (JSD,), _column("dst_port"), _of_record, PAPER_JSD),
    FieldSpec("protocol", "Protocol [PR]", "record", (JSD,), _column("protocol"), _of_record, PAPER_JSD),
)  # fmt: skip

PACKET_FIELDS: tuple[FieldSpec, ...] = (
    *_FIVE_TUPLE_FIELDS,
    FieldSpec("length", "Packet size [PS]", "packet", (JSD, EMD), _column("length"), _of_record, PAPER_EMD, "bytes"),
    FieldSpec("ttl", "TTL or hop limit", "packet", (JSD,), _column("ttl"), _of_record),
    FieldSpec("tcp_flags", "TCP flags", "TCP packet", (JSD,), _tcp_flags, _of_tcp_record),
    FieldSpec(
        "time", "Arrival time [PAT]", "packet", (JSD_OF_TIMES, EMD), _milliseconds, _of_record, PAPER_EMD, "ms"
    ),
    FieldSpec("rate", "Packets a time bin", "time bin", (EMD_OF_LOG,), _rate, None, None, "packets"),
    FieldSpec(
        "flow_size", "Packets a flow [FS]", "flow", (JSD_OF_SIZES, EMD_OF_LOG), _sizes, _of_flow, PAPER_EMD, "packets"
    ),
    FieldSpec("repeats", "Flows with more than one packet", "flow", (SHARE,), _repeats, _of_flow),
    FieldSpec(
        "interarrival", "Interarrival time within a flow", "packet but a flow's first", (EMD_OF_LOG,),
        _interarrival, _of_gap, None, "µs",
    ),
    FieldSpec(
        "flow_duration", "Flow duration", "flow", (EMD_OF_LOG,),
        lambda view: view.flows.durations(view.trace["time"]) / 1e3, _of_flow, None, "µs",
    ),
    FieldSpec(
        "flow_volume", "Bytes a flow", "flow", (EMD_OF_LOG,),
        lambda view: view.flows.totals(view.trace["length"]), _of_flow, None, "bytes",
    ),
)  # fmt: skip

FLOW_FIELDS: tuple[FieldSpec, ...] = (
    *_FIVE_TUPLE_FIELDS,
    FieldSpec("time", "Start time [TS]", "record", (JSD_OF_TIMES, EMD), _milliseconds, _of_record, PAPER_EMD, "ms"),
    FieldSpec("rate", "Records a time bin", "time bin", (EMD_OF_LOG,), _rate, None, None, "records"),
    FieldSpec(
        "duration", "Duration [TD]", "record", (EMD_OF_LOG,),
        lambda view: view.trace["duration"] / 1e6, _of_record, PAPER_EMD, "ms",
    ),
    FieldSpec(
        "packets", "Packets [PKT]", "record", (JSD_OF_SIZES, EMD_OF_LOG),
        _column("packets"), _of_record, PAPER_EMD, "packets",
    ),
    FieldSpec("bytes", "Bytes [BYT]", "record", (EMD_OF_LOG,), _column("bytes"), _of_record, PAPER_EMD, "bytes"),
    FieldSpec(
        "bytes_per_packet", "Bytes a packet", "record with packets", (EMD,),
        _bytes_per_packet, lambda view: view.flow_of_record[view.has_packets], None, "bytes",
    ),
    FieldSpec("tcp_flags", "TCP flags", "TCP record", (JSD,), _tcp_flags, _of_tcp_record),
    FieldSpec(
        "flow_size", "Records a five-tuple", "five-tuple", (JSD_OF_SIZES, EMD_OF_LOG), _sizes, _of_flow, None, "records"
    ),
    FieldSpec("repeats", "Five-tuples with more than one record", "five-tuple", (SHARE,), _repeats, _of_flow),
    FieldSpec(
        "interarrival", "Time between starts, same five-tuple", "record but a five-tuple's first", (EMD_OF_LOG,),
        _interarrival, _of_gap, None, "µs",
    ),
    FieldSpec("label", "Label", "record", (JSD,), _column("label"), _of_record),
    FieldSpec("attack_type", "Attack type", "record", (JSD,), _column("attack_type"), _of_record),
)  # fmt: skip

_OPTIONAL = ("tcp_flags", *CATEGORY_COLUMNS)  # columns that a trace may lack, and the fields of the same names


def fields_of(kind: Kind) -> tuple[FieldSpec, ...]:
    """All fields that traces of this kind are compared by, in the report's order."""
    return PACKET_FIELDS if kind == "packet" else FLOW_FIELDS


def extract(view: TraceView) -> dict[str, np.ndarray]:
    """The values of every field of a trace, by `FieldSpec.name`; optional fields that the trace lacks are left out."""
    specs = fields_of(view.trace.kind)
    return {spec.name: spec.take(view) for spec in specs if spec.name not in _OPTIONAL or spec.name in view.trace}


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
