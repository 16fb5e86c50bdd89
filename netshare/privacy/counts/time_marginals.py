"""When flows begin and end in a private run: noisy counts of cells of the declared window, and times drawn from them.

The window is cut into `COARSE_CELLS` cells, of which well-filled ones are cut into `PARTS_A_CELL` parts. Traffic may be
even, or come in bursts with little between them. So the cells with significant counts are found first. The cells between
them, which may each hold less than the noise, are counted once more in a few runs of cells. Where flows of several records
begin and end is counted too, so that `Times.starts` places flows such that they end where flows end.

Private: begin, end, length and unit of each flow. Public: the window's width, totals (noisy counts), and what comes out.
Sensitivity: a flow is in at most one cell of each table, which changes it by at most 1; a unit's entries are clipped by
`NoisyCounts`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.counts.denoising import SIGNIFICANT, bursty, merged, smoothed, systematic_sample
from netshare.privacy.counts.posterior import fitted_numbers
from netshare.privacy.counts.tries import EXPAND_THRESHOLD, Trie

COARSE_CELLS, PARTS_A_CELL = 128, 32  # cells of the window, and parts that a well-filled cell is cut into
QUIET_RUNS = 16  # runs of cells that the cells without a significant count are joined to
RUN_SIGNIFICANT = (
    3.0  # standard deviations above which such a run holds something; 2 and 4 did worse, see the benchmark
)
PLACEMENT_ROUNDS = 20  # of iterative proportional fitting
FLOWS_AT_ONCE = 65_536  # that are placed together, to bound memory
MIN_FLOWS_OF_ACTIVE_CELL = 0.5  # fewer round to none
START_CELLS, START_RUNS, START_PARTS = "start, cells", "start, between clear cells", "start, parts of cells"
EDGE_TABLES = {"begin": "begin of several records", "end": "end of several records"}


def time_tables() -> dict[str, float]:
    """The tables that `measure_times` counts, with their shares of the budget."""
    return {START_CELLS: 1.2, START_RUNS: 0.5, START_PARTS: 0.7} | dict.fromkeys(EDGE_TABLES.values(), 0.5)


@dataclass(frozen=True)
class Times:
    """Noisy counts of flows by time.

    Attributes:
        start: flows by the part of a cell in which they begin.
        begin: float64[COARSE_CELLS], flows of several records by the cell in which they begin.
        end: float64[COARSE_CELLS], the same flows by the cell in which they end.
        width: ns, of the window.
    """

    start: Trie
    begin: np.ndarray
    end: np.ndarray
    width: int

    @property
    def cell(self) -> int:
        """Width of a part of a cell, ns."""
        return cell_width(self.width)

    def active(self, elapsed: np.ndarray) -> np.ndarray:
        """int64[n], ns from the window's begin: the times (int64[n]), moved where necessary to the nearest part of a cell
        in which flows are known to begin."""
        digits, cell = COARSE_CELLS * PARTS_A_CELL, self.cell
        known = np.zeros(digits + 1, np.int64)
        low = np.concatenate([self.start.values, self.start.low])
        wide = np.concatenate([np.ones_like(self.start.values), self.start.width])
        held = np.concatenate([self.start.counts, self.start.rest]) > MIN_FLOWS_OF_ACTIVE_CELL
        np.add.at(known, low[held], 1)
        np.add.at(known, np.minimum(low + wide, digits)[held], -1)
        at = np.flatnonzero(np.cumsum(known)[:-1] > 0)
        if len(at) == 0:
            return elapsed
        place = np.clip(elapsed // cell, 0, digits - 1)
        after = np.searchsorted(at, place)
        low = at[np.minimum(after, len(at) - 1)] * cell  # of the next one
        high = at[np.maximum(after - 1, 0)] * cell  # of the last one
        back = (after == len(at)) | ((after > 0) & (elapsed - high - cell < low - elapsed))
        moved = np.where(back, high, low) + elapsed % cell  # gaps within a cell stay as they are
        return np.where(low == place * cell, elapsed, np.clip(moved, 0, self.width - 1))

    def starts(self, span: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n], ns from the window's begin: when flows begin that last for `span` (int64[n], ns; 0 for flows of one
        record)."""
        several = np.flatnonzero(span > 0)
        mass = _by_coarse_cell(self.start)
        of_one = np.maximum(mass - self.begin, 0.0) + 1e-9 * mass
        place = systematic_sample(of_one[None], np.zeros(len(span), np.int64), rng)
        place[several] = placed_cells(
            span[several] / (self.cell * PARTS_A_CELL), self.begin + 1e-9 * mass, self.end, rng
        )
        start = np.zeros(len(span), np.int64)
        for cell in np.unique(place):
            own = np.flatnonzero(place == cell)
            part = self.start.between(cell * PARTS_A_CELL, (cell + 1) * PARTS_A_CELL)
            start[own] = part.draw(len(own), rng) if part.total > 0 else cell * PARTS_A_CELL
        start = np.clip(start * self.cell + rng.integers(0, self.cell, len(start)), 0, self.width - 1)
        return np.minimum(start, np.maximum(self.width - 1 - span, 0))


def measure_times(
    start: np.ndarray, end: np.ndarray, length: np.ndarray, units: np.ndarray, counter: NoisyCounts, *, total: float,
    of_several: float, width: int,
) -> Times:  # fmt: skip
    """Count when flows begin and end.

    Args:
        start, end: int64[n], times of each flow's first and last record, ns from the window's begin.
        length: int64[n], records of each flow.
        units: int64[n], the unit that each flow belongs to.
        total: noisy number of flows.
        of_several: noisy number of flows of several records.
        width: ns, of the declared window.
    """
    part = np.minimum(start // cell_width(width), COARSE_CELLS * PARTS_A_CELL - 1).astype(np.int64)
    trie = _starts(part, units, counter, total)
    several, mass = np.flatnonzero(length > 1), _by_coarse_cell(trie)
    expected, edges = mass * (of_several / max(float(mass.sum()), 1e-9)), {}
    for name, when in (("begin", start), ("end", end)):
        cell = np.minimum(when // (cell_width(width) * PARTS_A_CELL), COARSE_CELLS - 1).astype(np.int64)
        noisy = counter.count(EDGE_TABLES[name], cell[several], COARSE_CELLS, units[several])
        expected = edges[name] = fitted_numbers(noisy, counter.deviation(EDGE_TABLES[name]), expected)
    return Times(trie, edges["begin"], edges["end"], width)


def cell_width(width: int) -> int:
    """Width of a part of a cell, ns, of a window of `width` ns."""
    return -(-width // (COARSE_CELLS * PARTS_A_CELL))


def _starts(part: np.ndarray, units: np.ndarray, counter: NoisyCounts, total: float) -> Trie:
    """Flows by the part of a cell in which they begin."""
    noisy, deviation = (
        counter.count(START_CELLS, part // PARTS_A_CELL, COARSE_CELLS, units),
        counter.deviation(START_CELLS),
    )
    clear = noisy > max(math.sqrt(2 * math.log(COARSE_CELLS)), SIGNIFICANT) * deviation
    run_of = np.zeros(COARSE_CELLS, np.int64)
    run_of[~clear] = np.arange((~clear).sum()) * QUIET_RUNS // max(int((~clear).sum()), 1)
    between = ~clear[part // PARTS_A_CELL]
    runs = counter.count(START_RUNS, run_of[part[between] // PARTS_A_CELL], QUIET_RUNS, units[between])
    sizes = np.bincount(run_of[~clear], minlength=QUIET_RUNS)
    before = np.bincount(run_of[~clear], noisy[~clear], QUIET_RUNS)
    runs, deviations = merged((before, deviation * np.sqrt(sizes)), (runs, counter.deviation(START_RUNS)))
    noisy = noisy + np.where(clear, 0.0, ((runs - before) / np.maximum(sizes, 1))[run_of])
    if noisy[clear].sum() > total / 2:
        coarse = _with_quiet_runs(noisy, clear, runs, run_of, sizes, deviations, total)
    else:
        coarse = smoothed(noisy, deviation, total, filled=True)
    expanded = np.flatnonzero(coarse > EXPAND_THRESHOLD * counter.deviation(START_PARTS))
    place = np.full(COARSE_CELLS, -1)
    place[expanded] = np.arange(len(expanded))
    inside = place[part // PARTS_A_CELL] >= 0
    cells = place[part[inside] // PARTS_A_CELL] * PARTS_A_CELL + part[inside] % PARTS_A_CELL
    noisy = counter.count(START_PARTS, cells, max(len(expanded), 1) * PARTS_A_CELL, units[inside]).reshape(
        -1, PARTS_A_CELL
    )
    parts = [
        bursty(row, counter.deviation(START_PARTS), coarse[cell]) for row, cell in zip(noisy, expanded, strict=False)
    ]
    counts = np.concatenate([*parts, np.zeros(0)])
    values = (expanded[:, None] * PARTS_A_CELL + np.arange(PARTS_A_CELL)).ravel()
    closed = np.flatnonzero((place < 0) & (coarse > 0))
    return Trie(
        values[counts > 0],
        counts[counts > 0],
        closed * PARTS_A_CELL,
        np.full(len(closed), PARTS_A_CELL),
        coarse[closed],
    )


def _with_quiet_runs(
    noisy: np.ndarray, clear: np.ndarray, runs: np.ndarray, run_of: np.ndarray, sizes: np.ndarray,
    deviations: np.ndarray, total: float,
) -> np.ndarray:  # fmt: skip
    """float64[COARSE_CELLS], adding up to `total`: cells with significant counts (`clear`) as counted, and the count of each
    run between them spread evenly over its cells."""
    between = np.where(runs > RUN_SIGNIFICANT * deviations, runs, 0.0) / np.maximum(sizes, 1)
    found = np.where(clear, noisy, between[run_of])
    return found * (total / found.sum())


def _by_coarse_cell(trie: Trie) -> np.ndarray:
    """float64[COARSE_CELLS]: flows by the cell in which they begin."""
    low, counts = np.concatenate([trie.values, trie.low]), np.concatenate([trie.counts, trie.rest])
    return np.bincount(low // PARTS_A_CELL, counts, COARSE_CELLS)


def placed_cells(span: np.ndarray, begin: np.ndarray, end: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: the cell in which each flow begins, such that about as many flows begin and end in each cell as was
    counted (iterative proportional fitting).

    Args:
        span: float64[n], how many cells each flow lasts.
        begin, end: float64[cells], counts of flows by the cell in which they begin and end.
    """
    if len(span) == 0:
        return np.zeros(0, np.int64)
    cells, reach = len(begin), rng.random(len(span)) + span
    blocks = np.split(reach, np.arange(FLOWS_AT_ONCE, len(reach), FLOWS_AT_ONCE))
    begin, end = (values / values.sum() * len(span) for values in (begin + 1e-12, end + 1e-9 * end.max(initial=1e-9)))
    of_begin, of_end = begin.copy(), np.ones(cells)

    def chances(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        last = np.floor(np.arange(cells) + block[:, None]).astype(np.int64)
        chance = of_begin * of_end[np.minimum(last, cells - 1)] * (last < cells)
        return chance / np.maximum(chance.sum(axis=1, keepdims=True), 1e-300), np.minimum(last, cells - 1)

    for _ in range(PLACEMENT_ROUNDS):
        ends = np.zeros(cells)
        for block in blocks:
            chance, last = chances(block)
            ends += np.bincount(last.ravel(), chance.ravel(), cells)
        of_end *= end / np.maximum(ends, 1e-12)
        of_end = np.maximum(of_end / of_end.max(), 1e-60)
        begins = sum(chances(block)[0].sum(axis=0) for block in blocks)
        of_begin *= begin / np.maximum(begins, 1e-12)
        of_begin = np.maximum(of_begin / of_begin.max(), 1e-60)
    return np.concatenate(
        [systematic_sample(chances(block)[0] + 1e-9 * begin, np.arange(len(block)), rng) for block in blocks]
    )
