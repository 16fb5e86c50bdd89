"""What a private run counts of the records of flow traces, and records that are drawn from the counts.

A flow's records share its weight: each has 1 / length of it, so that a flow's entries in a table add up to 1 and have a
norm of at most 1. Flows of few and of many records are counted apart, since the records of long ones would otherwise
count too little.

Each number is counted three times: finely over all records, coarsely within each class of flows, and coarsely within a
few groups of records (packets and gaps by the length of the flow; sizes and durations by the number of packets). A
table is fitted to all three (iterative proportional fitting). Within its bin a number is drawn evenly in its logarithm.
Bytes are counted as bytes a packet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.ragged import offsets_of
from netshare.privacy.counts.counting import NoisyCounts, count_trie, group_of, trie_tables
from netshare.privacy.counts.denoising import drawn, merged, raked, smoothed
from netshare.privacy.counts.flow_marginals import LENGTH_GROUPS

PACKET_GROUPS = np.array([0, 2, 3, 6])  # packets a record, lower ends
ROUNDS, TINY = 30, 1e-9
MILLISECOND, MICROSECOND = 1_000_000, 1_000


def number_bins(exact: int, ratio: float, most: int) -> np.ndarray:
    """int64[n]: lower ends of bins: 0, 1, ... `exact` by themselves, then each `ratio` times as wide; the last end too."""
    edges = list(range(exact + 1))
    while edges[-1] <= most:
        edges.append(max(edges[-1] + 1, round(edges[-1] * ratio)))
    return np.array(edges, np.int64)


PACKETS, SIZE, DURATION, GAP = "packets", "bytes a packet", "duration", "time between records"
BINS = {  # each of which is looked into, in PARTS parts, where it holds much
    PACKETS: number_bins(12, 1.4, 2**40),
    SIZE: np.concatenate([np.arange(0, 1600, 16), [1600, 9000, 65536]]),
    DURATION: number_bins(1, 1.5, 2**33),  # ms
    GAP: number_bins(1, 1.5, 2**43),  # us
}
PARTS = 16
COARSE = {
    PACKETS: np.array([0, 2, 3, 4, 6, 10, 20, 50]),
    SIZE: np.array([0, 48, 64, 80, 96, 144, 208, 304, 608, 1008, 1600]),
    DURATION: np.array([0, 1, 100, 1000, 3000, 8000, 20000, 60000]),
    GAP: np.array([0, 10**5, 10**6, 3 * 10**6, 10**7, 3 * 10**7]),
}
# at borders of bins
COARSE = {name: np.unique(BINS[name][np.abs(BINS[name] - low[:, None]).argmin(axis=1)]) for name, low in COARSE.items()}
NAMES = ("tos", "tcp_flags")  # counted by class, cell by cell
CELLS = {"tos": 256, "tcp_flags": 512}


def record_tables(columns: Mapping[str, np.ndarray] | list[str]) -> dict[str, float]:
    """The tables that `measure_records` counts for a trace with these columns, with their shares of the budget."""
    shares: dict[str, float] = {}
    for name in BINS:
        shares |= dict(zip(trie_tables(name, 2), (0.8, 0.4), strict=True))
        shares |= {_by_class(name): 0.35, _by_group(name): 0.35}
    return shares | {name: 0.25 for name in NAMES if name in columns}


@dataclass(frozen=True)
class RecordColumns:
    """Private: records of flows, one flow after another.

    columns: `packets`, `bytes`, `duration` (ns) and others; flow: int64[n], whose each record is; gap: int64[n], ns since
    the flow's record before; first: bool[n], there is none; length: int64[n], records of the flow
    """

    columns: Mapping[str, np.ndarray]
    flow: np.ndarray
    gap: np.ndarray
    first: np.ndarray
    length: np.ndarray


@dataclass(frozen=True)
class RecordModel:
    """Noisy counts of records: `tables[name]` is float64[classes * groups, cells], or float64[classes, cells];
    `edges[name]`: float64[2, cells], where the cells of a number begin and end."""

    tables: dict[str, np.ndarray]
    edges: dict[str, np.ndarray]

    def draw(self, kind: np.ndarray, length: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Columns of the records of flows of these classes and lengths (int64[n] each), and `gap` in ns, 0 for firsts."""
        own, many = np.repeat(2 * kind + (length > 1), length), np.repeat(group_of(length, LENGTH_GROUPS), length)
        first = np.zeros(len(own), bool)
        first[offsets_of(length)[:-1]] = True
        packets = self._number(PACKETS, own * len(LENGTH_GROUPS) + many, rng)
        group = own * len(PACKET_GROUPS) + group_of(packets, PACKET_GROUPS)
        size = self._number(SIZE, group, rng, whole=False)
        found = {
            "packets": packets,
            "bytes": np.rint(size * np.maximum(packets, 1)).astype(np.int64),
            "duration": self._number(DURATION, group, rng) * MILLISECOND,
            "gap": np.where(first, 0, self._number(GAP, own * len(LENGTH_GROUPS) + many, rng) * MICROSECOND),
        }
        return found | {name: drawn(self.tables[name], own, rng) for name in NAMES if name in self.tables}

    def _number(self, name: str, row: np.ndarray, rng: np.random.Generator, *, whole: bool = True) -> np.ndarray:
        cell, edges = drawn(self.tables[name], row, rng), self.edges[name]
        low, high = edges[:, cell]
        if whole:  # a cell may be narrower than 1
            low, high = np.ceil(low), np.maximum(np.ceil(high), np.ceil(low) + 1)
        value = (low + 1) * ((high + 1) / (low + 1)) ** rng.random(len(cell)) - 1
        return np.clip(np.floor(value), low, high - 1).astype(np.int64) if whole else value


def measure_records(
    records: RecordColumns, kind: np.ndarray, classes: int, units: np.ndarray, counter: NoisyCounts, masses: np.ndarray
) -> RecordModel:
    """The noisy counts.

    Args:
        kind: int64[n_flows], each flow's class; -1: not counted.
        classes: how many there are.
        units: int64[n_flows].
        masses: float64[classes, len(LENGTH_GROUPS)], noisy: flows of each class and of so many records.
    """
    inside = kind[records.flow] >= 0
    flow, length, first = records.flow[inside], records.length[inside], records.first[inside]
    columns = {name: values[inside] for name, values in records.columns.items()}
    own, unit, weight = 2 * kind[flow] + (length > 1), units[flow], 1.0 / length
    masses = np.stack(
        [masses * (np.arange(len(LENGTH_GROUPS)) == 0), masses * (np.arange(len(LENGTH_GROUPS)) > 0)], axis=1
    )
    masses = masses.reshape(2 * classes, -1)  # of one record and of several apart
    several, classes = masses * (np.arange(2 * classes) % 2 == 1)[:, None], 2 * classes
    packets = columns["packets"].astype(np.int64)
    of_length, of_packets = group_of(length, LENGTH_GROUPS), group_of(packets, PACKET_GROUPS)
    later = np.flatnonzero(~first)
    everything = slice(None)
    numbers = {
        PACKETS: (packets, of_length, len(LENGTH_GROUPS), everything, weight),
        SIZE: (columns["bytes"] // np.maximum(packets, 1), of_packets, len(PACKET_GROUPS), everything, weight),
        DURATION: (columns["duration"] // MILLISECOND, of_packets, len(PACKET_GROUPS), everything, weight),
        GAP: (records.gap[inside] // MICROSECOND, of_length, len(LENGTH_GROUPS), later, 1 / np.maximum(length - 1, 1)),
    }
    tables, edges, of_packets_in_class = {}, {}, masses
    for name, (value, group, groups, rows, share) in numbers.items():
        weights, owner = share[rows], unit[rows]
        together = {PACKETS: masses, GAP: several}.get(name, of_packets_in_class)
        coarse, cell = len(COARSE[name]), group_of(value, COARSE[name])
        margins, sums = [], []
        for table, number, height in ((_by_group(name), group, groups), (_by_class(name), own, classes)):
            noisy = counter.count(table, (number * coarse + cell)[rows], height * coarse, owner, weights)
            noisy, noise = noisy.reshape(height, coarse), counter.deviation(table)
            sums.append((noisy.sum(axis=0), noise * math.sqrt(height)))
            margins.append((noisy, noise))
        coarsely = merged(*sums)
        finely, edges[name] = _finely(name, value[rows], owner, weights, counter, float(together.sum()), coarsely)
        coarse_of = group_of(np.ceil(edges[name][0]), COARSE[name])
        fitted = _fitted(finely, margins[0], margins[1], together, coarse_of)
        if name == PACKETS:
            of_cell = group_of(np.ceil(edges[name][0]), PACKET_GROUPS)
            in_class = fitted.sum(axis=1)
            of_packets_in_class = np.stack(
                [in_class[:, of_cell == k].sum(axis=1) for k in range(len(PACKET_GROUPS))], axis=1
            )
        tables[name] = fitted.reshape(-1, fitted.shape[2])
    for name in NAMES:
        if name in columns:
            cells = CELLS[name]
            cell = own * cells + columns[name].astype(np.int64) % cells
            noisy = counter.count(name, cell, classes * cells, unit, weight).reshape(classes, cells)
            sure = np.where(noisy > 3.5 * counter.deviation(name), noisy, 0.0)
            overall = sure.sum(axis=0) + 1e-9 * (np.arange(cells) == 0)
            tables[name] = sure + 0.1 * overall / overall.sum()
    return RecordModel(tables, edges)


def _by_group(name: str) -> str:
    return f"{name}, by group"


def _by_class(name: str) -> str:
    return f"{name}, by class"


def _finely(
    name: str, value: np.ndarray, units: np.ndarray, weights: np.ndarray, counter: NoisyCounts, total: float,
    coarsely: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """What cells hold, float64[cells], and where they begin and end, float64[2, cells]: bins, or the parts of full ones;
    `coarsely`: what else is known of the coarse cells, and its standard deviations."""
    bins = BINS[name]
    low, width = bins[:-1], np.diff(bins)
    cell = np.clip(group_of(value, bins), 0, len(width) - 1)
    part = np.clip((value - low[cell]) * PARTS // width[cell], 0, PARTS - 1)
    coarse_of, cells = group_of(low, COARSE[name]), len(COARSE[name])

    def fit(noisy: np.ndarray, deviation: float, mass: float) -> np.ndarray:
        sums = np.bincount(coarse_of, noisy, cells), deviation * np.sqrt(np.bincount(coarse_of, minlength=cells))
        more = (merged(sums, coarsely)[0] - sums[0]) / np.bincount(coarse_of, minlength=cells)
        return smoothed(noisy + more[coarse_of], deviation, mass)

    trie = count_trie(
        counter,
        name,
        cell * PARTS + part,
        units,
        (len(width), PARTS),
        total=total,
        fits=(fit, smoothed),
        weights=weights,
    )
    begin = np.concatenate([trie.values, trie.low])
    end = begin + np.concatenate([np.ones(len(trie.values), np.int64), trie.width])
    edges = [low[k // PARTS] + k % PARTS * width[k // PARTS] / PARTS for k in (begin, end - 1)]
    edges[1] += width[(end - 1) // PARTS] / PARTS
    order = np.argsort(begin)
    return np.concatenate([trie.counts, trie.rest])[order], np.stack(edges)[:, order]


def _fitted(
    finely: np.ndarray, by_group: tuple[np.ndarray, float], by_class: tuple[np.ndarray, float], together: np.ndarray,
    coarse_of: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """float64[classes, groups, cells]: a table whose sum over classes and groups is `finely` (float64[cells]), whose sum
    over cells is `together` (float64[classes, groups]); and, with the cells of the same `coarse_of` added up, whose sum
    over classes is near the noisy `by_group` and over groups near `by_class` (with the deviations of their noise), if all
    can be met."""
    finely = (finely + 1e-6 * finely.mean() + 1e-9) * (float(together.sum()) / float(finely.sum() + 1e-9))
    member = (coarse_of[:, None] == np.arange(by_class[0].shape[1])).astype(float)
    coarsely = finely @ member  # what all three agree on: the fine counts have the least noise
    of_group = raked(by_group[0], together.sum(axis=0) + TINY, coarsely + TINY, by_group[1])
    of_class = raked(by_class[0], together.sum(axis=1) + TINY, coarsely + TINY, by_class[1])
    found = together[:, :, None] * finely[None, None]
    for _ in range(ROUNDS):
        found = found * (of_class / (found.sum(axis=1) @ member + TINY) @ member.T)[:, None, :]
        found = found * (of_group / (found.sum(axis=0) @ member + TINY) @ member.T)[None]
        found = found * (finely / (found.sum(axis=(0, 1)) + TINY))
        found = found * (together / (found.sum(axis=2) + TINY))[:, :, None]
    return found + TINY
