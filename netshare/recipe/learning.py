"""How a trace is learnt from: which of it is held back, how it is cut and encoded, how models are trained.

`netshare.recipe.trace_recipe.TraceRecipe` does all else. This module has the ordinary way; `netshare.privacy` has two
private ones, which look at the input only where their ledger says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from netshare.config.schema import Config
from netshare.console import Console
from netshare.evaluation import Report, split_by_flow
from netshare.preprocess.codec import Codec
from netshare.preprocess.trace import Trace
from netshare.recipe.fitting import fit_models
from netshare.recipe.preparation import Prepared, Split, load_prepared, prepare_trace
from netshare.training.devices import device_of

logger = logging.getLogger(__name__)


class TraceLearning(Protocol):
    """What a way of learning from traces has to say and to do."""

    draws_table: bool
    """Whether what is learnt from is a table drawn by `table`, and not the input itself."""
    looks: tuple[str, ...]
    """See `netshare.recipe.base.Recipe.looks`."""

    def settings(self, step: str) -> list[Any]:
        """JSON-able values that the outcome of a step (`trace`, `table`, `chunks` or `models`) depends on, beside those of
        the steps before."""

    def split(self, trace: Trace) -> Split[Trace]:
        """What is trained on and what is held back."""

    def charge(self, step: str, look: str, data: Trace, console: Console) -> None:
        """See `netshare.recipe.base.Recipe.charge`."""

    def table(self, data: Split[Trace], console: Console) -> Trace:
        """The table to learn from in the input's place; called only where `draws_table` is true."""

    def prepare(self, data: Split[Trace], console: Console) -> Prepared[Codec]:
        """Chunks, codec and encoded series of what is learnt from: the input, or the table drawn."""

    def load(self, folder: Path) -> Prepared[Codec]:
        """What `prepare` made and was saved in `folder`."""

    def train(self, prepared: Prepared[Codec], folder: Path, key: str, console: Console) -> None:
        """Train the models of all chunks in `folder`; see `netshare.recipe.fitting.fit_models`."""

    def documents(self, run_folder: Path) -> None:
        """Write the documents that go with finished models in a run folder."""

    def mark(self, report: Report, run_folder: Path) -> Report:
        """The evaluation's report with the notes that this way of learning requires."""


class PlainLearning:
    """Learning from the input itself, without a privacy guarantee."""

    draws_table = False
    looks: tuple[str, ...] = ()

    def __init__(self, config: Config) -> None:
        self.config = config

    def settings(self, step: str) -> list[Any]:
        """See `TraceLearning.settings`."""
        config = self.config
        if step == "trace":
            return [section_json(config.evaluate), config.seed]
        if step == "chunks":
            sections = (config.fields, config.chunks, config.ip2vec)
            return [*(section_json(each) for each in sections), config.generator.kind]
        if step == "models":
            choice = config.generator.choice()
            lasting = section_json(config.training, but={"checkpoint_seconds", "device"})
            device = torch.device(device_of(config.training.device)).type
            return [choice.kind, section_json(choice.settings), lasting, device, config.seed]
        return []

    def split(self, trace: Trace) -> Split[Trace]:
        """Flows are held back at random; none are where either part would be empty."""
        share = self.config.evaluate.holdout
        if not (self.config.evaluate.enabled and share > 0):
            return Split(trace, trace)
        train, holdout = split_by_flow(trace, 1 - share, self.config.seed)
        if not len(train) or not len(holdout):
            logger.warning("too few flows to hold any back for the evaluation; training on all of them")
            return Split(trace, trace)
        return Split(trace, train, holdout)

    def charge(self, step: str, look: str, data: Trace, console: Console) -> None:
        """Nothing is looked at privately."""

    def table(self, data: Split[Trace], console: Console) -> Trace:
        """The training records themselves."""
        return data.train

    def prepare(self, data: Split[Trace], console: Console) -> Prepared[Codec]:
        """See `netshare.recipe.preparation.prepare_trace`."""
        return prepare_trace(data, self.config)

    def load(self, folder: Path) -> Prepared[Codec]:
        """See `TraceLearning.load`."""
        return load_prepared(folder)

    def train(self, prepared: Prepared[Codec], folder: Path, key: str, console: Console) -> None:
        """See `TraceLearning.train`."""
        fit_models(prepared, self.config, folder, key=key, console=console)

    def documents(self, run_folder: Path) -> None:
        """No note is needed."""

    def mark(self, report: Report, run_folder: Path) -> Report:
        """The report as it is."""
        return report


def section_json(section: Any, but: set[str] | None = None) -> Mapping[str, Any]:
    """A section of the config as JSON-able values, without those in `but`."""
    return section.model_dump(mode="json", exclude=but)
