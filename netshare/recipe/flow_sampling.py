"""Flow sampling: metadata of a chunk's flows drawn from its model, be they new, continued from earlier chunks, or given.

`netshare.recipe.generation` says in which order, and what comes of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from netshare.recipe.metadata import Metadata, concatenate
from netshare.seeds import derive_seed

MAX_DRAWS_PER_FLOW = 30  # metadata rows drawn per new flow before repeated five-tuples and forced starts are accepted
FIRST_EPHEMERAL_PORT = 1024  # ports from here on are a client's own choice
PORT_REACH = (8, 32, 128, 512, 2048, 8192)  # how far a port is moved, in one round after another
LAST_PORT = 65535


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
    seed: int = 0  # draws the same again, from the same models
    by_chunk: dict[int, int] = field(default_factory=dict)  # new flows by chunk

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return {**vars(self), "by_chunk": {str(k): v for k, v in self.by_chunk.items()}}

    def notes(self) -> list[str]:
        """What a user should know, a line each."""
        lines = [f"{self.flows:,} flows, {self.records:,} records"]
        if self.accepted_repeats or self.forced_starts:
            lines.append(
                f"{self.accepted_repeats:,} flows repeat a five-tuple and {self.forced_starts:,} were made to start "
                "in their chunk: the model drew too few others"
            )
        return lines


class StartedFlows:
    """The flows started so far, over all chunks, and the five-tuples that must not be made."""

    def __init__(self, categories: Sequence[str], avoid: Metadata) -> None:
        self.identity = (*METADATA_OF_FLOW, "chunk_tags", *categories)
        self.parts: list[Metadata] = []
        self.avoid = avoid

    def copy(self) -> StartedFlows:
        """The same flows; what is added to the copy is not added here."""
        other = StartedFlows((), self.avoid)
        other.identity, other.parts = self.identity, list(self.parts)
        return other

    def add(self, flows: Metadata) -> None:
        """Count these as started."""
        if len(flows):
            self.parts.append(flows.only(self.identity))

    def fresh(self, candidates: Metadata) -> np.ndarray:
        """bool[n]: candidates whose five-tuple is neither to be avoided nor among the flows started or the candidates
        before them."""
        known = [part for part in (self.avoid, *self.parts) if len(part)]
        whole = {name: np.concatenate([*(part[name] for part in known), candidates[name]]) for name in METADATA_OF_FLOW}
        numbers = number_by_first_appearance(five_tuple_keys(whole)[0])
        first = np.zeros(len(numbers), dtype=bool)
        first[np.unique(numbers, return_index=True)[1]] = True
        return first[len(numbers) - len(candidates) :]

    def tagged_for(self, chunk: int) -> Metadata:
        """Identity of the flows that earlier chunks tagged for this one."""
        flows = concatenate(self.parts)
        return flows.take(flows["chunk_tags"][:, chunk] == 1) if len(flows) else flows


class FlowSampler:
    """Draws from one chunk's model: the flows that start in the chunk, and the pool of donors for those that go on."""

    def __init__(
        self,
        generator: Generator,
        codec: Codec,
        plan: ChunkPlan,
        chunk: int,
        *,
        later: Sequence[int],
        seed: int,
        report: GenerationReport,
    ) -> None:
        """A sampler for `chunk`, whose flows may go on in the chunks `later`; `codec` encodes for this chunk."""
        self.generator, self.codec, self.plan, self.chunk = generator, codec, plan, chunk
        self.seed, self.report = seed, report
        self.later = np.zeros(plan.count, dtype=np.uint8)
        self.later[list(later)] = 1
        self.donors: list[Metadata] = []
        self.rounds = 0

    def draw(self, n: int) -> Metadata:
        """`n` rows of metadata in natural units, tags made consistent with the chunk."""
        self.rounds += 1
        self.report.drawn += n
        seed = derive_seed(self.seed, self.rounds)
        rows = Metadata(self.codec.decode_metadata(self.generator.sample_metadata(n, seed=seed), seed=seed))
        tags = rows["chunk_tags"] & self.later
        tags[:, self.chunk] = 1
        rows = rows.having(chunk_tags=tags, starts_here=rows["starts_here"] & (1 - rows["continues"]))
        self.donors.append(rows.take(rows["starts_here"] == 0))
        return rows

    def new_flows(self, wanted: int, started: StartedFlows) -> Metadata:
        """`wanted` flows that start in this chunk, none with a five-tuple that has started before if it can be had."""
        found: list[Metadata] = []
        refused: list[Metadata] = []
        others: list[Metadata] = []
        missing, budget = wanted, MAX_DRAWS_PER_FLOW * wanted + 1000
        here = started.copy()
        while missing > 0 and budget > 0:
            n = min(max(64, int(missing * 1.2)), 200_000, budget)
            budget -= n
            rows = self.draw(n)
            starts = rows["starts_here"] == 1
            others.append(rows.take(~starts))
            rows, fresh = self._free_ports(rows.take(starts), here)
            kept = rows.take(np.flatnonzero(fresh)[:missing])
            refused.append(rows.take(~fresh))
            self.report.repeated_five_tuples += int((~fresh).sum())
            here.add(kept)
            found.append(kept)
            missing -= len(kept)
        if missing > 0:
            repeats = concatenate(refused).take(slice(0, missing))
            self.report.accepted_repeats += len(repeats)
            forced = concatenate(others).take(slice(0, missing - len(repeats)))
            self.report.forced_starts += len(forced)
            found += [repeats, forced.having(starts_here=1, continues=0) if len(forced) else forced]
        return concatenate(found)

    def given_flows(self, given: GivenFlows, chosen: np.ndarray, rng: np.random.Generator) -> Metadata:
        """The given flows numbered `chosen`, which start in this chunk, with all their metadata."""
        if not len(chosen):
            return Metadata()
        rows = self.draw(donors_for(len(chosen)))
        donors = rows.take(rows["starts_here"] == 1)
        return complete_flows(given, chosen, donors, chunk=self.chunk, plan=self.plan, rng=rng)

    def continuing(self, flows: Metadata, rng: np.random.Generator) -> Metadata:
        """First series in this chunk of flows from earlier chunks."""
        if not len(flows):
            return Metadata()
        self.report.continued += len(flows)
        return self._adopt(flows, self._donors(continues=0), rng).having(starts_here=0, continues=0)

    def next_segments(self, before: Metadata, gap: np.ndarray, rng: np.random.Generator) -> Metadata:
        """The series that follow `before` (tagged `continued`), `gap` ns after their ends."""
        self.report.segments += len(before)
        rows = self._adopt(before, self._donors(continues=1), rng)
        start = np.minimum(before["start"] + before["span"] + gap, self.plan.width - 1)
        span = np.minimum(rows["span"], self.plan.width - 1 - start)
        return rows.having(start=start, span=span, starts_here=0, continues=1)

    def _free_ports(self, rows: Metadata, started: StartedFlows) -> tuple[Metadata, np.ndarray]:
        """The rows with ephemeral ports moved where their five-tuple was not fresh, and bool[n]: the rows that are fresh
        then."""
        rng = np.random.default_rng(derive_seed(self.seed, "ports", self.rounds))
        fresh = started.fresh(rows)
        own = {name: rows[name] for name in ("src_port", "dst_port")}
        rows = rows.having(**{name: ports.copy() for name, ports in own.items()})
        ephemeral = [ports >= FIRST_EPHEMERAL_PORT for ports in own.values()]
        side = np.where(ephemeral[0], 0, np.where(ephemeral[1], 1, 2))
        for reach in PORT_REACH:
            for number, name in enumerate(own):
                stale = np.flatnonzero(~fresh & (side == number))
                moved = own[name][stale].astype(np.int64) + rng.integers(-reach, reach + 1, len(stale))
                rows[name][stale] = np.clip(moved, FIRST_EPHEMERAL_PORT, LAST_PORT)
            self.report.moved_ports -= int(fresh.sum())
            fresh = started.fresh(rows)
            self.report.moved_ports += int(fresh.sum())
        return rows, fresh

    def _donors(self, *, continues: int) -> Metadata:
        """Draws that do not start in this chunk: first series of it (0), or later ones (1)."""
        if not any(len(part) for part in self.donors):
            self.draw(256)
        pool = concatenate(self.donors)
        self.donors = [pool]
        return pool.take(pool["continues"] == continues) if len(pool) else pool

    def _adopt(self, flows: Metadata, donors: Metadata, rng: np.random.Generator) -> Metadata:
        """Rows with the identity of `flows`, and what is particular to a series from random donors of their protocol."""
        n = len(flows)
        own: Mapping[str, np.ndarray]
        if not len(donors):
            self.report.without_donor += n
            start = rng.integers(0, self.plan.width, n)
            own = {"start": start, "span": np.zeros(n, np.int64), "continued": np.zeros(n, np.uint8)}
        else:
            order = np.argsort(donors["protocol"], kind="stable")
            ordered = donors["protocol"][order]
            low = np.searchsorted(ordered, flows["protocol"], "left")
            high = np.searchsorted(ordered, flows["protocol"], "right")
            low, high = np.where(high > low, low, 0), np.where(high > low, high, len(order))
            chosen = order[rng.integers(low, high)]
            own = {name: donors[name][chosen] for name in ("start", "span", "continued")}
        return flows.only((*METADATA_OF_FLOW, "chunk_tags", *CATEGORY_COLUMNS)).having(**own)
