"""The private synthetic table: a trace drawn from noisy counts of the input, for anything to be trained on.

    window = Window(bounds.begin_ns, round(bounds.seconds * 1e9))
    noise = CountingNoise(plan.noise_multiplier, plan.counts_sensitivity, SecureRandomness())
    table = draw_private_table(private, public, window=window, bounds=UnitBounds(flow_key, 256), noise=noise, seed=1)

Flows come from `flow_marginals`, records of flow traces from `record_marginals`, packets from `packet_marginals` and
`packet_drawing`.

Private: the trace `private`. Public: everything else. The result is differentially private: whatever is done with it
(training, early stopping, counting, generating) is post-processing and costs nothing more. Sensitivity: all tables together
are one Gaussian mechanism, see `counting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.chunks import ChunkPlan
from netshare.preprocess.flows import Flows, group_flows
from netshare.preprocess.trace import Trace
from netshare.privacy.counts.counting import CountingNoise, NoisyCounts
from netshare.privacy.counts.flow_marginals import (
    SIDES,
    DrawnFlows,
    FlowColumns,
    FlowModel,
    flow_tables,
    measure_flows,
)
from netshare.privacy.counts.length_marginals import in_groups
from netshare.privacy.counts.packet_drawing import draw_packets
from netshare.privacy.counts.packet_marginals import NoisyTable, PacketColumns, measure_packets, packet_tables
from netshare.privacy.counts.record_marginals import (
    LENGTH_GROUPS,
    RecordColumns,
    RecordModel,
    measure_records,
    record_tables,
)
from netshare.privacy.public import without_labels
from netshare.privacy.units import UnitBounds, bounded, units_of_flows

GAP_REDRAWS = 10  # times that the gaps of flows are drawn again which would last longer than the window
DOCUMENTATION_PREFIX = 0x20010DB8 << 32  # RFC 3849: upper half of IPv6 addresses where the public trace has none


@dataclass(frozen=True)
class Window:
    """The declared time window.

    Attributes:
        begin: ns since the Unix epoch.
        width: ns.
    """

    begin: int
    width: int

    @property
    def plan(self) -> ChunkPlan:
        """The window as one chunk."""
        return ChunkPlan(self.begin, self.width, 1)


def tables_of(trace_kind: str, columns: list[str]) -> dict[str, float]:
    """All tables that are counted of a trace of this kind with these columns, with their shares of the budget."""
    return flow_tables() | (packet_tables(columns) if trace_kind == "packet" else record_tables(columns))


def draw_private_table(
    private: Trace, public: Trace, *, window: Window, bounds: UnitBounds, noise: CountingNoise, seed: int
) -> Trace:
    """A trace with about as many flows as the private one, and with the columns that both traces have, without labels.

    Records outside the window or beyond the bounds are not counted (`units.bounded`).

    Args:
        private: the input.
        public: of the same kind; packets follow its flows, and IPv6 addresses are its.
        window: declared, never measured.
        bounds: what one unit may contribute.
        noise: of all counts together; its `bound` is the norm that the accountant assumes one unit's counts are clipped to.
        seed: of what is drawn from the noisy counts; it protects nothing.
    """
    columns = [name for name in public if name in private]
    private, public = without_labels(private, columns), without_labels(public, columns)
    private = bounded(private, window.plan, bounds)
    flows = group_flows(private, bounds.flow_key)
    names = list(private)
    counter = NoisyCounts(tables_of(private.kind, names), noise)
    flow_columns = _flow_columns(private, flows, units_of_flows(private, flows, bounds.hosts), window)
    model = measure_flows(flow_columns, counter, width=window.width, max_records=bounds.max_records)
    rng = np.random.default_rng(seed)
    if private.kind == "packet":
        packet_columns = _packet_columns(private, flows, names)
        packets = measure_packets(packet_columns, flow_columns, counter, max_records=bounds.max_records)
        return _packet_trace(model, packets, public, window, bounds, rng)
    protocol, ports = flow_columns.protocol.astype(np.int64), flow_columns.ports
    flow_class = model.classify(protocol, *(ports[side].astype(np.int64) for side in SIDES))
    masses = in_groups(model.lengths, model.bins, LENGTH_GROUPS)
    record_columns = _record_columns(private, flows, names)
    records = measure_records(record_columns, flow_class, flow_columns.units, counter, masses)
    return _flow_trace(model, records, public, window, rng)


def _flow_trace(
    model: FlowModel, records: RecordModel, public: Trace, window: Window, rng: np.random.Generator
) -> Trace:
    flows = model.draw(rng)
    length = flows.length
    rows = records.draw(flows.flow_class, length, rng)
    owner, last = np.repeat(np.arange(len(length)), length), np.cumsum(length) - 1
    elapsed = _elapsed(rows["gap"], length)
    for _ in range(GAP_REDRAWS):
        late = elapsed[last] >= window.width
        if not late.any():
            break
        rows["gap"][late[owner]] = records.draw(flows.flow_class[late], length[late], rng)["gap"]
        elapsed = _elapsed(rows["gap"], length)
    start = model.times.starts(elapsed[last], rng)
    elapsed = np.minimum(elapsed, window.width - 1 - start[owner])
    columns = {**_five_tuples(flows, owner, public, rng), **{n: v for n, v in rows.items() if n != "gap"}}
    if "tcp_flags" in columns:
        columns["tcp_flags"] = np.where(columns["protocol"] == 6, columns["tcp_flags"], 0)
    columns["time"] = window.begin + model.times.active(start[owner] + elapsed)
    return _trace(public, columns)


def _packet_trace(
    model: FlowModel,
    packets: Mapping[str, NoisyTable],
    public: Trace,
    window: Window,
    bounds: UnitBounds,
    rng: np.random.Generator,
) -> Trace:
    flows = model.draw(rng)
    rows = draw_packets(packets, flows, public, bounds.flow_key, window.width, bounds.max_records, rng)
    owner = np.repeat(np.arange(len(flows.length)), flows.length)
    columns = _five_tuples(flows, owner, public, rng)
    back = rows.pop("direction") == 1
    for what in ("hi", "lo", "port"):
        source, destination = columns[f"src_{what}"], columns[f"dst_{what}"]
        columns[f"src_{what}"] = np.where(back, destination, source)
        columns[f"dst_{what}"] = np.where(back, source, destination)
    elapsed = _elapsed(rows.pop("gap"), flows.length)
    start = model.times.starts(elapsed[np.cumsum(flows.length) - 1], rng)
    columns |= rows
    columns["time"] = window.begin + model.times.active(
        start[owner] + np.minimum(elapsed, window.width - 1 - start[owner])
    )
    return _trace(public, columns)


def _five_tuples(
    flows: DrawnFlows, owner: np.ndarray, public: Trace, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Five-tuples and IP versions of all records (`owner`: int64[n], the flow of each); IPv6 addresses are the public
    trace's, or of the documentation prefix where it has none."""
    six, found = flows.six, {"protocol": flows.protocol, "ip_version": np.where(flows.six, 6, 4)}
    known = np.flatnonzero(public["ip_version"] == 6)
    chosen = rng.choice(known, len(six)) if len(known) else None
    for side in SIDES:
        found[f"{side}_port"] = flows.ports[side]
        high = np.full(len(six), DOCUMENTATION_PREFIX, np.uint64) if chosen is None else public[f"{side}_hi"][chosen]
        low = flows.addresses[side].astype(np.uint64) if chosen is None else public[f"{side}_lo"][chosen]
        found[f"{side}_hi"] = np.where(six, high, np.uint64(0))
        found[f"{side}_lo"] = np.where(six, low, flows.addresses[side].astype(np.uint64))
    return {name: values[owner] for name, values in found.items()}


def _trace(public: Trace, columns: dict[str, np.ndarray]) -> Trace:
    """A trace with the columns of the public one, zeros where there are none, in order of time."""
    rows = len(columns["time"])
    whole = {name: columns.get(name, np.zeros(rows)).astype(public[name].dtype) for name in public}
    return Trace(public.kind, whole, {}, public.sources).sorted_by_time()


def _elapsed(gap: np.ndarray, length: np.ndarray) -> np.ndarray:
    """int64[n], ns since the flow's first record, given the gap before each record and the records of each flow."""
    total = np.cumsum(gap)
    return total - np.repeat(total[np.cumsum(length) - length], length)


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
    """int64[n], ns since the flow's previous record (0 for its first), and bool[n], whether a record is its flow's first;
    one flow after another."""
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
