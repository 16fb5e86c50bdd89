"""Byte counters of flow records, encoded as bytes per packet.

Bytes and packets of a record depend on each other. If both counters are learnt separately, one generated record in a
hundred has packets of an impossible size, however well each counter's distribution is met. The mean packet size has a
narrow range, with spikes that the protocols determine. It is kept in sixteenths of a byte, so that byte counters are
exact for records of up to 15 packets and differ by at most 1/32 byte a packet beyond.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

UNITS_PER_BYTE = 16
PACKETS_OF = {"bytes": "packets", "bytes_rev": "packets_rev"}


def to_mean_sizes(measurements: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The measurements with every byte counter replaced by sixteenths of a byte per packet (int64[n_records]).

    A byte counter without its packet counter stays as it is; a record without packets counts as one of one packet.
    """
    sizes = {
        name: (UNITS_PER_BYTE * measurements[name].astype(np.int64) + packets // 2) // packets
        for name, packets in _packets(measurements).items()
    }
    return {**measurements, **sizes}


def to_byte_counts(measurements: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `to_mean_sizes`."""
    counts = {
        name: (measurements[name].astype(np.int64) * packets + UNITS_PER_BYTE // 2) // UNITS_PER_BYTE
        for name, packets in _packets(measurements).items()
    }
    return {**measurements, **counts}


def _packets(measurements: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The packets (int64, at least 1) to divide by, for every byte counter that there is."""
    return {
        name: np.maximum(measurements[packets].astype(np.int64), 1)
        for name, packets in PACKETS_OF.items()
        if name in measurements and packets in measurements
    }
