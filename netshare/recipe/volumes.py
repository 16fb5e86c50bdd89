"""Volume: a chunk's synthetic series brought to the number of records that its share of the real trace has.

A few flows that lie within the chunk are exchanged for others drawn from the same model, longer or shorter ones as
needed. Long flows are exchanged with a chance in proportion to what they bring, which tilts the model's distribution of
lengths as little as reaching the volume allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from netshare.preprocess.series import SeriesTable
from netshare.recipe.flow_sampling import FlowSampler, StartedFlows
from netshare.recipe.metadata import Metadata
from netshare.seeds import derive_seed

TOLERANCE = 0.02  # of a chunk's records
MAX_ROUNDS = 10  # of exchanging flows, each with new draws ...
MIN_OFFERED = 64  # ... of at least so many flows
FLOWS_PER_EXCHANGE = 20  # at most one flow in so many is exchanged

Measure = Callable[..., SeriesTable]  # (metadata, seed, lengths) -> series with their measurements


def meet_volume(
    table: SeriesTable,
    expected: int,
    sampler: FlowSampler,
    started: StartedFlows,
    measure: Measure,
    rng: np.random.Generator,
) -> SeriesTable:
    """`table` with as many flows exchanged as it needs to come within 2% of `expected` records, but at most one in 20.

    Args:
        table: the chunk's series.
        expected: records.
        sampler, started: draw other flows of this chunk; those that are taken are counted as started.
        measure: draws measurements for metadata.
        rng: of the choice among flows.
    """
    left = len(table) // FLOWS_PER_EXCHANGE
    for attempt in range(MAX_ROUNDS):
        missing = expected - int(table.offsets[-1])
        if abs(missing) <= TOLERANCE * expected or left < 1:
            break
        spare = sampler.new_flows(max(MIN_OFFERED, len(table) // 8), started)
        spare = spare.take(_lies_within(spare.columns))
        if not len(spare):
            continue
        seed = derive_seed(sampler.seed, "exchange", attempt)
        metadata = sampler.codec.encode_metadata(spare.columns)
        lengths = sampler.generator.sample_lengths(metadata, seed=derive_seed(seed, "lengths"))
        others = measure(spare, seed) if lengths is None else None
        offered = others.lengths if others is not None else np.asarray(lengths)
        movable = _lies_within(table.metadata)
        out, into = _choose_exchange(table.lengths, offered, missing, left, movable, rng)
        if not len(out):
            continue
        others = measure(spare.take(into), seed, offered[into]) if others is None else others.take(into)
        left -= len(out)
        sampler.report.exchanged += len(out)
        started.add(Metadata(others.metadata))
        kept = np.setdiff1d(np.arange(len(table)), out)
        table = SeriesTable.concatenate([table.take(kept), others])
    return table


def _choose_exchange(
    lengths: np.ndarray,
    offered: np.ndarray,
    missing: int,
    most: int,
    movable: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Which of the `movable` series of these lengths to exchange for which of those offered (their lengths), at most
    `most`, to gain about `missing` records."""
    mine, theirs = rng.permutation(np.flatnonzero(movable)), rng.permutation(len(offered))
    pairs = min(len(mine), len(theirs))
    mine, theirs = mine[:pairs], theirs[:pairs]
    gain = (offered[theirs] - lengths[mine]) * np.sign(missing)
    least = max(1.0, abs(missing) / (2 * most))  # an exchange for less would use up the number of them
    useful = np.flatnonzero((gain >= least) & (gain <= abs(missing)))
    order = useful[np.argsort(rng.exponential(size=len(useful)) / gain[useful], kind="stable")]
    chosen = order[np.cumsum(gain[order]) <= abs(missing)][:most]
    return mine[chosen], theirs[chosen]


def _lies_within(metadata: Mapping[str, np.ndarray]) -> np.ndarray:
    """bool[n]: series that are all there is of their flow."""
    alone = (metadata["starts_here"] == 1) & (metadata["continued"] == 0) & (metadata["continues"] == 0)
    return alone & (metadata["chunk_tags"].sum(axis=1) == 1)
