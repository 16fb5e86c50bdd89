"""What a private run declares instead of measuring it, and what it takes from the public trace.

Everything here follows from the config and from public files; nothing looks at the private input, except
`check_different`, which refuses to run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from netshare.config.schema import Config
from netshare.console import Console
from netshare.evaluation import split_by_flow
from netshare.fingerprints import array_fingerprint, file_fingerprint
from netshare.preprocess.chunks import NANOSECONDS, ChunkPlan
from netshare.preprocess.flows import FlowKey
from netshare.preprocess.outputs import existing_files
from netshare.preprocess.readers import list_files
from netshare.preprocess.trace import Kind, Trace
from netshare.privacy.accounting import InputBudget, Look, Mechanism
from netshare.privacy.accounting.plan import chunk_count, make_plan
from netshare.privacy.noise import Randomness, SecureRandomness, SeededRandomness
from netshare.privacy.public import check_different, public_files, read_public
from netshare.privacy.units import UnitBounds
from netshare.recipe.preparation import Split, check_trace, flow_key
from netshare.recipe.reference import Reference
from netshare.seeds import derive_seed

logger = logging.getLogger(__name__)


NOT_COUNTED = frozenset(
    {
        "lifetime_epsilon",
        "public",
        "public_ip2vec",
        "clip_norm",
        "batch",
        "max_chunks_per_unit",
        "counts_share",
        "method",
    }
)
"""Settings of the section `privacy` that change nothing of what is counted; the content of public files counts by itself."""


class Declared:
    """Declared facts of one private run."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.kind: Kind = config.trace_kind
        self.flow_key: FlowKey = flow_key(config, self.kind)
        self.hosts: list[str] = config.privacy.bounds.hosts if config.privacy.unit == "host" else []

    @property
    def chunks(self) -> ChunkPlan:
        """The declared time window, cut into the declared chunks."""
        bounds, chunks, count = self.config.privacy.bounds, self.config.chunks, chunk_count(self.config)
        assert bounds.seconds is not None
        width = chunks.seconds if chunks.seconds is not None else bounds.seconds / count
        return ChunkPlan(bounds.begin_ns, max(1, round(width * NANOSECONDS)), count)

    @property
    def public_files(self) -> list[Path]:
        """Files of the public trace."""
        return public_files(self.config.privacy.public, self.kind)

    def public_fingerprints(self) -> dict[str, str]:
        """Hashes of the public files, by name."""
        return {path.name: file_fingerprint(path) for path in self.public_files}

    def public_trace(self) -> Trace:
        """The public trace."""
        inputs = list_files(self.config.input.files) if self.config.input.files else []
        trace = read_public(self.public_files, inputs, self.kind)
        check_trace(trace, self.config)
        return trace

    def reference(self, public: Trace) -> Reference:
        """What synthetic traces follow: the public trace; no flow of the input is known, so none is avoided."""
        return Reference.of(public, public, with_flows=False)

    def split(self, trace: Trace) -> Split[Trace]:
        """Flows are held back by a hash of each alone, so that no flow's presence moves another."""
        evaluate = self.config.evaluate
        if not (evaluate.enabled and evaluate.holdout > 0):
            return Split(trace, trace)
        return Split(trace, *split_by_flow(trace, 1 - evaluate.holdout, self.config.seed))

    def unit_bounds(self, *, max_chunks: int | None = None) -> UnitBounds:
        """What one unit may contribute at most; in how many chunks, where these are learnt one by one."""
        privacy = self.config.privacy
        bounds = UnitBounds(self.flow_key, privacy.bounds.max_records, self.hosts, privacy.max_flows_per_unit)
        return bounds if max_chunks is None else replace(bounds, max_chunks=max_chunks)

    def charge(self, look: str, data: Trace, mechanisms: Sequence[Mechanism], console: Console) -> None:
        """Enter a look at the input in its budget (`netshare.privacy.accounting.InputBudget`), and say what is spent in all;
        an input that is the public trace is refused first.

        Args:
            look: identity of the look.
            data: all records of the input; they and the input's files are recognised when they are looked at again.
            mechanisms: those of the plan that the look is made of; further ones of the plan follow later.

        Raises:
            ConfigError: `privacy.lifetime_epsilon` would be exceeded, or the input is public.
            RunFolderError: the budget cannot be read or written.
        """
        privacy, plan = self.config.privacy, make_plan(self.config)
        check_different(self.public_trace(), data)
        names = self.config.input.files
        files = [file_fingerprint(path) for path in existing_files(names)]
        contents = (*files, array_fingerprint(data.columns, data.kind))
        unit = "host" if privacy.unit == "host" else f"{self.flow_key} flow"
        first = plan.counting in mechanisms
        spent = InputBudget.open().charge(
            Look(look, contents, unit, plan, tuple(mechanisms), privacy.secure_rng),
            limit=privacy.lifetime_epsilon,
            upcoming=[each for each in plan.mechanisms if first and each not in mechanisms],
        )
        limit = "" if privacy.lifetime_epsilon is None else f" (at most {privacy.lifetime_epsilon:g} are allowed)"
        console.say(f"  {spent.text()}{limit}")

    def randomness(self, *purpose: object) -> Randomness:
        """Where noise comes from: the system's secure source, or, for tests only, the seed."""
        if self.config.privacy.secure_rng:
            return SecureRandomness()
        logger.warning("privacy.secure_rng is false: noise follows from the seed, so this run guarantees nothing")
        return SeededRandomness(derive_seed(self.config.seed, "privacy", *purpose))


def report_left_out(left_out: int, records: int, console: Console) -> None:
    """Tell the data holder how many of the training records the declared bounds leave out; these lines are private."""
    if left_out:
        console.say(
            f"  {left_out:,} of {records:,} training records are outside the declared bounds and are not learnt "
            "from (this line is private)"
        )
    if 2 * left_out > records:
        console.say(
            "  WARNING: that is more than half of them; look at privacy.bounds.begin and seconds (the capture's time "
            "is UTC) and, with unit host, hosts"
        )
