"""The clock of a chunk: its times on a scale that leaves out quiet stretches and on which series start evenly.

Traces have bursts within bursts, hours in which nothing happens, and days between two measurements. A model that learns
times on a linear scale smears the bursts and puts records where there were none. So times are transformed twice:

*busy time* leaves out *quiet stretches*. A quiet stretch is a gap without any record that lasts at least `QUIET_SHARE`
    of the chunk and is far longer than the gaps around it. A margin on either side of it is kept, so that a record
    generated slightly too late does not land in the next busy period. All times of a series are learnt in busy time.
*even time* is for start times only. It is the share of the chunk's series that have started by then, times the chunk's
    width: starts are uniform on it, and what a model has left to learn is which flows start together. It is piecewise
    linear in busy time, with knots after every few series and at regular times, and constant where no series starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from netshare.preprocess.ragged import offsets_of, sums_since_first
from netshare.preprocess.series import SeriesTable

QUIET_SHARE = 0.01  # the shortest quiet stretch, as a share of the chunk's width
MARGIN_SHARE = 0.00025  # what is kept on either side of a quiet stretch, as a share of the chunk's width
NEIGHBOURS = 8  # gaps on either side that a gap is compared with
QUIET_FACTOR = 30  # times the larger of their medians; of the gaps of random arrivals fewer than 1 in 10,000 is longer
MAX_GAPS_EXAMINED = 1024  # only the longest gaps are compared with their neighbours
SERIES_PER_KNOT = 8  # even time has a knot after every so many series, ...
MAX_SERIES_KNOTS = 500  # ... but no more than these,
MAX_TIME_KNOTS = 512  # and at most these at regular times


@dataclass(frozen=True)
class Clock:
    """Conversion between the real, busy and even times of one chunk: all int64 ns from the chunk's start.

    width: of the chunk; all times lie in 0..width - 1
    begins, ends: of the stretches that busy time leaves out, in real time, ascending
    busy, even: of the knots of even time, ascending; None where start times are encoded in busy time
    """

    width: int
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    busy: tuple[int, ...] | None = None
    even: tuple[int, ...] | None = None

    @classmethod
    def of(cls, table: SeriesTable, *, resolution: int = 1, even_starts: bool = True) -> Clock:
        """Fit the clock of a chunk.

        Args:
            table: the chunk's series (at least one), in real time.
            resolution: ns; the lengths of left out stretches are multiples of it.
            even_starts: whether start times are encoded in even time.
        """
        width = table.chunk_width
        times, kept = np.sort(_record_times(table)), max(int(width * MARGIN_SHARE), 1)
        edges = np.concatenate([[-kept], times, [width - 1 + kept]])
        quiet = _long_gaps(np.diff(edges), least=max(int(width * QUIET_SHARE), 4 * kept))
        begins = -(-(edges[quiet] + kept) // resolution) * resolution
        ends = begins + (edges[quiet + 1] - kept - begins) // resolution * resolution
        some = ends > begins  # a coarse resolution may leave nothing of a stretch
        clock = cls(width, tuple(begins[some].tolist()), tuple(ends[some].tolist()))
        if not even_starts:
            return clock
        busy, even = _even_knots(np.sort(clock.to_busy(table.metadata["start"])), clock.busy_width, width)
        return replace(clock, busy=tuple(busy.tolist()), even=tuple(even.tolist()))

    @property
    def busy_width(self) -> int:
        """The width of the chunk in busy time, ns."""
        return self.width - sum(self.ends) + sum(self.begins)

    def to_busy(self, times: np.ndarray) -> np.ndarray:
        """int64[n]: busy times of real times (int64[n]); all times within a left out stretch are one busy time."""
        begins, ends = np.asarray(self.begins, np.int64), np.asarray(self.ends, np.int64)
        before = offsets_of(ends - begins)
        passed = np.searchsorted(begins, times, side="right")
        inside = np.maximum(np.concatenate([[0], ends])[passed] - times, 0)
        return times - before[passed] + inside

    def to_real(self, busy: np.ndarray) -> np.ndarray:
        """int64[n]: real times of busy times (int64[n])."""
        begins, ends = np.asarray(self.begins, np.int64), np.asarray(self.ends, np.int64)
        before = offsets_of(ends - begins)
        passed = np.searchsorted(begins - before[:-1], busy, side="left")
        return (
            busy + before[np.maximum(passed, self.begins[:1] == (0,))]
        )  # nothing lies before a chunk's quiet beginning

    def start_to_code(self, starts: np.ndarray) -> np.ndarray:
        """int64[n]: real start times (int64[n]) in even time, or in busy time where the clock has no even time."""
        busy = self.to_busy(starts)
        if self.busy is None or self.even is None:
            return busy
        knots, index, count = np.unique(np.asarray(self.busy, float), return_index=True, return_counts=True)
        even = np.asarray(self.even, float)
        return np.rint(np.interp(busy, knots, (even[index] + even[index + count - 1]) / 2)).astype(np.int64)

    def code_to_busy(self, codes: np.ndarray) -> np.ndarray:
        """int64[n]: start times in busy time, from what `start_to_code` returns (int64[n])."""
        if self.busy is None or self.even is None:
            return np.minimum(codes, self.busy_width - 1)
        return np.rint(np.interp(codes, self.even, self.busy)).astype(np.int64)

    def to_busy_table(self, table: SeriesTable) -> SeriesTable:
        """The same series with start, span and interarrival times in busy time."""
        return _with_times(table, self.to_busy(_record_times(table)))

    def to_real_table(self, table: SeriesTable, starts: np.ndarray | None = None) -> SeriesTable:
        """The inverse of `to_busy_table`: the same series with start, span and interarrival times in real time.

        Args:
            table: in busy time.
            starts: int64[n_series], the real start times where they are known. A series that starts within a left out
                stretch, which busy time cannot express, is moved there; its times are cut at the chunk's end.
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
    """int64[k]: positions of the gaps that are at least `least` and far longer than those around them, ascending."""
    longest = np.sort(np.argsort(-gaps, kind="stable")[:MAX_GAPS_EXAMINED])
    longest = longest[gaps[longest] >= least]
    padded = np.pad(gaps, NEIGHBOURS, mode="symmetric")
    before = longest[:, None] + np.arange(NEIGHBOURS)
    usual = np.maximum(*(np.median(padded[side], axis=1) for side in (before, before + NEIGHBOURS + 1)))
    return longest[gaps[longest] > QUIET_FACTOR * usual]


def _even_knots(starts: np.ndarray, busy_width: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The knots of even time, in busy and in even time (both int64[k]), from sorted start times in busy time."""
    step = max(SERIES_PER_KNOT, len(starts) // MAX_SERIES_KNOTS)
    inner = np.arange(step, len(starts), step)
    count = min(len(starts) // SERIES_PER_KNOT, MAX_TIME_KNOTS)
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
