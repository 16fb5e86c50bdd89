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

import numpy as np

from netshare.generators.base import Generator
from netshare.preprocess.chunks import ChunkPlan
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import TrainingError
from netshare.preprocess.flows import five_tuple_keys, number_by_first_appearance
from netshare.preprocess.series import METADATA_OF_FLOW, SeriesTable
from netshare.recipe.contents import Contents
from netshare.recipe.flow_sampling import FlowSampler, GenerationReport, StartedFlows
from netshare.recipe.given_flows import GivenFlows, cut_to_lengths, spread_over_chunks
from netshare.recipe.metadata import Metadata, concatenate
from netshare.recipe.volumes import meet_volume
from netshare.seeds import derive_seed

MAX_SEGMENTS = 10_000  # series of one flow within one chunk


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
    contents: Contents,
    *,
    flows: int,
    seed: int,
    avoid: Metadata | None = None,
    given: GivenFlows | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[int, SeriesTable], GenerationReport]:
    """Synthetic series of every chunk.

    Args:
        models: the trained generator of a chunk, by chunk number.
        codec: what encoded the training series.
        contents: of the training data: chunks, flows that start in each, and segments; volumes are met where the numbers
            of records are known.
        flows: distinct five-tuples to generate in all.
        seed: the same seed gives the same series.
        avoid: five-tuples that must not be made, as far as the models draw enough others.
        given: flows to make, instead of new ones; then `flows` and `avoid` do not count, and no volume is met.
        progress: called with (chunks done, chunks in all).

    Returns:
        by chunk number its series, and what came of it.

    Raises:
        TrainingError: no chunk has flows that start in it.
    """
    starting, plan = contents.starting, contents.time
    if sum(starting.values()) < 1:
        raise TrainingError("no flow starts in any chunk, so there is nothing to generate from")
    chunks = sorted(starting)
    records = contents.records if given is None else None
    if given is None:
        report = GenerationReport(flows_asked=flows, by_chunk=share_flows(flows, starting))
    else:
        begins = spread_over_chunks(given, plan, starting, derive_seed(seed, "given"))
        report = GenerationReport(flows_asked=len(given), by_chunk={k: int((begins == k).sum()) for k in chunks})
        avoid, flows = None, len(given)
    share = flows / sum(starting.values())
    started = StartedFlows(tuple(codec.categories), avoid or Metadata())
    tables: dict[int, SeriesTable] = {}
    for done, chunk in enumerate(chunks, 1):
        rng = np.random.default_rng(derive_seed(seed, "stitch", chunk))
        sampler = FlowSampler(
            models(chunk),
            codec.at(chunk),
            plan,
            chunk,
            later=[k for k in chunks if k > chunk],
            seed=derive_seed(seed, "metadata", chunk),
            report=report,
        )
        if given is None:
            new = sampler.new_flows(report.by_chunk[chunk], started)
        else:
            new = sampler.given_flows(given, np.flatnonzero(begins == chunk), rng)
        pending = started.tagged_for(chunk)
        started.add(new)
        lengths = None
        if given is not None and given.records is not None and len(new):
            series, lengths = cut_to_lengths(new, given.records[begins == chunk], codec.schema.max_length)
            report.segments += len(series) - len(new)
        else:
            first = concatenate([new, sampler.continuing(pending, rng)])
            series = _with_segments(first, sampler, plan, rng, math.ceil(contents.segments[chunk] * share))
        if len(series):
            measure = _Measuring(sampler)
            table = measure(series, derive_seed(seed, "measurements", chunk), lengths)
            if records is not None:
                expected = round(records[chunk] * share)
                report.records_expected += expected
                table = meet_volume(table, expected, sampler, started, measure, rng)
            tables[chunk] = table
            report.records += int(table.offsets[-1])
            report.series += len(table)
        if progress is not None:
            progress(done, len(chunks))
    report.flows = _distinct(tables)
    return tables, report


def _with_segments(
    series: Metadata, sampler: FlowSampler, plan: ChunkPlan, rng: np.random.Generator, most: int
) -> Metadata:
    """`series` and, behind them, the further segments of those tagged `continued`, in all at most `most`."""
    parts, last, left = [series], series, most
    for _ in range(MAX_SEGMENTS):
        if not len(last):
            break
        room = last["start"] + last["span"] < plan.width - 1
        going_on = (last["continued"] == 1) & room
        going_on[rng.permutation(np.flatnonzero(going_on))[left:]] = False
        left -= int(going_on.sum())
        last["continued"][:] = going_on
        last = last.take(going_on)
        if not len(last):
            break
        gap = last["span"] // max(sampler.codec.schema.max_length - 1, 1)
        last = sampler.next_segments(last, gap, rng)
        parts.append(last)
    return concatenate(parts)


class _Measuring:
    """Draws the measurements of series from their chunk's model, given their metadata."""

    def __init__(self, sampler: FlowSampler) -> None:
        self.generator, self.codec = sampler.generator, sampler.codec

    def __call__(self, series: Metadata, seed: int, lengths: np.ndarray | None = None) -> SeriesTable:
        metadata = self.codec.encode_metadata(series.columns)
        measurements, offsets = self.generator.sample_measurements(metadata, seed=seed, lengths=lengths)
        encoded = Encoded(metadata, measurements, offsets, self.codec.schema)
        return self.codec.decode_measurements(series.columns, encoded, seed=seed)


def _distinct(tables: Mapping[int, SeriesTable]) -> int:
    whole = concatenate([Metadata(table.metadata).only(METADATA_OF_FLOW) for table in tables.values()])
    return int(number_by_first_appearance(five_tuple_keys(whole.columns)[0]).max()) + 1
