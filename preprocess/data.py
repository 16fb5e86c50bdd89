"""Whatever holds packets or flow records, as a trace: what every function that takes a trace calls first.

as_trace("campus.pcap.gz"), as_trace(trace), as_trace(frame, columns={"time": "when:ms"})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, Unpack

from netshare.preprocess.readers.export_messages import LateTemplates, NetflowExports
from netshare.preprocess.readers.in_memory import TraceLike
from netshare.preprocess.readers.read import read_trace
from netshare.preprocess.trace import Trace

__all__ = ["ReadingOptions", "TraceLike", "as_trace"]


class ReadingOptions(TypedDict, total=False):
    """The options of `read_trace`."""

    limit: int | None
    columns: Mapping[str, str] | None
    netflow_exports: NetflowExports
    late_templates: LateTemplates
    decapsulate: bool
    max_bytes: int


def as_trace(data: TraceLike, **options: Unpack[ReadingOptions]) -> Trace:
    """A trace of anything that holds one, sorted by time; a trace that is sorted is returned itself, even if it is empty.

    Args:
        data: a file, a pattern, a folder, or a list of these; a `Trace`; a pandas data frame, an Arrow table, or any table
            that exports Arrow (polars, DuckDB), of packets or flow records.
        options: as `read_trace` takes them.

    Raises:
        InputError: as `read_trace` does.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "time": pd.to_datetime(["2024-05-01 12:00:01", "2024-05-01 12:00:00"], utc=True), "length": [40, 1500],
    ...     "src_ip": "10.0.0.1", "dst_ip": "10.0.0.2", "protocol": "TCP",
    ... })
    >>> trace = as_trace(frame)
    >>> trace.kind, trace["length"].tolist()
    ('packet', [1500, 40])
    >>> as_trace(trace) is trace
    True
    """
    if isinstance(data, Trace) and not options:
        return data.sorted_by_time()
    return read_trace(data, **options)
