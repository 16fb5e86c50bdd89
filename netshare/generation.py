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

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from netshare.generators.base import Generator
from netshare.given_flows import GivenFlows, complete_flows, cut_to_lengths, donors_for, spread_over_chunks
from preprocess.chunks import ChunkPlan, take_series
from preprocess.codec import Codec
from preprocess.encoded import Encoded
from preprocess.errors import TrainingError
from preprocess.flows import five_tuple_keys, number_by_first_appearance
from preprocess.series import METADATA_OF_FLOW, SeriesTable
from preprocess.trace import CATEGORY_COLUMNS

Metadata = dict[str, np.ndarray]
MOST_DRAWS = 30  # metadata rows drawn per new flow before repeated five-tuples and forced starts are accepted
EPHEMERAL = 1024  # ports from here on are a client's own choice
PORT_REACH = (8, 32, 128, 512, 2048, 8192)  # how far a port is moved, in one round after another
MOST_SEGMENTS = 10_000  # series of one flow within one chunk
VOLUME_TOLERANCE = 0.02  # of a chunk's records
EXCHANGES = 10  # rounds of exchanging flows, each with new draws ...
SPARE_FLOWS = 64  # ... of at least so many
MOST_EXCHANGED = 20  # one flow in so many
QUICKLY_DRAWN = 1024  # records


@dataclass
class GenerationReport:
    """What was asked for and what came of it, for the log and the report."""

    flows_asked: int = 0
    flows: int = 0
    records: int = 0
    series: int = 0
    drawn: int = 0  # metadata rows drawn in all
    repeated_five_tuples: int = 0  # draws given up because their five-tuple had already started, or is a real one
    moved_ports: int = 0  # draws whose ephemeral port was moved, because their five-tuple had started or is a real one
    accepted_repeats: int = 0  # such draws that were used all the same, because too few others came
    forced_starts: int = 0  # draws made to start in a chunk whose model drew too few that do
    continued: int = 0  # series that continue a flow from an earlier chunk
    segments: int = 0  # series that continue a flow within a chunk
    without_donor: int = 0  # continued series for which the chunk's model drew no donor
    exchanged: int = 0  # flows exchanged for longer or shorter ones, to meet the chunk's volume
    records_expected: int = 0  # records of as many flows in the real trace, by the chunks' shares
    by_chunk: dict[int, int] = field(default_factory=dict)  # new flows by chunk

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return {**vars(self), "by_chunk": {str(k): v for k, v in self.by_chunk.items()}}


def derive_seed(seed: int, *labels: object) -> int:
    """A seed for one purpose, from the run's seed: 31 bits, independent for different labels."""
    text = ":".join(str(part) for part in (seed, *labels))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little") >> 1


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
    started = _Flows(codec.categories, avoid or {})
    tables: dict[int, SeriesTable] = {}
    for done, chunk in enumerate(chunks):
        rng = np.random.default_rng(derive_seed(seed, "stitch", chunk))
        draw = _Draw(models(chunk), codec.at(chunk), plan, chunk, chunks, derive_seed(seed, "metadata", chunk), said)
        if given is None:
            new = draw.new_flows(said.by_chunk[chunk], started)
        else:
            new = draw.given_flows(given, np.flatnonzero(begins == chunk), rng)
        pending = started.tagged_for(chunk)
        started.add(new)
        share = flows / sum(starting.values())
        most = None if segments is None else math.ceil(segments[chunk] * share)
        lengths = None
        if given is not None and given.records is not None and _rows(new):
            series, lengths = cut_to_lengths(new, given.records[begins == chunk], codec.schema.max_length)
            said.segments += _rows(series) - _rows(new)
        else:
            series = _with_segments(_concatenate([new, draw.continuing(pending, rng)]), draw, plan, rng, most)
        if _rows(series):
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


class _Flows:
    """The flows started so far, over all chunks, and the five-tuples that must not be made."""

    def __init__(self, categories: Mapping[str, tuple[str, ...]], avoid: Metadata) -> None:
        self.identity = (*METADATA_OF_FLOW, "chunk_tags", *categories)
        self.parts: list[Metadata] = []
        self.avoid = avoid

    def copy(self) -> _Flows:
        """The same flows; what is added to the copy is not added here."""
        other = _Flows({}, self.avoid)
        other.identity, other.parts = self.identity, list(self.parts)
        return other

    def add(self, flows: Metadata) -> None:
        if _rows(flows):
            self.parts.append({name: flows[name] for name in self.identity if name in flows})

    def fresh(self, candidates: Metadata) -> np.ndarray:
        """bool[n]: candidates whose five-tuple is neither to be avoided nor among the flows started or the candidates
        before them."""
        known = [part for part in (self.avoid, *self.parts) if _rows(part)]
        whole = {name: np.concatenate([*(part[name] for part in known), candidates[name]]) for name in METADATA_OF_FLOW}
        numbers = number_by_first_appearance(five_tuple_keys(whole)[0])
        first = np.zeros(len(numbers), dtype=bool)
        first[np.unique(numbers, return_index=True)[1]] = True
        return first[len(numbers) - _rows(candidates) :]

    def tagged_for(self, chunk: int) -> Metadata:
        """Identity of the flows that earlier chunks tagged for this one."""
        if not self.parts:
            return {}
        flows = _concatenate(self.parts)
        return _take(flows, flows["chunk_tags"][:, chunk] == 1)


class _Draw:
    """Metadata drawn from one chunk's model: the flows that start here, and the pool of donors."""

    def __init__(
        self,
        generator: Generator,
        codec: Codec,
        plan: ChunkPlan,
        chunk: int,
        chunks: list[int],
        seed: int,
        said: GenerationReport,
    ) -> None:
        self.generator, self.codec, self.plan, self.chunk, self.seed, self.said = (
            generator,
            codec,
            plan,
            chunk,
            seed,
            said,
        )
        self.later = np.zeros(plan.count, dtype=np.uint8)
        self.later[[k for k in chunks if k > chunk]] = 1
        self.donors: list[Metadata] = []
        self.rounds = 0

    def draw(self, n: int) -> Metadata:
        """`n` rows of metadata in natural units, tags made consistent with the chunk."""
        self.rounds += 1
        self.said.drawn += n
        seed = derive_seed(self.seed, self.rounds)
        rows = self.codec.decode_metadata(self.generator.sample_metadata(n, seed=seed), seed=seed)
        tags = rows["chunk_tags"] & self.later
        tags[:, self.chunk] = 1
        rows["chunk_tags"] = tags
        rows["starts_here"] = rows["starts_here"] & (1 - rows["continues"])
        self.donors.append(_take(rows, rows["starts_here"] == 0))
        return rows

    def new_flows(self, wanted: int, started: _Flows) -> Metadata:
        """`wanted` flows that start in this chunk, none with a five-tuple that has started before if it can be had."""
        found: list[Metadata] = []
        refused: list[Metadata] = []
        others: list[Metadata] = []
        missing, budget = wanted, MOST_DRAWS * wanted + 1000
        here = started.copy()
        while missing > 0 and budget > 0:
            n = min(max(64, int(missing * 1.2)), 200_000, budget)
            budget -= n
            rows = self.draw(n)
            starts = rows["starts_here"] == 1
            others.append(_take(rows, ~starts))
            rows = _take(rows, starts)
            fresh = self._free_ports(rows, here)
            kept = _take(rows, np.flatnonzero(fresh)[:missing])
            refused.append(_take(rows, ~fresh))
            self.said.repeated_five_tuples += int((~fresh).sum())
            here.add(kept)
            found.append(kept)
            missing -= _rows(kept)
        if missing > 0:
            spare = _take(_concatenate(refused), slice(0, missing)) if refused else {}
            self.said.accepted_repeats += _rows(spare)
            forced = _take(_concatenate(others), slice(0, missing - _rows(spare))) if others else {}
            if _rows(forced):
                forced = {**forced, "starts_here": np.ones(_rows(forced), np.uint8)}
                forced["continues"] = np.zeros(_rows(forced), np.uint8)
            self.said.forced_starts += _rows(forced)
            found += [spare, forced]
        return _concatenate(found)

    def _free_ports(self, rows: Metadata, started: _Flows) -> np.ndarray:
        """bool[n]: rows whose five-tuple is fresh once ephemeral ports have been moved (in place) where it was not."""
        rng = np.random.default_rng(derive_seed(self.seed, "ports", self.rounds))
        fresh = started.fresh(rows)
        own = {name: rows[name].copy() for name in ("src_port", "dst_port")}
        side = np.where(own["src_port"] >= EPHEMERAL, 0, np.where(own["dst_port"] >= EPHEMERAL, 1, 2))
        for reach in PORT_REACH:
            for number, name in enumerate(own):
                stale = np.flatnonzero(~fresh & (side == number))
                moved = own[name][stale].astype(np.int64) + rng.integers(-reach, reach + 1, len(stale))
                rows[name][stale] = np.clip(moved, EPHEMERAL, 65535)
            self.said.moved_ports -= int(fresh.sum())
            fresh = started.fresh(rows)
            self.said.moved_ports += int(fresh.sum())
        return fresh

    def given_flows(self, given: GivenFlows, chosen: np.ndarray, rng: np.random.Generator) -> Metadata:
        """The given flows numbered `chosen`, which start in this chunk, with all their metadata."""
        if not len(chosen):
            return {}
        rows = self.draw(donors_for(len(chosen)))
        donors = _take(rows, rows["starts_here"] == 1)
        return complete_flows(given, chosen, donors, chunk=self.chunk, plan=self.plan, rng=rng)

    def continuing(self, flows: Metadata, rng: np.random.Generator) -> Metadata:
        """First series in this chunk of flows from earlier chunks."""
        n = _rows(flows)
        if n == 0:
            return {}
        self.said.continued += n
        donors = _take(pool, pool["continues"] == 0) if _rows(pool := self._pool()) else {}
        row = self._adopt(flows, donors, rng)
        row["starts_here"] = np.zeros(n, np.uint8)
        row["continues"] = np.zeros(n, np.uint8)
        return row

    def next_segments(self, before: Metadata, gap: np.ndarray, rng: np.random.Generator) -> Metadata:
        """The series that follow `before` (tagged `continued`), `gap` ns after their ends."""
        n = _rows(before)
        self.said.segments += n
        donors = _take(pool, pool["continues"] == 1) if _rows(pool := self._pool()) else {}
        row = self._adopt(before, donors, rng)
        row["start"] = np.minimum(before["start"] + before["span"] + gap, self.plan.width - 1)
        row["span"] = np.minimum(row["span"], self.plan.width - 1 - row["start"])
        row["starts_here"] = np.zeros(n, np.uint8)
        row["continues"] = np.ones(n, np.uint8)
        return row

    def _pool(self) -> Metadata:
        if not any(_rows(part) for part in self.donors):
            self.draw(256)
        self.donors = [_concatenate(self.donors)]
        return self.donors[0]

    def _adopt(self, flows: Metadata, donors: Metadata, rng: np.random.Generator) -> Metadata:
        """Rows with the identity of `flows` and what is particular to a series from random donors of their protocol."""
        n = _rows(flows)
        if _rows(donors) == 0:
            self.said.without_donor += n
            start = rng.integers(0, self.plan.width, n)
            own: Metadata = {"start": start, "span": np.zeros(n, np.int64), "continued": np.zeros(n, np.uint8)}
        else:
            order = np.argsort(donors["protocol"], kind="stable")
            ordered = donors["protocol"][order]
            low = np.searchsorted(ordered, flows["protocol"], "left")
            high = np.searchsorted(ordered, flows["protocol"], "right")
            low, high = np.where(high > low, low, 0), np.where(high > low, high, len(order))
            chosen = order[rng.integers(low, high)]
            own = {name: donors[name][chosen] for name in ("start", "span", "continued")}
        identity = (*METADATA_OF_FLOW, "chunk_tags", *CATEGORY_COLUMNS)
        return {**{name: flows[name] for name in identity if name in flows}, **own}


def _with_segments(
    series: Metadata, draw: _Draw, plan: ChunkPlan, rng: np.random.Generator, most: int | None
) -> Metadata:
    """`series` and, behind them, the further segments of those tagged `continued`, in all at most `most`."""
    parts, last = [series], series
    left = MOST_SEGMENTS * _rows(series) if most is None else most
    for _ in range(MOST_SEGMENTS):
        if not _rows(last):
            break
        room = last["start"] + last["span"] < plan.width - 1
        going_on = (last["continued"] == 1) & room
        going_on[rng.permutation(np.flatnonzero(going_on))[left:]] = False
        left -= int(going_on.sum())
        last["continued"] = going_on.astype(np.uint8)
        last = _take(last, going_on)
        if not _rows(last):
            break
        gap = last["span"] // max(draw.codec.schema.max_length - 1, 1)
        last = draw.next_segments(last, gap, rng)
        parts.append(last)
    return _concatenate(parts)


def _meet_volume(
    table: SeriesTable, expected: int, draw: _Draw, started: _Flows, rng: np.random.Generator
) -> SeriesTable:
    """`table` with as many flows exchanged as its volume needs (see the module's docstring)."""
    left = len(table) // MOST_EXCHANGED
    for attempt in range(EXCHANGES):
        missing = expected - int(table.offsets[-1])
        if abs(missing) <= VOLUME_TOLERANCE * expected or left < 1:
            break
        spare = draw.new_flows(max(SPARE_FLOWS, len(table) // 8), started)
        spare = _take(spare, _lies_within(spare, draw.chunk))
        if not _rows(spare):
            continue
        seed = derive_seed(draw.seed, "exchange", attempt)
        lengths = draw.generator.sample_lengths(draw.codec.encode_metadata(spare), seed=derive_seed(seed, "lengths"))
        others = _measure(spare, draw, seed=seed) if lengths is None else None
        offered = others.lengths if others is not None else np.asarray(lengths)
        out, into = _exchange(table.lengths, offered, missing, left, _lies_within(table.metadata, draw.chunk), rng)
        if not len(out):
            continue
        if others is None:  # long ones, which take long, are drawn only where they are taken
            drawn = np.union1d(into, np.flatnonzero(offered <= QUICKLY_DRAWN))
            others, into = (
                _measure(_take(spare, drawn), draw, seed=seed, lengths=offered[drawn]),
                np.searchsorted(drawn, into),
            )
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
    whole = _concatenate([{name: table.metadata[name] for name in METADATA_OF_FLOW} for table in tables.values()])
    return int(number_by_first_appearance(five_tuple_keys(whole)[0]).max()) + 1


def _measure(series: Metadata, draw: _Draw, *, seed: int, lengths: np.ndarray | None = None) -> SeriesTable:
    metadata = draw.codec.encode_metadata(series)
    measurements, offsets = draw.generator.sample_measurements(metadata, seed=seed, lengths=lengths)
    encoded = Encoded(metadata, measurements, offsets, draw.codec.schema)
    return draw.codec.decode_measurements(series, encoded, seed=seed)


def _rows(metadata: Metadata) -> int:
    return len(metadata["protocol"]) if metadata else 0


def _take(metadata: Metadata, index: Any) -> Metadata:
    return {name: values[index] for name, values in metadata.items()}


def _concatenate(parts: list[Metadata]) -> Metadata:
    full = [part for part in parts if _rows(part)]
    if not full:
        return {}
    return {name: np.concatenate([part[name] for part in full]) for name in full[0]}
