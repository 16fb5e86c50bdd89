"""Flows of a trace: which records share a five-tuple, and what follows from it (size, duration, volume, interarrival).

Five-tuples and addresses are compared by 64-bit hashes of their columns (splitmix64's finaliser): among a million
distinct ones two collide with a probability of 3e-8. The hash is fixed, so that splits by flow repeat everywhere; it is
not meant to hide anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.trace import Trace


@dataclass(frozen=True)
class Flows:
    """Records of a trace grouped by five-tuple.

    order: int64[n_records], rows, flow by flow, within a flow by time
    offsets: int64[n_flows + 1] into `order`
    keys: uint64[n_flows], the hash of each flow's five-tuple, ascending
    """

    order: np.ndarray
    offsets: np.ndarray
    keys: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def sizes(self) -> np.ndarray:
        """int64[n_flows]: records of each flow."""
        return np.diff(self.offsets)

    @property
    def of_record(self) -> np.ndarray:
        """int64[n_records]: the flow of each record, in the trace's order."""
        flow = np.empty(len(self.order), np.int64)
        flow[self.order] = np.repeat(np.arange(len(self)), self.sizes)
        return flow

    def total(self, values: np.ndarray) -> np.ndarray:
        """int64[n_flows]: sum of a column over each flow's records."""
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


def group_by_flow(trace: Trace) -> Flows:
    """The flows (directed five-tuples) of a trace."""
    keys = five_tuple_keys(trace)
    order = np.lexsort((trace["time"], keys))
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else np.zeros(0, int)
    offsets = np.append(starts, len(order)).astype(np.int64)
    return Flows(order, offsets, ordered[starts])


def sample_flows(trace: Trace, flows: int, rng: np.random.Generator) -> Trace:
    """The records of `flows` randomly chosen flows, in their order; the trace itself if it has no more than that."""
    keys = five_tuple_keys(trace)
    distinct, flow_of_record = np.unique(keys, return_inverse=True)
    if len(distinct) <= flows:
        return trace
    chosen = np.zeros(len(distinct), bool)
    chosen[rng.choice(len(distinct), flows, replace=False)] = True
    return trace.take(np.flatnonzero(chosen[flow_of_record]))


def count_flows(trace: Trace) -> int:
    """Number of distinct five-tuples."""
    return len(np.unique(five_tuple_keys(trace)))


def five_tuple_keys(trace: Trace) -> np.ndarray:
    """uint64[n_records]: hash of the directed five-tuple."""
    return hash_columns(
        [source_keys(trace), destination_keys(trace), trace["src_port"], trace["dst_port"], trace["protocol"]]
    )


def conversation_keys(trace: Trace) -> np.ndarray:
    """uint64[n_records]: hash of the five-tuple with its directions forgotten: both sides of a talk have the same."""
    source = hash_columns([source_keys(trace), trace["src_port"]])
    destination = hash_columns([destination_keys(trace), trace["dst_port"]])
    return hash_columns([np.minimum(source, destination), np.maximum(source, destination), trace["protocol"]])


def source_keys(trace: Trace) -> np.ndarray:
    """uint64[n_records]: hash of the source address."""
    return hash_columns([trace["ip_version"], trace["src_hi"], trace["src_lo"]])


def destination_keys(trace: Trace) -> np.ndarray:
    """uint64[n_records]: hash of the destination address."""
    return hash_columns([trace["ip_version"], trace["dst_hi"], trace["dst_lo"]])


def hash_columns(columns: Sequence[np.ndarray]) -> np.ndarray:
    """uint64[n]: one hash a row over numeric columns of equal length."""
    key = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        key = _mix((key + np.uint64(0x9E3779B97F4A7C15)) ^ _mix(_as_integers(column)))
    return key


def _as_integers(column: np.ndarray) -> np.ndarray:
    return column.astype(np.float64).view(np.uint64) if column.dtype.kind == "f" else column.astype(np.uint64)


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
