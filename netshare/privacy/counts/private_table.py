"""A stand-in for the private trace: a trace drawn from noisy counts, which everything after may look at as it likes.

    trace, counts = stand_in(private, public, window=plan, ...)

Flows come from `marginals`, records of flow traces from `record_marginals`, packets from
`packet_marginals` and `packet_drawing`. What is
done with the stand-in (training, early stopping, counting, generating) is post-processing and costs nothing more.

Private: `private` and the units. Public: everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.chunks import ChunkPlan
from netshare.preprocess.flows import FlowKey, Flows, group_flows
from netshare.preprocess.ragged import offsets_of, sums_since_first
from netshare.preprocess.trace import Trace
from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.counts.flow_marginals import SIDES, FlowColumns, FlowModel, flow_tables, measure_flows
from netshare.privacy.counts.length_marginals import in_groups
from netshare.privacy.counts.packet_drawing import draw_packets
from netshare.privacy.counts.packet_marginals import PacketColumns, Table, measure_packets, packet_tables
from netshare.privacy.counts.record_marginals import (
    LENGTH_GROUPS,
    RecordColumns,
    RecordModel,
    measure_records,
    record_tables,
)
from netshare.privacy.noise import Randomness

REDRAWS = 10  # of flows that would last longer than the window
DOCUMENTATION = 0x20010DB8 << 32  # RFC 3849: upper half of IPv6 addresses where the public trace has none


@dataclass(frozen=True)
class Window:
    """The declared time window: ns since the Unix epoch, and ns."""

    begin: int
    width: int

    @property
    def plan(self) -> ChunkPlan:
        """As one chunk."""
        return ChunkPlan(self.begin, self.width, 1)


def tables_of(trace_kind: str, columns: list[str]) -> dict[str, float]:
    """All tables that are counted of a trace of this kind with these columns, with their shares of the budget."""
    return flow_tables() | (packet_tables(columns) if trace_kind == "packet" else record_tables(columns))


def stand_in(
    private: Trace,
    public: Trace,
    *,
    window: Window,
    flow_key: FlowKey,
    longest: int,
    units: Callable[[Trace, Flows], np.ndarray],
    bound: float,
    noise_multiplier: float,
    randomness: Randomness,
    seed: int,
) -> Trace:
    """A trace of the private one's columns (labels left out) with about as many flows.

    Args:
        private: bounded (`units.bounded`): within the window, no more than `longest` records a flow.
        public: of the same kind; packets follow its flows.
        units: int64[n_flows] of a trace and its flows.
        bound: norm that a unit's entries in one table are clipped to.
        noise_multiplier: of all counts together.
        seed: of what is drawn from the counts; not private.
    """
    flows = group_flows(private, flow_key)
    names = [name for name in private if name in public]
    counter = NoisyCounts(
        tables_of(private.kind, names), noise_multiplier=noise_multiplier, bound=bound, randomness=randomness
    )
    columns = _flow_columns(private, flows, units(private, flows), window)
    model = measure_flows(columns, counter, width=window.width, longest=longest)
    rng = np.random.default_rng(seed)
    if private.kind == "packet":
        packets = measure_packets(_packet_columns(private, flows, names), columns, counter, longest=longest)
        return _packet_trace(model, packets, public, flow_key, window, longest, names, rng)
    kind = model.classify(columns.protocol.astype(np.int64), *(columns.ports[s].astype(np.int64) for s in SIDES))
    records = measure_records(
        _record_columns(private, flows, names),
        kind,
        len(model.protocol),
        columns.units,
        counter,
        in_groups(model.lengths, model.bins, LENGTH_GROUPS),
    )
    return _flow_trace(model, records, public, window, names, rng)


def _flow_trace(
    model: FlowModel, records: RecordModel, public: Trace, window: Window, names: list[str], rng: np.random.Generator
) -> Trace:
    flows = model.draw(rng)
    length = flows["length"]
    rows = records.draw(flows["class"], length, rng)
    offsets = offsets_of(length)
    owner, last = np.repeat(np.arange(len(length)), length), offsets[1:] - 1
    elapsed = sums_since_first(rows["gap"], offsets)
    for _ in range(REDRAWS):
        late = elapsed[last] >= window.width
        if not late.any():
            break
        rows["gap"][late[owner]] = records.draw(flows["class"][late], length[late], rng)["gap"]
        elapsed = sums_since_first(rows["gap"], offsets)
    start = model.times.starts(elapsed[last], rng)
    elapsed = np.minimum(elapsed, window.width - 1 - start[owner])
    columns = {**_five_tuples(flows, owner, public, rng), **{n: v for n, v in rows.items() if n != "gap"}}
    if "tcp_flags" in columns:
        columns["tcp_flags"] = np.where(columns["protocol"] == 6, columns["tcp_flags"], 0)
    columns["time"] = window.begin + model.times.active(start[owner] + elapsed)
    return _trace(public, columns, names)


def _packet_trace(
    model: FlowModel,
    packets: Mapping[str, Table],
    public: Trace,
    flow_key: FlowKey,
    window: Window,
    longest: int,
    names: list[str],
    rng: np.random.Generator,
) -> Trace:
    flows = model.draw(rng)
    rows = draw_packets(packets, flows, public, flow_key, window.width, longest, rng)
    owner = np.repeat(np.arange(len(flows["length"])), flows["length"])
    columns = _five_tuples(flows, owner, public, rng)
    back = rows.pop("direction") == 1
    for what in ("hi", "lo", "port"):
        source, destination = columns[f"src_{what}"], columns[f"dst_{what}"]
        columns[f"src_{what}"] = np.where(back, destination, source)
        columns[f"dst_{what}"] = np.where(back, source, destination)
    offsets = offsets_of(flows["length"])
    elapsed = sums_since_first(rows.pop("gap"), offsets)
    start = model.times.starts(elapsed[offsets[1:] - 1], rng)
    columns |= rows
    columns["time"] = window.begin + model.times.active(
        start[owner] + np.minimum(elapsed, window.width - 1 - start[owner])
    )
    return _trace(public, columns, names)


def _five_tuples(
    flows: dict[str, np.ndarray], owner: np.ndarray, public: Trace, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Columns of all records; IPv6 addresses are the public trace's."""
    six, found = flows["six"], {"protocol": flows["protocol"], "ip_version": np.where(flows["six"], 6, 4)}
    known = np.flatnonzero(public["ip_version"] == 6)
    chosen = rng.choice(known, len(six)) if len(known) else None
    for side in SIDES:
        found[f"{side}_port"] = flows[f"{side}_port"]
        high = np.full(len(six), DOCUMENTATION, np.uint64) if chosen is None else public[f"{side}_hi"][chosen]
        low = flows[side].astype(np.uint64) if chosen is None else public[f"{side}_lo"][chosen]
        found[f"{side}_hi"] = np.where(six, high, np.uint64(0))
        found[f"{side}_lo"] = np.where(six, low, flows[side].astype(np.uint64))
    return {name: values[owner] for name, values in found.items()}


def _trace(public: Trace, columns: dict[str, np.ndarray], names: list[str]) -> Trace:
    rows = len(columns["time"])
    types = {name: public[name].dtype for name in names}
    whole = {name: columns.get(name, np.zeros(rows)).astype(types[name]) for name in names}
    return Trace(public.kind, whole, {}, public.sources).sorted_by_time()


def _flow_columns(trace: Trace, flows: Flows, units: np.ndarray, window: Window) -> FlowColumns:
    first = flows.first
    return FlowColumns(
        version=trace["ip_version"][first],
        protocol=trace["protocol"][first],
        addresses={side: trace[f"{side}_lo"][first] for side in SIDES},
        ports={side: trace[f"{side}_port"][first] for side in SIDES},
        start=trace["time"][first] - window.begin,
        end=trace["time"][flows.order[flows.offsets[1:] - 1]] - window.begin,
        length=flows.lengths,
        units=units,
    )


def _gaps(trace: Trace, flows: Flows) -> tuple[np.ndarray, np.ndarray]:
    """ns since the flow's record before (0 for firsts), and whether a record is its flow's first, in the flows' order."""
    time = trace["time"][flows.order]
    first = np.zeros(len(time), bool)
    first[flows.offsets[:-1]] = True
    return np.where(first, 0, np.diff(time, prepend=time[:1])), first


def _record_columns(trace: Trace, flows: Flows, names: list[str]) -> RecordColumns:
    gap, first = _gaps(trace, flows)
    return RecordColumns(
        columns={name: trace[name][flows.order] for name in names},
        flow=np.repeat(np.arange(len(flows)), flows.lengths),
        gap=gap,
        first=first,
        length=np.repeat(flows.lengths, flows.lengths),
    )


def _packet_columns(trace: Trace, flows: Flows, names: list[str]) -> PacketColumns:
    gap, first = _gaps(trace, flows)
    direction = flows.direction if flows.direction is not None else np.zeros(len(gap), np.uint8)
    return PacketColumns(
        columns={name: trace[name][flows.order] for name in names},
        flow=np.repeat(np.arange(len(flows)), flows.lengths),
        gap=gap,
        first=first,
        direction=direction,
        length=np.repeat(flows.lengths, flows.lengths),
    )
