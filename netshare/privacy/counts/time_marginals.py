"""When flows begin and end in a private run: noisy counts of cells of the declared window, and times drawn from them.

The window is cut into `COARSE` cells, of which full ones are cut into `FINE` parts. Traffic may be even, or come in bursts
with little between them. So the cells that clearly hold something are found first; what lies between is counted once more,
in a few runs of cells, since a cell of it holds less than the noise. Where flows of several records begin and end is
counted too: `Times.starts` places flows such that they end where flows end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from netshare.privacy.counts.counting import CLEAR, WORTH_OPENING, NoisyCounts, Trie, drawn_from
from netshare.privacy.counts.denoising import bursty, drawn, merged, smoothed
from netshare.privacy.counts.posterior import fitted_numbers

COARSE, FINE = 128, 32
SURE = 3.0  # standard deviations of a run that holds something
RUNS = 16  # of cells that are not clear
CELLS, BETWEEN, PARTS = "start, cells", "start, between clear cells", "start, parts of cells"
EDGES = {"begin": "begin of several records", "end": "end of several records"}
PLACING = 20
PLACED_AT_ONCE = 65_536  # flows
HARDLY = 0.5  # flows


def time_tables() -> dict[str, float]:
    """The tables that `measure_times` counts, with their shares of the budget."""
    return {CELLS: 1.2, BETWEEN: 0.5, PARTS: 0.7} | dict.fromkeys(EDGES.values(), 0.5)


@dataclass(frozen=True)
class Times:
    """Noisy counts: of flows by the cell in which they begin (`start`), and of those with several records by the coarse
    cell in which they `begin` and `end`, float64[COARSE]; `width`: ns, of the window."""

    start: Trie
    begin: np.ndarray
    end: np.ndarray
    width: int

    @property
    def cell(self) -> int:
        """ns, of a part of a cell."""
        return cell_width(self.width)

    def active(self, elapsed: np.ndarray) -> np.ndarray:
        """int64[n], ns from the window's begin: times moved to the nearest at which flows are known to begin."""
        digits, cell = COARSE * FINE, self.cell
        known = np.zeros(digits + 1, np.int64)
        low = np.concatenate([self.start.values, self.start.low])
        wide = np.concatenate([np.ones_like(self.start.values), self.start.width])
        held = np.concatenate([self.start.counts, self.start.rest]) > HARDLY
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
        """int64[n], ns from the window's begin, of flows that last so long (int64[n], ns; 0: one record)."""
        several = np.flatnonzero(span > 0)
        mass = _coarsely(self.start)
        of_one = np.maximum(mass - self.begin, 0.0) + 1e-9 * mass
        place = drawn(of_one[None], np.zeros(len(span), np.int64), rng)
        place[several] = placed(span[several] / (self.cell * FINE), self.begin + 1e-9 * mass, self.end, rng)
        start = np.zeros(len(span), np.int64)
        for cell in np.unique(place):
            own = np.flatnonzero(place == cell)
            part = self.start.part(cell * FINE, (cell + 1) * FINE)
            start[own] = drawn_from(part, len(own), rng) if part.total > 0 else cell * FINE
        start = np.clip(start * self.cell + rng.integers(0, self.cell, len(start)), 0, self.width - 1)
        return np.minimum(start, np.maximum(self.width - 1 - span, 0))


def measure_times(
    start: np.ndarray, end: np.ndarray, length: np.ndarray, units: np.ndarray, counter: NoisyCounts, *, total: float,
    of_several: float, width: int,
) -> Times:  # fmt: skip
    """The noisy counts.

    Args:
        start, end: int64[n], ns from the window's begin, of each flow's first and last record.
        length: int64[n], records of the flow.
        total: flows, and `of_several` those of several records; noisy.
        width: ns, of the declared window.
    """
    part = np.minimum(start // cell_width(width), COARSE * FINE - 1).astype(np.int64)
    trie = _starts(part, units, counter, total)
    several, mass = np.flatnonzero(length > 1), _coarsely(trie)
    expected, edges = mass * (of_several / max(float(mass.sum()), 1e-9)), {}
    for name, when in (("begin", start), ("end", end)):
        cell = np.minimum(when // (cell_width(width) * FINE), COARSE - 1).astype(np.int64)
        noisy = counter.count(EDGES[name], cell[several], COARSE, units[several])
        expected = edges[name] = fitted_numbers(noisy, counter.deviation(EDGES[name]), expected)
    return Times(trie, edges["begin"], edges["end"], width)


def cell_width(width: int) -> int:
    """ns, of one part of a cell of a window of so many ns."""
    return -(-width // (COARSE * FINE))


def _starts(part: np.ndarray, units: np.ndarray, counter: NoisyCounts, total: float) -> Trie:
    """Where flows begin, in parts of cells."""
    noisy, deviation = counter.count(CELLS, part // FINE, COARSE, units), counter.deviation(CELLS)
    clear = noisy > max(math.sqrt(2 * math.log(COARSE)), CLEAR) * deviation
    run_of = np.zeros(COARSE, np.int64)
    run_of[~clear] = np.arange((~clear).sum()) * RUNS // max(int((~clear).sum()), 1)
    between = ~clear[part // FINE]
    runs = counter.count(BETWEEN, run_of[part[between] // FINE], RUNS, units[between])
    sizes = np.bincount(run_of[~clear], minlength=RUNS)
    before = np.bincount(run_of[~clear], noisy[~clear], RUNS)
    runs, deviations = merged((before, deviation * np.sqrt(sizes)), (runs, counter.deviation(BETWEEN)))
    noisy = noisy + np.where(clear, 0.0, ((runs - before) / np.maximum(sizes, 1))[run_of])
    if noisy[clear].sum() > total / 2:
        coarse = _bursts(noisy, clear, runs, run_of, sizes, deviations, total)
    else:
        coarse = smoothed(noisy, deviation, total, filled=True)
    opened = np.flatnonzero(coarse > WORTH_OPENING * counter.deviation(PARTS))
    place = np.full(COARSE, -1)
    place[opened] = np.arange(len(opened))
    inside = place[part // FINE] >= 0
    cells = place[part[inside] // FINE] * FINE + part[inside] % FINE
    noisy = counter.count(PARTS, cells, max(len(opened), 1) * FINE, units[inside]).reshape(-1, FINE)
    parts = [bursty(row, counter.deviation(PARTS), coarse[cell]) for row, cell in zip(noisy, opened, strict=False)]
    counts = np.concatenate([*parts, np.zeros(0)])
    values = (opened[:, None] * FINE + np.arange(FINE)).ravel()
    closed = np.flatnonzero((place < 0) & (coarse > 0))
    return Trie(values[counts > 0], counts[counts > 0], closed * FINE, np.full(len(closed), FINE), coarse[closed])


def _bursts(
    noisy: np.ndarray, clear: np.ndarray, runs: np.ndarray, run_of: np.ndarray, sizes: np.ndarray,
    deviations: np.ndarray, total: float,
) -> np.ndarray:  # fmt: skip
    """float64[COARSE], adding up to `total`: clear cells as counted, and what the runs between them hold spread evenly."""
    between = np.where(runs > SURE * deviations, runs, 0.0) / np.maximum(sizes, 1)
    found = np.where(clear, noisy, between[run_of])
    return found * (total / found.sum())


def _coarsely(trie: Trie) -> np.ndarray:
    """float64[COARSE]: flows by the cell in which they begin."""
    low, counts = np.concatenate([trie.values, trie.low]), np.concatenate([trie.counts, trie.rest])
    return np.bincount(low // FINE, counts, COARSE)


def placed(span: np.ndarray, begin: np.ndarray, end: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: the cell in which each flow begins that lasts `span` cells (float64[n]), such that about as many begin and
    end in each cell as `begin` and `end` (float64[cells]) say (iterative proportional fitting)."""
    if len(span) == 0:
        return np.zeros(0, np.int64)
    cells, reach = len(begin), rng.random(len(span)) + span
    blocks = np.split(reach, np.arange(PLACED_AT_ONCE, len(reach), PLACED_AT_ONCE))
    begin, end = (values / values.sum() * len(span) for values in (begin + 1e-12, end + 1e-9 * end.max(initial=1e-9)))
    of_begin, of_end = begin.copy(), np.ones(cells)

    def chances(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        last = np.floor(np.arange(cells) + block[:, None]).astype(np.int64)
        chance = of_begin * of_end[np.minimum(last, cells - 1)] * (last < cells)
        return chance / np.maximum(chance.sum(axis=1, keepdims=True), 1e-300), np.minimum(last, cells - 1)

    for _ in range(PLACING):
        ends = np.zeros(cells)
        for block in blocks:
            chance, last = chances(block)
            ends += np.bincount(last.ravel(), chance.ravel(), cells)
        of_end *= end / np.maximum(ends, 1e-12)
        of_end = np.maximum(of_end / of_end.max(), 1e-60)
        begins = sum(chances(block)[0].sum(axis=0) for block in blocks)
        of_begin *= begin / np.maximum(begins, 1e-12)
        of_begin = np.maximum(of_begin / of_begin.max(), 1e-60)
    return np.concatenate([drawn(chances(block)[0] + 1e-9 * begin, np.arange(len(block)), rng) for block in blocks])
