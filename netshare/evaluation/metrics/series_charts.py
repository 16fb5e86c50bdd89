"""Charts about series: autocorrelation, distribution functions, histograms of metadata."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netshare.evaluation.metrics.curves import Chart, Scale, cumulative
from netshare.evaluation.metrics.series_features import BY_CLASS, CURVE, EMD_OF_LOG, JSD, Feature, SeriesMeasure

MAX_BARS = 12
MAX_POINTS = 300
Roles = Mapping[str, Mapping[str, Feature]]


def series_charts(features: Roles, categories: Mapping[str, tuple[str, ...]]) -> tuple[Chart, ...]:
    """One chart for everything that is compared."""
    charts = []
    for name, real in features["holdout"].items():
        by_role = {role: each[name] for role, each in features.items()}
        if real.measure is CURVE:
            charts.append(_curve(by_role))
        elif real.measure is JSD:
            if name in categories:
                charts.append(_bars(by_role, categories[name]))
        elif real.measure is BY_CLASS:
            charts += _by_class(by_role, categories[name.rpartition(" total by ")[2]])
        else:
            charts.append(_distribution(by_role, real.title, {r: f.values for r, f in by_role.items()}, real.measure))
    return tuple(charts)


def nearest_chart(distances: Mapping[str, np.ndarray]) -> Chart:
    """Distribution of the distances to the nearest training series."""
    points = {role: cumulative(each) for role, each in distances.items()}
    title = "Distance to the nearest training series"
    return Chart("nearest", title, "steps", "standard deviations", "share at or below", points)


def _curve(features: Mapping[str, Feature]) -> Chart:
    points = {}
    for role, feature in features.items():
        lags = np.unique(np.linspace(0, len(feature.values) - 1, MAX_POINTS).astype(np.int64))
        known = lags[~np.isnan(feature.values[lags])]
        points[role] = (known.astype(np.float64), feature.values[known])
    real = features["holdout"]
    return Chart(real.name, real.title, "line", "lag (records)", "mean over series", points)


def _distribution(
    features: Mapping[str, Feature], title: str, values: Mapping[str, np.ndarray], measure: SeriesMeasure
) -> Chart:
    scale: Scale = "log1p" if measure in (EMD_OF_LOG, BY_CLASS) else "linear"
    points = {role: cumulative(each) for role, each in values.items()}
    label = "log" if scale == "log1p" else ""
    return Chart(features["holdout"].name, title, "steps", label, "share at or below", points, scale)


def _by_class(features: Mapping[str, Feature], texts: tuple[str, ...]) -> list[Chart]:
    real = features["holdout"]
    assert real.classes is not None
    codes, counts = np.unique(real.classes, return_counts=True)
    charts = []
    for code in codes[np.argsort(-counts, kind="stable")][:2]:
        values = {role: f.values[f.classes == code] for role, f in features.items() if f.classes is not None}
        charts.append(_distribution(features, f"{real.title}: {texts[code]}", values, BY_CLASS))
    return charts


def _bars(features: Mapping[str, Feature], texts: tuple[str, ...]) -> Chart:
    shares = {role: np.bincount(f.values, minlength=len(texts)) / max(len(f.values), 1) for role, f in features.items()}
    top = np.argsort(-shares["holdout"], kind="stable")[:MAX_BARS]
    position = np.arange(len(top), dtype=np.float64)
    series = {role: (position, share[top]) for role, share in shares.items()}
    labels = tuple(texts[i] or "(missing)" for i in top)
    real = features["holdout"]
    return Chart(f"{real.name}_bars", real.title, "bars", "", f"share of {real.of}", series, labels=labels)
