"""Generate flow series from the models of all chunks, and carry flows across chunk and segment borders.

Chunk by chunk, in time order (NetShare, section 4.3, insight 3):

1. *New flows*: metadata are drawn from the chunk's model until as many flows start here as asked. In a real trace a
   five-tuple starts once, so a draw whose five-tuple has already started, or is among those that must not be made (the
   real ones), is given another ephemeral port near its own; where that does not help it is drawn anew. Drawing all of
   them anew would thin out the busiest pairs of hosts, whose ports are nearly used up.
2. *Continued flows*: flows that earlier chunks tagged for this one keep their five-tuple, label and tags; what is
   particular to the chunk (start, span, whether the series is cut) comes from a *donor*: a draw of this chunk's model
   that does not start here, of the same protocol if there is one.
3. *Segments*: a series tagged `continued` is followed by another of the same flow, which starts where it ended and
   takes span and tags from a donor that continues. There are at most as many of them as the chunk's share of the
   real trace has, rounded up: a chain of segments would otherwise run on where few donors end theirs.
4. *Measurements* are drawn for all of them, given their metadata.
5. *Volume*: where the chunk then has clearly more or fewer records than its share of the real trace, a few flows that
   lie within it are exchanged for others drawn from the same model. Long flows are exchanged with a chance in
   proportion to what they bring, which tilts the model's distribution of lengths as little as reaching the volume
   allows; at most one flow in twenty is exchanged.

Beside the models this uses, for each chunk, the number of flows that start there and of records, and the five-tuples that
must not be made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from netshare.generators.base import Generator
from netshare.preprocess.chunks import ChunkPlan, take_series
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import TrainingError
from netshare.preprocess.flows import five_tuple_keys, number_by_first_appearance
from netshare.preprocess.series import METADATA_OF_FLOW, SeriesTable
from netshare.recipe.flow_sampling import Draw, GenerationReport, Metadata, StartedFlows, concatenate, rows_in, take
from netshare.recipe.given_flows import GivenFlows, cut_to_lengths, spread_over_chunks
from netshare.seeds import derive_seed

MOST_SEGMENTS = 10_000  # series of one flow within one chunk
VOLUME_TOLERANCE = 0.02  # of a chunk's records
EXCHANGES = 10  # rounds of exchanging flows, each with new draws ...
SPARE_FLOWS = 64  # ... of at least so many
MOST_EXCHANGED = 20  # one flow in so many


def share_flows(total: int, weights: Mapping[int, int]) -> dict[int, int]:
    """`total` flows split over chunks in proportion to `weights` (flows that start there in the real trace), by largest
    remainder."""
    chunks = sorted(weights)
    exact = np.array([weights[k] for k in chunks], dtype=float)
    exact = exact / exact.sum() * total
    counts = np.floor(exact).astype(int)
    short = total - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:short]] += 1
    return dict(zip(chunks, counts.tolist(), strict=True))


def generate_series(
    models: Callable[[int], Generator],
    codec: Codec,
    plan: ChunkPlan,
    *,
    starting: Mapping[int, int],
    flows: int,
    seed: int,
    records: Mapping[int, int] | None = None,
    segments: Mapping[int, int] | None = None,
    avoid: Metadata | None = None,
    given: GivenFlows | None = None,
    report: Callable[[int, int], None] | None = None,
) -> tuple[dict[int, SeriesTable], GenerationReport]:
    """Synthetic series of every chunk.

    Args:
        models: the trained generator of a chunk, by chunk number.
        codec: what encoded the training series.
        plan: the chunks.
        starting: number of real flows that start in each non-empty chunk.
        flows: distinct five-tuples to generate in all.
        seed: the same seed gives the same series.
        records: number of real records in each non-empty chunk, if volumes are to be met.
        segments: number of real series in each non-empty chunk that continue another of their chunk, if theirs is to be
            bounded.
        avoid: five-tuple columns of the flows that must not be made, as far as the models draw enough others.
        given: flows to make, instead of new ones; then `flows`, `records` and `avoid` do not count.
        report: told (chunks done, chunks in all).

    Raises:
        TrainingError: no chunk has flows that start in it.
    """
    if sum(starting.values()) < 1:
        raise TrainingError("no flow starts in any chunk, so there is nothing to generate from")
    chunks = sorted(starting)
    if given is None:
        said = GenerationReport(flows_asked=flows, by_chunk=share_flows(flows, starting))
    else:
        begins = spread_over_chunks(given, plan, starting, derive_seed(seed, "given"))
        said = GenerationReport(flows_asked=len(given), by_chunk={k: int((begins == k).sum()) for k in chunks})
        records, avoid, flows = None, None, len(given)
    started = StartedFlows(codec.categories, avoid or {})
    tables: dict[int, SeriesTable] = {}
    for done, chunk in enumerate(chunks):
        rng = np.random.default_rng(derive_seed(seed, "stitch", chunk))
        draw = Draw(models(chunk), codec.at(chunk), plan, chunk, chunks, derive_seed(seed, "metadata", chunk), said)
        if given is None:
            new = draw.new_flows(said.by_chunk[chunk], started)
        else:
            new = draw.given_flows(given, np.flatnonzero(begins == chunk), rng)
        pending = started.tagged_for(chunk)
        started.add(new)
        share = flows / sum(starting.values())
        most = None if segments is None else math.ceil(segments[chunk] * share)
        lengths = None
        if given is not None and given.records is not None and rows_in(new):
            series, lengths = cut_to_lengths(new, given.records[begins == chunk], codec.schema.max_length)
            said.segments += rows_in(series) - rows_in(new)
        else:
            series = _with_segments(concatenate([new, draw.continuing(pending, rng)]), draw, plan, rng, most)
        if rows_in(series):
            table = _measure(series, draw, seed=derive_seed(seed, "measurements", chunk), lengths=lengths)
            if records is not None:
                expected = round(records[chunk] * share)
                said.records_expected += expected
                table = _meet_volume(table, expected, draw, started, rng)
            tables[chunk] = table
            said.records += int(table.offsets[-1])
            said.series += len(table)
        if report is not None:
            report(done + 1, len(chunks))
    said.flows = _distinct(tables)
    return tables, said


def _with_segments(
    series: Metadata, draw: Draw, plan: ChunkPlan, rng: np.random.Generator, most: int | None
) -> Metadata:
    """`series` and, behind them, the further segments of those tagged `continued`, in all at most `most`."""
    parts, last = [series], series
    left = MOST_SEGMENTS * rows_in(series) if most is None else most
    for _ in range(MOST_SEGMENTS):
        if not rows_in(last):
            break
        room = last["start"] + last["span"] < plan.width - 1
        going_on = (last["continued"] == 1) & room
        going_on[rng.permutation(np.flatnonzero(going_on))[left:]] = False
        left -= int(going_on.sum())
        last["continued"] = going_on.astype(np.uint8)
        last = take(last, going_on)
        if not rows_in(last):
            break
        gap = last["span"] // max(draw.codec.schema.max_length - 1, 1)
        last = draw.next_segments(last, gap, rng)
        parts.append(last)
    return concatenate(parts)


def _meet_volume(
    table: SeriesTable, expected: int, draw: Draw, started: StartedFlows, rng: np.random.Generator
) -> SeriesTable:
    """`table` with as many flows exchanged as its volume needs (see the module's docstring)."""
    left = len(table) // MOST_EXCHANGED
    for attempt in range(EXCHANGES):
        missing = expected - int(table.offsets[-1])
        if abs(missing) <= VOLUME_TOLERANCE * expected or left < 1:
            break
        spare = draw.new_flows(max(SPARE_FLOWS, len(table) // 8), started)
        spare = take(spare, _lies_within(spare, draw.chunk))
        if not rows_in(spare):
            continue
        seed = derive_seed(draw.seed, "exchange", attempt)
        lengths = draw.generator.sample_lengths(draw.codec.encode_metadata(spare), seed=derive_seed(seed, "lengths"))
        others = _measure(spare, draw, seed=seed) if lengths is None else None
        offered = others.lengths if others is not None else np.asarray(lengths)
        out, into = _exchange(table.lengths, offered, missing, left, _lies_within(table.metadata, draw.chunk), rng)
        if not len(out):
            continue
        if others is None:
            others = _measure(take(spare, into), draw, seed=seed, lengths=offered[into])
        else:
            others = take_series(others, into)
        left -= len(out)
        draw.said.exchanged += len(out)
        started.add(others.metadata)
        kept = np.setdiff1d(np.arange(len(table)), out)
        table = _joined(take_series(table, kept), others)
    return table


def _exchange(
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


def _lies_within(series: Metadata, chunk: int) -> np.ndarray:
    """bool[n]: series that are all there is of their flow."""
    alone = (series["starts_here"] == 1) & (series["continued"] == 0) & (series["continues"] == 0)
    return alone & (series["chunk_tags"].sum(axis=1) == 1)


def _joined(first: SeriesTable, second: SeriesTable) -> SeriesTable:
    return replace(
        first,
        metadata={name: np.concatenate([v, second.metadata[name]]) for name, v in first.metadata.items()},
        measurements={name: np.concatenate([v, second.measurements[name]]) for name, v in first.measurements.items()},
        offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
    )


def _distinct(tables: Mapping[int, SeriesTable]) -> int:
    whole = concatenate([{name: table.metadata[name] for name in METADATA_OF_FLOW} for table in tables.values()])
    return int(number_by_first_appearance(five_tuple_keys(whole)[0]).max()) + 1


def _measure(series: Metadata, draw: Draw, *, seed: int, lengths: np.ndarray | None = None) -> SeriesTable:
    metadata = draw.codec.encode_metadata(series)
    measurements, offsets = draw.generator.sample_measurements(metadata, seed=seed, lengths=lengths)
    encoded = Encoded(metadata, measurements, offsets, draw.codec.schema)
    return draw.codec.decode_measurements(series, encoded, seed=seed)
