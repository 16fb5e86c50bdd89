"""64-bit hashes of columns: one number a row, the same on every machine and in every release.

    hash_columns([trace["protocol"], trace["dst_port"]])   # uint64[n]
    five_tuple_hashes(trace)                               # uint64[n], equal for records of the same flow

Rows with equal values have equal hashes. Among a million distinct rows, two have the same hash with a probability of
3e-8. Splits by flow depend on these numbers, so they must never change. They are well spread but hide nothing: whoever
knows the value knows the hash.

The finaliser is that of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from netshare.preprocess.trace import Trace

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's increment: 2^64 over the golden ratio, an odd number


def mix64(values: np.ndarray) -> np.ndarray:
    """uint64[n]: the bits of uint64[n] spread, one to one; 0 stays 0."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hash_columns(columns: Sequence[np.ndarray]) -> np.ndarray:
    """uint64[n]: one hash a row over numeric columns of length n (at least one), whose order counts."""
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes = mix64((hashes + GOLDEN_GAMMA) ^ mix64(_as_integers(column)))
    return hashes


def five_tuple_hashes(trace: Trace | Mapping[str, np.ndarray]) -> np.ndarray:
    """uint64[n_records]: hash of the directed five-tuple."""
    return hash_columns(
        [source_hashes(trace), destination_hashes(trace), trace["src_port"], trace["dst_port"], trace["protocol"]]
    )


def conversation_hashes(trace: Trace | Mapping[str, np.ndarray]) -> np.ndarray:
    """uint64[n_records]: hash of the five-tuple regardless of its direction, equal for both sides of a conversation."""
    source = hash_columns([source_hashes(trace), trace["src_port"]])
    destination = hash_columns([destination_hashes(trace), trace["dst_port"]])
    return hash_columns([np.minimum(source, destination), np.maximum(source, destination), trace["protocol"]])


def source_hashes(trace: Trace | Mapping[str, np.ndarray]) -> np.ndarray:
    """uint64[n_records]: hash of the source address."""
    return hash_columns([trace["ip_version"], trace["src_hi"], trace["src_lo"]])


def destination_hashes(trace: Trace | Mapping[str, np.ndarray]) -> np.ndarray:
    """uint64[n_records]: hash of the destination address; an address has the same hash as source and as destination."""
    return hash_columns([trace["ip_version"], trace["dst_hi"], trace["dst_lo"]])


def _as_integers(column: np.ndarray) -> np.ndarray:
    return column.astype(np.float64).view(np.uint64) if column.dtype.kind == "f" else column.astype(np.uint64)
