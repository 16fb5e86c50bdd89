"""Frequent values of a large domain (addresses, ports, numbers), found digit by digit with noisy counts.

A prefix is expanded, that is, what begins with it is counted by the next digit, only where its noisy count is large. After
Cormode, Korn, Muthukrishnan, Srivastava ("Finding hierarchical heavy hitters in data streams", 2003).

Private: values, units and weights. Public: the search's settings, the total (a noisy count), and the trie that comes out,
which follows from noisy counts alone. Sensitivity: each level is one table of `NoisyCounts`, in which a unit's entries are
clipped to its bound; which cells a level has depends on the noisy counts of the levels before (adaptive composition).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.counts.denoising import SIGNIFICANT, projected, systematic_sample

EXPAND_THRESHOLD = 10.0  # standard deviations of the next level's noise; chosen on traces, benchmarks/privacy/README.md
MAX_EXPANDED = 4096  # prefixes a level; a table has no more than 256 times as many cells, one for each byte

Fit = Callable[[np.ndarray, float, float], np.ndarray]
"""Noisy counts (float64[n]), the standard deviation of their noise, and their total -> denoised counts, float64[n]."""


@dataclass(frozen=True)
class TrieSearch:
    """How values are searched for; all of it public.

    Attributes:
        radices: how many values each digit has, the first digit counting most.
        fits: for the first levels, how the counts of a prefix's children are denoised. Without one, children below
            `SIGNIFICANT` standard deviations are taken to be empty.
        expand_threshold: a prefix is expanded whose count is above so many standard deviations of the next level's noise.
        capped: whether what begins with a prefix is cut to no more than the prefix was counted.
    """

    radices: Sequence[int]
    fits: Sequence[Fit] = ()
    expand_threshold: float = EXPAND_THRESHOLD
    capped: bool = True


@dataclass(frozen=True)
class Trie:
    """Where the mass of a column lies: in values that are known, and in regions (all values that begin with a prefix).

    Attributes:
        values: int64[k], known values.
        counts: float64[k], how often each known value occurs.
        low: int64[r], the lowest value of each region.
        width: int64[r]; a region is low <= value < low + width.
        rest: float64[r], how much a region holds beside the known values in it.
    """

    values: np.ndarray
    counts: np.ndarray
    low: np.ndarray
    width: np.ndarray
    rest: np.ndarray

    @property
    def total(self) -> float:
        """The count of all values."""
        return float(self.counts.sum() + self.rest.sum())

    def between(self, begin: int, end: int) -> Trie:
        """The known values from `begin` up to, not including, `end`, and the regions that lie within."""
        known = (self.values >= begin) & (self.values < end)
        within = (self.low >= begin) & (self.low + self.width <= end)
        return Trie(self.values[known], self.counts[known], self.low[within], self.width[within], self.rest[within])

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: values in proportion to the counts, uniformly within regions; zeros where the trie is empty."""
        weights = np.concatenate([self.counts, self.rest])
        if weights.sum() <= 0:
            return np.zeros(n, np.int64)
        place = systematic_sample(weights[None, :], np.zeros(n, np.int64), rng)
        low = np.concatenate([self.values, self.low])[place]
        width = np.concatenate([np.ones(len(self.values), np.int64), self.width])[place]
        return low + np.floor(rng.random(n) * width).astype(np.int64)


def trie_tables(name: str, levels: int) -> list[str]:
    """The names of the tables that `count_trie` counts under `name`, one for each level."""
    return [f"{name}, digit {level + 1}" for level in range(levels)]


def count_trie(
    counter: NoisyCounts,
    name: str,
    values: np.ndarray,
    units: np.ndarray,
    search: TrieSearch,
    *,
    total: float,
    weights: np.ndarray | None = None,
) -> Trie:
    """Count values level by level.

    Args:
        name: of the tables, see `trie_tables`.
        values: int64[n], below the product of the radices.
        units: int64[n], the unit that each value belongs to.
        total: how much all values weigh together (a noisy count).
        weights: float64[n]; 1 where not given.
    """
    radices = search.radices
    tables = trie_tables(name, len(radices))
    widths = [math.prod(radices[level + 1 :]) for level in range(len(radices))]
    expanded, masses = (
        np.zeros(1, np.int64),
        np.array([total]),
    )  # the lowest value of each expanded prefix, and its count
    known: list[tuple[np.ndarray, np.ndarray]] = []
    regions: list[tuple[np.ndarray, int, np.ndarray]] = []
    for level, (radix, width, table) in enumerate(zip(radices, widths, tables, strict=True)):
        parent = np.searchsorted(expanded, values // (width * radix) * (width * radix), side="right") - 1
        inside = parent >= 0
        inside[inside] &= expanded[parent[inside]] == values[inside] // (width * radix) * (width * radix)
        cells = parent[inside] * radix + values[inside] // width % radix
        own = None if weights is None else weights[inside]
        noisy = counter.count(table, cells, len(expanded) * radix, units[inside], own).reshape(len(expanded), radix)
        deviation = counter.deviation(table)
        if level < len(search.fits):
            fit = search.fits[level]
            children = np.stack([fit(*each) for each in zip(noisy, repeat(deviation), masses, strict=False)])
        else:
            kept = np.where(noisy > SIGNIFICANT * deviation, noisy, 0.0)
            over = (kept.sum(axis=1) > masses) & search.capped
            children = np.stack(
                [projected(*each) if more else each[0] for *each, more in zip(kept, masses, over, strict=True)]
            )
        regions.append((expanded, width * radix, np.maximum(masses - children.sum(axis=1), 0.0)))
        at = np.flatnonzero(children.ravel() > 0)
        low, mass = expanded[at // radix] + at % radix * width, children.ravel()[at]
        if level == len(radices) - 1:
            known.append((low, mass))
            break
        large = mass > search.expand_threshold * counter.deviation(tables[level + 1])
        large &= np.argsort(np.argsort(-mass)) < MAX_EXPANDED
        regions.append((low[~large], width, mass[~large]))
        expanded, masses = low[large], mass[large]
        if len(expanded) == 0:
            break
    low = np.concatenate([r[0] for r in regions])
    rest = np.concatenate([r[2] for r in regions])
    width_of = np.concatenate([np.full(len(r[0]), r[1], np.int64) for r in regions])
    held = rest > 0
    found = [np.concatenate([k[i] for k in known]) if known else np.zeros(0) for i in range(2)]
    return Trie(found[0].astype(np.int64), found[1], low[held], width_of[held], rest[held])
