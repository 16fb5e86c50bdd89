"""95% confidence intervals: what an interval is, and how one is made from redrawn figures, shares and quantiles.

An interval is the figure plus and minus 1.96 standard deviations of the redrawn figures (on a logarithmic axis for
ratios). Redrawn samples lie a little further from each other than the samples themselves; the standard deviation does
not mind, which percentiles would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.evaluation.metrics.distances import RATIO_FLOOR

Z = 1.96  # 95% of a normal distribution
Bounds = tuple[float, float]  # lower and upper


@dataclass(frozen=True)
class Interval:
    """95% intervals of d(S, B) and of d(S, B) / d(A, B), as offsets: the deviations that they are made of.

    `draws` float64[redraws, 3]: d(S, B), d(A, B) and, of the papers' distances, d(S, A) in each redraw.
    """

    deviation: float
    log_ratio_deviation: float
    draws: np.ndarray | None = None

    def around(self, distance: float) -> Bounds:
        """Bounds of the distance; never below 0."""
        return max(distance - Z * self.deviation, 0.0), distance + Z * self.deviation

    def around_floor(self, floor: float) -> Bounds | None:
        """Bounds of d(A, B)."""
        return None if self.draws is None else interval_around(floor, self.draws[:, 1], 0.0)

    def around_to_train(self, distance: float) -> Bounds | None:
        """Bounds of d(S, A)."""
        return None if self.draws is None else interval_around(distance, self.draws[:, 2], 0.0)

    def around_ratio(self, ratio: float) -> Bounds:
        """Bounds of the ratio to the floor."""
        factor = float(np.exp(Z * self.log_ratio_deviation))
        return ratio / factor, ratio * factor


def share_interval(found: int, total: int) -> Bounds | None:
    """95% interval of a share (Wilson's): a bootstrap's, but not empty where all or none are found; None of nothing."""
    if total == 0:
        return None
    share, spread = found / total, Z**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * (share * (1 - share) / total + spread / (4 * total)) ** 0.5
    return middle - half if found else 0.0, middle + half if found < total else 1.0


def interval_around(
    value: float, redrawn: np.ndarray | list[float], least: float = -np.inf, most: float = np.inf
) -> Bounds:
    """95% interval of a figure from its redraws: plus and minus 1.96 of their standard deviations, within what is possible;
    NaN where fewer than two redraws have the figure."""
    known = np.asarray(redrawn, np.float64)
    known = known[np.isfinite(known)]
    if len(known) < 2 or not np.isfinite(value):
        return float("nan"), float("nan")
    half = Z * float(known.std(ddof=1))
    return max(value - half, least), min(value + half, most)


def quantile_interval(values: np.ndarray, quantile: float, rng: np.random.Generator, redraws: int = 200) -> Bounds:
    """95% interval of a quantile of distances, values drawn again."""
    again = values[rng.integers(0, len(values), (redraws, len(values)))]
    return interval_around(float(np.quantile(values, quantile)), np.quantile(again, quantile, axis=1), 0.0)


def interval_text(within: Bounds, form: str = ".3g") -> str:
    """An interval for a table; empty where there is none."""
    return "" if within[0] != within[0] else f"{within[0]:{form}} to {within[1]:{form}}"


def median_ratio_interval(one: np.ndarray, other: np.ndarray, rng: np.random.Generator, redraws: int = 200) -> Bounds:
    """95% interval of median(one) / median(other), values drawn again on both sides: the percentiles of the ratios."""
    medians = (np.median(each[rng.integers(0, len(each), (redraws, len(each)))], axis=1) for each in (one, other))
    above, below = medians
    ratios = above / np.where(below > 0, below, np.nan)
    low, high = np.nanquantile(ratios, [0.025, 0.975]) if np.isfinite(ratios).any() else (np.nan, np.nan)
    return float(low), float(high)


def log_ratios(distances: np.ndarray, floors: np.ndarray) -> np.ndarray:
    """Natural logarithms of redrawn ratios to the floor, both counted as at least `RATIO_FLOOR`."""
    return np.log(np.maximum(distances, RATIO_FLOOR) / np.maximum(floors, RATIO_FLOOR))
