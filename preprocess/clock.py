"""A chunk's own clock, on which its times are learnt: it stops where nothing happens, and its series start evenly on it.

Traces have bursts within bursts, hours in which nothing happens, and days between two measurements. A model that learns
times on a linear scale smears the bursts, and puts records where there never were any. Hence two steps:

*busy time* leaves out the chunk's *quiet stretches*: at least `QUIET_SHARE` of the chunk without a record, far longer
    than the gaps around it. A little is kept on either side, so that records do not run from one busy period into the
    next by chance. All times of a series are learnt in busy time.
*even time* is, for starts alone, the empirical distribution function of the series' starts: every share of the chunk's
    width has the same share of its series, and what is left to learn is which flows start together. It has a knot every
    few series and at even times, and stands still where nothing starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from netshare.preprocess.ragged import offsets_of, sums_since_first
from netshare.preprocess.series import SeriesTable

QUIET_SHARE = 0.01  # of the chunk's width
KEPT_SHARE = 0.00025  # of the chunk's width, on either side of a quiet stretch
NEIGHBOURS = 8  # gaps on either side that a gap is compared with
QUIET = 30  # times the larger of their medians; among gaps of random arrivals fewer than one in 10,000 is that long
MOST_GAPS = 1024  # the longest, that are looked at
SERIES_PER_KNOT = 8
MOST_KNOTS = 500  # by series, so that a busy moment has as many as it has series ...
MOST_CELLS = 512  # ... and by time, so that even time stands still where nothing starts


@dataclass(frozen=True)
class Clock:
    """Times of one chunk, all in ns: real ones from the start of the chunk, busy ones, and even ones, in 0..width - 1.

    width: of the chunk
    begins, ends: of what busy time leaves out, ascending, in real time
    busy, even: of the knots of even time, ascending; None where starts stay in busy time
    """

    width: int
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    busy: tuple[int, ...] | None = None
    even: tuple[int, ...] | None = None

    @classmethod
    def of(cls, table: SeriesTable, *, resolution: int = 1, even_starts: bool = True) -> Clock:
        """The clock of a chunk's series (at least one).

        Args:
            table: in real time.
            resolution: ns; what is left out is a multiple of it.
            even_starts: whether starts are told in even time.
        """
        width = table.chunk_width
        times, kept = np.sort(_record_times(table)), max(int(width * KEPT_SHARE), 1)
        edges = np.concatenate([[-kept], times, [width - 1 + kept]])
        quiet = _long_gaps(np.diff(edges), least=max(int(width * QUIET_SHARE), 4 * kept))
        begins = -(-(edges[quiet] + kept) // resolution) * resolution
        ends = begins + (edges[quiet + 1] - kept - begins) // resolution * resolution
        some = ends > begins  # where times are coarse, little of a stretch may be left
        clock = cls(width, tuple(begins[some].tolist()), tuple(ends[some].tolist()))
        if not even_starts:
            return clock
        busy, even = _even_knots(np.sort(clock.to_busy(table.metadata["start"])), clock.busy_width, width)
        return replace(clock, busy=tuple(busy.tolist()), even=tuple(even.tolist()))

    @property
    def busy_width(self) -> int:
        """ns of the chunk that are not left out."""
        return self.width - sum(self.ends) + sum(self.begins)

    def to_busy(self, times: np.ndarray) -> np.ndarray:
        """int64[n] busy times of int64[n] real ones; those in a stretch that is left out have that of its beginning."""
        begins, ends = np.asarray(self.begins, np.int64), np.asarray(self.ends, np.int64)
        before = offsets_of(ends - begins)
        passed = np.searchsorted(begins, times, side="right")
        inside = np.maximum(np.concatenate([[0], ends])[passed] - times, 0)
        return times - before[passed] + inside

    def to_real(self, busy: np.ndarray) -> np.ndarray:
        """int64[n] real times of int64[n] busy ones."""
        begins, ends = np.asarray(self.begins, np.int64), np.asarray(self.ends, np.int64)
        before = offsets_of(ends - begins)
        passed = np.searchsorted(begins - before[:-1], busy, side="left")
        return (
            busy + before[np.maximum(passed, self.begins[:1] == (0,))]
        )  # nothing lies before a chunk's quiet beginning

    def start_to_code(self, starts: np.ndarray) -> np.ndarray:
        """int64[n]: what a codec encodes for int64[n] real start times."""
        busy = self.to_busy(starts)
        if self.busy is None or self.even is None:
            return busy
        knots, index, count = np.unique(np.asarray(self.busy, float), return_index=True, return_counts=True)
        even = np.asarray(self.even, float)
        return np.rint(np.interp(busy, knots, (even[index] + even[index + count - 1]) / 2)).astype(np.int64)

    def code_to_busy(self, codes: np.ndarray) -> np.ndarray:
        """int64[n] busy start times, of what `start_to_code` gives."""
        if self.busy is None or self.even is None:
            return np.minimum(codes, self.busy_width - 1)
        return np.rint(np.interp(codes, self.even, self.busy)).astype(np.int64)

    def to_busy_table(self, table: SeriesTable) -> SeriesTable:
        """The same series with start, span and interarrival times in busy time."""
        return _with_times(table, self.to_busy(_record_times(table)))

    def to_real_table(self, table: SeriesTable, starts: np.ndarray | None = None) -> SeriesTable:
        """The same series with start, span and interarrival times in real time, of what `to_busy_table` gives.

        Args:
            table: in busy time.
            starts: int64[n_series], real times at which the series do start: those that start in a stretch that is left
                out go on from there, as far as the chunk goes.
        """
        times = _record_times(table)
        real = self.to_real(times)
        if starts is not None:
            late = np.repeat(starts - real[table.offsets[:-1]], table.lengths)
            since = times - np.repeat(times[table.offsets[:-1]], table.lengths)
            real = np.where(late == 0, real, np.minimum(np.repeat(starts, table.lengths) + since, self.width - 1))
        return _with_times(table, real)

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Clock:
        """What `to_json` wrote."""
        knots: dict[str, Any] = {
            name: part if part is None else tuple(part) for name, part in value.items() if name != "width"
        }
        return cls(value["width"], **knots)


def _record_times(table: SeriesTable) -> np.ndarray:
    """int64[n_records]: ns from the start of the chunk."""
    since_first = sums_since_first(table.measurements["interarrival"].astype(np.int64), table.offsets)
    return since_first + np.repeat(table.metadata["start"].astype(np.int64), table.lengths)


def _with_times(table: SeriesTable, times: np.ndarray) -> SeriesTable:
    first, last = table.offsets[:-1], table.offsets[1:] - 1
    interarrival = np.diff(times, prepend=times[:1])
    interarrival[first] = 0
    return replace(
        table,
        metadata={**table.metadata, "start": times[first], "span": times[last] - times[first]},
        measurements={**table.measurements, "interarrival": interarrival},
    )


def _long_gaps(gaps: np.ndarray, *, least: int) -> np.ndarray:
    """int64[k]: which gaps are at least `least` and far longer than those around them, ascending."""
    longest = np.sort(np.argsort(-gaps, kind="stable")[:MOST_GAPS])
    longest = longest[gaps[longest] >= least]
    padded = np.pad(gaps, NEIGHBOURS, mode="symmetric")
    before = longest[:, None] + np.arange(NEIGHBOURS)
    usual = np.maximum(*(np.median(padded[side], axis=1) for side in (before, before + NEIGHBOURS + 1)))
    return longest[gaps[longest] > QUIET * usual]


def _even_knots(starts: np.ndarray, busy_width: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Knots of even time, busy and even (both int64[k]), of sorted busy start times."""
    step = max(SERIES_PER_KNOT, len(starts) // MOST_KNOTS)
    inner = np.arange(step, len(starts), step)
    count = min(len(starts) // SERIES_PER_KNOT, MOST_CELLS)
    cells = np.arange(1, count) * busy_width // max(count, 1)
    around = [
        starts[0] - starts[0] // (2 * len(starts)),
        starts[-1] + (busy_width - 1 - starts[-1]) // (2 * len(starts)),
    ]
    busy = np.concatenate([around[:1], starts[inner], cells, around[1:]])
    rank = np.concatenate([[0], inner + 0.5, np.searchsorted(starts, cells), [len(starts)]]) / len(starts)
    order = np.lexsort((busy, rank))
    busy, even = busy[order], np.rint(rank[order] * (width - 1)).astype(np.int64)
    inside = (even[1:-1] == even[:-2]) & (even[1:-1] == even[2:])  # of a stretch in which it stands still
    needed = ~np.concatenate([[False], inside, [False]])
    return busy[needed], even[needed]
