"""What series are compared in, and how far two sets of them lie apart in it.

After Lin et al., "Using GANs for sharing networked time series data: challenges, initial promise, and open questions"
(IMC 2020), 5.1 and 5.2: the autocorrelation of each measurement (mean over series), the distribution of lengths, of
the correlation between measurements within a series, of metadata alone and in pairs, and of the total of a series in
each class (Wasserstein-1). Beside them stand single values and each series' middle and half range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from netshare.evaluation.metrics.distances import earth_mover_log, earth_mover_normalised, jsd_of_values
from netshare.preprocess.timeseries.folding import mean_autocorrelation
from netshare.preprocess.timeseries.table import START, TimeSeries

MAX_CLASSES = 20
MIN_IN_CLASS = 5  # series of a class, in each set, that its totals are compared for
MAX_PAIRS = 6
DAY = 86_400_000_000_000  # ns
HEAVY_TAIL = 20.0  # whole range over interquartile range: then distances are taken of logarithms


@dataclass(frozen=True)
class SeriesMeasure:
    """How far apart two sets of series lie in one feature: the distance's name, and `(sample, reference)` -> distance."""

    text: str
    distance: Callable[[Feature, Feature], float]


@dataclass(frozen=True)
class Feature:
    """One thing that is compared: `values` are a sample, a curve, or a sample with the class of each value."""

    name: str
    title: str
    of: Literal["series", "record", "lag"]
    measure: SeriesMeasure
    values: np.ndarray
    classes: np.ndarray | None = None


def _difference_of_curves(sample: Feature, reference: Feature) -> float:
    return float(np.sqrt(np.nanmean((sample.values - reference.values) ** 2)))


def _by_class(sample: Feature, reference: Feature) -> float:
    """Mean over classes, weighted by their share in the reference; a class that is missing counts as 1 deviation."""
    assert sample.classes is not None and reference.classes is not None
    total = weight = 0.0
    for code in np.unique(reference.classes):
        real = reference.values[reference.classes == code]
        own = sample.values[sample.classes == code]
        if len(real) < MIN_IN_CLASS:
            continue
        total += len(real) * (earth_mover_log(own, real) if len(own) else 1.0)
        weight += len(real)
    return total / weight if weight else 0.0


JSD = SeriesMeasure("JSD, bits", lambda s, r: jsd_of_values(s.values, r.values))
EMD = SeriesMeasure("EMD, standard deviations", lambda s, r: earth_mover_normalised(s.values, r.values))
EMD_OF_LOG = SeriesMeasure("EMD of log, standard deviations", lambda s, r: earth_mover_log(s.values, r.values))
CURVE = SeriesMeasure("root mean square difference", _difference_of_curves)
BY_CLASS = SeriesMeasure("EMD of log by class", _by_class)


def features_of(series: TimeSeries, reference: TimeSeries) -> dict[str, Feature]:
    """Everything that is compared, by name; `reference` decides on logarithms and on how many lags there are."""
    found: list[Feature] = []
    if len(np.unique(reference.lengths)) > 1 or len(np.unique(series.lengths)) > 1:
        found.append(_number("length", "Records of a series", "series", series.lengths, reference.lengths))
    categorical = [name for name in reference.metadata if reference.kinds[name] == "categorical"]
    for name in reference.metadata:
        own, real = series.metadata[name], reference.metadata[name]
        unit = 1
        if name.endswith(START):  # dates in ns would be too large for a chart and for logarithms
            unit = DAY if reference.layout.order_kind == "time" else 1
            own, real = (own - real.min()) / unit, (real - real.min()) / unit
        if name in categorical:
            found.append(Feature(name, name, "series", JSD, own))
        elif len(np.unique(real)) > 1 or len(np.unique(own)) > 1:
            title = f"Start ({'days' if unit > 1 else name})" if name.endswith(START) else name
            found.append(_number(name, title, "series", own, real))
    for one, other in list(combinations(categorical, 2))[:MAX_PAIRS]:
        joint = series.metadata[one].astype(np.int64) * 2**20 + series.metadata[other]
        found.append(Feature(f"{one} x {other}", f"{one} and {other} together", "series", JSD, joint))
    numeric = [n for n, v in reference.measurements.items() if reference.kinds[n] != "categorical" and np.ptp(v) > 0]
    for name in reference.measurements:
        if name in numeric:
            found += _measurement(name, series, reference, categorical)
        elif reference.kinds[name] == "categorical":
            found.append(Feature(name, name, "record", JSD, series.measurements[name]))
    for one, other in list(combinations(numeric, 2))[:MAX_PAIRS]:
        values = correlations(series.measurements[one], series.measurements[other], series.offsets)
        title = f"Correlation: {one}, {other}"
        found.append(Feature(f"correlation {one} {other}", title, "series", EMD, values))
    return {feature.name: feature for feature in found}


def with_common_categories(sets: list[TimeSeries]) -> list[TimeSeries]:
    """The same series with codes of one list of texts each, since files read one by one number them differently."""
    merged = {}
    for name in sets[0].categories:
        texts = sorted({text for each in sets for text in each.categories.get(name, ())})
        merged[name] = tuple(texts)
    recoded = []
    for each in sets:
        columns: list[dict[str, np.ndarray]] = [dict(each.metadata), dict(each.measurements)]
        for side in columns:
            for name in side:
                if name in merged and name in each.categories:
                    place = {text: i for i, text in enumerate(merged[name])}
                    table = np.array([place[text] for text in each.categories[name]], np.int32)
                    side[name] = table[side[name]]
        recoded.append(replace(each, metadata=columns[0], measurements=columns[1], categories=merged))
    return recoded


def correlations(one: np.ndarray, other: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """float64[k]: Pearson's correlation of two measurements within each series where both vary."""
    starts, lengths = offsets[:-1], np.diff(offsets)

    def centred(values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float64)
        return values - np.repeat(np.add.reduceat(values, starts) / lengths, lengths)

    a, b = centred(one), centred(other)
    size = np.sqrt(np.add.reduceat(a * a, starts) * np.add.reduceat(b * b, starts))
    product = np.add.reduceat(a * b, starts)
    return np.clip(product[size > 0] / size[size > 0], -1, 1)


def _measurement(name: str, series: TimeSeries, reference: TimeSeries, categorical: list[str]) -> list[Feature]:
    own, real = series.measurements[name].astype(np.float64), reference.measurements[name].astype(np.float64)
    found = [_number(name, name, "record", own, real)]
    levels, real_levels = (_levels(v, s.offsets) for v, s in ((own, series), (real, reference)))
    names = ("middle", "half_range")
    titles = (f"Middle of a series' {name}", f"Half range of a series' {name}")
    for k in range(2):
        found.append(_number(f"{name} {names[k]}", titles[k], "series", levels[k], real_levels[k]))
    lags = int(reference.lengths.max()) - 1
    if lags > 1:
        curve = mean_autocorrelation(own, series.offsets, lags)
        found.append(Feature(f"{name} autocorrelation", f"Autocorrelation of {name}", "lag", CURVE, curve))
    totals = np.add.reduceat(own, series.offsets[:-1])
    for column in categorical:
        if 1 < len(reference.categories[column]) <= MAX_CLASSES and bool((real >= 0).all()):
            title = f"Total {name} of a series by {column}"
            found.append(
                Feature(f"{name} total by {column}", title, "series", BY_CLASS, totals, series.metadata[column])
            )
    return found


def _levels(values: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    least, greatest = np.minimum.reduceat(values, offsets[:-1]), np.maximum.reduceat(values, offsets[:-1])
    return (greatest + least) / 2, (greatest - least) / 2


def _number(name: str, title: str, of: Literal["series", "record"], own: np.ndarray, real: np.ndarray) -> Feature:
    low, high = np.quantile(real, [0.25, 0.75])
    heavy = bool((real >= 0).all()) and bool(np.ptp(real) > HEAVY_TAIL * (high - low)) and len(np.unique(real)) > 2
    return Feature(name, title, of, EMD_OF_LOG if heavy else EMD, own)
