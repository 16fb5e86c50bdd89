"""Distances between two samples of one field: Jensen-Shannon divergence (JSD) and earth mover's distance (EMD).

Every function takes two plain arrays, `sample` and `reference`, of any lengths, and returns a float that is 0 for equal
distributions. Two families stand here:

ours: JSD in bits (base 2), so that 1 means that nothing is shared; the earth mover's distance on a linear or
    logarithmic (`log1p`) axis in units of the reference's standard deviation, so that 1 means one deviation apart.
the papers': JSD in nats, which is scipy's `jensenshannon` squared (at most ln 2); addresses by popularity rank; the raw
    earth mover's distance (Yin et al., "Practical GAN-based synthetic IP header trace generation using NetShare",
    SIGCOMM 2022, section 6), min-max scaled to [0.1, 0.9] over the compared generators before it is averaged.

Sources: J. Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37 (1991); the
one-dimensional Wasserstein distance of order 1 is the area between the two empirical distribution functions.

An empty sample has no distribution. Two empty ones are equal (0); if one is empty, the JSD is at its maximum, and the
earth mover's distance treats it as if it were all zeros: large, but finite.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RATIO_FLOOR = 0.005  # below this, a difference between two distances is noise: ratios count both as at least this
COARSE_BINS = 65  # powers of two that counts are binned into: 0, 1, 2, 3-4, 5-8, ...


def jensen_shannon(p: np.ndarray, q: np.ndarray, base: float = 2.0) -> float:
    """Jensen-Shannon divergence of two frequency vectors over the same categories.

    Args:
        p, q: float[n] or int[n], non-negative counts or shares; each is normalised to sum 1.
        base: of the logarithm: 2 gives bits (maximum 1), e gives nats (maximum ln 2).
    """
    p_total, q_total = float(p.sum()), float(q.sum())
    if p_total == 0 or q_total == 0:
        return 0.0 if p_total == q_total else float(np.log(2) / np.log(base))
    p, q = p / p_total, q / q_total
    middle = (p + q) / 2
    p_seen, q_seen = p > 0, q > 0
    nats = float(np.sum(p[p_seen] * np.log(p[p_seen] / middle[p_seen])) / 2)
    nats += float(np.sum(q[q_seen] * np.log(q[q_seen] / middle[q_seen])) / 2)
    return min(max(nats, 0.0), float(np.log(2))) / float(np.log(base))


def jsd_of_values(sample: np.ndarray, reference: np.ndarray, base: float = 2.0) -> float:
    """JSD of the values themselves, each distinct value a category."""
    _, codes = np.unique(np.concatenate([sample, reference]), return_inverse=True)
    size = int(codes.max()) + 1 if len(codes) else 0
    p = np.bincount(codes[: len(sample)], minlength=size)
    q = np.bincount(codes[len(sample) :], minlength=size)
    return jensen_shannon(p, q, base)


def jsd_of_ranks(sample: np.ndarray, reference: np.ndarray, base: float = 2.0) -> float:
    """JSD of the popularity profiles: the k-th most frequent value of one sample is set against the k-th of the other.

    Blind to which values these are: it measures whether few talk much and many talk little, as the papers do for
    addresses.
    """
    p, q = popularity(sample), popularity(reference)
    size = max(len(p), len(q))
    return jensen_shannon(np.pad(p, (0, size - len(p))), np.pad(q, (0, size - len(q))), base)


def jsd_of_coarse_sizes(sample: np.ndarray, reference: np.ndarray, base: float = 2.0) -> float:
    """JSD of counts binned by powers of two: 0, 1, 2, 3-4, 5-8, 9-16 ..."""
    return jensen_shannon(_coarse_counts(sample), _coarse_counts(reference), base)


def jsd_of_histograms(sample: np.ndarray, reference: np.ndarray, edges: np.ndarray, base: float = 2.0) -> float:
    """JSD over the bins that `edges` (float[n_bins + 1], ascending) border, and one more on either side."""
    padded = np.concatenate([[-np.inf], edges, [np.inf]])
    return jensen_shannon(np.histogram(sample, padded)[0], np.histogram(reference, padded)[0], base)


def earth_mover(sample: np.ndarray, reference: np.ndarray) -> float:
    """Wasserstein-1 distance of two samples, in their own unit."""
    if len(sample) == 0 and len(reference) == 0:
        return 0.0
    u, v = _sorted_or_zero(sample), _sorted_or_zero(reference)
    if len(u) == len(v):
        return float(np.mean(np.abs(u - v)))
    points = np.sort(np.concatenate([u, v]))
    gaps = np.diff(points)
    u_share = np.searchsorted(u, points[:-1], side="right") / len(u)
    v_share = np.searchsorted(v, points[:-1], side="right") / len(v)
    return float(np.sum(np.abs(u_share - v_share) * gaps))


def earth_mover_normalised(sample: np.ndarray, reference: np.ndarray) -> float:
    """Earth mover's distance in standard deviations of the reference (of its mean, where it is constant)."""
    return earth_mover(sample, reference) / _scale(np.asarray(reference, np.float64))


def earth_mover_log(sample: np.ndarray, reference: np.ndarray) -> float:
    """Earth mover's distance of `log1p` of non-negative values, in standard deviations of the reference's `log1p`."""
    logs = np.log1p(np.maximum(np.asarray(reference, np.float64), 0))
    spread = float(logs.std()) if len(logs) else 0.0
    distance = earth_mover(np.log1p(np.maximum(np.asarray(sample, np.float64), 0)), logs)
    return distance / (spread if spread > 1e-9 else 1.0)


def share_difference(sample: np.ndarray, reference: np.ndarray) -> float:
    """Absolute difference of the shares of true (non-zero) values."""
    p = float(np.mean(sample != 0)) if len(sample) else 0.0
    q = float(np.mean(reference != 0)) if len(reference) else 0.0
    return abs(p - q)


def ratio_to_floor(distance: float, floor: float) -> float:
    """How many times the floor a distance is; both count as at least `RATIO_FLOOR`."""
    return max(distance, RATIO_FLOOR) / max(floor, RATIO_FLOOR)


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of positive values; NaN for none."""
    return float(np.exp(np.mean(np.log(values)))) if len(values) else float("nan")


def scaled_across(distances: Sequence[float]) -> list[float]:
    """The papers' normalisation: min-max to [0.1, 0.9] over the compared candidates; all equal gives 0.1 for each."""
    values = np.asarray(distances, np.float64)
    width = float(values.max() - values.min()) if len(values) else 0.0
    if width == 0:
        return [0.1] * len(values)
    return [float(value) for value in 0.1 + 0.8 * (values - values.min()) / width]


def popularity(values: np.ndarray) -> np.ndarray:
    """float64[n_distinct]: share of each distinct value, the most frequent first."""
    counts = np.sort(np.unique(values, return_counts=True)[1])[::-1]
    return counts / max(len(values), 1)


def coarse_bins(sizes: np.ndarray) -> np.ndarray:
    """int64[n]: which of the `COARSE_BINS` bins 0, 1, 2, 3-4, 5-8 ... each count falls into."""
    counts = np.asarray(sizes, np.float64)
    bins = np.where(counts < 1, 0, 1 + np.ceil(np.log2(np.maximum(counts, 1))).astype(np.int64))
    return np.minimum(bins, COARSE_BINS - 1)


def _coarse_counts(sizes: np.ndarray) -> np.ndarray:
    return np.bincount(coarse_bins(sizes), minlength=COARSE_BINS)


def _sorted_or_zero(values: np.ndarray) -> np.ndarray:
    return np.sort(np.asarray(values, np.float64)) if len(values) else np.zeros(1)


def _scale(reference: np.ndarray) -> float:
    if len(reference) == 0:
        return 1.0
    spread, mean = float(reference.std()), abs(float(reference.mean()))
    if spread > 1e-9 * max(mean, 1e-9):
        return spread
    return mean if mean > 0 else 1.0
