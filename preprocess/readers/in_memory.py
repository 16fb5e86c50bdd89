"""Tables that are in memory already, as `read_trace` reads files: checked, cut to a limit, sorted by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import numpy as np
import pandas as pd
import pyarrow as pa

from netshare.preprocess.errors import InputError
from netshare.preprocess.trace import ArrowStream, Trace

Files = str | Path | Sequence[str | Path]
TraceLike = Files | Trace | pd.DataFrame | pa.Table | ArrowStream
"""What a trace can be made of: a file, a pattern, a folder, several of these; a trace; a pandas data frame, an Arrow table,
or any table that exports Arrow, of packets or flow records."""


def is_in_memory(data: object) -> TypeGuard[Trace | pd.DataFrame | ArrowStream]:
    """Whether this is a table or a trace and no name of a file."""
    return isinstance(data, (Trace, pd.DataFrame)) or hasattr(data, "__arrow_c_stream__")


def trace_in_memory(
    data: Trace | pd.DataFrame | pa.Table | ArrowStream,
    *,
    limit: int | None = None,
    columns: Mapping[str, str] | None = None,
) -> Trace:
    """The packets or flow records of a table, sorted by time; a trace as it is, but sorted.

    Args:
        data: the table.
        limit: no more than this many records: the first in the table's order.
        columns: as `Trace.from_pandas` takes it.

    Raises:
        InputError: the table holds no records, or none of packets or flows; `columns` is given for a trace.
    """
    if isinstance(data, Trace):
        if columns is not None:
            raise InputError("columns: a Trace has the canonical columns already, leave columns out")
        trace = data
    elif isinstance(data, pd.DataFrame):
        trace = Trace.from_pandas(data, columns=columns)
    else:
        trace = Trace.from_arrow(data, columns=columns)
    if not len(trace):
        name = trace.sources[0].path if trace.sources else "Trace"
        raise InputError(f"{name}: holds no records, give one that holds at least one packet or flow record")
    return (trace if limit is None else first_records(trace, limit)).sorted_by_time()


def first_records(trace: Trace, limit: int) -> Trace:
    """The first records of a trace, its sources' counts with them."""
    first = trace.take(np.arange(min(limit, len(trace))))
    counts = np.bincount(first["epoch"], minlength=len(trace.sources)).tolist()
    return replace(
        first, sources=tuple(replace(source, records=n) for source, n in zip(trace.sources, counts, strict=False))
    )
