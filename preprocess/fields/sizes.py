"""Byte counters of flow records, learnt as bytes per packet.

The bytes of a record are bound to its packets: learnt as two counters, one record in a hundred has packets of an
impossible size, however close the counters are each by itself. A mean packet size has a narrow range and the spikes of
the protocols. It is kept in sixteenths of a byte, which is exact for records of up to 15 packets and within 1 / 32 byte
a packet beyond.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FRACTION = 16
PACKETS_OF = {"bytes": "packets", "bytes_rev": "packets_rev"}


def to_mean_sizes(measurements: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The measurements with every byte counter (int64) replaced by sixteenths of bytes per packet, where packets are
    counted too; a record without packets keeps its bytes as if it had one."""
    sizes = {
        name: (FRACTION * measurements[name].astype(np.int64) + packets // 2) // packets
        for name, packets in _packets(measurements).items()
    }
    return {**measurements, **sizes}


def to_byte_counts(measurements: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `to_mean_sizes`."""
    counts = {
        name: (measurements[name].astype(np.int64) * packets + FRACTION // 2) // FRACTION
        for name, packets in _packets(measurements).items()
    }
    return {**measurements, **counts}


def _packets(measurements: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: np.maximum(measurements[packets].astype(np.int64), 1)
        for name, packets in PACKETS_OF.items()
        if name in measurements and packets in measurements
    }
