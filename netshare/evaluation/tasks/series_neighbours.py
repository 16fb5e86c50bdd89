"""Nearest neighbours of series: do synthetic series lie nearer to training series than held-back real ones do?"""

from __future__ import annotations

import numpy as np

from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.intervals import median_ratio_interval
from netshare.evaluation.metrics.series_charts import nearest_chart
from netshare.evaluation.tasks.neighbours import DISTANCE_HEADS, distance_rows, distances_in_figures, nearest
from netshare.evaluation.tasks.section import Section, Table, figure_text
from netshare.preprocess.timeseries.table import TimeSeries

SEGMENTS = 24  # of a series, whose means are compared with those of its nearest neighbour
MAX_SERIES = 2000  # whose neighbours are sought


def series_neighbours(
    train: TimeSeries, holdout: TimeSeries, synthetic: TimeSeries, rng: np.random.Generator
) -> tuple[Section, Chart]:
    """The section on nearest training series, and the chart of the distances.

    Args:
        train: the real series A, all of them.
        holdout: held-back real series B.
        synthetic: the synthetic ones S.
        rng: of the draws and the bootstrap.
    """
    described = [_outlines(each, train) for each in (train, holdout, synthetic)]
    middle, spread = described[0].mean(axis=0), described[0].std(axis=0)
    spread[spread < 1e-9] = 1.0
    known, held, made = ((each - middle) / spread for each in described)
    to_train = {
        role: nearest(each[rng.permutation(len(each))[:MAX_SERIES]], known)
        for role, each in (("holdout", held), ("synthetic", made))
    }
    distances = distances_in_figures(to_train, rng)
    medians = distances["median"]
    within = median_ratio_interval(to_train["synthetic"], to_train["holdout"], rng)
    ratio = medians["synthetic"] / medians["holdout"] if medians["holdout"] > 0 else float("nan")
    table = Table(
        "Distance to the nearest training series",
        DISTANCE_HEADS,
        distance_rows(distances),
        f"Median of S over median of B: {ratio:.2f} ({figure_text(within[0])} to {figure_text(within[1])}); well "
        "below 1 says that training series were repeated.",
    )
    figures = {"median_ratio": ratio, "median_ratio_interval": within, **distances}
    text = (
        f"Series as {SEGMENTS} means over equal parts of their length, on a logarithmic scale, with their metadata; "
        "standardised, Euclidean."
    )
    records = {
        "train": int(train.offsets[-1]),
        "holdout": int(holdout.offsets[-1]),
        "synthetic": int(synthetic.offsets[-1]),
    }
    section = Section("neighbours", "Nearest training series", text, (table,), figures=figures, records=records)
    return section, nearest_chart(to_train)


def _outlines(series: TimeSeries, reference: TimeSeries) -> np.ndarray:
    """float64[n_series, d]: metadata, length, and the outline of every measurement."""
    columns = [np.log(series.lengths.astype(np.float64))[:, None]]
    for side in (series.metadata, series.measurements):
        for name in side:
            records = name in series.measurements
            if series.kinds[name] == "categorical":
                texts = len(series.categories[name])
                for code in range(min(texts, 20)):
                    is_code = (side[name] == code).astype(np.float64)
                    columns.append(_segments(is_code, series.offsets) if records else is_code[:, None])
                continue
            known = reference.measurements[name] if records else reference.metadata[name]
            scale = float(np.median(np.abs(known))) or 1.0
            values = np.arcsinh(side[name] / scale)
            columns.append(_segments(values, series.offsets) if records else values[:, None])
    return np.hstack(columns)


def _segments(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """float64[n_series, SEGMENTS]: means over equal parts of each series (the value nearby where a part holds none)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    lengths = np.diff(offsets)
    low = offsets[:-1, None] + lengths[:, None] * np.arange(SEGMENTS) // SEGMENTS
    high = np.maximum(offsets[:-1, None] + lengths[:, None] * np.arange(1, SEGMENTS + 1) // SEGMENTS, low + 1)
    return (total[high] - total[low]) / (high - low)
