"""Spearman's rank correlation, by which tasks ask whether methods rank alike on synthetic and on real traffic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN where one side is constant or there are fewer than two values."""
    from scipy.stats import rankdata  # takes long to load

    a, b = rankdata(one), rankdata(other)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
