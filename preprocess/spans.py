"""Spans of generated series: dealt out and exchanged among series that are alike, so that they fit what was drawn beside
them and the chunk.

A model that learnt from few flows knows how spans are distributed, how records follow one another, and when flows start,
but hardly which goes with which. What does not go together is therefore exchanged before anything is cut: a trace whose long
spans are cut at the chunk's end is short of long flows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netshare.preprocess.fields.times import series_totals
from netshare.preprocess.flows import number_by_first_appearance

FLAGS = ("starts_here", "continues", "continued")  # equal in series that may exchange spans
EXCHANGES = 16  # rounds, each with another partner


def fitting_spans(
    metadata: Mapping[str, np.ndarray], span: np.ndarray, room: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """int64[n]: drawn spans, none longer than its room.

    Those that are too long are exchanged with series of the same service, else of the same protocol, else with any. What
    finds no partner is drawn again, evenly over its room: cut, all such series would end together.

    Args:
        metadata: natural values of n series.
        span: int64[n], as drawn.
        room: int64[n], the longest span that each series may have.
    """
    port = np.minimum(metadata["src_port"], metadata["dst_port"])
    flags = [span > 0, *(metadata[name] for name in FLAGS)]
    for alike in ([metadata["protocol"], port], [metadata["protocol"]], []):
        span = _exchanged(span, room, [*flags, *alike], rng)
    late = span > room
    span[late] = rng.integers(0, room[late], endpoint=True)
    return span


def spans_of_records(
    metadata: Mapping[str, np.ndarray],
    gaps: np.ndarray,
    offsets: np.ndarray,
    span: np.ndarray,
    room: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """int64[n]: the spans dealt out among series with the same flags so that they have the order of what their gaps add up
    to, as far as they fit: records that are cut or stretched to a span that is not theirs have the wrong gaps.

    Args:
        metadata: natural values of n series.
        gaps: int64[n_records], interarrival times as drawn, 0 at first records.
        offsets: int64[n + 1].
        span, room: int64[n].
    """
    flags = [metadata[name] for name in FLAGS]
    dealt = np.empty_like(span)
    dealt[np.lexsort((series_totals(gaps, offsets), *flags))] = span[np.lexsort((span, *flags))]
    return _exchanged(dealt, room, [*flags, np.diff(offsets) > 1], rng)


def _exchanged(span: np.ndarray, room: np.ndarray, alike: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """The spans, some exchanged so that fewer exceed their room: a series whose span does not fit gives it to one drawn
    among those with room for it and equal in `alike` (arrays of n), and takes that one's, if it fits."""
    span = span.copy()
    if not (span > room).any():
        return span
    group = number_by_first_appearance(alike)
    sizes, rank = np.unique(np.concatenate([room, span]), return_inverse=True)
    key = group * len(sizes) + rank[: len(room)]
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    for _ in range(EXCHANGES):
        late = rng.permutation(np.flatnonzero(span > room))
        first = group[late] * len(sizes)
        low = np.searchsorted(ordered, first + np.searchsorted(sizes, span[late]), "left")
        high = np.searchsorted(ordered, first + len(sizes), "left")
        late, low, high = late[high > low], low[high > low], high[high > low]
        if not len(late):
            break
        partner = order[rng.integers(low, high)]
        fits = (span[partner] <= room[late]) & (span[partner] <= room[partner])
        partner, chosen = np.unique(partner[fits], return_index=True)
        late = late[fits][chosen]
        span[late], span[partner] = span[partner], span[late]
    return span
