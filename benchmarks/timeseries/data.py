"""Series with known structure: weekly and yearly periods, heavy-tailed levels, two classes; 550 days, as in the paper.

After the Wikipedia page views of the DoppelGANger paper (IMC 2020, table 1: 550 days; 5.1: a short and a long period).
"""

from __future__ import annotations

import numpy as np

from preprocess.timeseries import Layout, TimeSeries

DAYS = 550
CLASSES = ("desktop", "mobile")


def make(count: int, seed: int) -> TimeSeries:
    """`count` series of daily views; level, periods and noise depend on the class."""
    rng = np.random.default_rng(seed)
    day = np.arange(DAYS)
    is_mobile = rng.random(count) < 0.35
    level = np.exp(np.where(is_mobile, 3.0, 5.0) + np.where(is_mobile, 1.8, 1.2) * rng.standard_normal(count))
    level *= np.where(rng.random(count) < 0.02, 50, 1)
    week = np.where(is_mobile, 0.45, -0.35)[:, None] * np.cos(2 * np.pi * (day - 5.5) / 7)
    week = week * rng.uniform(0.6, 1.2, count)[:, None]
    phase = rng.normal(0, 15, count)[:, None]
    year = np.where(is_mobile, 0.3, 0.6)[:, None] * np.cos(2 * np.pi * (day + phase) / 365.25)
    noise = 0.15 * rng.standard_normal((count, DAYS))
    for t in range(1, DAYS):
        noise[:, t] += 0.6 * noise[:, t - 1]
    views = np.round(level[:, None] * np.exp(week + year + noise))
    return TimeSeries(
        {"access": is_mobile.astype(np.int32)},
        {"views": views.ravel().astype(np.int64)},
        np.arange(count + 1, dtype=np.int64) * DAYS,
        {"access": "categorical", "views": "integer"},
        {"access": CLASSES},
        Layout(form="wide", key="page"),
    )
