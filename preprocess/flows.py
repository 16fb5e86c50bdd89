"""Group the records of a trace into flows.

A *flow* is all records of the merged trace that share a five-tuple, in time order (NetShare, section 4.2, insight 1).
With `flow_key="bidirectional"` both directions of a conversation are one flow, keyed by the five-tuple of its first
record; each record then has a direction.

    flows = group_flows(trace)                    # exact, numbered by first record: what is learnt from
    flows = group_flows_by_hash(trace)            # numbered by the five-tuple's hash: what is measured on
    flows.durations(trace["time"])                # ns, one a flow

The order of hashes does not depend on that of the records, so that the same flows of two traces are drawn by the same
random numbers; collisions of hashes are rare enough not to show in a measurement (`netshare.preprocess.hashing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from netshare.preprocess.hashing import five_tuple_hashes
from netshare.preprocess.ragged import offsets_of
from netshare.preprocess.trace import Trace

FlowKey = Literal["unidirectional", "bidirectional"]


@dataclass(frozen=True)
class Flows:
    """Which records of a trace form which flow.

    order: int64[n_records], positions in the trace: the records of flow 0, then those of flow 1 ..., each in time order
    offsets: int64[n_flows + 1]; flow i is order[offsets[i]:offsets[i + 1]], at least one record
    direction: uint8[n_records] aligned with `order`, 1 where the record runs against its flow's five-tuple; None for
        unidirectional flows
    """

    order: np.ndarray
    offsets: np.ndarray
    direction: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64[n_flows]: records of each flow."""
        return np.diff(self.offsets)

    @property
    def first(self) -> np.ndarray:
        """int64[n_flows]: position in the trace of each flow's first record."""
        return self.order[self.offsets[:-1]]

    @property
    def of_record(self) -> np.ndarray:
        """int64[n_records]: the flow of each record, in the trace's order."""
        flow = np.empty(len(self.order), np.int64)
        flow[self.order] = np.repeat(np.arange(len(self)), self.lengths)
        return flow

    def totals(self, values: np.ndarray) -> np.ndarray:
        """int64[n_flows]: sum of a column of the trace over each flow's records."""
        if not len(self):
            return np.zeros(0, np.int64)
        return np.add.reduceat(values[self.order].astype(np.int64), self.offsets[:-1])

    def durations(self, time: np.ndarray) -> np.ndarray:
        """int64[n_flows] (ns): from each flow's first record to its last."""
        ordered = time[self.order]
        return ordered[self.offsets[1:] - 1] - ordered[self.offsets[:-1]]

    def interarrivals(self, time: np.ndarray) -> np.ndarray:
        """int64[n_records - n_flows] (ns): time since the previous record of the same flow, first records left out."""
        gaps = np.diff(time[self.order])
        inside = np.ones(len(gaps), bool)
        inside[self.offsets[1:-1] - 1] = False
        return gaps[inside]


def group_flows(trace: Trace, flow_key: FlowKey = "unidirectional") -> Flows:
    """Group a trace that is sorted by time into flows; exact (no hashing), one sort of the whole trace."""
    keys, swapped = five_tuple_keys(trace, canonical=flow_key == "bidirectional")
    flow_of_record = number_by_first_appearance(keys)
    order = np.argsort(flow_of_record, kind="stable")
    counts = np.bincount(flow_of_record) if len(trace) else np.zeros(0, np.int64)
    offsets = offsets_of(counts)
    if flow_key == "unidirectional":
        return Flows(order, offsets)
    swapped_in_order = swapped[order]
    of_first = np.repeat(swapped_in_order[offsets[:-1]], counts)
    return Flows(order, offsets, (swapped_in_order != of_first).astype(np.uint8))


def group_flows_by_hash(trace: Trace) -> Flows:
    """The unidirectional flows of a trace in any order of time, numbered by the hashes of their five-tuples."""
    hashes = five_tuple_hashes(trace)
    order = np.lexsort((trace["time"], hashes))
    ordered = hashes[order]
    begins = np.ones(len(order), bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    return Flows(order, np.append(np.flatnonzero(begins), len(order)).astype(np.int64))


def count_flows(trace: Trace) -> int:
    """Number of distinct five-tuples."""
    return len(np.unique(five_tuple_hashes(trace)))


def sample_flows(trace: Trace, count: int, rng: np.random.Generator) -> Trace:
    """The records of `count` flows chosen at random, in their order; the trace itself if it has no more flows."""
    distinct, flow_of_record = np.unique(five_tuple_hashes(trace), return_inverse=True)
    if len(distinct) <= count:
        return trace
    chosen = np.zeros(len(distinct), bool)
    chosen[rng.choice(len(distinct), count, replace=False)] = True
    return trace.take(np.flatnonzero(chosen[flow_of_record]))


def five_tuple_keys(
    columns: Mapping[str, np.ndarray] | Trace, canonical: bool = False
) -> tuple[list[np.ndarray], np.ndarray]:
    """uint64 sort keys that together identify the five-tuple of each row.

    Args:
        columns: the five-tuple columns, each of length n.
        canonical: give both directions of a conversation the same keys.

    Returns:
        the keys, each uint64[n], and bool[n]: rows whose two ends were swapped to make the keys canonical.
    """
    src = [columns["src_hi"], columns["src_lo"], columns["src_port"].astype(np.uint64)]
    dst = [columns["dst_hi"], columns["dst_lo"], columns["dst_port"].astype(np.uint64)]
    swapped = np.zeros(len(columns["ip_version"]), dtype=bool)
    if canonical:
        undecided = np.ones(len(columns["ip_version"]), dtype=bool)
        for a, b in zip(src, dst, strict=True):
            swapped |= undecided & (a > b)
            undecided &= a == b
        pairs = [(np.where(swapped, b, a), np.where(swapped, a, b)) for a, b in zip(src, dst, strict=True)]
        src, dst = [list(side) for side in zip(*pairs, strict=True)]
    rest = (
        (src[2] << np.uint64(32))
        | (dst[2] << np.uint64(16))
        | (columns["protocol"].astype(np.uint64) << np.uint64(8))
        | columns["ip_version"].astype(np.uint64)
    )
    if bool(np.all(columns["ip_version"] == 4)):
        return [(src[1] << np.uint64(32)) | dst[1], rest], swapped
    return [src[0], src[1], dst[0], dst[1], rest], swapped


def number_by_first_appearance(keys: Sequence[np.ndarray]) -> np.ndarray:
    """int64[n]: rows that are equal in all keys (each of length n) get equal numbers, counted from 0 in order of first
    appearance."""
    rows = len(keys[0])
    if rows == 0:
        return np.zeros(0, np.int64)
    order = np.lexsort(keys)
    changes = np.zeros(rows, dtype=bool)
    for key in keys:
        ordered = key[order]
        changes[1:] |= ordered[1:] != ordered[:-1]
    group_in_order = np.cumsum(changes)
    first_position = order[np.concatenate([[0], np.flatnonzero(changes)])]
    rank = np.empty(len(first_position), dtype=np.int64)
    rank[np.argsort(first_position, kind="stable")] = np.arange(len(first_position))
    numbers = np.empty(rows, dtype=np.int64)
    numbers[order] = rank[group_in_order]
    return numbers
