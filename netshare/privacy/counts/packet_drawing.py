"""Packets that follow a public trace's, changed until they have noisy counts (`packet_marginals`).

How packets follow one another (handshakes, requests and answers) is the same everywhere, and much more than can be counted
under differential privacy. So it is taken from flows of the public trace: a drawn flow gets the packets of a *donor*, a
public flow of the same protocol, about the same length, and with about as many packets in the backward direction as the
noisy counts ask for. Then each column is changed as little as possible until it has the shares that the counts ask for,
group by group: numbers keep their order, names stay where they can.

The shares of a group are estimated from its noisy counts, with the public trace's shares as prior, corrected by what was
estimated for larger groups (all packets; packets of one protocol and direction). The more noise, the more the estimate
follows the prior.

Public: everything; noisy counts, drawn flows and the public trace. No private data come here (post-processing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from netshare.preprocess.fields.times import spread_over_span
from netshare.preprocess.flows import FlowKey, Flows, group_flows
from netshare.preprocess.protocols import TCP, UDP
from netshare.preprocess.ragged import offsets_of, positions_within
from netshare.preprocess.trace import Trace
from netshare.privacy.counts.denoising import systematic_sample
from netshare.privacy.counts.flow_marginals import DrawnFlows
from netshare.privacy.counts.packet_marginals import (
    BACK_CELLS,
    BACK_LENGTH_GROUPS,
    COLUMN_SHARES,
    LENGTH_GROUP_COUNT,
    LIKELY_NAMES,
    MAX_COUNTED_LENGTH,
    NAME_CELLS,
    NUMBER_BINS,
    PROTOCOLS,
    SIDES,
    TCP_SIDES,
    TIME_BINS,
    VOLUME_BINS,
    NoisyTable,
    back_cells,
    cell_of,
    cells_of,
    flow_groups,
    flow_sums,
    packet_groups,
    packet_weight,
    protocol_group,
)
from netshare.privacy.counts.posterior import fitted_names, fitted_numbers

MAX_CORRECTED = 8  # packets of a side whose sizes may be changed to meet the side's sum
SUM_TOLERANCE = 0.15  # relative difference of a sum from its target that is left alone
SUM_ROUNDS, SUM_STEP = (
    6,
    0.7,
)  # of fitting sums to their targets; share of the logarithmic difference made up in a round
MAX_SHIFT = 8.0  # of the logarithm of a flow's numbers, towards its target
DONOR_TOLERANCE = 0.05  # donors this much farther than the nearest, in logarithms of length and share back, count too
PROTOCOL_NUMBERS = np.array([TCP, UDP, 0])  # one for each number that `protocol_group` gives
_FIVE_TUPLE = ("ip_version", "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "protocol", "time")


def draw_packets(
    tables: Mapping[str, NoisyTable],
    flows: DrawnFlows,
    public: Trace,
    flow_key: FlowKey,
    width: int,
    max_records: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Columns of the packets of these flows, one flow after another, `gap` (ns) and `direction` among them.

    Args:
        tables: noisy counts, by `measure_packets`.
        public: a packet trace; its flows are the donors.
        width: ns, of the declared window.
        max_records: packets of a flow, declared.
    """
    donors = group_flows(public, flow_key)
    length = flows.length
    chosen, one_way = _donors(tables["packets back"], flows.protocol, length, public, donors, rng)
    owner = np.repeat(np.arange(len(length)), length)
    within = positions_within(length)
    of_donor = donors.lengths[chosen][owner]
    # Where a flow is longer than its donor, the donor's packets after its first few are repeated.
    begin = np.minimum(of_donor // 2, 4)
    place = np.where(within < of_donor, within, begin + (within - begin) % np.maximum(of_donor - begin, 1))
    row = donors.offsets[chosen][owner] + np.minimum(place, of_donor - 1)
    source = donors.order[row]
    direction = (donors.direction[row] if donors.direction is not None else np.zeros(len(row))).astype(np.int64)
    direction[one_way[owner]] = 0
    time = public["time"]
    gap = np.where(place > 0, time[source] - time[donors.order[np.maximum(row - 1, 0)]], 0)
    gap = np.where((within > 0) & (place == 0), np.median(gap), gap)
    protocol, later = flows.protocol[owner], np.flatnonzero(within > 0)
    group, weight = packet_groups(protocol, direction, length[owner]), packet_weight(length[owner], max_records)
    side, of_side = np.unique(owner * 2 + direction, return_inverse=True)
    first_of_side = np.unique(of_side, return_index=True)[1]
    found = {name: public[name][source].astype(np.int64) for name in public if name not in _FIVE_TUPLE}
    for name in COLUMN_SHARES:
        if name not in tables or name not in (*found, "gap"):
            continue
        if name == "gap":
            values, rows = gap // 1000, later
        else:
            values, rows = found[name], first_of_side if name == "ttl" else np.arange(len(owner))
        weights = np.full(len(rows), np.sqrt(0.5)) if name == "ttl" else weight[rows]
        heights = TCP_SIDES if name.startswith("tcp_") else SIDES
        shares = _group_shares(name, tables[name], values[rows], group[rows], weights, heights)
        if name == "gap":
            span = _flow_spans(tables["span"], flow_sums(gap, np.flatnonzero(within == 0)) // 1000, flows, rng)
            gap[rows] = _with_owner_sums(values[rows], group[rows], shares, TIME_BINS, owner[rows], span, rng) * 1000
            gap = spread_over_span(gap, np.minimum(span * 1000, width), offsets_of(length))
        elif name == "length":
            volume = np.bincount(of_side, weights=values, minlength=len(side)).astype(np.int64)
            own = group[first_of_side]
            wanted = _group_shares("bytes of a side", tables["bytes of a side"], volume, own,
                             np.full(len(side), np.sqrt(0.5)), SIDES)  # fmt: skip
            volume = _assigned_numbers(np.log1p(volume), volume, own, wanted, VOLUME_BINS, rng)
            sizes = _with_owner_sums(values, group, shares, NUMBER_BINS[name], of_side, volume, rng)
            found[name] = _corrected_sums(sizes, of_side, volume)
        elif name in NUMBER_BINS:
            found[name] = _assigned_numbers(np.log1p(values), values, group, shares, NUMBER_BINS[name], rng)
        elif name == "ttl":
            found[name] = _assigned_names(values[rows], group[rows], shares, rng)[of_side]
        else:
            found[name] = _assigned_names(values, group, shares, rng)
    for name in ("tcp_flags", "tcp_window", "tcp_header_length"):
        if name in found:
            found[name] = np.where(protocol == TCP, found[name], 0)
    return {**found, "gap": gap, "direction": direction}


def _flow_spans(table: NoisyTable, sums: np.ndarray, flows: DrawnFlows, rng: np.random.Generator) -> np.ndarray:
    """int64[flows], us: how long each flow lasts, with the shares of the noisy counts; the longest are the flows whose
    donors' gaps have the largest sums (int64[flows], us)."""
    several = np.flatnonzero(flows.length > 1)
    span, group = np.zeros(len(sums), np.int64), flow_groups(flows.protocol, flows.length)[several]
    shares = _group_shares("span", table, sums[several], group, np.ones(len(several)), PROTOCOLS)
    span[several] = _assigned_numbers(np.log1p(sums[several]), sums[several], group, shares, TIME_BINS, rng)
    return span


def _group_shares(
    name: str, table: NoisyTable, values: np.ndarray, group: np.ndarray, weights: np.ndarray, heights: int
) -> np.ndarray:
    """float64[groups, cells]: counts that each group's values should have.

    Args:
        name: of the column or table.
        table: noisy counts, float64[groups, cells].
        values: int64[n], what the donors' packets have: the prior.
        group: int64[n], the group of each value.
        weights: float64[n], of the values.
        heights: groups are numbered by protocol and direction first, then by length; of the former only so many (the
            first ones) are fitted, the others have no such column.
    """
    fitted = partial(fitted_names, likely=LIKELY_NAMES[name]) if name in NAME_CELLS else fitted_numbers
    bins = {"span": TIME_BINS, "bytes of a side": VOLUME_BINS}.get(name)
    cell, cells = (cell_of(values, bins), len(bins) - 1) if bins is not None else cells_of(name, values)
    prior = np.bincount(group * cells + cell, weights=weights, minlength=table.counts.size)
    prior, noisy = (values.reshape(-1, LENGTH_GROUP_COUNT, cells)[:heights] for values in (prior, table.counts))
    everything = _fitted_level(
        prior.sum(axis=(0, 1)), noisy.sum(axis=(0, 1)), table.deviation * np.sqrt(noisy[..., 0].size), fitted
    )
    found = np.zeros((len(table.counts) // LENGTH_GROUP_COUNT, LENGTH_GROUP_COUNT, cells))
    for k in range(heights):
        start = _carried_over(prior[k].sum(axis=0), prior.sum(axis=(0, 1)), everything)
        together = _fitted_level(start, noisy[k].sum(axis=0), table.deviation * np.sqrt(LENGTH_GROUP_COUNT), fitted)
        for j in np.flatnonzero(prior[k].sum(axis=1) > 0):
            own = _carried_over(prior[k, j], prior[k].sum(axis=0), together)
            found[k, j] = _fitted_level(own, noisy[k, j], table.deviation, fitted)
    return found.reshape(table.counts.shape)


def _fitted_level(
    prior: np.ndarray, noisy: np.ndarray, deviation: float, fitted: Callable[..., np.ndarray]
) -> np.ndarray:
    return fitted(noisy, deviation, prior) if prior.sum() > 0 else prior


def _carried_over(own: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """float64[cells]: a group's prior counts `own`, corrected as those of a larger group were (from `before` to `after`).

    Cells that became fewer there become fewer here by the same factor; what they lose goes to the cells that became more.
    """
    kept = own * np.minimum(after / np.maximum(before, 1e-12), 1.0)
    gains = np.maximum(after - before, 0.0)
    gains = gains if gains.sum() > 0 else after
    return kept + gains * ((own.sum() - kept.sum()) / max(gains.sum(), 1e-12))


def _donors(
    table: NoisyTable, protocol: np.ndarray, length: np.ndarray, public: Trace, donors: Flows, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """int64[n]: for each flow a donor, see the module's docstring; and bool[n]: whether no packet goes back.

    Args:
        table: noisy counts of packets that go back.
        protocol, length: int64[n], of the flows.
        donors: the public trace's flows.
    """
    first = donors.first
    back = np.zeros(len(donors), np.int64) if donors.direction is None else np.add.reduceat(
        donors.direction.astype(np.int64), donors.offsets[:-1]
    )  # fmt: skip
    protocol_of_donor = protocol_group(public["protocol"][first])
    of_donors = back_cells(public["protocol"][first], donors.lengths, back)
    known = np.bincount(of_donors[0] * BACK_CELLS + of_donors[1], minlength=table.counts.size).reshape(
        table.counts.shape
    )
    known = (
        known
        + 0.01 * known.sum() / known.size / BACK_CELLS
        + _other_lengths_prior(protocol_of_donor, back / donors.lengths)
    )
    group = back_cells(protocol, length, np.zeros_like(length))[0]
    flows = np.bincount(group, minlength=len(known))
    shares = np.stack([
        fitted_names(noisy, table.deviation, prior / prior.sum() * n) if n else prior
        for noisy, prior, n in zip(table.counts, known, flows, strict=True)
    ])  # fmt: skip
    cell = systematic_sample(shares + 1e-9, group, rng)
    wanted = np.where(
        length <= MAX_COUNTED_LENGTH, np.minimum(cell, length), (2 * cell + 1) * length // (2 * BACK_CELLS)
    )
    wanted[cell == 0] = 0
    chosen = np.zeros(len(length), np.int64)
    triples = np.stack([protocol_group(protocol), length, wanted], axis=1)
    each, number = np.unique(triples, axis=0, return_inverse=True)
    order = np.argsort(number, kind="stable")
    for (k, packets, answers), own in zip(each, np.split(order, np.cumsum(np.bincount(number))[:-1]), strict=True):
        pool = np.flatnonzero(protocol_of_donor == k)
        pool = pool if len(pool) else np.arange(len(donors))
        far = np.abs(np.log(donors.lengths[pool] / packets)) + np.abs(
            np.log((back[pool] / donors.lengths[pool] + 0.05) / (answers / packets + 0.05))
        )
        chosen[own] = pool[rng.choice(np.flatnonzero(far <= far.min() + DONOR_TOLERANCE), len(own))]
    return chosen, wanted == 0


def _other_lengths_prior(protocol: np.ndarray, share: np.ndarray) -> np.ndarray:
    """float64[groups, BACK_CELLS]: how many packets would go back in each group if all public flows of its protocol had
    the group's length, and the same share of packets going back as they have. Each group counts as one flow.

    Args:
        protocol: int64[donors], as `protocol_group` numbers them.
        share: float64[donors], of packets that go back.
    """
    found = np.zeros((PROTOCOLS * len(BACK_LENGTH_GROUPS), BACK_CELLS))
    for length in BACK_LENGTH_GROUPS:
        group, cell = back_cells(
            PROTOCOL_NUMBERS[protocol], np.full(len(protocol), length), np.rint(share * length).astype(np.int64)
        )
        np.add.at(found, (group, cell), 1.0)
    return found / np.maximum(found.sum(axis=1, keepdims=True), 1.0)


def _with_owner_sums(
    values: np.ndarray, group: np.ndarray, table: np.ndarray, edges: np.ndarray, owner: np.ndarray, wanted: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """int64[n]: numbers with the shares of `table` in each group, assigned such that the numbers of each owner add up to
    about its target `wanted` (int64[owners]). The order of an owner's numbers is kept."""
    order, shift = np.log1p(values) + 0.05 * rng.random(len(values)), np.zeros(len(wanted))
    found = _assigned_numbers(order, values, group, table, edges, rng)
    for _ in range(SUM_ROUNDS):
        total = np.bincount(owner, weights=found, minlength=len(wanted))
        shift = np.clip(shift + SUM_STEP * (np.log1p(wanted) - np.log1p(total)), -MAX_SHIFT, MAX_SHIFT)
        found = _assigned_numbers(order + shift[owner], values, group, table, edges, rng)
    return found


def _corrected_sums(sizes: np.ndarray, owner: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """int64[n]: packet sizes whose sum over each side (`owner`, int64[n]) is near its target (`wanted`, int64[sides]).

    Where a side's sum differs from its target by more than `SUM_TOLERANCE`, its largest packets are changed, at most
    `MAX_CORRECTED` of them, one after another, within the range of usual sizes.
    """
    found = sizes.copy()
    least, most = (np.quantile(sizes, share) if len(sizes) else 0 for share in (0.01, 0.99))
    order = np.lexsort((-sizes, owner))
    begins = np.searchsorted(owner[order], np.arange(len(wanted)))
    count = np.bincount(owner, minlength=len(wanted))
    for place in range(MAX_CORRECTED):
        some = np.flatnonzero(count > place)
        row = order[begins[some] + place]
        missing = (wanted - np.bincount(owner, weights=found, minlength=len(wanted)))[some]
        missing[np.abs(missing) < SUM_TOLERANCE * wanted[some]] = 0
        changed = np.clip(found[row] + missing, np.minimum(least, found[row]), np.maximum(most, found[row]))
        found[row] = np.rint(changed).astype(np.int64)
    return found


def _assigned_numbers(
    order: np.ndarray, values: np.ndarray, group: np.ndarray, table: np.ndarray, edges: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """int64[n]: numbers with the shares of `table` in each group, in the order of `order` (float64[n]).

    Args:
        values: int64[n], the numbers so far; one that lies in the bin that it is assigned stays as it is.
        group: int64[n].
        table: float64[groups, bins].
        edges: int64[bins + 1].
    """
    found, tie = values.copy(), rng.random(len(values))
    for k in np.unique(group):
        if table[k].sum() <= 0:
            continue
        own = np.flatnonzero(group == k)
        own = own[np.lexsort((tie[own], order[own]))]
        cumulative = np.cumsum(table[k])
        at = (np.arange(len(own)) + rng.random()) / len(own) * cumulative[-1]
        cell = np.minimum(np.searchsorted(cumulative, at, side="right"), len(table[k]) - 1)
        low, high = edges[cell].astype(float), edges[cell + 1].astype(float)
        fits = (values[own] >= low) & (values[own] < high)
        drawn_number = np.floor((low + 1) * ((high + 1) / (low + 1)) ** rng.random(len(own)) - 1)
        found[own] = np.where(fits, values[own], np.clip(drawn_number, low, high - 1)).astype(np.int64)
    return found


def _assigned_names(values: np.ndarray, group: np.ndarray, table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: names with the shares of `table` (float64[groups, names]) in each group; as few of the names so far
    (`values`, int64[n]) are changed as possible, chosen at random."""
    found, cells = values.copy(), table.shape[1]
    for k in np.unique(group):
        if table[k].sum() <= 0:
            continue
        own = rng.permutation(np.flatnonzero(group == k))
        wanted = table[k] / table[k].sum() * len(own)
        name = np.minimum(values[own], cells - 1)
        order = np.argsort(name, kind="stable")
        rank = np.empty(len(own), np.int64)
        starts = np.searchsorted(name[order], np.arange(cells))
        rank[order] = np.arange(len(own)) - starts[name[order]]
        stays = rank + 1 <= wanted[name] + 1e-9
        over = own[~stays]
        lacking = np.maximum(wanted - np.bincount(name[stays], minlength=cells), 0.0)
        if len(over) == 0 or lacking.sum() <= 0:
            continue
        names = rng.permutation(cells)
        ends = np.cumsum(lacking[names])
        at = (np.arange(len(over)) + rng.random(len(over))) / len(over) * ends[-1]
        found[over] = names[np.minimum(np.searchsorted(ends, at, side="right"), cells - 1)]
    return found
