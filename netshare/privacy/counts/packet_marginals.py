"""What a private run counts of packets: noisy counts, which `packet_drawing` makes packets from.

Each column is counted by protocol, direction and number of packets of the flow. A *side* is the packets of a flow in one
direction. What a side has only one of (its most frequent TTL, its bytes) is counted once a side; what a flow has only one
of (how long it lasts, how many packets go back) is counted once a flow.

Private: `PacketColumns`, `FlowColumns`. Public: the longest flow, and the `NoisyTable`s. Sensitivity: numbers of packets are
grouped such that the longest flow of a group has at most a few times as many packets as the shortest, and each packet has
the weight 1 / (the most packets that a flow of the group may have). So a flow's entries in a table of packets add up to at
most 1. What a side has once has the weight 1 / sqrt 2, what a flow has once the weight 1, so that the flow's entries have a
norm of at most 1. A unit's entries are clipped by `NoisyCounts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.protocols import TCP, UDP
from netshare.privacy.counts.bins import bin_of, number_bins
from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.counts.flow_marginals import FlowColumns

LENGTH_GROUPS = np.array([1, 2, 3, 9, 33, 129, 1025, 65537])  # packets a flow, lower ends of groups
LENGTH_GROUP_COUNT = len(LENGTH_GROUPS) - 1
MAX_COUNTED_LENGTH = 32  # of flows up to so many packets, packets back are counted; of longer ones, their share
BACK_CELLS = 16  # of numbers of packets against the five-tuple's direction, or of shares in sixteenths
BACK_LENGTH_GROUPS = np.array([*range(1, 17), 20, 25, MAX_COUNTED_LENGTH + 1, 65, 257])  # packets a flow, lower ends
SIZE_BINS = np.concatenate([np.arange(1520), [1520, 4096, 9216, 65537]])
TIME_BINS = number_bins(1, 1.5, 2**43)  # us
VOLUME_BINS = number_bins(1, 1.25, 2**33)  # bytes
NUMBER_BINS = {"length": SIZE_BINS, "tcp_window": np.arange(257) * 256, "gap": TIME_BINS}
NAME_CELLS = {"tcp_flags": 512, "tos": 256, "ip_flags": 8, "ttl": 256}
# Likely in any trace: combinations of flags that RFC 9293 gives a meaning, initial TTLs of operating systems.
LIKELY_NAMES = {
    "tcp_flags": (2, 4, 16, 17, 18, 20, 24, 25),
    "ttl": (1, 32, 64, 128, 255),
    "ip_flags": (0, 2),
    "tos": (0,),
}
COLUMN_SHARES = {
    "length": 2.0,
    "gap": 1.0,
    "tcp_window": 0.3,
    "tcp_flags": 0.7,
    "tos": 0.2,
    "ip_flags": 0.2,
    "ttl": 1.2,
}
FLOW_SHARES = {"span": 0.8, "packets back": 0.6, "bytes of a side": 0.8}
PROTOCOLS = 3  # TCP, UDP, others
SIDES, TCP_SIDES = 2 * PROTOCOLS, 2  # with the direction


def packet_tables(columns: list[str]) -> dict[str, float]:
    """The tables that `measure_packets` counts for a trace with these columns, with their shares of the budget."""
    return FLOW_SHARES | {name: share for name, share in COLUMN_SHARES.items() if name == "gap" or name in columns}


@dataclass(frozen=True)
class PacketColumns:
    """Packets, one flow after another; private.

    Attributes:
        columns: of the trace, each of length n.
        flow: int64[n], the flow that each packet belongs to.
        gap: int64[n], ns since the flow's previous packet, 0 for its first.
        first: bool[n], whether the packet is its flow's first.
        direction: uint8[n], 1 for packets against the direction of the flow's five-tuple.
        length: int64[n], packets of the flow.
    """

    columns: Mapping[str, np.ndarray]
    flow: np.ndarray
    gap: np.ndarray
    first: np.ndarray
    direction: np.ndarray
    length: np.ndarray


@dataclass(frozen=True)
class NoisyTable:
    """Noisy counts, float64[groups, cells], and the standard deviation of their noise."""

    counts: np.ndarray
    deviation: float


def measure_packets(
    packets: PacketColumns, flows: FlowColumns, counter: NoisyCounts, *, max_records: int
) -> dict[str, NoisyTable]:
    """Count packets, by the names in `packet_tables`.

    Args:
        packets: private.
        flows: private; the flows of these packets.
        max_records: packets of a flow, declared.
    """
    protocol = flows.protocol[packets.flow].astype(np.int64)
    direction = packets.direction.astype(np.int64)
    group, owner = packet_groups(protocol, direction, packets.length), flows.units[packets.flow]
    weight = packet_weight(packets.length, max_records)
    side = np.unique(packets.flow * 2 + direction, return_index=True)[1]  # the first packet of each side
    of_side = np.full(len(side), math.sqrt(0.5))
    later, everything = np.flatnonzero(~packets.first), np.arange(len(group))
    tables = {}

    def count(name: str, number: np.ndarray, cell: np.ndarray, size: tuple[int, int], rows: np.ndarray,
              weights: np.ndarray | None) -> None:  # fmt: skip
        height, cells = size
        noisy = counter.count(name, number * cells + cell, height * cells, owner[rows], weights)
        tables[name] = NoisyTable(noisy.reshape(height, cells), counter.deviation(name))

    for name in COLUMN_SHARES:
        if name != "gap" and name not in packets.columns:
            continue
        value = packets.gap // 1000 if name == "gap" else packets.columns[name].astype(np.int64)
        cell, cells = cells_of(name, value)
        if name == "ttl":  # the most frequent one of each side
            rows, weights, cell[side] = side, of_side, most_frequent(cell, packets.flow * 2 + direction)
        else:
            rows = later if name == "gap" else everything
            weights = weight[rows]
        count(name, group[rows], cell[rows], (SIDES * LENGTH_GROUP_COUNT, cells), rows, weights)
    first = np.flatnonzero(packets.first)
    group_of_flow, height = flow_groups(protocol[first], packets.length[first]), PROTOCOLS * LENGTH_GROUP_COUNT
    span, back = (flow_sums(values, first) for values in (packets.gap, direction))
    several = packets.length[first] > 1
    count(
        "span",
        group_of_flow[several],
        cell_of(span[several] // 1000, TIME_BINS),
        (height, len(TIME_BINS) - 1),
        first[several],
        None,
    )
    number, cell = back_cells(protocol[first], packets.length[first], back)
    count("packets back", number, cell, (PROTOCOLS * len(BACK_LENGTH_GROUPS), BACK_CELLS), first, None)
    if "length" in packets.columns:
        of_packet = np.unique(packets.flow * 2 + direction, return_inverse=True)[1]
        volume = np.bincount(of_packet, weights=packets.columns["length"], minlength=len(side)).astype(np.int64)
    else:
        volume = np.zeros(len(side), np.int64)
    cells = len(VOLUME_BINS) - 1
    count(
        "bytes of a side", group[side], cell_of(volume, VOLUME_BINS), (SIDES * LENGTH_GROUP_COUNT, cells), side, of_side
    )
    return tables


def most_frequent(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """int64[owners]: the most frequent value (int64[n]) of each owner (int64[n]), the smallest of equally frequent ones;
    owners are in ascending order."""
    (of_pair, value), times = np.unique(np.stack([owner, values]), axis=1, return_counts=True)
    order = np.lexsort((-times, of_pair))
    return value[order[np.unique(of_pair[order], return_index=True)[1]]]


def packet_weight(length: np.ndarray, max_records: int) -> np.ndarray:
    """float64[n]: the weight of a packet in a flow of so many packets, see the module's docstring on sensitivity."""
    return 1.0 / np.minimum(LENGTH_GROUPS[length_group(length) + 1] - 1, max(max_records, 1))


def packet_groups(protocol: np.ndarray, direction: np.ndarray, length: np.ndarray) -> np.ndarray:
    """int64[n]: the groups of packets of these protocols and directions, in flows of these lengths."""
    return (protocol_group(protocol) * 2 + direction) * LENGTH_GROUP_COUNT + length_group(length)


def flow_groups(protocol: np.ndarray, length: np.ndarray) -> np.ndarray:
    """int64[n]: the groups of flows of these protocols and lengths."""
    return protocol_group(protocol) * LENGTH_GROUP_COUNT + length_group(length)


def back_cells(protocol: np.ndarray, length: np.ndarray, back: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64[n] each: the group and the cell of flows with `back` packets against their five-tuple's direction."""
    cell = np.where(length < MAX_COUNTED_LENGTH + 1, back, back * BACK_CELLS // np.maximum(length, 1))
    group = protocol_group(protocol) * len(BACK_LENGTH_GROUPS) + bin_of(length, BACK_LENGTH_GROUPS)
    return group, np.clip(cell, 0, BACK_CELLS - 1).astype(np.int64)


def protocol_group(protocol: np.ndarray) -> np.ndarray:
    """int64[n]: 0 for TCP, 1 for UDP, 2 for all others."""
    return np.where(protocol == TCP, 0, np.where(protocol == UDP, 1, 2)).astype(np.int64)


def length_group(length: np.ndarray) -> np.ndarray:
    """int64[n]: the groups of flows of these lengths."""
    return np.minimum(bin_of(length, LENGTH_GROUPS), LENGTH_GROUP_COUNT - 1)


def cells_of(name: str, value: np.ndarray) -> tuple[np.ndarray, int]:
    """int64[n]: the cells of a column's values, and how many cells there are."""
    if name in NAME_CELLS:
        return np.minimum(value, NAME_CELLS[name] - 1), NAME_CELLS[name]
    return cell_of(value, NUMBER_BINS[name]), len(NUMBER_BINS[name]) - 1


def cell_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """int64[n]: the bins of numbers, given lower ends and the last one's end; numbers outside are in the nearest."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def flow_sums(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """int64[flows]: the sum of each flow's values; flows begin at the rows `first`."""
    return np.add.reduceat(values.astype(np.int64), first) if len(first) else np.zeros(0, np.int64)
