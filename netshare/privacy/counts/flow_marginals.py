"""What a private run counts of a trace's flows, and flows that are drawn from the counts.

    model = measure_flows(flows, counter)            # sees the private flows, gives noisy counts alone
    model.draw(rng, public)                          # as many flows as were counted; sees no private data

A flow's *class* is its protocol and service (the frequent port that it has at either end). Given the class, the number
of records, the ports and the hosts are drawn, hosts in pairs of networks. How often hosts come back follows a noisy
count of how many hosts have how many flows. After the way of NetDPSyn (Sun, Chen, Gong, Wang, Li, "NetDPSyn: Synthesizing
network traces under differential privacy", IMC 2024): private marginals, then records that have them.

Every flow is in one cell of each table (norm 1), except that a flow less moves its two hosts from one cell of the hosts'
tables to another (norm sqrt 2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.protocols import TCP, UDP
from netshare.privacy.counts.counting import CLEAR, NoisyCounts, Trie, count_trie, drawn_from, group_of, trie_tables
from netshare.privacy.counts.denoising import drawn, projected, raked, smoothed
from netshare.privacy.counts.host_marginals import (
    SIDES,
    Hosts,
    address_tables,
    find_hosts,
    host_tables,
    measure_hosts,
    on_sides,
)
from netshare.privacy.counts.kinds import LENGTHS, Kinds, kind_of, paired
from netshare.privacy.counts.length_marginals import in_groups, length_tables, measure_lengths
from netshare.privacy.counts.time_marginals import Times, measure_times, time_tables

SERVICES = 16  # at most
PORT_RANGES = 32
PORT_DIGITS = (256, 256)
LENGTH_GROUPS = np.array([1, 2, 3, 5, 16])  # records a flow, lower ends
CLASS_LENGTHS = np.array([1, 2, 3, 4, 6, 9, 17, 33, 65, 129, 257, 1025])  # the same, finer
REDRAWS = 10


@dataclass(frozen=True)
class FlowColumns:
    """Private: the flows of a trace. Arrays of length n; addresses are the lower halves; `start` and `end` are its
    first and last record's time, ns from the window's begin; `units` says whose each flow is."""

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
class Ports:
    """Of one side. Cells: port 0, the services' ports, ranges of the others; `table`: float64[classes, cells]."""

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
        cell = drawn(self.table, classes, rng)
        port = np.zeros(len(cell), np.int64)
        of_service = (cell > 0) & (cell <= len(self.services))
        port[of_service] = self.services[cell[of_service] - 1]
        # others: as the trie has them within the range, drawn in surplus and dealt out
        pool = drawn_from(self.trie, 20 * len(cell) + 1000, rng)
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
    """Noisy counts of flows, see the module's docstring; classes are numbered, `protocol` and `service` (a port or -1)
    are int64[classes]."""

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

    def draw(self, rng: np.random.Generator, n: int | None = None) -> dict[str, np.ndarray]:
        """Columns of flows: `class`, `protocol`, `six` (bool: IPv6), `src`, `dst`, `src_port`, `dst_port` and `length`.
        Ports are drawn again where two flows would be one."""
        n = max(1, round(self.total)) if n is None else n
        kind = drawn(self.classes[None, :], np.zeros(n, np.int64), rng)
        length_bin = drawn(self.lengths, kind, rng)
        low, high = self.bins[length_bin], self.bins[length_bin + 1]
        length = np.clip(np.floor(low * (high / low) ** rng.random(n)).astype(np.int64), low, high - 1)
        found = {
            "class": kind,
            "protocol": self.protocol[kind],
            "six": rng.random(n) < self.six[kind],
            "length": length,
        }
        for side in SIDES:
            found[f"{side}_port"] = self.ports[side].draw(kind, rng)
        networks = len(self.hosts["dst"].networks) + 1
        of_hosts = kind_of(kind, length)
        pair = drawn(self.pairs, of_hosts, rng)
        for side, network in (("src", pair // networks), ("dst", pair % networks)):
            found[side] = self.hosts[side].draw(of_hosts, network, rng)
        for _ in range(REDRAWS):
            again = _repeated(found)
            if not again.any():
                break
            for side in SIDES:
                found[f"{side}_port"][again] = self.ports[side].draw(kind[again], rng)
        return found


def measure_flows(flows: FlowColumns, counter: NoisyCounts, *, width: int, longest: int) -> FlowModel:
    """The noisy counts.

    Args:
        width: ns, of the declared window.
        longest: records of a flow, declared.
    """
    units, protocol = flows.units, flows.protocol.astype(np.int64)
    zero = np.zeros(len(units), np.int64)
    total = max(1.0, float(counter.count("flows", zero, 1, units)[0]))
    by_protocol = counter.count("protocol", protocol + 256 * (flows.version == 6), 512, units)
    clear = np.where(by_protocol > CLEAR * counter.deviation("protocol"), by_protocol, 0.0).reshape(2, 256)
    protocols = np.flatnonzero(clear.sum(axis=0))
    protocols = protocols if len(protocols) else np.array([TCP, UDP])
    six_of = clear[1] / np.maximum(clear.sum(axis=0), 1e-9)

    tries = {
        side: count_trie(counter, f"{side} port", flows.ports[side].astype(np.int64), units, PORT_DIGITS,
                         total=total, fits=(smoothed,))
        for side in SIDES
    }  # fmt: skip
    services = _services(tries)
    names = [(int(p), s) for p in protocols for s in (*range(len(services)), -1) if s < 0 or p in (TCP, UDP)]
    ports = [flows.ports[side].astype(np.int64) for side in SIDES]
    kind = _classes(protocol, ports[0], ports[1], services, names)
    names, bins, lengths = _measure_lengths_of_classes(
        names, kind, flows, counter, by_protocol=clear.sum(axis=0), total=total, longest=longest
    )
    kind = _classes(protocol, ports[0], ports[1], services, names)
    kinds = Kinds(counter, kind, flows.length, units, in_groups(lengths, bins, LENGTHS))
    found_ports = {
        side: Ports(
            services, tries[side],
            kinds.by_class(f"{side} port, by class", Ports.cells(flows.ports[side].astype(np.int64), services),
                           1 + len(services) + PORT_RANGES),
        )
        for side in SIDES
    }  # fmt: skip
    four = flows.version == 4
    total_four = max(1.0, total * float(clear[0].sum()) / max(float(clear.sum()), 1e-9))
    addresses = [flows.addresses[side].astype(np.int64) for side in SIDES]
    ends, owner = [address[four] for address in addresses], units[four]
    hosts, network = {}, {}
    of_sides = on_sides(find_hosts(ends, owner, counter, total_four), ends, owner, counter, total_four)
    for side, address, trie in zip(SIDES, addresses, of_sides, strict=True):
        hosts[side], network[side] = measure_hosts(trie, address, four, units, counter, side, total_four, kinds)
    by_network = hosts["src"].by_network(), hosts["dst"].by_network()
    deep = by_network[1].shape[1]
    cells = network["src"] * deep + network["dst"]
    pairs = kinds.by_class("networks, by class", cells, by_network[0].shape[1] * deep, some=four)
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
        pairs=paired(pairs, by_network, kinds.together),
        times=times,
    )


def _measure_lengths_of_classes(
    names: list[tuple[int, int]], kind: np.ndarray, flows: FlowColumns, counter: NoisyCounts, *, by_protocol: np.ndarray,
    total: float, longest: int,
) -> tuple[list[tuple[int, int]], np.ndarray, np.ndarray]:  # fmt: skip
    """The classes that last (a protocol and a service's number or -1; those of too few flows become part of their
    protocol's other flows), int64[n + 1]: bins of lengths, and float64[classes, n]: flows of each class and length.

    Args:
        kind: int64[flows], below the number of names: the class of each flow, -1 where in none.
        by_protocol: float64[256], noisy.
    """
    cells, table = kind * len(CLASS_LENGTHS) + group_of(flows.length, CLASS_LENGTHS), "records a flow, by class"
    noisy = counter.count(table, cells[kind >= 0], len(names) * len(CLASS_LENGTHS), flows.units[kind >= 0])
    noisy = noisy.reshape(len(names), -1)
    noise = counter.deviation(table) * math.sqrt(noisy.shape[1])
    lasting = np.array([s < 0 or m > 2 * CLEAR * noise for (_, s), m in zip(names, noisy.sum(axis=1), strict=True)])
    for k in np.flatnonzero(~lasting):
        noisy[names.index((names[k][0], -1))] += noisy[k]
    names = [name for name, keep in zip(names, lasting, strict=True) if keep]
    bins, finely = measure_lengths(flows.length, flows.units, counter, total=total, longest=longest)
    group = group_of(bins[:-1], CLASS_LENGTHS)
    in_group = np.bincount(group, weights=finely, minlength=len(CLASS_LENGTHS)) + 1e-9
    classes = _of_classes(noisy[lasting].sum(axis=1), names, by_protocol, total)
    by_length = raked(noisy[lasting], classes, in_group, counter.deviation(table))
    return names, bins, by_length[:, group] * (finely / np.maximum(in_group[group], 1e-9))[None, :] + 1e-12


def _of_classes(noisy: np.ndarray, names: list[tuple[int, int]], by_protocol: np.ndarray, total: float) -> np.ndarray:
    """float64[classes]: flows of each class, adding up to `total`, in each protocol (float64[256]) to its own."""
    protocol, found = np.array([p for p, _ in names]), np.zeros(len(names))
    shares = by_protocol / max(float(by_protocol.sum()), 1e-9) if by_protocol.any() else np.full(256, 1 / 256)
    for p in np.unique(protocol):
        own = protocol == p
        found[own] = projected(noisy[own], total * shares[p])
    return found + 1e-9


def _repeated(flows: Mapping[str, np.ndarray]) -> np.ndarray:
    """bool[n]: flows whose five-tuple a flow before them has."""
    columns = [flows[name] for name in ("protocol", "src", "dst", "src_port", "dst_port")]
    order = np.lexsort(columns)
    same = np.ones(len(order), bool)
    same[:1] = False
    for column in columns:
        same[1:] &= column[order][1:] == column[order][:-1]
    found = np.zeros(len(order), bool)
    found[order] = same
    return found


def _services(tries: Mapping[str, Trie]) -> np.ndarray:
    """int64[s]: the ports that are most frequent at either side, the most frequent first; port 0 is none."""
    ports = np.concatenate([tries[side].values for side in SIDES])
    counts = np.concatenate([tries[side].counts for side in SIDES])
    names, number = np.unique(ports, return_inverse=True)
    most = np.zeros(len(names))
    np.maximum.at(most, number, counts)
    most[names == 0] = 0
    order = np.argsort(-most)[:SERVICES]
    return names[order[most[order] > 0]].astype(np.int64)


def _classes(
    protocol: np.ndarray, src_port: np.ndarray, dst_port: np.ndarray, services: np.ndarray, names: list[tuple[int, int]]
) -> np.ndarray:
    """int64[n]: the class of each flow, -1 where its protocol is none of those named; the first service at either end."""
    service = np.full(len(protocol), -1, np.int64)
    for number in reversed(range(len(services))):
        service[(src_port == services[number]) | (dst_port == services[number])] = number
    found = np.full(len(protocol), -1, np.int64)
    for number, (p, s) in sorted(enumerate(names), key=lambda each: each[1][1]):  # without a service first
        found[(protocol == p) & ((service == s) | (s < 0))] = number
    return found
