"""What a private run counts of a trace's flows, and flows that are drawn from the counts.

    model = measure_flows(flows, counter, width=width, max_records=256)    # sees private flows, keeps noisy counts alone
    model.draw(rng)                                                        # about as many flows; sees no private data

A flow's *class* is its protocol and service (the frequent port that it has at either end). Given the class, the number
of records, the ports and the hosts are drawn, hosts in pairs of networks. How many flows a host has follows a noisy count
of hosts by their flows. After NetDPSyn (Sun, Chen, Gong, Wang, Li, "NetDPSyn: Synthesizing network traces under
differential privacy", IMC 2024): private marginals first, then records that have them.

Private: `FlowColumns`. Public: the window's width, the longest flow, and the `FlowModel`. Sensitivity: a flow is in one cell
of each table (norm 1); for the tables of hosts see `host_marginals`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.protocols import TCP, UDP
from netshare.privacy.counts.bins import bin_of
from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.counts.denoising import SIGNIFICANT, projected, raked, smoothed, systematic_sample
from netshare.privacy.counts.host_marginals import (
    SIDES,
    Hosts,
    address_tables,
    find_hosts,
    host_tables,
    measure_hosts,
    split_by_side,
)
from netshare.privacy.counts.length_marginals import in_groups, length_tables, measure_lengths
from netshare.privacy.counts.strata import LENGTH_GROUPS, Strata, network_pairs, stratum_of
from netshare.privacy.counts.time_marginals import Times, measure_times, time_tables
from netshare.privacy.counts.tries import Trie, TrieSearch, count_trie, trie_tables

MAX_SERVICES = 16  # ports that have classes of flows of their own
PORT_RANGES = 32  # of equal width, in which all other ports are counted
PORT_RADICES = (256, 256)  # a port, byte by byte
CLASS_LENGTHS = np.array([1, 2, 3, 4, 6, 9, 17, 33, 65, 129, 257, 1025])  # records a flow by class, lower ends of bins
PORT_REDRAWS = 10  # times that ports are drawn again where two flows have the same five-tuple


@dataclass(frozen=True)
class FlowColumns:
    """The flows of a trace; private. All arrays have length n.

    Attributes:
        version: of IP, 4 or 6.
        protocol: IANA number.
        addresses: lower halves of the addresses, by side (`src`, `dst`).
        ports: by side.
        start, end: times of the first and last record, ns from the window's begin.
        length: records of the flow.
        units: int64, the unit that each flow belongs to.
    """

    version: np.ndarray
    protocol: np.ndarray
    addresses: Mapping[str, np.ndarray]
    ports: Mapping[str, np.ndarray]
    start: np.ndarray
    end: np.ndarray
    length: np.ndarray
    units: np.ndarray


def flow_tables() -> dict[str, float]:
    """The tables that `measure_flows` counts, with their shares of the budget."""
    shares = {
        "flows": 0.1,
        "protocol": 0.5,
        "records a flow, by class": 0.5,
        "networks, by class": 0.4,
    }
    for side in SIDES:
        shares |= dict(zip(trie_tables(f"{side} port", 2), (0.5, 0.5), strict=True))
        shares |= host_tables(side) | {f"{side} port, by class": 0.4}
    return shares | length_tables() | address_tables() | time_tables()


@dataclass(frozen=True)
class DrawnFlows:
    """Synthetic flows. All arrays have length n.

    Attributes:
        flow_class: number of the class.
        protocol: IANA number.
        six: bool, IPv6.
        addresses: of IPv4, by side (`src`, `dst`).
        ports: by side.
        length: records of the flow.
    """

    flow_class: np.ndarray
    protocol: np.ndarray
    six: np.ndarray
    addresses: dict[str, np.ndarray]
    ports: dict[str, np.ndarray]
    length: np.ndarray


@dataclass(frozen=True)
class Ports:
    """Noisy counts of the ports of one side.

    Attributes:
        services: int64[s], the frequent ports.
        trie: all ports, found byte by byte.
        table: float64[classes, cells]; a cell is port 0, a service's port, or one of `PORT_RANGES` ranges of the others.
    """

    services: np.ndarray
    trie: Trie
    table: np.ndarray

    @staticmethod
    def cells(port: np.ndarray, services: np.ndarray) -> np.ndarray:
        """int64[n]: the cell of each port."""
        cell = 1 + len(services) + port // (65536 // PORT_RANGES)
        for number, service in enumerate(services):
            cell = np.where(port == service, 1 + number, cell)
        return np.where(port == 0, 0, cell).astype(np.int64)

    def draw(self, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: a port for each flow."""
        cell = systematic_sample(self.table, classes, rng)
        port = np.zeros(len(cell), np.int64)
        of_service = (cell > 0) & (cell <= len(self.services))
        port[of_service] = self.services[cell[of_service] - 1]
        # Other ports follow the trie within their range: more than enough are drawn, and each range chooses among its own.
        pool = self.trie.draw(20 * len(cell) + 1000, rng)
        pool = pool[(pool > 0) & ~np.isin(pool, self.services)]
        width = 65536 // PORT_RANGES
        for number in np.unique(cell[cell > len(self.services)]):
            own, low = cell == number, (number - 1 - len(self.services)) * width
            fitting = pool[pool // width == low // width]
            some = np.flatnonzero(own)
            port[some] = rng.choice(fitting, len(some)) if len(fitting) else low + rng.integers(1, width, len(some))
        return port


@dataclass(frozen=True)
class FlowModel:
    """Noisy counts of flows, see the module's docstring.

    Attributes:
        total: number of flows.
        protocol: int64[classes], the protocol of each class.
        service: int64[classes], the number of its service's port in `Ports.services`, -1 for flows without a service.
        six: float64[classes], the share of IPv6.
        classes: float64[classes], flows of each class.
        bins: int64[bins + 1], lower ends of bins of records a flow, and the last one's end.
        lengths: float64[classes, bins], flows by class and records.
        ports: by side.
        hosts: by side.
        pairs: float64[strata, pairs of networks].
        times: when flows begin and end.
    """

    total: float
    protocol: np.ndarray
    service: np.ndarray
    six: np.ndarray
    classes: np.ndarray
    bins: np.ndarray
    lengths: np.ndarray
    ports: dict[str, Ports]
    hosts: dict[str, Hosts]
    pairs: np.ndarray
    times: Times

    def classify(self, protocol: np.ndarray, src_port: np.ndarray, dst_port: np.ndarray) -> np.ndarray:
        """int64[n]: the class of each flow."""
        names = list(zip(self.protocol.tolist(), self.service.tolist(), strict=True))
        return _classes(protocol, src_port, dst_port, self.ports["dst"].services, names)

    def draw(self, rng: np.random.Generator) -> DrawnFlows:
        """As many flows as were counted. Ports are drawn again where two flows have the same five-tuple."""
        n = max(1, round(self.total))
        flow_class = systematic_sample(self.classes[None, :], np.zeros(n, np.int64), rng)
        length_bin = systematic_sample(self.lengths, flow_class, rng)
        low, high = self.bins[length_bin], self.bins[length_bin + 1]
        length = np.clip(np.floor(low * (high / low) ** rng.random(n)).astype(np.int64), low, high - 1)
        six = rng.random(n) < self.six[flow_class]
        ports = {side: self.ports[side].draw(flow_class, rng) for side in SIDES}
        networks = len(self.hosts["dst"].networks) + 1
        strata = stratum_of(flow_class, length)
        pair = systematic_sample(self.pairs, strata, rng)
        network = {"src": pair // networks, "dst": pair % networks}
        addresses = {side: self.hosts[side].draw(strata, network[side], rng) for side in SIDES}
        flows = DrawnFlows(flow_class, self.protocol[flow_class], six, addresses, ports, length)
        for _ in range(PORT_REDRAWS):
            again = _repeated_five_tuples(flows)
            if not again.any():
                break
            for side in SIDES:
                ports[side][again] = self.ports[side].draw(flow_class[again], rng)
        return flows


def measure_flows(flows: FlowColumns, counter: NoisyCounts, *, width: int, max_records: int) -> FlowModel:
    """Count flows.

    Args:
        flows: private.
        width: ns, of the declared window.
        max_records: of a flow, declared.
    """
    units, protocol = flows.units, flows.protocol.astype(np.int64)
    zero = np.zeros(len(units), np.int64)
    total = max(1.0, float(counter.count("flows", zero, 1, units)[0]))
    by_protocol = counter.count("protocol", protocol + 256 * (flows.version == 6), 512, units)
    clear = np.where(by_protocol > SIGNIFICANT * counter.deviation("protocol"), by_protocol, 0.0).reshape(2, 256)
    protocols = np.flatnonzero(clear.sum(axis=0))
    protocols = protocols if len(protocols) else np.array([TCP, UDP])
    six_of = clear[1] / np.maximum(clear.sum(axis=0), 1e-9)

    tries = {
        side: count_trie(counter, f"{side} port", flows.ports[side].astype(np.int64), units,
                         TrieSearch(PORT_RADICES, fits=(smoothed,)), total=total)
        for side in SIDES
    }  # fmt: skip
    services = _services(tries)
    names = [(int(p), s) for p in protocols for s in (*range(len(services)), -1) if s < 0 or p in (TCP, UDP)]
    ports = [flows.ports[side].astype(np.int64) for side in SIDES]
    flow_class = _classes(protocol, ports[0], ports[1], services, names)
    names, bins, lengths = _measure_lengths_of_classes(
        names, flow_class, flows, counter, by_protocol=clear.sum(axis=0), total=total, max_records=max_records
    )
    flow_class = _classes(protocol, ports[0], ports[1], services, names)
    strata = Strata(counter, flow_class, flows.length, units, in_groups(lengths, bins, LENGTH_GROUPS))
    found_ports = {
        side: Ports(
            services, tries[side],
            strata.count_by_class(f"{side} port, by class", Ports.cells(flows.ports[side].astype(np.int64), services),
                           1 + len(services) + PORT_RANGES),
        )
        for side in SIDES
    }  # fmt: skip
    four = flows.version == 4
    total_four = max(1.0, total * float(clear[0].sum()) / max(float(clear.sum()), 1e-9))
    addresses = [flows.addresses[side].astype(np.int64) for side in SIDES]
    ends, owner = [address[four] for address in addresses], units[four]
    hosts, network = {}, {}
    of_sides = split_by_side(find_hosts(ends, owner, counter, total_four), ends, owner, counter, total_four)
    for side, address, trie in zip(SIDES, addresses, of_sides, strict=True):
        hosts[side], network[side] = measure_hosts(trie, address, four, units, counter, side, total_four, strata)
    by_network = hosts["src"].by_network(), hosts["dst"].by_network()
    deep = by_network[1].shape[1]
    cells = network["src"] * deep + network["dst"]
    pairs = strata.count_by_class("networks, by class", cells, by_network[0].shape[1] * deep, counted=four)
    times = measure_times(
        flows.start, flows.end, flows.length, units, counter,
        total=total, of_several=float(lengths[:, bins[:-1] > 1].sum()), width=width,
    )  # fmt: skip
    return FlowModel(
        total=total,
        protocol=np.array([p for p, _ in names]),
        service=np.array([s for _, s in names]),
        six=six_of[[p for p, _ in names]],
        classes=lengths.sum(axis=1),
        bins=bins,
        lengths=lengths,
        ports=found_ports,
        hosts=hosts,
        pairs=network_pairs(pairs, by_network, strata.together),
        times=times,
    )


def _measure_lengths_of_classes(
    names: list[tuple[int, int]], flow_class: np.ndarray, flows: FlowColumns, counter: NoisyCounts, *, by_protocol: np.ndarray,
    total: float, max_records: int,
) -> tuple[list[tuple[int, int]], np.ndarray, np.ndarray]:  # fmt: skip
    """The classes that are kept, int64[n + 1]: lower ends of bins of lengths and the end of the last, and
    float64[classes, n]: flows of each class and length.

    A class whose count is not significant is dropped: its flows join the class of their protocol without a service.

    Args:
        names: of each class its protocol, and its service's number or -1.
        flow_class: int64[flows], the class of each flow, -1 where it is in none.
        by_protocol: float64[256], noisy numbers of flows.
    """
    cells, table = flow_class * len(CLASS_LENGTHS) + bin_of(flows.length, CLASS_LENGTHS), "records a flow, by class"
    known = flow_class >= 0
    noisy = counter.count(table, cells[known], len(names) * len(CLASS_LENGTHS), flows.units[known])
    noisy = noisy.reshape(len(names), -1)
    noise = counter.deviation(table) * math.sqrt(noisy.shape[1])
    kept = np.array([s < 0 or m > 2 * SIGNIFICANT * noise for (_, s), m in zip(names, noisy.sum(axis=1), strict=True)])
    for k in np.flatnonzero(~kept):
        noisy[names.index((names[k][0], -1))] += noisy[k]
    names = [name for name, keep in zip(names, kept, strict=True) if keep]
    bins, finely = measure_lengths(flows.length, flows.units, counter, total=total, max_records=max_records)
    group = bin_of(bins[:-1], CLASS_LENGTHS)
    in_group = np.bincount(group, weights=finely, minlength=len(CLASS_LENGTHS)) + 1e-9
    classes = _class_totals(noisy[kept].sum(axis=1), names, by_protocol, total)
    by_length = raked(noisy[kept], classes, in_group, counter.deviation(table))
    return names, bins, by_length[:, group] * (finely / np.maximum(in_group[group], 1e-9))[None, :] + 1e-12


def _class_totals(noisy: np.ndarray, names: list[tuple[int, int]], by_protocol: np.ndarray, total: float) -> np.ndarray:
    """float64[classes]: flows of each class, which add up to `total`, and within each protocol to its share of it."""
    protocol, found = np.array([p for p, _ in names]), np.zeros(len(names))
    shares = by_protocol / max(float(by_protocol.sum()), 1e-9) if by_protocol.any() else np.full(256, 1 / 256)
    for p in np.unique(protocol):
        own = protocol == p
        found[own] = projected(noisy[own], total * shares[p])
    return found + 1e-9


def _repeated_five_tuples(flows: DrawnFlows) -> np.ndarray:
    """bool[n]: flows whose five-tuple an earlier flow has."""
    columns = [flows.protocol, *(each[side] for each in (flows.addresses, flows.ports) for side in SIDES)]
    order = np.lexsort(columns)
    same = np.ones(len(order), bool)
    same[:1] = False
    for column in columns:
        same[1:] &= column[order][1:] == column[order][:-1]
    found = np.zeros(len(order), bool)
    found[order] = same
    return found


def _services(tries: Mapping[str, Trie]) -> np.ndarray:
    """int64[s]: the ports that are most frequent at either side, the most frequent first; port 0 is no service."""
    ports = np.concatenate([tries[side].values for side in SIDES])
    counts = np.concatenate([tries[side].counts for side in SIDES])
    names, number = np.unique(ports, return_inverse=True)
    most = np.zeros(len(names))
    np.maximum.at(most, number, counts)
    most[names == 0] = 0
    order = np.argsort(-most)[:MAX_SERVICES]
    return names[order[most[order] > 0]].astype(np.int64)


def _classes(
    protocol: np.ndarray, src_port: np.ndarray, dst_port: np.ndarray, services: np.ndarray, names: list[tuple[int, int]]
) -> np.ndarray:
    """int64[n]: the class of each flow, -1 where its protocol has none. Where a flow has services at both ends, the more
    frequent one counts."""
    service = np.full(len(protocol), -1, np.int64)
    for number in reversed(range(len(services))):
        service[(src_port == services[number]) | (dst_port == services[number])] = number
    found = np.full(len(protocol), -1, np.int64)
    for number, (p, s) in sorted(enumerate(names), key=lambda each: each[1][1]):  # without a service first
        found[(protocol == p) & ((service == s) | (s < 0))] = number
    return found
