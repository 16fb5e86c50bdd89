"""The hosts of flows in a private run: which are frequent, in which networks the others are, and how often hosts come back.

Frequent addresses are found digit by digit (`counting.count_trie`), at both ends of flows together: most hosts send and
receive. How many flows they have at either end is counted for those that are found. Of the others only the network is known,
and how many hosts have how many flows: a flow less moves its host from one cell of that table to another, which changes it by
sqrt 2 in the Euclidean norm; a unit of m flows changes it by at most m sqrt 2 (its own host goes, and as many others
move as it has flows with). IPv6 addresses are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from netshare.privacy.counts.counting import CLEAR, NoisyCounts, Trie, count_trie, group_of, trie_tables
from netshare.privacy.counts.denoising import drawn, projected
from netshare.privacy.counts.kinds import Kinds, both_tables

HEAVY_HOSTS, NETWORKS = 64, 6  # at most
ADDRESS_DIGITS = (256,) * 4
DIGIT_SHARES = (0.4, 0.7, 1.2, 2.0)  # of the budget: the last has the smallest counts
OF_END = math.sqrt(0.5)  # weight of a flow at either of its ends
OPENING = 5.0  # standard deviations of a prefix that is looked into
SIDES = ("src", "dst")
FLOWS_OF_HOST = np.array([1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 45, 70, 100, 2**62])  # lower ends of bins
HARDLY = 0.5  # flows
SOMEWHERE = 11  # first byte of addresses of which nothing is known


def address_tables() -> dict[str, float]:
    """The tables that `find_hosts` counts, with their shares of the budget."""
    return dict(zip(trie_tables("address", len(ADDRESS_DIGITS)), DIGIT_SHARES, strict=True))


def host_tables(side: str) -> dict[str, float]:
    """The tables that `measure_hosts` counts, with their shares of the budget."""
    return {f"{side} host": 0.6, f"hosts by flows, {side}": 0.5} | both_tables(f"{side} host", 0.25, 0.25)


@dataclass(frozen=True)
class Hosts:
    """Of one side: frequent hosts, networks (first bytes), and what is left in each network.

    A *slot* is a frequent host, or the rest of a network; network `len(networks)` is all others.
    heavy: int64[h]; network: int64[slots]; table: float64[kinds, slots], of kinds of flows
    sizes: float64[bins], how many hosts have how many flows; limit: flows of hosts that would have been found
    """

    heavy: np.ndarray
    networks: np.ndarray
    network: np.ndarray
    trie: Trie
    sizes: np.ndarray
    limit: float
    table: np.ndarray

    def draw(self, kind: np.ndarray, network: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: an address for each flow of these kinds and networks (int64[n] each)."""
        address = np.zeros(len(kind), np.int64)
        tails = self._tails(rng)
        for number in range(len(self.networks) + 1):
            own, slots = np.flatnonzero(network == number), np.flatnonzero(self.network == number)
            if len(own) == 0:
                continue
            slot = slots[drawn(self.table[:, slots] + 1e-12, kind[own], rng)]
            known = slot < len(self.heavy)
            address[own[known]] = self.heavy[slot[known]]
            left = own[~known]
            tail = tails[number]
            if len(tail) == 0:
                first = int(self.networks[number]) if number < len(self.networks) else SOMEWHERE
                tail = (first << 24) + rng.integers(0, 2**24, max(len(left), 1))
            address[left] = np.resize(tail, len(left))
        return address

    def by_network(self) -> np.ndarray:
        """float64[kinds, networks + 1]: flows by their kind and the network of their host."""
        return self.table @ (self.network[:, None] == np.arange(len(self.networks) + 1))

    def _tails(self, rng: np.random.Generator) -> list[np.ndarray]:
        """For each network the addresses of its other hosts, each as often as it has flows, in random order."""
        others = np.isin(self.trie.values, self.heavy, invert=True)
        low, width, rest = self.trie.low, self.trie.width, self.trie.rest
        networks = _network_of(low, width, self.networks)
        known, times = self.trie.values[others], np.rint(self.trie.counts[others]).astype(np.int64)
        known_network = _network_of(known, np.ones_like(known), self.networks)
        of_known = group_of(np.maximum(np.rint(self.trie.counts), 1), FLOWS_OF_HOST)
        others_of_size = np.maximum(self.sizes - np.bincount(of_known, minlength=len(self.sizes)), 0.0)
        others_of_size *= FLOWS_OF_HOST[:-1] < max(self.limit, 4)
        found = []
        for network in range(len(self.networks) + 1):
            own = np.flatnonzero((networks == network) & (rest > 0))
            total = int(np.rint(rest[own].sum()))
            also = np.repeat(known[known_network == network], times[known_network == network])
            if total == 0:
                found.append(rng.permutation(also))
                continue
            bins = drawn((others_of_size + 1e-9)[None, :], np.zeros(total, np.int64), rng)
            fewest = FLOWS_OF_HOST[bins]
            most = np.minimum(FLOWS_OF_HOST[bins + 1], min(self.limit, total + 1))
            size = np.floor(fewest + rng.random(total) * (most - fewest)).clip(1, total).astype(np.int64)
            size = size[: int(np.searchsorted(np.cumsum(size), total)) + 1]
            region = own[drawn(rest[own][None, :], np.zeros(len(size), np.int64), rng)]
            address = low[region] + np.floor(rng.random(len(size)) * width[region]).astype(np.int64)
            found.append(rng.permutation(np.concatenate([also, np.repeat(address, size)])))
        return found


def find_hosts(ends: Sequence[np.ndarray], units: np.ndarray, counter: NoisyCounts, total: float) -> Trie:
    """Frequent addresses, whichever end of flows they are at; counts are of flows, those at both ends twice.

    Args:
        ends: int64[n] each, the addresses at either end of each flow.
        units: int64[n], whose each flow is.
        total: of flows, noisy.
    """
    values, owners = np.concatenate(ends), np.tile(units, len(ends))
    trie = count_trie(
        counter, "address", values, owners, ADDRESS_DIGITS,
        total=total / OF_END, opening=OPENING, capped=False, weights=np.full(len(values), OF_END),
    )  # fmt: skip
    return replace(trie, counts=trie.counts / OF_END, rest=trie.rest / OF_END)


def on_sides(
    found: Trie, ends: Sequence[np.ndarray], units: np.ndarray, counter: NoisyCounts, total: float
) -> list[Trie]:
    """What is at either end, of the addresses and regions found at both."""
    noisy, known = [], len(found.values)
    for side, address in zip(SIDES, ends, strict=True):
        cell = _cells(found, address)
        inside = cell >= 0
        noisy.append(counter.count(f"{side} host", cell[inside], known + len(found.low), units[inside]))
    noise, of_both = counter.deviation(f"{SIDES[0]} host"), counter.deviation(trie_tables("address", 4)[-1]) / OF_END
    # Tweedie's formula, where hosts with c flows are as frequent as 1 / c^2: those that noise made larger are found more often
    likely = np.maximum(found.counts - 2 * of_both**2 / np.maximum(found.counts, 1e-9), 0.0)
    missing = (likely - sum(each[:known] for each in noisy)) * noise**2 / (2 * noise**2 + of_both**2)
    sides = []
    for each in noisy:
        counts = np.minimum(np.maximum(each[:known] + missing, 0.0), found.counts)
        rest = projected(each[known:], max(total - float(counts.sum()), 0.0))
        held, some = rest > 0, counts >= HARDLY
        sides.append(Trie(found.values[some], counts[some], found.low[held], found.width[held], rest[held]))
    return sides


def _cells(found: Trie, address: np.ndarray) -> np.ndarray:
    """int64[n]: which of the values of a trie each address is, or which of its regions it is in (numbered after them, the
    narrowest), -1 where in none."""
    cell = np.full(len(address), -1, np.int64)
    for width in (1, *np.unique(found.width)):
        low = found.values if width == 1 else np.where(found.width == width, found.low, -1)
        order = np.argsort(low, kind="stable")
        if len(low) == 0:
            continue
        place = order[np.minimum(np.searchsorted(low, address // width * width, sorter=order), len(low) - 1)]
        here = (low[place] == address // width * width) & (cell < 0)
        cell[here] = place[here] + (0 if width == 1 else len(found.values))
    return cell


def measure_hosts(
    trie: Trie,
    address: np.ndarray,
    four: np.ndarray,
    units: np.ndarray,
    counter: NoisyCounts,
    side: str,
    total: float,
    kinds: Kinds,
) -> tuple[Hosts, np.ndarray]:
    """The noisy counts of one side, and int64[n]: the network of each flow's host.

    Args:
        trie: addresses and regions at this side.
        address: int64[n], IPv4 where `four` (bool[n]); others are not counted.
        units: int64[n].
        total: of IPv4 flows, noisy.
        kinds: of the flows.
    """
    order = np.argsort(-trie.counts)[:HEAVY_HOSTS]
    heavy = trie.values[order]
    first = np.concatenate([trie.values, trie.low[trie.width <= 2**24]]) >> 24
    mass = np.bincount(first, weights=np.concatenate([trie.counts, trie.rest[trie.width <= 2**24]]), minlength=256)
    networks = np.argsort(-mass)[:NETWORKS]
    networks = networks[mass[networks] > 0]
    network_of_slot = np.concatenate([_network_of(heavy, np.ones_like(heavy), networks), np.arange(len(networks) + 1)])
    own_network = _network_of(np.where(four, address, 0), np.where(four, 1, 2**32), networks)
    slot = len(heavy) + own_network
    place = np.searchsorted(np.sort(heavy), address)
    sorter = np.argsort(heavy)
    at = sorter[np.minimum(place, max(len(heavy) - 1, 0))] if len(heavy) else np.zeros(len(address), np.int64)
    matches = four & (heavy[at] == address) if len(heavy) else np.zeros(len(address), bool)
    slot = np.where(matches, at, slot)
    known = trie.counts[order]
    rest = np.array([mass[n] for n in networks] + [max(total - mass[networks].sum(), 0.0)])
    rest -= np.bincount(network_of_slot[: len(heavy)], weights=known, minlength=len(rest))
    columns = np.concatenate([known, rest.clip(min=1e-6)])
    table = kinds.by_both(f"{side} host", slot, len(network_of_slot), columns, four)
    table_of_sizes, sensitivity = f"hosts by flows, {side}", math.sqrt(2) * counter.bound**2
    _, per_host = np.unique(address[four], return_counts=True)
    sizes = np.bincount(group_of(per_host, FLOWS_OF_HOST), minlength=len(FLOWS_OF_HOST) - 1).astype(float)
    sizes = counter.release(table_of_sizes, sizes, sensitivity=sensitivity)
    noise = counter.deviation(table_of_sizes) * sensitivity / counter.bound
    sizes = np.where(sizes > 2 * noise, sizes, 0.0)
    limit = CLEAR * counter.deviation(trie_tables("address", 4)[-1]) / OF_END
    return Hosts(heavy, networks, network_of_slot, trie, sizes, limit, table), own_network


def _network_of(low: np.ndarray, width: np.ndarray, networks: np.ndarray) -> np.ndarray:
    """int64[n]: which of the networks a region lies in, `len(networks)` where in none."""
    found = np.full(len(low), len(networks), np.int64)
    for number, network in enumerate(networks):
        found[(low >> 24 == network) & (width <= 2**24)] = number
    return found
