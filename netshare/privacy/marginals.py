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

from netshare.privacy.counting import CLEAR, NoisyCounts, Trie, count_trie, trie_tables
from netshare.privacy.denoising import bursty, drawn, fitted_numbers, projected, raked, smoothed
from netshare.privacy.host_marginals import Hosts, host_tables, measure_hosts
from preprocess.protocols import TCP, UDP

SIDES = ("src", "dst")
SERVICES = 16  # at most
PORT_RANGES = 32
TIME_DIGITS = (128, 32)
OF_SEVERAL = {"begin of several records": 0.5, "end of several records": 0.5}
PORT_DIGITS = (256, 256)
LENGTH_GROUPS = np.array([1, 2, 4, 16])  # records a flow, lower ends
CLASS_LENGTHS = np.array([1, 2, 3, 4, 6, 9, 17, 33, 65, 129, 257, 1025])  # the same, finer
REDRAWS, PLACING = 10, 20
PLACED_AT_ONCE = 65_536  # flows
HARDLY = 0.5  # flows


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
        "records a flow": 0.5,
        "records a flow, by class": 0.5,
        "networks, by class": 0.4,
    }
    for side in SIDES:
        shares |= dict(zip(trie_tables(f"{side} port", 2), (0.5, 0.5), strict=True))
        shares |= host_tables(side) | {f"{side} port, by class": 0.4}
    return shares | dict(zip(trie_tables("start", 2), (1.2, 0.7), strict=True)) | OF_SEVERAL


def length_bins(longest: int) -> np.ndarray:
    """int64[n]: lower ends of the bins of lengths; exact up to 8, then four for each doubling, then what is too long."""
    edges = np.concatenate([np.arange(1, 9), np.floor(8 * 2 ** (np.arange(1, 65) / 4)).astype(np.int64)])
    return np.unique(np.append(edges[edges <= longest], longest + 1))


def _class_length(length: np.ndarray) -> np.ndarray:
    """int64[n]: which of `CLASS_LENGTHS` each length is in."""
    return np.searchsorted(CLASS_LENGTHS, length, side="right") - 1


def drawn_from(trie: Trie, n: int, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: values of a trie in proportion to its counts, evenly within its regions."""
    weights = np.concatenate([trie.counts, trie.rest])
    if weights.sum() <= 0:
        return np.zeros(n, np.int64)
    place = drawn(weights[None, :], np.zeros(n, np.int64), rng)
    low = np.concatenate([trie.values, trie.low])[place]
    width = np.concatenate([np.ones(len(trie.values), np.int64), trie.width])[place]
    return low + np.floor(rng.random(n) * width).astype(np.int64)


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
    start: Trie
    times: dict[str, np.ndarray]
    width: int

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
        length = low + np.floor(rng.random(n) * (high - low)).astype(np.int64)
        found = {
            "class": kind,
            "protocol": self.protocol[kind],
            "six": rng.random(n) < self.six[kind],
            "length": length,
        }
        for side in SIDES:
            found[f"{side}_port"] = self.ports[side].draw(kind, rng)
        networks = len(self.hosts["dst"].networks) + 1
        pair = drawn(self.pairs, kind, rng)
        for side, network in (("src", pair // networks), ("dst", pair % networks)):
            found[side] = self.hosts[side].draw(kind, network, rng)
        for _ in range(REDRAWS):
            again = _repeated(found)
            if not again.any():
                break
            for side in SIDES:
                found[f"{side}_port"][again] = self.ports[side].draw(kind[again], rng)
        return found

    def active(self, elapsed: np.ndarray) -> np.ndarray:
        """int64[n], ns from the window's begin: times moved to the nearest at which flows are known to begin."""
        digits = math.prod(TIME_DIGITS)
        cell, known = -(-self.width // digits), np.zeros(digits + 1, np.int64)
        low = np.concatenate([self.start.values, self.start.low])
        wide = np.concatenate([np.ones_like(self.start.values), self.start.width])
        held = np.concatenate([self.start.counts, self.start.rest]) > HARDLY
        np.add.at(known, low[held], 1)
        np.add.at(known, np.minimum(low + wide, digits)[held], -1)
        at = np.flatnonzero(np.cumsum(known)[:-1] > 0)
        if len(at) == 0:
            return elapsed
        place = np.clip(elapsed // cell, 0, digits - 1)
        after = np.searchsorted(at, place)
        low = at[np.minimum(after, len(at) - 1)] * cell  # the next begins
        high = at[np.maximum(after - 1, 0)] * cell  # the last before it begins
        back = (after == len(at)) | ((after > 0) & (elapsed - high - cell < low - elapsed))
        moved = np.where(back, high, low) + elapsed % cell  # gaps within a cell stay as they are
        return np.where(low == place * cell, elapsed, np.clip(moved, 0, self.width - 1))

    def starts(self, span: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n], ns from the window's begin, of flows that last so long (int64[n], ns; 0: one record)."""
        wide, fine = TIME_DIGITS
        width = -(-self.width // math.prod(TIME_DIGITS))
        several = np.flatnonzero(span > 0)
        whole = np.concatenate([self.start.values, self.start.low])
        mass = np.bincount(
            np.minimum(whole // fine, wide - 1), np.concatenate([self.start.counts, self.start.rest]), wide
        )
        place = drawn(
            (np.maximum(mass - self.times["begin"], 0.0) + 1e-9 * mass)[None], np.zeros(len(span), np.int64), rng
        )
        place[several] = _placed(
            span[several] / (width * fine), self.times["begin"] + 1e-9 * mass, self.times["end"], rng
        )
        start = np.zeros(len(span), np.int64)
        for cell in np.unique(place):
            own = np.flatnonzero(place == cell)
            part = self.start.part(cell * fine, (cell + 1) * fine)
            start[own] = drawn_from(part, len(own), rng) if part.total > 0 else cell * fine
        start = np.clip(start * width + rng.integers(0, width, len(start)), 0, self.width - 1)
        return np.minimum(start, np.maximum(self.width - 1 - span, 0))


def _placed(span: np.ndarray, begin: np.ndarray, end: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: the cell in which each flow begins that lasts `span` cells (float64[n]), such that about as many begin and
    end in each cell as `begin` and `end` (float64[cells]) say (iterative proportional fitting)."""
    if len(span) == 0:
        return np.zeros(0, np.int64)
    cells, reach = len(begin), rng.random(len(span)) + span
    blocks = np.split(reach, np.arange(PLACED_AT_ONCE, len(reach), PLACED_AT_ONCE))
    begin, end = (values / values.sum() * len(span) for values in (begin + 1e-12, end + 1e-9 * end.max(initial=1e-9)))
    of_begin, of_end = begin.copy(), np.ones(cells)

    def chances(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        last = np.floor(np.arange(cells) + block[:, None]).astype(np.int64)
        chance = of_begin * of_end[np.minimum(last, cells - 1)] * (last < cells)
        return chance / np.maximum(chance.sum(axis=1, keepdims=True), 1e-300), np.minimum(last, cells - 1)

    for _ in range(PLACING):
        ends = np.zeros(cells)
        for block in blocks:
            chance, last = chances(block)
            ends += np.bincount(last.ravel(), chance.ravel(), cells)
        of_end *= end / np.maximum(ends, 1e-12)
        of_end = np.maximum(of_end / of_end.max(), 1e-60)
        begins = sum(chances(block)[0].sum(axis=0) for block in blocks)
        of_begin *= begin / np.maximum(begins, 1e-12)
        of_begin = np.maximum(of_begin / of_begin.max(), 1e-60)
    return np.concatenate([drawn(chances(block)[0] + 1e-9 * begin, np.arange(len(block)), rng) for block in blocks])


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
                         total=total, smooth=1)
        for side in SIDES
    }  # fmt: skip
    services = _services(tries)
    names = [(int(p), s) for p in protocols for s in (*range(len(services)), -1) if s < 0 or p in (TCP, UDP)]
    bins = length_bins(longest)
    ports = [flows.ports[side].astype(np.int64) for side in SIDES]
    kind = _classes(protocol, ports[0], ports[1], services, names)
    inside = kind >= 0
    length_bin = np.searchsorted(bins, flows.length, side="right") - 1
    cells, table = kind * len(CLASS_LENGTHS) + _class_length(flows.length), "records a flow, by class"
    noisy = counter.count(table, cells[inside], len(names) * len(CLASS_LENGTHS), units[inside])
    noisy = noisy.reshape(len(names), -1)
    noise = counter.deviation(table) * math.sqrt(noisy.shape[1])
    lasting = np.array([s < 0 or m > 2 * CLEAR * noise for (_, s), m in zip(names, noisy.sum(axis=1), strict=True)])
    for k in np.flatnonzero(~lasting):
        noisy[names.index((names[k][0], -1))] += noisy[k]
    names = [name for name, keep in zip(names, lasting, strict=True) if keep]
    by_length = projected(noisy[lasting].ravel(), total).reshape(-1, len(CLASS_LENGTHS)) + 1e-9
    finely = counter.count("records a flow", length_bin, len(bins) - 1, units)
    finely = smoothed(finely, counter.deviation("records a flow"), total) + 1e-9 * (np.arange(len(bins) - 1) == 0)
    group = _class_length(bins[:-1])
    in_group = np.bincount(group, weights=finely, minlength=len(CLASS_LENGTHS))
    by_length = raked(by_length, by_length.sum(axis=1), in_group + 1e-9)
    lengths = by_length[:, group] * (finely / np.maximum(in_group[group], 1e-9))[None, :] + 1e-12
    classes = lengths.sum(axis=1)
    kind = _classes(protocol, ports[0], ports[1], services, names)
    inside = kind >= 0
    owner, kind = units[inside], kind[inside]

    def by_class(
        name: str, cells: np.ndarray, size: int, columns: np.ndarray | None = None, some: np.ndarray | None = None
    ) -> np.ndarray:
        rows = slice(None) if some is None else some[inside]
        cell = kind * size + cells[inside]
        found = counter.count(name, cell[rows], len(names) * size, owner[rows]).reshape(len(names), size)
        return raked(found, classes, columns)

    found_ports = {
        side: Ports(
            services, tries[side],
            by_class(f"{side} port, by class", Ports.cells(flows.ports[side].astype(np.int64), services),
                     1 + len(services) + PORT_RANGES),
        )
        for side in SIDES
    }  # fmt: skip
    four = flows.version == 4
    total_four = max(1.0, total * float(clear[0].sum()) / max(float(clear.sum()), 1e-9))
    hosts, network = {}, {}
    for side in SIDES:
        hosts[side], network[side] = measure_hosts(
            flows.addresses[side].astype(np.int64), four, units, counter, side, total_four, by_class
        )
    networks = [len(hosts[side].networks) + 1 for side in SIDES]
    pairs = by_class(
        "networks, by class", network["src"] * networks[1] + network["dst"], networks[0] * networks[1], some=four
    )
    digits, coarse = math.prod(TIME_DIGITS), TIME_DIGITS[0]
    start = np.minimum(flows.start // -(-width // digits), digits - 1).astype(np.int64)
    trie = count_trie(counter, "start", start, units, TIME_DIGITS, total=total, smooth=len(TIME_DIGITS), fit=bursty)
    mass = np.bincount(
        np.minimum(np.concatenate([trie.values, trie.low]) // TIME_DIGITS[1], coarse - 1),
        np.concatenate([trie.counts, trie.rest]), coarse,
    )  # fmt: skip
    several, times = np.flatnonzero(flows.length > 1), {}
    expected = mass * (float(finely[bins[:-1] > 1].sum()) / max(float(mass.sum()), 1e-9))
    for name, when in (("begin", flows.start), ("end", flows.end)):
        table = f"{name} of several records"
        cell = np.minimum(when // (-(-width // digits) * TIME_DIGITS[1]), coarse - 1).astype(np.int64)
        noisy = counter.count(table, cell[several], coarse, units[several])
        expected = times[name] = fitted_numbers(noisy, counter.deviation(table), expected)
    return FlowModel(
        total=total,
        protocol=np.array([p for p, _ in names]),
        service=np.array([s for _, s in names]),
        six=six_of[[p for p, _ in names]],
        classes=classes,
        bins=bins,
        lengths=lengths,
        ports=found_ports,
        hosts=hosts,
        pairs=pairs,
        start=trie,
        times=times,
        width=width,
    )


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
