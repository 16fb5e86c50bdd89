"""What a private run counts of packets: noisy counts, which `packet_drawing` makes packets from.

Each column is counted by protocol, direction and number of packets of the flow. Numbers of packets are grouped so that the
longest flow of a group has at most twice as many as the shortest, and each packet has the weight 1 / (the most that a flow
of the group has): a flow's entries in a table then add up to at most 1, and the shares of a group are those of its packets.
What a flow has but once (the most frequent TTL of either side, its bytes in either direction, how long it lasts, how many
packets go back) is counted once a flow, or with the weight 1 / sqrt 2 once a side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.protocols import TCP, UDP
from netshare.privacy.counts.counting import NoisyCounts, group_of
from netshare.privacy.counts.flow_marginals import FlowColumns
from netshare.privacy.counts.record_marginals import number_bins

LENGTHS = np.array([1, 2, 3, 9, 33, 129, 1025, 65537])  # packets a flow, lower ends of groups
GROUPS_OF_LENGTH = len(LENGTHS) - 1
BACK = 16  # cells: so many packets against the five-tuple's direction, or of a long flow so many sixteenths
SHORT = 32  # packets a flow
BACK_LENGTHS = np.array([*range(1, 17), 20, 25, SHORT + 1, 65, 257])  # packets a flow, lower ends of groups
SIZES = np.concatenate([np.arange(1520), [1520, 4096, 9216, 65537]])
TIMES = number_bins(1, 1.5, 2**43)  # us
VOLUMES = number_bins(1, 1.25, 2**33)  # bytes
NUMBERS = {"length": SIZES, "tcp_window": np.arange(257) * 256, "gap": TIMES}
NAMED = {"tcp_flags": 512, "tos": 256, "ip_flags": 8, "ttl": 256}
# likely in any trace: flags that RFC 9293 gives a meaning together, what operating systems start a TTL with
LIKELY = {"tcp_flags": (2, 4, 16, 17, 18, 20, 24, 25), "ttl": (1, 32, 64, 128, 255), "ip_flags": (0, 2), "tos": (0,)}
SHARES = {"length": 2.0, "gap": 1.0, "tcp_window": 0.3, "tcp_flags": 0.7, "tos": 0.2, "ip_flags": 0.2, "ttl": 1.2}
OF_FLOWS = {"span": 0.8, "packets back": 0.6, "bytes of a side": 0.8}
PROTOCOLS = 3  # TCP, UDP, others
SIDES, SIDES_OF_TCP = 2 * PROTOCOLS, 2  # with the direction


def packet_tables(columns: list[str]) -> dict[str, float]:
    """The tables that `measure_packets` counts for a trace with these columns, with their shares of the budget."""
    return OF_FLOWS | {name: share for name, share in SHARES.items() if name == "gap" or name in columns}


@dataclass(frozen=True)
class PacketColumns:
    """Private: packets, one flow after another; as `record_marginals.RecordColumns`, with uint8[n] `direction`."""

    columns: Mapping[str, np.ndarray]
    flow: np.ndarray
    gap: np.ndarray
    first: np.ndarray
    direction: np.ndarray
    length: np.ndarray


@dataclass(frozen=True)
class Table:
    """Noisy counts, float64[groups, cells], and the standard deviation of their noise."""

    counts: np.ndarray
    deviation: float


def measure_packets(
    packets: PacketColumns, flows: FlowColumns, counter: NoisyCounts, *, longest: int
) -> dict[str, Table]:
    """The noisy counts; `longest`: packets of a flow, declared."""
    protocol = flows.protocol[packets.flow].astype(np.int64)
    direction = packets.direction.astype(np.int64)
    group, owner = groups(protocol, direction, packets.length), flows.units[packets.flow]
    weight = packet_weight(packets.length, longest)
    side = np.unique(packets.flow * 2 + direction, return_index=True)[1]  # the first packet of each side
    of_side = np.full(len(side), math.sqrt(0.5))
    later, everything = np.flatnonzero(~packets.first), np.arange(len(group))
    tables = {}

    def count(name: str, number: np.ndarray, cell: np.ndarray, size: tuple[int, int], rows: np.ndarray,
              weights: np.ndarray | None) -> None:  # fmt: skip
        height, cells = size
        noisy = counter.count(name, number * cells + cell, height * cells, owner[rows], weights)
        tables[name] = Table(noisy.reshape(height, cells), counter.deviation(name))

    for name in SHARES:
        if name != "gap" and name not in packets.columns:
            continue
        value = packets.gap // 1000 if name == "gap" else packets.columns[name].astype(np.int64)
        cell, cells = cells_of(name, value)
        if name == "ttl":  # that most of a host's packets of a flow have
            rows, weights, cell[side] = side, of_side, most_frequent(cell, packets.flow * 2 + direction)
        else:
            rows = later if name == "gap" else everything
            weights = weight[rows]
        count(name, group[rows], cell[rows], (SIDES * GROUPS_OF_LENGTH, cells), rows, weights)
    first = np.flatnonzero(packets.first)
    kind, height = flow_groups(protocol[first], packets.length[first]), PROTOCOLS * GROUPS_OF_LENGTH
    span, back = (totals(values, first) for values in (packets.gap, direction))
    several = packets.length[first] > 1
    count("span", kind[several], cell_of(span[several] // 1000, TIMES), (height, len(TIMES) - 1), first[several], None)
    number, cell = back_cells(protocol[first], packets.length[first], back)
    count("packets back", number, cell, (PROTOCOLS * len(BACK_LENGTHS), BACK), first, None)
    if "length" in packets.columns:
        of_packet = np.unique(packets.flow * 2 + direction, return_inverse=True)[1]
        volume = np.bincount(of_packet, weights=packets.columns["length"], minlength=len(side)).astype(np.int64)
    else:
        volume = np.zeros(len(side), np.int64)
    cells = len(VOLUMES) - 1
    count("bytes of a side", group[side], cell_of(volume, VOLUMES), (SIDES * GROUPS_OF_LENGTH, cells), side, of_side)
    return tables


def most_frequent(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """int64[owners]: the value (int64[n]) that most of an owner's rows have, the least of several; owners (int64[n]) in
    ascending order."""
    (of_pair, value), times = np.unique(np.stack([owner, values]), axis=1, return_counts=True)
    order = np.lexsort((-times, of_pair))
    return value[order[np.unique(of_pair[order], return_index=True)[1]]]


def packet_weight(length: np.ndarray, longest: int) -> np.ndarray:
    """float64[n]: what a packet of a flow of so many packets counts."""
    return 1.0 / np.minimum(LENGTHS[length_group(length) + 1] - 1, max(longest, 1))


def groups(protocol: np.ndarray, direction: np.ndarray, length: np.ndarray) -> np.ndarray:
    """int64[n]: of packets of these protocols and directions in flows of these lengths."""
    return (of_protocol(protocol) * 2 + direction) * GROUPS_OF_LENGTH + length_group(length)


def flow_groups(protocol: np.ndarray, length: np.ndarray) -> np.ndarray:
    """int64[n]: of flows of these protocols and lengths."""
    return of_protocol(protocol) * GROUPS_OF_LENGTH + length_group(length)


def back_cells(protocol: np.ndarray, length: np.ndarray, back: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64[n] each: the group and the cell of flows of which so many packets go back."""
    cell = np.where(length < SHORT + 1, back, back * BACK // np.maximum(length, 1))
    group = of_protocol(protocol) * len(BACK_LENGTHS) + group_of(length, BACK_LENGTHS)
    return group, np.clip(cell, 0, BACK - 1).astype(np.int64)


def of_protocol(protocol: np.ndarray) -> np.ndarray:
    """int64[n]: TCP, UDP, others."""
    return np.where(protocol == TCP, 0, np.where(protocol == UDP, 1, 2)).astype(np.int64)


def length_group(length: np.ndarray) -> np.ndarray:
    """int64[n]: of numbers of packets."""
    return np.minimum(group_of(length, LENGTHS), GROUPS_OF_LENGTH - 1)


def cells_of(name: str, value: np.ndarray) -> tuple[np.ndarray, int]:
    """int64[n]: the cells of a column's values, and how many cells there are."""
    if name in NAMED:
        return np.minimum(value, NAMED[name] - 1), NAMED[name]
    return cell_of(value, NUMBERS[name]), len(NUMBERS[name]) - 1


def cell_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """int64[n]: the bins of numbers."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def totals(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """int64[n_flows]: the sum of each flow's values; flows begin at `first`."""
    return np.add.reduceat(values.astype(np.int64), first) if len(first) else np.zeros(0, np.int64)
