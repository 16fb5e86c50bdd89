"""What a private run counts of packets, and packets that are made after a public trace's to have these counts.

How packets follow one another (handshakes, requests and answers) is the same everywhere, and much more than can be
counted under differential privacy: it is taken from flows of the public trace, of the same protocol, about the same
length, and with about as many packets back as the noisy counts ask for. Then each column is changed as little as
possible until its shares are those of the noisy counts, for each protocol and direction, and for short and long flows
apart: numbers keep their order, names keep their place where they can.

A flow's packets share its weight, as in `record_marginals`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.privacy.counting import CLEAR, NoisyCounts
from netshare.privacy.denoising import drawn, projected, smoothed
from netshare.privacy.marginals import FlowColumns
from netshare.privacy.record_marginals import number_bins
from preprocess.fields.times import spread_over_span
from preprocess.flows import FlowKey, Flows, group_flows
from preprocess.protocols import TCP, UDP
from preprocess.trace import Trace

LENGTHS = np.array([1, 2, 3, 5, 9, 33])  # packets a flow, lower ends of groups
NUMBERS = ("length", "tcp_window")
NAMED = {"tcp_flags": 512, "tos": 256, "ip_flags": 8}
SIDE_LENGTHS = np.array([1, 9])  # packets a flow, lower ends of groups in which sides' habits are counted
GAP_BINS = number_bins(1, 1.5, 2**43)  # us
SHARES = {"length": 2.0, "gap": 1.0, "tcp_window": 0.3, "tcp_flags": 0.5, "tos": 0.2, "ip_flags": 0.2}
OF_FLOWS = {"span": 0.8, "packets back": 0.8, "ttl": 1.0}
BACK = np.array([0.0, 1e-9, 0.3, 0.45, 0.55, 0.7, 1.0])  # share of a flow's packets against its five-tuple, lower ends
GROUPS = 3 * 2 * len(LENGTHS)  # protocol (TCP, UDP, others), direction, length
FLOW_GROUPS = 3 * len(LENGTHS)
SIDE_GROUPS = 3 * 2 * len(SIDE_LENGTHS)


def packet_tables(columns: list[str]) -> dict[str, float]:
    """The tables that `measure_packets` counts for a trace with these columns, with their shares of the budget."""
    of_flows = {name: share for name, share in OF_FLOWS.items() if name != "ttl" or name in columns}
    return of_flows | {name: share for name, share in SHARES.items() if name == "gap" or name in columns}


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
class PacketModel:
    """Noisy counts: `tables[name]` is float64[GROUPS, cells]."""

    tables: dict[str, np.ndarray]

    def draw(
        self, flows: Mapping[str, np.ndarray], public: Trace, flow_key: FlowKey, width: int, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Columns of the packets of these flows, `gap` (ns) and `direction` among them.

        Args:
            width: ns, of the declared window.
        """
        donors = group_flows(public, flow_key)
        length = flows["length"]
        chosen, one_way = self._donors(flows["protocol"], length, public["protocol"][donors.first], donors, rng)
        owner = np.repeat(np.arange(len(length)), length)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
        of_donor = donors.lengths[chosen][owner]
        # a longer flow than its donor goes on as the donor did after its beginning
        begin = np.minimum(of_donor // 2, 4)
        place = np.where(within < of_donor, within, begin + (within - begin) % np.maximum(of_donor - begin, 1))
        row = donors.offsets[chosen][owner] + np.minimum(place, of_donor - 1)
        source = donors.order[row]
        direction = (donors.direction[row] if donors.direction is not None else np.zeros(len(row))).astype(np.int64)
        direction[one_way[owner]] = 0
        time = public["time"]
        before = donors.order[np.maximum(row - 1, 0)]
        gap = np.where(place > 0, time[source] - time[before], 0)
        gap = np.where((within > 0) & (place == 0), np.median(gap), gap)
        group = _groups(flows["protocol"][owner], direction, length[owner])
        sides = _side_groups(flows["protocol"][owner], direction, length[owner])
        found = {name: public[name][source].astype(np.int64) for name in public if name not in ("time",)}
        found = {n: v for n, v in found.items() if n not in _FIVE_TUPLE}
        for name in SHARES:
            table = self.tables.get(name)
            if table is None or (name != "gap" and name not in found):
                continue
            if name == "gap":
                later = np.flatnonzero(within > 0)
                gap[later] = _moved_numbers(gap[later] // 1000, group[later], table, GAP_BINS, rng) * 1000
            elif name in NUMBERS:
                found[name] = _moved_numbers(found[name], group, table, _edges(name), rng)
            else:
                found[name] = _moved_names(found[name], sides, table, rng)
        if "ttl" in found and "ttl" in self.tables:
            side, of_side = np.unique(owner * 2 + direction, return_inverse=True)
            flow, first = side // 2, np.unique(of_side, return_index=True)[1]
            of_group = _side_groups(flows["protocol"][flow], side % 2, length[flow])
            found["ttl"] = _moved_names(found["ttl"][first], of_group, self.tables["ttl"], rng)[of_side]
        gap = self._with_spans(np.where(within > 0, gap, 0), flows, width, rng)
        tcp = flows["protocol"][owner] == TCP
        for name in ("tcp_flags", "tcp_window", "tcp_header_length"):
            if name in found:
                found[name] = np.where(tcp, found[name], 0)
        return {**found, "gap": gap, "direction": direction}

    def _with_spans(
        self, gap: np.ndarray, flows: Mapping[str, np.ndarray], width: int, rng: np.random.Generator
    ) -> np.ndarray:
        """The gaps fitted to noisy spans, the longest of which go to the flows whose gaps add up to most."""
        length = flows["length"]
        offsets = np.concatenate([[0], np.cumsum(length)])
        total = np.add.reduceat(gap, offsets[:-1])
        several = np.flatnonzero(length > 1)
        span = np.zeros(len(length), np.int64)
        group = _flow_groups(flows["protocol"], length)
        span[several] = (
            _moved_numbers(total[several] // 1000, group[several], self.tables["span"], GAP_BINS, rng) * 1000
        )
        return spread_over_span(gap, np.minimum(span, width), offsets)

    def _donors(
        self,
        protocol: np.ndarray,
        length: np.ndarray,
        donor_protocol: np.ndarray,
        donors: Flows,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """int64[n]: for each flow a public one: of its protocol, with about as large a share of packets back as is drawn
        for it, of about its length; the first where there is one, then the second. And bool[n]: no packet goes back."""
        back = np.zeros(len(donors)) if donors.direction is None else (
            np.add.reduceat(donors.direction.astype(float), donors.offsets[:-1]) / donors.lengths
        )  # fmt: skip
        donor_kind = _of_protocol(donor_protocol) * len(BACK) + _cell_of(back, BACK)
        of_group = _flow_groups(protocol, length)
        wanted = _of_protocol(protocol) * len(BACK) + drawn(self.tables["packets back"] + 1e-9, of_group, rng)
        chosen = np.zeros(len(length), np.int64)
        for kind in np.unique(wanted):
            own, pool = np.flatnonzero(wanted == kind), np.flatnonzero(donor_kind == kind)
            if len(pool) == 0:
                pool = np.flatnonzero(donor_kind // len(BACK) == kind // len(BACK))
            pool = pool if len(pool) else np.arange(len(donors))
            pool = pool[np.argsort(donors.lengths[pool], kind="stable")]
            lengths = donors.lengths[pool]
            first = np.minimum(np.searchsorted(lengths, length[own], side="left"), len(pool) - 1)
            last = np.searchsorted(lengths, np.maximum(lengths[first], length[own] * 1.2), side="right")
            place = first + np.floor(rng.random(len(own)) * (np.maximum(last, first + 1) - first)).astype(np.int64)
            chosen[own] = pool[place]
        return chosen, wanted % len(BACK) == 0


_FIVE_TUPLE = ("ip_version", "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "protocol")


def measure_packets(packets: PacketColumns, flows: FlowColumns, counter: NoisyCounts) -> PacketModel:
    """The noisy counts."""
    group = _groups(flows.protocol[packets.flow].astype(np.int64), packets.direction.astype(np.int64), packets.length)
    sides = _side_groups(flows.protocol[packets.flow], packets.direction, packets.length)
    units, tables = flows.units[packets.flow], {}
    later = np.flatnonzero(~packets.first)
    for name in SHARES:
        if name == "gap":
            cell, rows, bins = _cell(packets.gap // 1000, GAP_BINS), later, GAP_BINS
            weight = 1 / np.maximum(packets.length - 1, 1)
        elif name in packets.columns:
            rows, weight = np.arange(len(group)), 1 / packets.length
            value = packets.columns[name].astype(np.int64)
            bins = _edges(name) if name in NUMBERS else np.arange(NAMED[name] + 1)
            cell = _cell(value, bins)
        else:
            continue
        cells, (own, groups) = len(bins) - 1, (sides, SIDE_GROUPS) if name in NAMED else (group, GROUPS)
        noisy = counter.count(name, (own * cells + cell)[rows], groups * cells, units[rows], weight[rows])
        tables[name] = _shares(noisy.reshape(groups, cells), counter.deviation(name), in_order=name not in NAMED)
    first = np.flatnonzero(packets.first)
    protocol, length = flows.protocol[packets.flow[first]].astype(np.int64), packets.length[first]
    group, units = _flow_groups(protocol, length), flows.units[packets.flow[first]]
    if "ttl" in packets.columns:
        tables["ttl"] = _measure_ttl(packets, flows, counter)
    several, cells = np.flatnonzero(length > 1), len(GAP_BINS) - 1
    cell = group * cells + _cell(_totals(packets.gap, first) // 1000, GAP_BINS)
    noisy = counter.count("span", cell[several], FLOW_GROUPS * cells, units[several]).reshape(FLOW_GROUPS, cells)
    tables["span"] = _shares(noisy, counter.deviation("span"), in_order=True)
    cell = group * len(BACK) + _cell_of(_totals(packets.direction, first) / length, BACK)
    noisy = counter.count("packets back", cell, FLOW_GROUPS * len(BACK), units).reshape(FLOW_GROUPS, len(BACK))
    tables["packets back"] = _shares(noisy, counter.deviation("packets back"), in_order=True)
    return PacketModel(tables)


def _measure_ttl(packets: PacketColumns, flows: FlowColumns, counter: NoisyCounts) -> np.ndarray:
    """float64[SIDE_GROUPS, 256]: shares of the TTLs of flows' sides. A host's packets of a flow have one TTL, so that of
    each side's first packet is counted, with the weight 1 / sqrt 2: the two are in different cells."""
    first = np.unique(packets.flow * 2 + packets.direction, return_index=True)[1]
    flow = packets.flow[first]
    group = _side_groups(flows.protocol[flow], packets.direction[first], packets.length[first])
    cell = group * 256 + packets.columns["ttl"][first].astype(np.int64)
    weight = np.full(len(first), math.sqrt(0.5))
    noisy = counter.count("ttl", cell, SIDE_GROUPS * 256, flows.units[flow], weight)
    return _shares(noisy.reshape(SIDE_GROUPS, 256), counter.deviation("ttl"), in_order=False)


def _totals(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The sum of each flow's values; flows begin at `first`."""
    return np.add.reduceat(values.astype(np.int64), first) if len(first) else np.zeros(0, np.int64)


def _shares(noisy: np.ndarray, deviation: float, *, in_order: bool) -> np.ndarray:
    """float64[groups, cells]: shares. A group's mass that is in no clear cell is shared like that of all groups together;
    where nothing is clear there either, a group has none (zeros: left as in the public trace)."""
    overall, noise = noisy.sum(axis=0), deviation * np.sqrt(len(noisy))
    everywhere = np.where(overall > CLEAR * noise, overall, 0.0)
    found = np.zeros_like(noisy)
    for k, row in enumerate(noisy):
        total = float(row.sum())
        clear = np.where(row > (CLEAR if in_order else 3.0) * deviation, row, 0.0)
        if in_order and total > 3 * deviation:  # frequent values by themselves, the others in runs
            found[k] = projected(clear, min(max(total, 0.0), float(clear.sum()))) if clear.any() else clear
            left = max(total - float(clear.sum()), 0.0)
            if left > 2 * deviation:
                others = smoothed(np.where(clear > 0, 0.0, row), deviation, left)
                found[k] += others
        elif not in_order and clear.any():
            found[k] = projected(clear, min(max(total, float(clear.max())), float(clear.sum())))
            others = np.where(clear > 0, 0.0, everywhere)
            found[k] += others / max(others.sum(), 1e-12) * max(total - clear.sum(), 0.0)
        if found[k].sum() == 0:
            found[k] = everywhere
    return found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12)


def _groups(protocol: np.ndarray, direction: np.ndarray, length: np.ndarray) -> np.ndarray:
    return (_of_protocol(protocol) * 2 + direction) * len(LENGTHS) + _cell_of(length, LENGTHS)


def _side_groups(protocol: np.ndarray, direction: np.ndarray, length: np.ndarray) -> np.ndarray:
    return (_of_protocol(protocol) * 2 + direction.astype(np.int64)) * len(SIDE_LENGTHS) + _cell_of(
        length, SIDE_LENGTHS
    )


def _flow_groups(protocol: np.ndarray, length: np.ndarray) -> np.ndarray:
    return _of_protocol(protocol) * len(LENGTHS) + _cell_of(length, LENGTHS)


def _of_protocol(protocol: np.ndarray) -> np.ndarray:
    return np.where(protocol == TCP, 0, np.where(protocol == UDP, 1, 2)).astype(np.int64)


def _cell_of(values: np.ndarray, low: np.ndarray) -> np.ndarray:
    return np.maximum(np.searchsorted(low, values, side="right") - 1, 0).astype(np.int64)


def _edges(name: str) -> np.ndarray:
    """int64[cells + 1]: of a column of numbers."""
    if name == "tcp_window":
        return np.arange(257) * 256
    return np.concatenate([np.arange(1520), [1520, 4096, 9216, 65537]])


def _cell(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _moved_numbers(
    values: np.ndarray, group: np.ndarray, table: np.ndarray, edges: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """int64[n]: numbers in the order of `values` (int64[n]) within each group, with the shares of `table`."""
    found = values.copy()
    for k in np.unique(group):
        if table[k].sum() <= 0:
            continue
        own = np.flatnonzero(group == k)
        order = own[np.lexsort((rng.random(len(own)), values[own]))]
        cumulative = np.cumsum(table[k])
        at = (np.arange(len(own)) + rng.random()) / len(own) * cumulative[-1]
        cell = np.minimum(np.searchsorted(cumulative, at, side="right"), len(table[k]) - 1)
        low, high = edges[cell].astype(float), edges[cell + 1].astype(float)
        fits = (values[order] >= low) & (values[order] < high)
        drawn = np.floor((low + 1) * ((high + 1) / (low + 1)) ** rng.random(len(own)) - 1)
        found[order] = np.where(fits, values[order], np.clip(drawn, low, high - 1)).astype(np.int64)
    return found


def _moved_names(values: np.ndarray, group: np.ndarray, table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: names with the shares of `table`; as few as possible are changed, at random."""
    found, cells = values.copy(), table.shape[1]
    for k in np.unique(group):
        if table[k].sum() <= 0:
            continue
        own = rng.permutation(np.flatnonzero(group == k))
        wanted = np.floor(table[k] / table[k].sum() * len(own) + rng.random()).astype(np.int64)
        name = np.minimum(values[own], cells - 1)
        order = np.argsort(name, kind="stable")
        rank = np.empty(len(own), np.int64)
        starts = np.searchsorted(name[order], np.arange(cells))
        rank[order] = np.arange(len(own)) - starts[name[order]]
        over = own[rank >= wanted[name]]
        lacking = np.maximum(wanted - np.bincount(name, minlength=cells), 0)
        pool = rng.permutation(np.repeat(np.arange(cells), lacking))
        found[over] = np.resize(pool, len(over)) if len(pool) else found[over]
    return found
