"""The hosts of flows in a private run: which are frequent, in which networks the others are, how many flows hosts have.

Frequent IPv4 addresses are found byte by byte (`tries.count_trie`), at both ends of flows together, since most hosts send
and receive. How many flows the found ones have at each end is counted afterwards. Of all other hosts only the network (the
first byte) is counted, and how many hosts have how many flows. IPv6 addresses are not counted.

Private: addresses and units of flows. Public: totals (noisy counts), and what comes out.

Sensitivity: a flow has an entry of weight sqrt(1/2) for each of its ends in a table of addresses, and is in one cell of the
tables of one side; `NoisyCounts` clips a unit's entries. The tables "hosts by flows" are no sums over units. Removing one
flow moves its host from one cell to another (or out of the table), which changes the table by at most sqrt 2 in the
Euclidean norm. Removing a host with m flows removes its own address and moves at most one other host for each flow, which
changes the table by at most m sqrt 2; m is at most the square of the bound that entries are clipped to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from netshare.privacy.counts.bins import bin_of
from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.counts.denoising import SIGNIFICANT, projected, systematic_sample
from netshare.privacy.counts.strata import Strata, stratum_tables
from netshare.privacy.counts.tries import Trie, TrieSearch, count_trie, trie_tables

MAX_FREQUENT_HOSTS, MAX_NETWORKS = 64, 6  # of each side, that have cells of their own
ADDRESS_RADICES = (256,) * 4  # an IPv4 address, byte by byte
ADDRESS_SHARES = (0.4, 0.7, 1.2, 2.0)  # of the budget, by byte: the last byte's counts are the smallest
ADDRESS_EXPAND_THRESHOLD = 5.0  # standard deviations, see `TrieSearch`
END_WEIGHT = math.sqrt(0.5)  # weight of a flow at either of its two ends, so that both together have norm 1
SIDES = ("src", "dst")
FLOWS_OF_HOST = np.array([1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 45, 70, 100, 2**62])  # lower ends of bins
MIN_FLOWS_OF_HOST = 0.5  # fewer round to none: the host is left out at that side
UNKNOWN_NETWORK = 11  # first byte of IPv4 addresses in no counted network; 11.0.0.0/8 is public unicast space (IANA)


def address_tables() -> dict[str, float]:
    """The tables that `find_hosts` counts, with their shares of the budget."""
    return dict(zip(trie_tables("address", len(ADDRESS_RADICES)), ADDRESS_SHARES, strict=True))


def host_tables(side: str) -> dict[str, float]:
    """The tables that `split_by_side` and `measure_hosts` count for one side, with their shares of the budget."""
    return {f"{side} host": 0.6, f"hosts by flows, {side}": 0.5} | stratum_tables(f"{side} host", 0.25, 0.25)


@dataclass(frozen=True)
class Hosts:
    """Noisy counts of the hosts at one side: frequent hosts, networks, and the other hosts in each network.

    A *slot* is a frequent host, or all other hosts of a network; the last network, number `len(networks)`, is all
    addresses outside the others.

    Attributes:
        frequent: int64[h], addresses of the frequent hosts, which are the first h slots.
        networks: int64[k], first bytes of addresses.
        network: int64[slots], the network that each slot lies in.
        trie: addresses and regions that were found.
        sizes: float64[bins], how many hosts have how many flows, by `FLOWS_OF_HOST`.
        limit: a host with more flows than this would have been found by its address.
        table: float64[strata, slots], flows by stratum.
    """

    frequent: np.ndarray
    networks: np.ndarray
    network: np.ndarray
    trie: Trie
    sizes: np.ndarray
    limit: float
    table: np.ndarray

    def draw(self, stratum: np.ndarray, network: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: an address for each flow of these strata and networks (int64[n] each)."""
        address = np.zeros(len(stratum), np.int64)
        other_hosts = self._other_hosts(rng)
        for number in range(len(self.networks) + 1):
            own, slots = np.flatnonzero(network == number), np.flatnonzero(self.network == number)
            if len(own) == 0:
                continue
            slot = slots[systematic_sample(self.table[:, slots] + 1e-12, stratum[own], rng)]
            known = slot < len(self.frequent)
            address[own[known]] = self.frequent[slot[known]]
            left = own[~known]
            others = other_hosts[number]
            if len(others) == 0:
                first = int(self.networks[number]) if number < len(self.networks) else UNKNOWN_NETWORK
                others = (first << 24) + rng.integers(0, 2**24, max(len(left), 1))
            address[left] = np.resize(others, len(left))
        return address

    def by_network(self) -> np.ndarray:
        """float64[strata, networks + 1]: flows by stratum and the network of their host."""
        return self.table @ (self.network[:, None] == np.arange(len(self.networks) + 1))

    def _other_hosts(self, rng: np.random.Generator) -> list[np.ndarray]:
        """For each network the addresses of its hosts that are not frequent, each as often as it has flows, in random
        order."""
        others = np.isin(self.trie.values, self.frequent, invert=True)
        low, width, rest = self.trie.low, self.trie.width, self.trie.rest
        networks = _network_of(low, width, self.networks)
        known, times = self.trie.values[others], np.rint(self.trie.counts[others]).astype(np.int64)
        known_network = _network_of(known, np.ones_like(known), self.networks)
        of_known = bin_of(np.maximum(np.rint(self.trie.counts), 1), FLOWS_OF_HOST)
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
            bins = systematic_sample((others_of_size + 1e-9)[None, :], np.zeros(total, np.int64), rng)
            fewest = FLOWS_OF_HOST[bins]
            most = np.minimum(FLOWS_OF_HOST[bins + 1], min(self.limit, total + 1))
            size = np.floor(fewest + rng.random(total) * (most - fewest)).clip(1, total).astype(np.int64)
            size = size[: int(np.searchsorted(np.cumsum(size), total)) + 1]
            region = own[systematic_sample(rest[own][None, :], np.zeros(len(size), np.int64), rng)]
            address = low[region] + np.floor(rng.random(len(size)) * width[region]).astype(np.int64)
            found.append(rng.permutation(np.concatenate([also, np.repeat(address, size)])))
        return found


def find_hosts(ends: Sequence[np.ndarray], units: np.ndarray, counter: NoisyCounts, total: float) -> Trie:
    """Frequent addresses, at whichever end of flows they are; a flow counts once at each of its ends.

    Args:
        ends: sources and destinations, int64[n] each.
        units: int64[n], the unit that each flow belongs to.
        total: noisy number of flows.
    """
    values, owners = np.concatenate(ends), np.tile(units, len(ends))
    trie = count_trie(
        counter, "address", values, owners,
        TrieSearch(ADDRESS_RADICES, expand_threshold=ADDRESS_EXPAND_THRESHOLD, capped=False),
        total=total / END_WEIGHT, weights=np.full(len(values), END_WEIGHT),
    )  # fmt: skip
    return replace(trie, counts=trie.counts / END_WEIGHT, rest=trie.rest / END_WEIGHT)


def split_by_side(
    found: Trie, ends: Sequence[np.ndarray], units: np.ndarray, counter: NoisyCounts, total: float
) -> list[Trie]:
    """The addresses and regions that were found at both ends together, with their flows at each end.

    Args:
        found: by `find_hosts`.
        ends, units, total: as there.
    """
    noisy, known = [], len(found.values)
    for side, address in zip(SIDES, ends, strict=True):
        cell = _cells(found, address)
        inside = cell >= 0
        noisy.append(counter.count(f"{side} host", cell[inside], known + len(found.low), units[inside]))
    noise, of_both = (
        counter.deviation(f"{SIDES[0]} host"),
        counter.deviation(trie_tables("address", 4)[-1]) / END_WEIGHT,
    )
    # Hosts whose counts the noise made larger are found more often. Tweedie's formula corrects for that: the posterior mean
    # is c + deviation^2 * d/dc log(density of c), with the density falling as 1 / c^2 (few hosts have many flows).
    likely = np.maximum(found.counts - 2 * of_both**2 / np.maximum(found.counts, 1e-9), 0.0)
    missing = (likely - sum(each[:known] for each in noisy)) * noise**2 / (2 * noise**2 + of_both**2)
    sides = []
    for each in noisy:
        counts = np.minimum(np.maximum(each[:known] + missing, 0.0), found.counts)
        rest = projected(each[known:], max(total - float(counts.sum()), 0.0))
        held, some = rest > 0, counts >= MIN_FLOWS_OF_HOST
        sides.append(Trie(found.values[some], counts[some], found.low[held], found.width[held], rest[held]))
    return sides


def _cells(found: Trie, address: np.ndarray) -> np.ndarray:
    """int64[n]: for each address (int64[n]) the number of the trie's value that it is, or else of the narrowest region that
    it lies in (numbered after the values), or else -1."""
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
    strata: Strata,
) -> tuple[Hosts, np.ndarray]:
    """Count the hosts of one side; also int64[n], the network of each flow's host (private: for counting pairs of networks).

    Args:
        trie: addresses and regions at this side, by `split_by_side`.
        address: int64[n], the lower half of the address of each flow at this side.
        four: bool[n], whether the flow is IPv4; others are not counted.
        units: int64[n], the unit that each flow belongs to.
        side: `src` or `dst`.
        total: noisy number of IPv4 flows.
        strata: of all flows.
    """
    order = np.argsort(-trie.counts)[:MAX_FREQUENT_HOSTS]
    frequent = trie.values[order]
    first = np.concatenate([trie.values, trie.low[trie.width <= 2**24]]) >> 24
    mass = np.bincount(first, weights=np.concatenate([trie.counts, trie.rest[trie.width <= 2**24]]), minlength=256)
    networks = np.argsort(-mass)[:MAX_NETWORKS]
    networks = networks[mass[networks] > 0]
    network_of_slot = np.concatenate(
        [_network_of(frequent, np.ones_like(frequent), networks), np.arange(len(networks) + 1)]
    )
    own_network = _network_of(np.where(four, address, 0), np.where(four, 1, 2**32), networks)
    slot = len(frequent) + own_network
    place = np.searchsorted(np.sort(frequent), address)
    sorter = np.argsort(frequent)
    at = sorter[np.minimum(place, max(len(frequent) - 1, 0))] if len(frequent) else np.zeros(len(address), np.int64)
    matches = four & (frequent[at] == address) if len(frequent) else np.zeros(len(address), bool)
    slot = np.where(matches, at, slot)
    known = trie.counts[order]
    rest = np.array([mass[n] for n in networks] + [max(total - mass[networks].sum(), 0.0)])
    rest -= np.bincount(network_of_slot[: len(frequent)], weights=known, minlength=len(rest))
    columns = np.concatenate([known, rest.clip(min=1e-6)])
    table = strata.count_by_stratum(f"{side} host", slot, len(network_of_slot), columns, four)
    table_of_sizes, sensitivity = f"hosts by flows, {side}", math.sqrt(2) * counter.noise.bound**2
    _, per_host = np.unique(address[four], return_counts=True)
    sizes = np.bincount(bin_of(per_host, FLOWS_OF_HOST), minlength=len(FLOWS_OF_HOST) - 1)
    sizes = counter.release(table_of_sizes, sizes, sensitivity=sensitivity)
    noise = counter.deviation(table_of_sizes, sensitivity=sensitivity)
    sizes = np.where(sizes > 2 * noise, sizes, 0.0)
    limit = SIGNIFICANT * counter.deviation(trie_tables("address", 4)[-1]) / END_WEIGHT
    return Hosts(frequent, networks, network_of_slot, trie, sizes, limit, table), own_network


def _network_of(low: np.ndarray, width: np.ndarray, networks: np.ndarray) -> np.ndarray:
    """int64[n]: the number of the network (int64[k], first bytes) that each region lies in, k where it is in none."""
    found = np.full(len(low), len(networks), np.int64)
    for number, network in enumerate(networks):
        found[(low >> 24 == network) & (width <= 2**24)] = number
    return found
