"""placeholder"""

from __future__ import annotations

from typing import Any

from netshare.preprocess.readers import read_trace
from netshare.preprocess.trace import Trace

TraceLike = Any


def as_trace(data: Any) -> Trace:
    """placeholder"""
    if isinstance(data, Trace):
        return data
    return Trace.from_pandas(data) if hasattr(data, "columns") else read_trace(data)
