"""UnivMon: one sketch for many questions (Liu et al., "One sketch to rule them all: rethinking network flow monitoring
with UnivMon", SIGCOMM 2016, section 4).

Level 0 counts all keys, each further level a random half of the keys of the level above it; every level is a Count
Sketch that remembers its heaviest keys. Counts come from level 0; sums over all keys of a function of their counts
(distinct keys, entropy) from a recursion over the levels (algorithm 2 there).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netshare.preprocess.errors import ConfigError
from netshare.sketches.base import COUNTER_BYTES, Sketch
from netshare.sketches.count_sketch import CountSketch
from netshare.sketches.hashing import HashFamily


class UnivMon(Sketch):
    """`levels` Count Sketches of halving shares of the keys, each with its `heaviest` keys."""

    def __init__(self, memory: int, seed: int, depth: int = 5, levels: int = 8, heaviest: int | None = None) -> None:
        per_level = memory // levels
        self.memory = memory
        self.heaviest = max(per_level // 8 // COUNTER_BYTES, 1) if heaviest is None else heaviest
        counters = per_level - self.heaviest * COUNTER_BYTES
        if counters < depth * COUNTER_BYTES:
            raise ConfigError(f"sketch memory: found {memory} bytes, which does not hold {levels} levels; give more")
        seeds = np.random.SeedSequence(seed).spawn(levels + 1)
        self.levels = [CountSketch(counters, int(each.generate_state(1)[0]), depth) for each in seeds[:-1]]
        self.heavy_keys: list[np.ndarray] = [np.zeros(0, np.uint64) for _ in range(levels)]
        self._sampled = HashFamily(levels, np.random.default_rng(seeds[-1]))

    def estimate(self, keys: np.ndarray) -> np.ndarray:
        """float64[n]: the estimate of level 0, which counts every key."""
        return self.levels[0].estimate(keys)

    def sum_over_keys(self, function: Callable[[np.ndarray], np.ndarray]) -> float:
        """Estimated sum over all distinct keys of `function` of their counts (`np.ones_like`: how many)."""
        total = 0.0
        for level in reversed(range(len(self.levels))):
            keys = self.heavy_keys[level]
            counts = np.maximum(np.round(self.levels[level].estimate(keys)), 0)
            values = np.where(counts > 0, function(np.maximum(counts, 1)), 0.0)
            if level == len(self.levels) - 1:
                total = float(values.sum())
            else:
                below = self._goes_down(keys, level)
                total = 2 * total + float(np.sum(values * (1 - 2 * below)))
        return total

    def _add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        for level, sketch in enumerate(self.levels):
            sketch.update(keys, counts)
            candidates = np.union1d(self.heavy_keys[level], keys)
            if len(candidates) > self.heaviest:
                estimates = sketch.estimate(candidates)
                candidates = candidates[np.argpartition(-estimates, self.heaviest - 1)[: self.heaviest]]
            self.heavy_keys[level] = candidates
            down = self._goes_down(keys, level)
            keys, counts = keys[down], counts[down]
            if not len(keys):
                return

    def _goes_down(self, keys: np.ndarray, level: int) -> np.ndarray:
        return self._sampled(keys, level) >> np.uint64(31) == 1
