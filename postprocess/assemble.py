"""Put series back together into a trace: the inverse of `netshare.preprocess.chunks.cut_series`.

    assemble(cut_series(trace, flows, plan), plan)

gives the records of `trace`, sorted by time, in all the columns that series carry.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netshare.preprocess.chunks import ChunkPlan
from netshare.preprocess.ragged import sums_since_first
from netshare.preprocess.series import METADATA_OF_FLOW, SeriesTable
from netshare.preprocess.trace import CATEGORY_COLUMNS, Trace, make_trace

ENDS = (("src_hi", "dst_hi"), ("src_lo", "dst_lo"), ("src_port", "dst_port"))


def assemble(tables: Mapping[int, SeriesTable], plan: ChunkPlan) -> Trace:
    """The records of all series of all chunks (by chunk number) as one trace, sorted by time.

    Columns that series do not carry (`ip_id`, `epoch`) are 0.
    """
    parts = [_columns(table, plan.start_of(chunk)) for chunk, table in sorted(tables.items())]
    first = next(iter(tables.values()))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return make_trace(first.kind, columns, categories=first.categories).sorted_by_time()


def _columns(table: SeriesTable, chunk_start: int) -> dict[str, np.ndarray]:
    series = table.series_of_record
    elapsed = sums_since_first(table.measurements["interarrival"], table.offsets)
    columns = {name: table.metadata[name][series] for name in METADATA_OF_FLOW}
    columns |= {name: table.metadata[name][series] for name in CATEGORY_COLUMNS if name in table.metadata}
    columns["time"] = chunk_start + table.metadata["start"][series] + elapsed
    columns |= {n: v for n, v in table.measurements.items() if n not in ("interarrival", "direction")}
    if "direction" in table.measurements:
        reverse = table.measurements["direction"] == 1
        for src, dst in ENDS:
            columns[src], columns[dst] = (
                np.where(reverse, columns[dst], columns[src]),
                np.where(reverse, columns[src], columns[dst]),
            )
    return columns
