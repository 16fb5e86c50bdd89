"""Noisy histograms: how many units fall into each cell of a table, by the Gaussian mechanism.

    counts = NoisyCounts({"protocol": 1.0, "ports": 3.0}, noise_multiplier=1.1, bound=1.0, randomness=SecureRandomness())
    counts.count("protocol", protocol, size=256, units=flow)     # float64[256]

All tables together are one Gaussian mechanism: a unit's entries in each table are scaled down to a Euclidean norm of at
most `bound`, and the table named t gets noise of standard deviation

    noise_multiplier * bound * sqrt(sum of all shares / share of t),

so that the tables' signals, divided by their noise, have together a norm of at most 1 / noise_multiplier. Which cells a
table has may depend on tables counted before (adaptive composition of Gaussian mechanisms is a Gaussian mechanism:
Dong, Roth, Su, "Gaussian differential privacy", 2022); shares may not.

`count_trie` finds frequent values of a large domain (addresses, ports, times) digit by digit: a prefix is looked into
only where its noisy count is large. After Cormode, Korn, Muthukrishnan, Srivastava ("Finding hierarchical heavy hitters
in data streams", 2003).

Private: cells, units and weights. Public: everything else. What comes out may be used at will.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from netshare.privacy.counts.denoising import drawn, projected
from netshare.privacy.noise import Randomness

CLEAR = 3.8  # standard deviations above which a cell is taken to hold somebody: wrong in one empty cell of 14,000
WORTH_OPENING = 10.0  # standard deviations of a prefix that is looked into, where nothing else is said
MOST_OPENED = 4096  # prefixes a level; a table has no more than 256 times as many cells


class NoisyCounts:
    """See the module's docstring.

    Args:
        shares: of the budget, by table; they need not add up to 1.
        noise_multiplier: of all tables together.
        bound: norm that a unit's entries in one table are clipped to.
    """

    def __init__(
        self, shares: Mapping[str, float], *, noise_multiplier: float, bound: float, randomness: Randomness
    ) -> None:
        self.shares, self.noise_multiplier, self.bound = dict(shares), noise_multiplier, bound
        self.randomness = randomness
        self._counted: set[str] = set()

    def deviation(self, table: str) -> float:
        """Standard deviation of the noise in each cell of a table."""
        return self.noise_multiplier * self.bound * math.sqrt(sum(self.shares.values()) / self.shares[table])

    def count(
        self, table: str, cells: np.ndarray, size: int, units: np.ndarray, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """float64[size]: weight in each cell, with noise.

        Args:
            cells: int64[n], below `size`.
            units: int64[n], whose each entry is.
            weights: float64[n], 1 where not given.

        Raises:
            RuntimeError: the table was counted before: its budget is spent.
        """
        return self._release(table, clipped_sum(cells, size, units, weights, self.bound))

    def release(self, table: str, values: np.ndarray, *, sensitivity: float) -> np.ndarray:
        """float64[n]: values (float64[n]) of which a unit more or less changes the norm by at most `sensitivity`."""
        return self._release(table, np.asarray(values, float) * (self.bound / sensitivity)) * (sensitivity / self.bound)

    def _release(self, table: str, exact: np.ndarray) -> np.ndarray:
        if table in self._counted:
            raise RuntimeError(f"table {table} was counted before; its budget is spent")
        self._counted.add(table)
        noise = self.randomness.normal(exact.size, zlib.crc32(table.encode()))
        return exact + self.deviation(table) * noise.reshape(exact.shape)


def clipped_sum(
    cells: np.ndarray, size: int, units: np.ndarray, weights: np.ndarray | None, bound: float
) -> np.ndarray:
    """float64[size]: the sum over units of their entries, each unit's scaled down to a norm of at most `bound`."""
    weights = np.ones(len(cells)) if weights is None else weights
    if len(cells) == 0:
        return np.zeros(size)
    names, unit = np.unique(units, return_inverse=True)
    pairs, place = np.unique(unit * size + cells, return_inverse=True)
    entries = np.bincount(place, weights=weights, minlength=len(pairs))
    norms = np.sqrt(np.bincount(pairs // size, weights=entries**2, minlength=len(names)))
    entries *= np.minimum(1.0, bound / np.maximum(norms, 1e-300))[pairs // size]
    return np.bincount(pairs % size, weights=entries, minlength=size)


@dataclass(frozen=True)
class Trie:
    """Where the mass of a column lies: in values that are known, and in regions (all that begins with a prefix).

    values: int64[k] and how often each occurs, `counts`: float64[k]
    low, width: int64[r], the region low <= value < low + width; and what it holds beside known values, `rest`: float64[r]
    """

    values: np.ndarray
    counts: np.ndarray
    low: np.ndarray
    width: np.ndarray
    rest: np.ndarray

    @property
    def total(self) -> float:
        """Of all values."""
        return float(self.counts.sum() + self.rest.sum())

    def part(self, begin: int, end: int) -> Trie:
        """Values from `begin` up to `end`, and the regions that lie there."""
        own, regions = (
            (self.values >= begin) & (self.values < end),
            (self.low >= begin) & (self.low + self.width <= end),
        )
        return Trie(self.values[own], self.counts[own], self.low[regions], self.width[regions], self.rest[regions])


def drawn_from(trie: Trie, n: int, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: values of a trie in proportion to its counts, evenly within its regions."""
    weights = np.concatenate([trie.counts, trie.rest])
    if weights.sum() <= 0:
        return np.zeros(n, np.int64)
    place = drawn(weights[None, :], np.zeros(n, np.int64), rng)
    low = np.concatenate([trie.values, trie.low])[place]
    width = np.concatenate([np.ones(len(trie.values), np.int64), trie.width])[place]
    return low + np.floor(rng.random(n) * width).astype(np.int64)


def group_of(values: np.ndarray, low: np.ndarray) -> np.ndarray:
    """int64[n]: which of the groups with these lower ends (ascending) each value is in; the first where below all."""
    return np.maximum(np.searchsorted(low, values, side="right") - 1, 0)


def trie_tables(name: str, levels: int) -> list[str]:
    """The tables that `count_trie` counts under `name`."""
    return [f"{name}, digit {level + 1}" for level in range(levels)]


def count_trie(
    counter: NoisyCounts,
    name: str,
    values: np.ndarray,
    units: np.ndarray,
    radices: Sequence[int],
    *,
    total: float,
    fits: Sequence[Callable[[np.ndarray, float, float], np.ndarray]] = (),
    opening: float = WORTH_OPENING,
    capped: bool = True,
    weights: np.ndarray | None = None,
) -> Trie:
    """Where values lie whose digits have these radices, the first digit counting most.

    Args:
        values: int64[n], below the product of the radices.
        total: how many there are (a noisy count).
        fits: of the first levels, how all children share their parent's mass (noisy counts, the deviation of their noise and
            the mass give counts), without a threshold: for numbers, which fill ranges.
        opening: standard deviations of a prefix that is looked into.
        capped: what begins with a prefix is no more than the prefix was counted.
    """
    widths = [math.prod(radices[level + 1 :]) for level in range(len(radices))]
    opened, masses = np.zeros(1, np.int64), np.array([total])  # prefixes that are looked into: their lowest value
    known: list[tuple[np.ndarray, np.ndarray]] = []
    regions: list[tuple[np.ndarray, int, np.ndarray]] = []
    for level, (radix, width, table) in enumerate(zip(radices, widths, trie_tables(name, len(radices)), strict=True)):
        parent = np.searchsorted(opened, values // (width * radix) * (width * radix), side="right") - 1
        inside = parent >= 0
        inside[inside] &= opened[parent[inside]] == values[inside] // (width * radix) * (width * radix)
        cells = parent[inside] * radix + values[inside] // width % radix
        own = None if weights is None else weights[inside]
        noisy = counter.count(table, cells, len(opened) * radix, units[inside], own).reshape(len(opened), radix)
        deviation = counter.deviation(table)
        if level < len(fits):
            children = np.stack([fits[level](*each) for each in zip(noisy, repeat(deviation), masses, strict=False)])
        else:
            kept = np.where(noisy > CLEAR * deviation, noisy, 0.0)
            over = (kept.sum(axis=1) > masses) & capped
            children = np.stack(
                [projected(*each) if more else each[0] for *each, more in zip(kept, masses, over, strict=True)]
            )
        rest = np.maximum(masses - children.sum(axis=1), 0.0)
        regions.append((opened, width * radix, rest))
        at = np.flatnonzero(children.ravel() > 0)
        low, mass = opened[at // radix] + at % radix * width, children.ravel()[at]
        if level == len(radices) - 1:
            known.append((low, mass))
            break
        opens = mass > opening * counter.deviation(trie_tables(name, len(radices))[level + 1])
        opens &= np.argsort(np.argsort(-mass)) < MOST_OPENED
        regions.append((low[~opens], width, mass[~opens]))
        opened, masses = low[opens], mass[opens]
        if len(opened) == 0:
            break
    low = np.concatenate([r[0] for r in regions])
    rest = np.concatenate([r[2] for r in regions])
    width_of = np.concatenate([np.full(len(r[0]), r[1], np.int64) for r in regions])
    held = rest > 0
    found = [np.concatenate([k[i] for k in known]) if known else np.zeros(0) for i in range(2)]
    return Trie(found[0].astype(np.int64), found[1], low[held], width_of[held], rest[held])
