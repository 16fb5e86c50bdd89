"""NitroSketch: a sketch that looks at few packets (Liu et al., "NitroSketch: robust and general sketch-based monitoring
in software switches", SIGCOMM 2019).

Each row of a Count Sketch sees each occurrence with probability p only, and then adds 1/p, which keeps the estimate
unbiased and adds a variance of f (1/p - 1) to the row's estimate of a key that occurs f times.
"""

from __future__ import annotations

import numpy as np

from netshare.sketches.count_sketch import CountSketch


class NitroSketch(CountSketch):
    """A Count Sketch whose rows sample their updates at a fixed rate.

    Of f occurrences a row sees a binomial number, which is what drawing geometric gaps between sampled updates, as the
    paper does, comes to.
    """

    def __init__(self, memory: int, seed: int, depth: int = 5, sampling: float = 0.1) -> None:
        super().__init__(memory, seed, depth)
        self.sampling = sampling
        self._rng = np.random.default_rng([seed, 1])

    def row_estimates(self, keys: np.ndarray) -> np.ndarray:
        """float64[depth, n]: what each row says, scaled up by 1 / sampling."""
        return super().row_estimates(keys) / self.sampling

    def _add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        for i in range(len(self.table)):
            self._add_to_row(i, keys, self._rng.binomial(counts, self.sampling))
