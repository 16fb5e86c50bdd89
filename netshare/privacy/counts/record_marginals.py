"""What a private run counts of the records of flow traces, and records that are drawn from the counts.

Each number is counted three times: in fine bins over all records, in coarse bins by class of flow, and in coarse bins by a
few groups of records (packets and gaps by the length of the flow, sizes and durations by the packets of the record). A
table is fitted to all three (iterative proportional fitting). Within its bin a number is drawn uniformly in its logarithm.
Bytes are counted as bytes a packet.

Private: `RecordColumns`, classes and units of flows. Public: noisy numbers of flows, and the `RecordModel`. Sensitivity: a
flow's records share its weight, 1 / length each, so that a flow's entries in a table add up to 1 and have a norm of at
most 1; a unit's entries are clipped by `NoisyCounts`. Flows of few and of many records are counted apart, since the records
of long ones would otherwise count too little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.privacy.counts.bins import bin_of, number_bins
from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.counts.denoising import merged, raked, smoothed, systematic_sample
from netshare.privacy.counts.tries import TrieSearch, count_trie, trie_tables

LENGTH_GROUPS = np.array([1, 2, 3, 5, 16])  # records a flow, lower ends
PACKET_GROUPS = np.array([0, 2, 3, 6])  # packets a record, lower ends
FITTING_ROUNDS, TINY = 30, 1e-9  # of iterative proportional fitting; added, so that nothing divides by zero
MILLISECOND, MICROSECOND = 1_000_000, 1_000


PACKETS, SIZE, DURATION, GAP = "packets", "bytes a packet", "duration", "time between records"
BINS = {  # lower ends, and the last one's end; a bin that holds much is counted again in PARTS_OF_BIN parts
    PACKETS: number_bins(12, 1.4, 2**40),
    SIZE: np.concatenate([np.arange(0, 1600, 16), [1600, 9000, 65536]]),
    DURATION: number_bins(1, 1.5, 2**33),  # ms
    GAP: number_bins(1, 1.5, 2**43),  # us
}
PARTS_OF_BIN = 16
COARSE_BINS = {
    PACKETS: np.array([0, 2, 3, 4, 6, 10, 20, 50]),
    SIZE: np.array([0, 48, 64, 80, 96, 144, 208, 304, 608, 1008, 1600]),
    DURATION: np.array([0, 1, 100, 1000, 3000, 8000, 20000, 60000]),
    GAP: np.array([0, 10**5, 10**6, 3 * 10**6, 10**7, 3 * 10**7]),
}
# Coarse bins begin where fine ones do.
COARSE_BINS = {
    name: np.unique(BINS[name][np.abs(BINS[name] - low[:, None]).argmin(axis=1)]) for name, low in COARSE_BINS.items()
}
NAME_COLUMNS = ("tos", "tcp_flags")  # counted by class, value by value
NAME_CELLS = {"tos": 256, "tcp_flags": 512}


def record_tables(columns: Mapping[str, np.ndarray] | list[str]) -> dict[str, float]:
    """The tables that `measure_records` counts for a trace with these columns, with their shares of the budget."""
    shares: dict[str, float] = {}
    for name in BINS:
        shares |= dict(zip(trie_tables(name, 2), (0.8, 0.4), strict=True))
        shares |= {_by_class(name): 0.35, _by_group(name): 0.35}
    return shares | {name: 0.25 for name in NAME_COLUMNS if name in columns}


@dataclass(frozen=True)
class RecordColumns:
    """Records of flows, one flow after another; private.

    Attributes:
        columns: `packets`, `bytes`, `duration` (ns) and others, each of length n.
        flow: int64[n], the flow that each record belongs to.
        gap: int64[n], ns since the flow's previous record, 0 for its first.
        first: bool[n], whether the record is its flow's first.
        length: int64[n], records of the flow.
    """

    columns: Mapping[str, np.ndarray]
    flow: np.ndarray
    gap: np.ndarray
    first: np.ndarray
    length: np.ndarray


@dataclass(frozen=True)
class RecordModel:
    """Noisy counts of records.

    Attributes:
        tables: by name; of numbers float64[classes * groups, cells], of others float64[classes, cells].
        edges: of numbers by name, float64[2, cells]: where each cell begins and ends.
    """

    tables: dict[str, np.ndarray]
    edges: dict[str, np.ndarray]

    def draw(self, flow_class: np.ndarray, length: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Columns of the records of flows of these classes and lengths (int64[n] each).

        Durations are in ns; so is `gap`, the time since the flow's previous record, 0 for its first.
        """
        own, many = np.repeat(2 * flow_class + (length > 1), length), np.repeat(bin_of(length, LENGTH_GROUPS), length)
        first = np.zeros(len(own), bool)
        first[np.cumsum(length) - length] = True
        packets = self._number(PACKETS, own * len(LENGTH_GROUPS) + many, rng)
        group = own * len(PACKET_GROUPS) + bin_of(packets, PACKET_GROUPS)
        size = self._number(SIZE, group, rng, whole=False)
        found = {
            "packets": packets,
            "bytes": np.rint(size * np.maximum(packets, 1)).astype(np.int64),
            "duration": self._number(DURATION, group, rng) * MILLISECOND,
            "gap": np.where(first, 0, self._number(GAP, own * len(LENGTH_GROUPS) + many, rng) * MICROSECOND),
        }
        return found | {
            name: systematic_sample(self.tables[name], own, rng) for name in NAME_COLUMNS if name in self.tables
        }

    def _number(self, name: str, row: np.ndarray, rng: np.random.Generator, *, whole: bool = True) -> np.ndarray:
        cell, edges = systematic_sample(self.tables[name], row, rng), self.edges[name]
        low, high = edges[:, cell]
        if whole:  # a cell may be narrower than 1
            low, high = np.ceil(low), np.maximum(np.ceil(high), np.ceil(low) + 1)
        value = (low + 1) * ((high + 1) / (low + 1)) ** rng.random(len(cell)) - 1
        return np.clip(np.floor(value), low, high - 1).astype(np.int64) if whole else value


def measure_records(
    records: RecordColumns, flow_class: np.ndarray, units: np.ndarray, counter: NoisyCounts, masses: np.ndarray
) -> RecordModel:
    """Count records.

    Args:
        records: private.
        flow_class: int64[flows], the class of each flow, -1 where its records are not counted.
        units: int64[flows], the unit that each flow belongs to.
        masses: float64[classes, len(LENGTH_GROUPS)], noisy numbers of flows by class and records.
    """
    classes, inside = len(masses), flow_class[records.flow] >= 0
    flow, length, first = records.flow[inside], records.length[inside], records.first[inside]
    columns = {name: values[inside] for name, values in records.columns.items()}
    own, unit, weight = 2 * flow_class[flow] + (length > 1), units[flow], 1.0 / length
    masses = np.stack(
        [masses * (np.arange(len(LENGTH_GROUPS)) == 0), masses * (np.arange(len(LENGTH_GROUPS)) > 0)], axis=1
    )
    masses = masses.reshape(2 * classes, -1)  # flows of one record and of several are classes of their own
    several, classes = masses * (np.arange(2 * classes) % 2 == 1)[:, None], 2 * classes
    packets = columns["packets"].astype(np.int64)
    of_length, of_packets = bin_of(length, LENGTH_GROUPS), bin_of(packets, PACKET_GROUPS)
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
        coarse, cell = len(COARSE_BINS[name]), bin_of(value, COARSE_BINS[name])
        margins, sums = [], []
        for table, number, height in ((_by_group(name), group, groups), (_by_class(name), own, classes)):
            noisy = counter.count(table, (number * coarse + cell)[rows], height * coarse, owner, weights)
            noisy, noise = noisy.reshape(height, coarse), counter.deviation(table)
            sums.append((noisy.sum(axis=0), noise * math.sqrt(height)))
            margins.append((noisy, noise))
        coarsely = merged(*sums)
        finely, edges[name] = _fine_counts(name, value[rows], owner, weights, counter, float(together.sum()), coarsely)
        coarse_of = bin_of(np.ceil(edges[name][0]), COARSE_BINS[name])
        fitted = _fitted_to_all(finely, margins[0], margins[1], together, coarse_of)
        if name == PACKETS:
            of_cell = bin_of(np.ceil(edges[name][0]), PACKET_GROUPS)
            in_class = fitted.sum(axis=1)
            of_packets_in_class = np.stack(
                [in_class[:, of_cell == k].sum(axis=1) for k in range(len(PACKET_GROUPS))], axis=1
            )
        tables[name] = fitted.reshape(-1, fitted.shape[2])
    for name in NAME_COLUMNS:
        if name in columns:
            cells = NAME_CELLS[name]
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


def _fine_counts(
    name: str, value: np.ndarray, units: np.ndarray, weights: np.ndarray, counter: NoisyCounts, total: float,
    coarsely: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Counts of fine cells, float64[cells], and where these begin and end, float64[2, cells]; a cell is a bin, or a part of
    a well-filled bin. `coarsely` are the counts of the coarse bins in the other tables, with their standard deviations."""
    bins = BINS[name]
    low, width = bins[:-1], np.diff(bins)
    cell = np.clip(bin_of(value, bins), 0, len(width) - 1)
    part = np.clip((value - low[cell]) * PARTS_OF_BIN // width[cell], 0, PARTS_OF_BIN - 1)
    coarse_of, cells = bin_of(low, COARSE_BINS[name]), len(COARSE_BINS[name])

    def fit(noisy: np.ndarray, deviation: float, mass: float) -> np.ndarray:
        sums = np.bincount(coarse_of, noisy, cells), deviation * np.sqrt(np.bincount(coarse_of, minlength=cells))
        more = (merged(sums, coarsely)[0] - sums[0]) / np.bincount(coarse_of, minlength=cells)
        return smoothed(noisy + more[coarse_of], deviation, mass)

    trie = count_trie(
        counter,
        name,
        cell * PARTS_OF_BIN + part,
        units,
        TrieSearch((len(width), PARTS_OF_BIN), fits=(fit, smoothed)),
        total=total,
        weights=weights,
    )
    begin = np.concatenate([trie.values, trie.low])
    end = begin + np.concatenate([np.ones(len(trie.values), np.int64), trie.width])
    edges = [
        low[k // PARTS_OF_BIN] + k % PARTS_OF_BIN * width[k // PARTS_OF_BIN] / PARTS_OF_BIN for k in (begin, end - 1)
    ]
    edges[1] += width[(end - 1) // PARTS_OF_BIN] / PARTS_OF_BIN
    order = np.argsort(begin)
    return np.concatenate([trie.counts, trie.rest])[order], np.stack(edges)[:, order]


def _fitted_to_all(
    finely: np.ndarray, by_group: tuple[np.ndarray, float], by_class: tuple[np.ndarray, float], together: np.ndarray,
    coarse_of: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """float64[classes, groups, cells]: a table fitted to the counts of fine cells, and to those of coarse bins by group
    and by class (iterative proportional fitting).

    Args:
        finely: float64[cells], counts of fine cells.
        by_group: noisy counts, float64[groups, coarse bins], and the standard deviation of their noise.
        by_class: noisy counts, float64[classes, coarse bins], and the standard deviation of their noise.
        together: float64[classes, groups], flows; met exactly.
        coarse_of: int64[cells], the coarse bin of each fine cell.
    """
    finely = (finely + 1e-6 * finely.mean() + 1e-9) * (float(together.sum()) / float(finely.sum() + 1e-9))
    member = (coarse_of[:, None] == np.arange(by_class[0].shape[1])).astype(float)
    coarsely = finely @ member  # what all three agree on: the fine counts have the least noise
    of_group = raked(by_group[0], together.sum(axis=0) + TINY, coarsely + TINY, by_group[1])
    of_class = raked(by_class[0], together.sum(axis=1) + TINY, coarsely + TINY, by_class[1])
    found = together[:, :, None] * finely[None, None]
    for _ in range(FITTING_ROUNDS):
        found = found * (of_class / (found.sum(axis=1) @ member + TINY) @ member.T)[:, None, :]
        found = found * (of_group / (found.sum(axis=0) @ member + TINY) @ member.T)[None]
        found = found * (finely / (found.sum(axis=(0, 1)) + TINY))
        found = found * (together / (found.sum(axis=2) + TINY))[:, :, None]
    return found + TINY
