"""Spans of generated series, exchanged between similar series until they fit their start times and their records.

A model that has seen few flows reproduces the distributions of spans, of start times and of interarrival times well, but
not which belong together: it draws long spans for series that start late in the chunk. Cutting such spans at the chunk's
end would leave the trace with too few long flows. Exchanging spans between series keeps their distribution as drawn.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netshare.preprocess.fields.times import series_totals
from netshare.preprocess.flows import number_by_first_appearance

FLAG_FIELDS = ("starts_here", "continues", "continued")  # only series with equal flags exchange spans
EXCHANGE_ROUNDS = 16  # in each, every span that is too long is offered to another series


def fitting_spans(
    metadata: Mapping[str, np.ndarray], span: np.ndarray, room: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """int64[n]: the spans, exchanged so that none is longer than its series' room.

    Spans that are too long are exchanged with those of series of the same service, then of the same protocol, then of
    any. Those that find no partner are drawn anew, uniformly from 0 to the room: if they were cut, all these series
    would end at the same time.

    Args:
        metadata: of n series, in natural units.
        span: int64[n], as generated.
        room: int64[n], the longest span that each series may have.
        rng: draws the partners.
    """
    port = np.minimum(metadata["src_port"], metadata["dst_port"])
    flags = [span > 0, *(metadata[name] for name in FLAG_FIELDS)]
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
    """int64[n]: the spans, redistributed so that series with a larger sum of interarrival times have a longer span.

    The interarrival times will be changed to add up to the span (`netshare.preprocess.fields.times`), which distorts
    them less the closer their sum is to it. Spans stay among series with the same flags and, as far as possible, fit
    the room.

    Args:
        metadata: of n series, in natural units.
        gaps: int64[n_records], interarrival times as generated, 0 at first records.
        offsets: int64[n + 1].
        span: int64[n], as generated.
        room: int64[n], the longest span that each series may have.
        rng: draws the partners of exchanges.
    """
    flags = [metadata[name] for name in FLAG_FIELDS]
    sorted_spans = np.empty_like(span)
    sorted_spans[np.lexsort((series_totals(gaps, offsets), *flags))] = span[np.lexsort((span, *flags))]
    return _exchanged(sorted_spans, room, [*flags, np.diff(offsets) > 1], rng)


def _exchanged(span: np.ndarray, room: np.ndarray, alike: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """The spans, some of them exchanged so that fewer exceed their room.

    A span that does not fit is offered to a series drawn from those that have room for it and are equal in all `alike`
    (arrays of length n); the two series exchange their spans if both then fit.
    """
    span = span.copy()
    if not (span > room).any():
        return span
    group = number_by_first_appearance(alike)
    sizes, rank = np.unique(np.concatenate([room, span]), return_inverse=True)
    key = group * len(sizes) + rank[: len(room)]
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    for _ in range(EXCHANGE_ROUNDS):
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
