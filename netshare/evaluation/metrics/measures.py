"""The distances that fields are compared by, each declared once with its two forms.

From the values themselves a distance is exact and quick to compute once. For confidence intervals whole flows are drawn
again many times, which only changes how often each value counts: there the values are coded once into an ascending
support, and each redraw is a distance of two vectors of weighted counts over it. Both forms give the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from netshare.evaluation.metrics.distances import (
    COARSE_BINS,
    coarse_bins,
    earth_mover,
    earth_mover_log,
    earth_mover_normalised,
    jensen_shannon,
    jsd_of_coarse_sizes,
    jsd_of_histograms,
    jsd_of_ranks,
    jsd_of_values,
    share_difference,
)

TIME_BINS = 100  # of the real traces' common time span
ROLES = ("synthetic", "train", "holdout")

Sample = Mapping[str, np.ndarray]  # role -> values of one field
OfCounts = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class TimeFrame:
    """The real traces' common time span, ns since the Unix epoch; times are counted from its start."""

    start: int
    end: int

    @property
    def edges(self) -> np.ndarray:
        """float64[TIME_BINS + 1] (ms from the start): borders of the time bins."""
        return np.linspace(0, max((self.end - self.start) / 1e6, 1e-6), TIME_BINS + 1)


@dataclass(frozen=True)
class Measure:
    """One distance between two samples of a field.

    text: its name in tables
    short: its name in charts
    of_values: `(sample, reference, frame)` -> the distance, from the values
    coded: `(values by role, frame)` -> their codes by role, and the ascending support that these are positions in
    of_counts: support -> the distance as a function of two count vectors over it
    """

    text: str
    short: str
    of_values: Callable[[np.ndarray, np.ndarray, TimeFrame], float]
    coded: Callable[[Sample, TimeFrame], tuple[dict[str, np.ndarray], np.ndarray]]
    of_counts: Callable[[np.ndarray], OfCounts]


def _distinct(values: Sample, frame: TimeFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    support, codes = np.unique(np.concatenate([values[role] for role in ROLES]), return_inverse=True)
    parts = np.split(codes, np.cumsum([len(values[role]) for role in ROLES])[:-1])
    return dict(zip(ROLES, parts, strict=True)), support


def _distinct_logarithms(values: Sample, frame: TimeFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    return _distinct({r: np.log1p(np.maximum(v.astype(np.float64), 0)) for r, v in values.items()}, frame)


def _powers_of_two(values: Sample, frame: TimeFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    return {role: coarse_bins(each) for role, each in values.items()}, np.arange(COARSE_BINS)


def _time_bins(values: Sample, frame: TimeFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    edges = frame.edges
    return {r: np.searchsorted(edges, v, "right") for r, v in values.items()}, np.arange(len(edges) + 1)


def _jsd(base: float) -> Callable[[np.ndarray], OfCounts]:
    return lambda support: lambda p, q: jensen_shannon(p, q, base)


def _jsd_of_ranks(base: float) -> Callable[[np.ndarray], OfCounts]:
    return lambda support: lambda p, q: jensen_shannon(np.sort(p)[::-1], np.sort(q)[::-1], base)


def _share(support: np.ndarray) -> OfCounts:
    true = support != 0
    return lambda p, q: abs(float(_shares(p)[true].sum()) - float(_shares(q)[true].sum()))


def _earth_mover(support: np.ndarray) -> OfCounts:
    gaps = np.diff(support.astype(np.float64))
    return lambda p, q: _moved(_shares(p), _shares(q), gaps)


def _earth_mover_in_deviations(support: np.ndarray) -> OfCounts:
    points = support.astype(np.float64)
    gaps = np.diff(points)

    def distance(p: np.ndarray, q: np.ndarray) -> float:
        p, q = _shares(p), _shares(q)
        mean = float(q @ points)
        spread = float(np.sqrt(q @ (points - mean) ** 2))
        return _moved(p, q, gaps) / (spread if spread > 1e-9 else max(abs(mean), 1.0))

    return distance


def _moved(p: np.ndarray, q: np.ndarray, gaps: np.ndarray) -> float:
    return float(np.sum(np.abs(np.cumsum(p - q)[:-1]) * gaps))


def _shares(counts: np.ndarray) -> np.ndarray:
    total = counts.sum()
    return counts / total if total else counts


JSD = Measure("JSD, values", "JSD", lambda s, r, _: jsd_of_values(s, r), _distinct, _jsd(2.0))
JSD_OF_RANKS = Measure(
    "JSD, popularity ranks", "JSD of ranks", lambda s, r, _: jsd_of_ranks(s, r), _distinct, _jsd_of_ranks(2.0)
)
JSD_OF_SIZES = Measure(
    "JSD, bins 1, 2, 3-4, 5-8 ...", "JSD of bins", lambda s, r, _: jsd_of_coarse_sizes(s, r), _powers_of_two, _jsd(2.0)
)
JSD_OF_TIMES = Measure(
    f"JSD, {TIME_BINS} time bins",
    "JSD of bins",
    lambda s, r, frame: jsd_of_histograms(s, r, frame.edges),
    _time_bins,
    _jsd(2.0),
)
EMD = Measure("EMD / std", "EMD", lambda s, r, _: earth_mover_normalised(s, r), _distinct, _earth_mover_in_deviations)
EMD_OF_LOG = Measure(
    "EMD of log / std",
    "EMD of log",
    lambda s, r, _: earth_mover_log(s, r),
    _distinct_logarithms,
    _earth_mover_in_deviations,
)
SHARE = Measure("difference of shares", "share", lambda s, r, _: share_difference(s, r), _distinct, _share)

# the papers' own
PAPER_JSD = Measure("JSD, nats", "JSD", lambda s, r, _: jsd_of_values(s, r, np.e), _distinct, _jsd(np.e))
PAPER_JSD_OF_RANKS = Measure(
    "JSD of ranks, nats", "JSD of ranks", lambda s, r, _: jsd_of_ranks(s, r, np.e), _distinct, _jsd_of_ranks(np.e)
)
PAPER_EMD = Measure("EMD, raw", "EMD", lambda s, r, _: earth_mover(s, r), _distinct, _earth_mover)
PAPER_MEASURES = (PAPER_JSD, PAPER_JSD_OF_RANKS, PAPER_EMD)
MEASURES = (JSD, JSD_OF_RANKS, JSD_OF_SIZES, JSD_OF_TIMES, EMD, EMD_OF_LOG, SHARE)
