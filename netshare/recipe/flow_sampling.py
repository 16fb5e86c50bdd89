"""Draw the metadata of a chunk's flows from its model: new flows, those that continue, and given ones.

`netshare.recipe.generation` says in which order, and what comes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netshare.generators.base import Generator
from netshare.preprocess.chunks import ChunkPlan
from netshare.preprocess.codec import Codec
from netshare.preprocess.flows import five_tuple_keys, number_by_first_appearance
from netshare.preprocess.series import METADATA_OF_FLOW
from netshare.preprocess.trace import CATEGORY_COLUMNS
from netshare.recipe.given_flows import GivenFlows, complete_flows, donors_for
from netshare.seeds import derive_seed

Metadata = dict[str, np.ndarray]
MOST_DRAWS = 30  # metadata rows drawn per new flow before repeated five-tuples and forced starts are accepted
EPHEMERAL = 1024  # ports from here on are a client's own choice
PORT_REACH = (8, 32, 128, 512, 2048, 8192)  # how far a port is moved, in one round after another


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


class StartedFlows:
    """The flows started so far, over all chunks, and the five-tuples that must not be made."""

    def __init__(self, categories: Mapping[str, tuple[str, ...]], avoid: Metadata) -> None:
        self.identity = (*METADATA_OF_FLOW, "chunk_tags", *categories)
        self.parts: list[Metadata] = []
        self.avoid = avoid

    def copy(self) -> StartedFlows:
        """The same flows; what is added to the copy is not added here."""
        other = StartedFlows({}, self.avoid)
        other.identity, other.parts = self.identity, list(self.parts)
        return other

    def add(self, flows: Metadata) -> None:
        """Count these as started."""
        if rows_in(flows):
            self.parts.append({name: flows[name] for name in self.identity if name in flows})

    def fresh(self, candidates: Metadata) -> np.ndarray:
        """bool[n]: candidates whose five-tuple is neither to be avoided nor among the flows started or the candidates
        before them."""
        known = [part for part in (self.avoid, *self.parts) if rows_in(part)]
        whole = {name: np.concatenate([*(part[name] for part in known), candidates[name]]) for name in METADATA_OF_FLOW}
        numbers = number_by_first_appearance(five_tuple_keys(whole)[0])
        first = np.zeros(len(numbers), dtype=bool)
        first[np.unique(numbers, return_index=True)[1]] = True
        return first[len(numbers) - rows_in(candidates) :]

    def tagged_for(self, chunk: int) -> Metadata:
        """Identity of the flows that earlier chunks tagged for this one."""
        if not self.parts:
            return {}
        flows = concatenate(self.parts)
        return take(flows, flows["chunk_tags"][:, chunk] == 1)


class Draw:
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
        self.donors.append(take(rows, rows["starts_here"] == 0))
        return rows

    def new_flows(self, wanted: int, started: StartedFlows) -> Metadata:
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
            others.append(take(rows, ~starts))
            rows = take(rows, starts)
            fresh = self._free_ports(rows, here)
            kept = take(rows, np.flatnonzero(fresh)[:missing])
            refused.append(take(rows, ~fresh))
            self.said.repeated_five_tuples += int((~fresh).sum())
            here.add(kept)
            found.append(kept)
            missing -= rows_in(kept)
        if missing > 0:
            spare = take(concatenate(refused), slice(0, missing)) if refused else {}
            self.said.accepted_repeats += rows_in(spare)
            forced = take(concatenate(others), slice(0, missing - rows_in(spare))) if others else {}
            if rows_in(forced):
                forced = {**forced, "starts_here": np.ones(rows_in(forced), np.uint8)}
                forced["continues"] = np.zeros(rows_in(forced), np.uint8)
            self.said.forced_starts += rows_in(forced)
            found += [spare, forced]
        return concatenate(found)

    def _free_ports(self, rows: Metadata, started: StartedFlows) -> np.ndarray:
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
        donors = take(rows, rows["starts_here"] == 1)
        return complete_flows(given, chosen, donors, chunk=self.chunk, plan=self.plan, rng=rng)

    def continuing(self, flows: Metadata, rng: np.random.Generator) -> Metadata:
        """First series in this chunk of flows from earlier chunks."""
        n = rows_in(flows)
        if n == 0:
            return {}
        self.said.continued += n
        donors = take(pool, pool["continues"] == 0) if rows_in(pool := self._pool()) else {}
        row = self._adopt(flows, donors, rng)
        row["starts_here"] = np.zeros(n, np.uint8)
        row["continues"] = np.zeros(n, np.uint8)
        return row

    def next_segments(self, before: Metadata, gap: np.ndarray, rng: np.random.Generator) -> Metadata:
        """The series that follow `before` (tagged `continued`), `gap` ns after their ends."""
        n = rows_in(before)
        self.said.segments += n
        donors = take(pool, pool["continues"] == 1) if rows_in(pool := self._pool()) else {}
        row = self._adopt(before, donors, rng)
        row["start"] = np.minimum(before["start"] + before["span"] + gap, self.plan.width - 1)
        row["span"] = np.minimum(row["span"], self.plan.width - 1 - row["start"])
        row["starts_here"] = np.zeros(n, np.uint8)
        row["continues"] = np.ones(n, np.uint8)
        return row

    def _pool(self) -> Metadata:
        if not any(rows_in(part) for part in self.donors):
            self.draw(256)
        self.donors = [concatenate(self.donors)]
        return self.donors[0]

    def _adopt(self, flows: Metadata, donors: Metadata, rng: np.random.Generator) -> Metadata:
        """Rows with the identity of `flows` and what is particular to a series from random donors of their protocol."""
        n = rows_in(flows)
        if rows_in(donors) == 0:
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


def rows_in(metadata: Metadata) -> int:
    """How many rows there are; `{}` has none."""
    return len(metadata["protocol"]) if metadata else 0


def take(metadata: Metadata, index: Any) -> Metadata:
    """The rows at `index`, anything that indexes an array."""
    return {name: values[index] for name, values in metadata.items()}


def concatenate(parts: list[Metadata]) -> Metadata:
    """The rows of all parts, one after another."""
    full = [part for part in parts if rows_in(part)]
    if not full:
        return {}
    return {name: np.concatenate([part[name] for part in full]) for name in full[0]}
