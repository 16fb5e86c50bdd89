"""Several measurement epochs as one trace: one table, stably sorted by time (NetShare paper, section 4.1).

    merge_traces([read_trace("monday.pcap"), read_trace("tuesday.pcap")])

Flows that span epochs are then seen whole. `epoch` tells which input each record came from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netshare.preprocess.errors import InputError
from netshare.preprocess.trace import CATEGORY_COLUMNS, Trace, known_columns, make_trace

_MAX_EPOCHS = np.iinfo(np.uint16).max + 1


def merge_traces(traces: Sequence[Trace]) -> Trace:
    """All records of all traces, stably sorted by time: equal times keep the order of the traces.

    `epoch` becomes the index into the merged `sources`. Optional columns that only some traces have are 0 (labels: -1,
    unset) in the records of the others; label codes are re-coded into common categories, sorted by first appearance.

    Raises:
        InputError: no trace, packets and flow records mixed, or more than 65,536 sources.
    """
    if not traces:
        raise InputError("no trace to merge, give at least one")
    kinds = {trace.kind for trace in traces}
    if len(kinds) > 1:
        packet, flow = (next(_name(t) for t in traces if t.kind == kind) for kind in ("packet", "flow"))
        raise InputError(
            f"{packet} holds packets and {flow} holds flow records, which cannot be one trace: read them apart"
        )
    if len(traces) == 1:
        return traces[0].sorted_by_time()
    sources = [source for trace in traces for source in trace.sources]
    if len(sources) > _MAX_EPOCHS:
        raise InputError(
            f"{len(sources)} files are more than the {_MAX_EPOCHS} that one trace can hold, merge some first"
        )
    kind = traces[0].kind
    known = known_columns(kind)
    names = [name for name in known if any(name in trace for trace in traces)]
    names += list(dict.fromkeys(name for trace in traces for name in trace if name not in known))
    categories = {
        name: tuple(dict.fromkeys(text for trace in traces for text in trace.categories.get(name, ())))
        for name in dict.fromkeys([name for trace in traces for name in trace.categories])
    }
    columns = {name: np.concatenate([_column(trace, name, categories) for trace in traces]) for name in names}
    first = np.cumsum([0] + [len(trace.sources) for trace in traces[:-1]])
    columns["epoch"] = np.concatenate(
        [trace["epoch"] + np.uint16(start) for trace, start in zip(traces, first, strict=True)]
    )
    return make_trace(kind, columns, categories=categories, sources=sources).sorted_by_time()


def _name(trace: Trace) -> str:
    return trace.sources[0].path if trace.sources else "one trace"


def _column(trace: Trace, name: str, categories: dict[str, tuple[str, ...]]) -> np.ndarray:
    """A trace's column in the merged coding; its default where the trace has none."""
    if name not in trace:
        dtype = known_columns(trace.kind).get(name, np.dtype(np.float64))
        return np.full(len(trace), -1 if name in CATEGORY_COLUMNS or name in categories else 0, dtype=dtype)
    if name not in categories:
        return trace[name]
    position = {text: code for code, text in enumerate(categories[name])}
    recode = np.array([*(position[text] for text in trace.categories.get(name, ())), -1], dtype=np.int32)
    return recode[trace[name]]
