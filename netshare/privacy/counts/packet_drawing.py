"""Packets that follow a public trace's, changed until they have noisy counts (`packet_marginals`). No private data here.

How packets follow one another (handshakes, requests and answers) is the same everywhere, and much more than can be
counted under differential privacy: it is taken from flows of the public trace, of the same protocol, about the same
length, and with about as many packets back as the noisy counts ask for. Then each column is changed as little as
possible until its shares are those of the counts, group by group: numbers keep their order, names keep their place where
they can. What a group has is concluded from its noisy counts and from the public trace's shares, corrected by what larger
groups have (all packets; those of a protocol and direction): the more noise there is, the more from the latter.
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
from netshare.privacy.counts.denoising import drawn
from netshare.privacy.counts.packet_marginals import (
    BACK,
    BACK_LENGTHS,
    GROUPS_OF_LENGTH,
    LIKELY,
    NAMED,
    NUMBERS,
    PROTOCOLS,
    SHARES,
    SHORT,
    SIDES,
    SIDES_OF_TCP,
    TIMES,
    VOLUMES,
    Table,
    back_cells,
    cell_of,
    cells_of,
    flow_groups,
    groups,
    of_protocol,
    packet_weight,
    totals,
)
from netshare.privacy.counts.posterior import fitted_names, fitted_numbers

STRETCHED, TOLERANCE = 8, 0.15  # packets of a side that may be changed; share of a sum that is near enough
ROUNDS, PACE = 6, 0.7  # of fitting sums to totals
NEAR = 0.05  # of a donor's length and share of packets back, in logarithms
PROTOCOL_NUMBERS = np.array([TCP, UDP, 0])  # one for each number that `of_protocol` gives
MOST_PULL = 8.0  # of the logarithm of a number by its flow
_FIVE_TUPLE = ("ip_version", "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "protocol", "time")


def draw_packets(
    tables: Mapping[str, Table],
    flows: Mapping[str, np.ndarray],
    public: Trace,
    flow_key: FlowKey,
    width: int,
    longest: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Columns of the packets of these flows, `gap` (ns) and `direction` among them.

    Args:
        width: ns, of the declared window.
        longest: packets of a flow, declared.
    """
    donors = group_flows(public, flow_key)
    length = flows["length"]
    chosen, one_way = _donors(tables["packets back"], flows["protocol"], length, public, donors, rng)
    owner = np.repeat(np.arange(len(length)), length)
    within = positions_within(length)
    of_donor = donors.lengths[chosen][owner]
    # a longer flow than its donor goes on as the donor did after its beginning
    begin = np.minimum(of_donor // 2, 4)
    place = np.where(within < of_donor, within, begin + (within - begin) % np.maximum(of_donor - begin, 1))
    row = donors.offsets[chosen][owner] + np.minimum(place, of_donor - 1)
    source = donors.order[row]
    direction = (donors.direction[row] if donors.direction is not None else np.zeros(len(row))).astype(np.int64)
    direction[one_way[owner]] = 0
    time = public["time"]
    gap = np.where(place > 0, time[source] - time[donors.order[np.maximum(row - 1, 0)]], 0)
    gap = np.where((within > 0) & (place == 0), np.median(gap), gap)
    protocol, later = flows["protocol"][owner], np.flatnonzero(within > 0)
    group, weight = groups(protocol, direction, length[owner]), packet_weight(length[owner], longest)
    side, of_side = np.unique(owner * 2 + direction, return_inverse=True)
    first_of_side = np.unique(of_side, return_index=True)[1]
    found = {name: public[name][source].astype(np.int64) for name in public if name not in _FIVE_TUPLE}
    for name in SHARES:
        if name not in tables or name not in (*found, "gap"):
            continue
        if name == "gap":
            values, rows = gap // 1000, later
        else:
            values, rows = found[name], first_of_side if name == "ttl" else np.arange(len(owner))
        weights = np.full(len(rows), np.sqrt(0.5)) if name == "ttl" else weight[rows]
        heights = SIDES_OF_TCP if name.startswith("tcp_") else SIDES
        shares = _shares(name, tables[name], values[rows], group[rows], weights, heights)
        if name == "gap":
            span = _targets(tables["span"], totals(gap, np.flatnonzero(within == 0)) // 1000, flows, rng)
            gap[rows] = _with_totals(values[rows], group[rows], shares, TIMES, owner[rows], span, rng) * 1000
            gap = spread_over_span(gap, np.minimum(span * 1000, width), offsets_of(length))
        elif name == "length":
            volume = np.bincount(of_side, weights=values, minlength=len(side)).astype(np.int64)
            own = group[first_of_side]
            wanted = _shares("bytes of a side", tables["bytes of a side"], volume, own,
                             np.full(len(side), np.sqrt(0.5)), SIDES)  # fmt: skip
            volume = _moved_numbers(np.log1p(volume), volume, own, wanted, VOLUMES, rng)
            sizes = _with_totals(values, group, shares, NUMBERS[name], of_side, volume, rng)
            found[name] = _stretched(sizes, of_side, volume)
        elif name in NUMBERS:
            found[name] = _moved_numbers(np.log1p(values), values, group, shares, NUMBERS[name], rng)
        elif name == "ttl":
            found[name] = _moved_names(values[rows], group[rows], shares, rng)[of_side]
        else:
            found[name] = _moved_names(values, group, shares, rng)
    for name in ("tcp_flags", "tcp_window", "tcp_header_length"):
        if name in found:
            found[name] = np.where(protocol == TCP, found[name], 0)
    return {**found, "gap": gap, "direction": direction}


def _targets(table: Table, total: np.ndarray, flows: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """int64[n_flows], us: how long each flow lasts; the longest are those whose gaps add up to most."""
    several = np.flatnonzero(flows["length"] > 1)
    span, group = np.zeros(len(total), np.int64), flow_groups(flows["protocol"], flows["length"])[several]
    shares = _shares("span", table, total[several], group, np.ones(len(several)), PROTOCOLS)
    span[several] = _moved_numbers(np.log1p(total[several]), total[several], group, shares, TIMES, rng)
    return span


def _shares(
    name: str, table: Table, values: np.ndarray, group: np.ndarray, weights: np.ndarray, heights: int
) -> np.ndarray:
    """float64[groups, cells]: what each group should have, by noisy counts where they are clear, else as `values` have it.

    Args:
        heights: groups of packets of all numbers a flow; groups are numbered by these first, and later ones have nothing.
    """
    fitted = partial(fitted_names, likely=LIKELY[name]) if name in NAMED else fitted_numbers
    bins = {"span": TIMES, "bytes of a side": VOLUMES}.get(name)
    cell, cells = (cell_of(values, bins), len(bins) - 1) if bins is not None else cells_of(name, values)
    prior = np.bincount(group * cells + cell, weights=weights, minlength=table.counts.size)
    prior, noisy = (values.reshape(-1, GROUPS_OF_LENGTH, cells)[:heights] for values in (prior, table.counts))
    everything = _level(
        prior.sum(axis=(0, 1)), noisy.sum(axis=(0, 1)), table.deviation * np.sqrt(noisy[..., 0].size), fitted
    )
    found = np.zeros((len(table.counts) // GROUPS_OF_LENGTH, GROUPS_OF_LENGTH, cells))
    for k in range(heights):
        start = _corrected(prior[k].sum(axis=0), prior.sum(axis=(0, 1)), everything)
        together = _level(start, noisy[k].sum(axis=0), table.deviation * np.sqrt(GROUPS_OF_LENGTH), fitted)
        for j in np.flatnonzero(prior[k].sum(axis=1) > 0):
            own = _corrected(prior[k, j], prior[k].sum(axis=0), together)
            found[k, j] = _level(own, noisy[k, j], table.deviation, fitted)
    return found.reshape(table.counts.shape)


def _level(prior: np.ndarray, noisy: np.ndarray, deviation: float, fitted: Callable[..., np.ndarray]) -> np.ndarray:
    return fitted(noisy, deviation, prior) if prior.sum() > 0 else prior


def _corrected(own: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """A part's counts, changed as those of the whole were: what the whole has less of is less here, too, and goes where the
    whole has more."""
    kept = own * np.minimum(after / np.maximum(before, 1e-12), 1.0)
    gains = np.maximum(after - before, 0.0)
    gains = gains if gains.sum() > 0 else after
    return kept + gains * ((own.sum() - kept.sum()) / max(gains.sum(), 1e-12))


def _donors(
    table: Table, protocol: np.ndarray, length: np.ndarray, public: Trace, donors: Flows, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """int64[n]: for each flow a public one of its protocol, with about as many packets, and about as many of them back
    as is drawn for it. And bool[n]: no packet goes back."""
    first = donors.first
    back = np.zeros(len(donors), np.int64) if donors.direction is None else np.add.reduceat(
        donors.direction.astype(np.int64), donors.offsets[:-1]
    )  # fmt: skip
    kind = of_protocol(public["protocol"][first])
    of_donors = back_cells(public["protocol"][first], donors.lengths, back)
    known = np.bincount(of_donors[0] * BACK + of_donors[1], minlength=table.counts.size).reshape(table.counts.shape)
    known = known + 0.01 * known.sum() / known.size / BACK + _elsewhere(kind, back / donors.lengths)
    group = back_cells(protocol, length, np.zeros_like(length))[0]
    flows = np.bincount(group, minlength=len(known))
    shares = np.stack([
        fitted_names(noisy, table.deviation, prior / prior.sum() * n) if n else prior
        for noisy, prior, n in zip(table.counts, known, flows, strict=True)
    ])  # fmt: skip
    cell = drawn(shares + 1e-9, group, rng)
    wanted = np.where(length <= SHORT, np.minimum(cell, length), (2 * cell + 1) * length // (2 * BACK))
    wanted[cell == 0] = 0
    chosen = np.zeros(len(length), np.int64)
    triples = np.stack([of_protocol(protocol), length, wanted], axis=1)
    each, number = np.unique(triples, axis=0, return_inverse=True)
    order = np.argsort(number, kind="stable")
    for (k, packets, answers), own in zip(each, np.split(order, np.cumsum(np.bincount(number))[:-1]), strict=True):
        pool = np.flatnonzero(kind == k)
        pool = pool if len(pool) else np.arange(len(donors))
        far = np.abs(np.log(donors.lengths[pool] / packets)) + np.abs(
            np.log((back[pool] / donors.lengths[pool] + 0.05) / (answers / packets + 0.05))
        )
        chosen[own] = pool[rng.choice(np.flatnonzero(far <= far.min() + NEAR), len(own))]
    return chosen, wanted == 0


def _elsewhere(kind: np.ndarray, share: np.ndarray) -> np.ndarray:
    """float64[groups, BACK]: what flows of each group would look like, had as large a share of their packets gone back as
    of the flows of the protocol (int64[n], float64[n]), whatever their lengths; counts as one flow a group."""
    found = np.zeros((PROTOCOLS * len(BACK_LENGTHS), BACK))
    for length in BACK_LENGTHS:
        group, cell = back_cells(
            PROTOCOL_NUMBERS[kind], np.full(len(kind), length), np.rint(share * length).astype(np.int64)
        )
        np.add.at(found, (group, cell), 1.0)
    return found / np.maximum(found.sum(axis=1, keepdims=True), 1.0)


def _with_totals(
    values: np.ndarray, group: np.ndarray, table: np.ndarray, edges: np.ndarray, owner: np.ndarray, wanted: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """int64[n]: numbers with the shares of `table` in each group, dealt out so that those of an owner add up to about
    what is wanted for it (int64[owners]); within an owner they keep their order."""
    order, pull = np.log1p(values) + 0.05 * rng.random(len(values)), np.zeros(len(wanted))
    found = _moved_numbers(order, values, group, table, edges, rng)
    for _ in range(ROUNDS):
        total = np.bincount(owner, weights=found, minlength=len(wanted))
        pull = np.clip(pull + PACE * (np.log1p(wanted) - np.log1p(total)), -MOST_PULL, MOST_PULL)
        found = _moved_numbers(order + pull[owner], values, group, table, edges, rng)
    return found


def _stretched(sizes: np.ndarray, owner: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """int64[n]: sizes of which the largest ones of an owner are changed where the sum is clearly not as wanted."""
    found = sizes.copy()
    least, most = (np.quantile(sizes, share) if len(sizes) else 0 for share in (0.01, 0.99))
    order = np.lexsort((-sizes, owner))
    begins = np.searchsorted(owner[order], np.arange(len(wanted)))
    count = np.bincount(owner, minlength=len(wanted))
    for place in range(STRETCHED):
        some = np.flatnonzero(count > place)
        row = order[begins[some] + place]
        missing = (wanted - np.bincount(owner, weights=found, minlength=len(wanted)))[some]
        missing[np.abs(missing) < TOLERANCE * wanted[some]] = 0
        changed = np.clip(found[row] + missing, np.minimum(least, found[row]), np.maximum(most, found[row]))
        found[row] = np.rint(changed).astype(np.int64)
    return found


def _moved_numbers(
    order: np.ndarray, values: np.ndarray, group: np.ndarray, table: np.ndarray, edges: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """int64[n]: numbers with the shares of `table` in each group, the smallest where `order` (float64[n]) is; a value
    that fits stays."""
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


def _moved_names(values: np.ndarray, group: np.ndarray, table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: names with the shares of `table`; as few as possible are changed, at random."""
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
