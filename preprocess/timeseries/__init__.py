"""Time series with metadata that are no traces: reading, encoding, decoding.

from netshare.preprocess.timeseries import read_series
series = read_series("usage.csv", key="customer", order="day")
"""

from netshare.preprocess.timeseries.codec import SeriesCodec
from netshare.preprocess.timeseries.read import SeriesColumns, read_series
from netshare.preprocess.timeseries.table import (
    Layout,
    TimeSeries,
    describe_series,
    load_series,
    save_series,
    split_series,
)

__all__ = [
    "Layout",
    "SeriesCodec",
    "SeriesColumns",
    "TimeSeries",
    "describe_series",
    "load_series",
    "read_series",
    "save_series",
    "split_series",
]
