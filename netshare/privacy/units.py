"""Which records a private run learns from, and to which unit each series belongs.

Private: the trace. Public: the declared window, and `UnitBounds`.

Sensitivity: what is kept of one unit depends on that unit and on public constants alone, so that adding or removing a unit
changes nothing that other units contribute:

1. records outside the declared time window are left out;
2. with unit `host`: flows with exactly one end among the protected hosts are kept, and belong to that host; of each
   host, at most `max_flows` of them, chosen by a hash of the five-tuple;
3. of each unit, its first `max_chunks` chunks are kept;
4. of each flow, its first `max_records` records in each chunk are kept.

A flow with two protected ends would belong to two units: what one of them may contribute would then depend on the
other, so such flows are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

import numpy as np

from netshare.preprocess.chunks import ChunkPlan
from netshare.preprocess.flows import FlowKey, Flows, five_tuple_keys, group_flows, number_by_first_appearance
from netshare.preprocess.hashing import hash_columns
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import Trace

LOWER_64_BITS = 2**64 - 1


@dataclass(frozen=True)
class UnitBounds:
    """What one unit may contribute; declared, never measured.

    Attributes:
        flow_key: what a flow is.
        max_records: of a flow within a chunk.
        hosts: prefixes of the protected hosts; none where a flow is the unit.
        max_flows: of a host; does not apply where a flow is the unit.
        max_chunks: in which a unit is learnt from; all where not given.
    """

    flow_key: FlowKey
    max_records: int
    hosts: Sequence[str] = ()
    max_flows: int = 1
    max_chunks: int | None = None


def bounded(trace: Trace, plan: ChunkPlan, bounds: UnitBounds) -> Trace:
    """The records that are learnt from, as the module's docstring says; bounding twice changes nothing more.

    Args:
        plan: the declared window, cut into chunks.
    """
    time = trace["time"]
    trace = trace.take((time >= plan.start) & (time < plan.start_of(plan.count)))
    if len(trace) == 0:
        return trace
    flows = group_flows(trace, bounds.flow_key)
    owner = np.arange(len(flows))
    kept = np.ones(len(flows), dtype=bool)
    if bounds.hosts:
        first = {name: trace[name][flows.first] for name in trace}
        owned, owner = _owners(first, bounds.hosts)
        own = np.flatnonzero(owned)
        by = hash_columns([key[own] for key in five_tuple_keys(first)[0]])
        kept = np.zeros(len(flows), dtype=bool)
        kept[own] = _rank(owner[own], by) < bounds.max_flows
    flow_of_record = np.repeat(np.arange(len(flows)), flows.lengths)
    chunk = plan.index_of(trace["time"][flows.order])
    keep = kept[flow_of_record]
    if bounds.max_chunks is not None:
        keep &= _chunk_rank(owner[flow_of_record], chunk, keep, plan.count) < bounds.max_chunks
    begins = np.ones(len(chunk), dtype=bool)
    begins[1:] = (flow_of_record[1:] != flow_of_record[:-1]) | (chunk[1:] != chunk[:-1])
    start = np.flatnonzero(begins)
    within = np.arange(len(chunk)) - np.repeat(start, np.diff(np.append(start, len(chunk))))
    keep &= within < bounds.max_records
    return trace.take(np.sort(flows.order[keep]))


def units_of(table: SeriesTable, hosts: Sequence[str] = ()) -> np.ndarray:
    """int64[series]: the unit of each series of a chunk of a bounded trace, numbered from 0.

    Without `hosts` each series is a unit of its own: a bounded flow has one series in a chunk.
    """
    if not hosts:
        return np.arange(len(table), dtype=np.int64)
    return np.unique(_owners(table.metadata, hosts)[1], return_inverse=True)[1].astype(np.int64)


def units_of_flows(trace: Trace, flows: Flows, hosts: Sequence[str] = ()) -> np.ndarray:
    """int64[flows]: the unit of each flow of a bounded trace, numbered from 0."""
    if not hosts:
        return np.arange(len(flows), dtype=np.int64)
    first = {name: trace[name][flows.first] for name in trace}
    return np.unique(_owners(first, hosts)[1], return_inverse=True)[1].astype(np.int64)


def inside(columns: Mapping[str, np.ndarray], side: str, prefixes: Sequence[str]) -> np.ndarray:
    """bool[n]: rows whose address at `side` (`src`, `dst`) lies in one of the prefixes."""
    high, low = columns[f"{side}_hi"], columns[f"{side}_lo"]
    found = np.zeros(len(high), dtype=bool)
    for text in prefixes:
        network = ip_network(text, strict=False)
        version = 4 if isinstance(network, IPv4Network) else 6
        value, mask = int(network.network_address), int(network.netmask)
        matches = (low & np.uint64(mask & LOWER_64_BITS)) == np.uint64(value & LOWER_64_BITS)
        if version == 6:
            matches &= (high & np.uint64(mask >> 64)) == np.uint64(value >> 64)
        found |= matches & (columns["ip_version"] == version)
    return found


def _owners(columns: Mapping[str, np.ndarray], hosts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """bool[n]: rows with exactly one end among the hosts; int64[n]: for those rows, a number for that end's address."""
    source, destination = inside(columns, "src", hosts), inside(columns, "dst", hosts)
    ends = [np.where(source, columns[f"src_{half}"], columns[f"dst_{half}"]) for half in ("hi", "lo")]
    return source ^ destination, number_by_first_appearance([*ends, columns["ip_version"].astype(np.uint64)])


def _rank(owner: np.ndarray, by: np.ndarray) -> np.ndarray:
    """int64[n]: the rank of each row among the rows of its owner, in ascending order of `by`."""
    order = np.lexsort((by, owner))
    ordered = owner[order]
    starts = np.searchsorted(ordered, ordered)
    rank = np.empty(len(owner), np.int64)
    rank[order] = np.arange(len(owner)) - starts
    return rank


def _chunk_rank(owner: np.ndarray, chunk: np.ndarray, counted: np.ndarray, chunks: int) -> np.ndarray:
    """int64[n]: for each counted record, how many earlier chunks have counted records of its owner; `chunks` for others."""
    pairs = np.unique(owner[counted] * chunks + chunk[counted])
    rank = np.zeros(0, np.int64) if len(pairs) == 0 else _rank(pairs // chunks, pairs % chunks)
    found = np.full(len(owner), chunks, np.int64)
    place = np.searchsorted(pairs, owner[counted] * chunks + chunk[counted])
    found[counted] = rank[place]
    return found
