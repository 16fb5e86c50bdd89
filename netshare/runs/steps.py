"""The steps of a run, each from what the folder holds to what the next one reads.

    trace -> [table] -> chunks -> models -> generated -> synthetic -> report

A run on disk is a recipe with its steps cached: every step fills one sub-folder of the run folder (`netshare.runs.folder`)
and reads what earlier ones wrote, never what they hold in memory, so that any of them can be the first of a resumed run.
Each has a key, a fingerprint of its settings and of the key before it, keyed with the folder's secret; under an unchanged
key it is skipped. Before a step looks at the input privately, the look is entered in the input's budget.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netshare.console import Console
from netshare.fingerprints import file_fingerprint
from netshare.preprocess.atomic import write_text
from netshare.recipe.address_key import kept_key
from netshare.recipe.base import Outcome, Recipe
from netshare.recipe.fitting import Models, read_models
from netshare.recipe.preparation import Prepared, Split
from netshare.runs.folder import RunFolder
from netshare.training.loop import RESULT

FULL, TRAIN, HOLDOUT = "full.parquet", "train.parquet", "holdout.parquet"
TABLE, GENERATED, SYNTHETIC = "table.parquet", "generated.parquet", "synthetic.parquet"
LOOK = "look.txt"  # identity of a private look, in the folder of the step that looked
HELD_BACK = "held_back.json"  # share of the flows
GENERATION, REPAIRS, CONFIG = "generation.json", "repairs.json", "config.json"


@dataclass(frozen=True)
class Step:
    """One step.

    name: of its folder
    doing: what the console says of it
    until: the command that ends with it: `preprocess`, `train`, `postprocess` or `evaluate`
    key: (key of the step before) -> its own
    work: fills the folder that it is given; its second argument is the key
    """

    name: str
    doing: str
    until: str
    key: Callable[[str], str]
    work: Callable[[Path, str], None]


class RunSteps:
    """The steps of one run folder by one recipe."""

    def __init__(self, recipe: Recipe[Any], folder: RunFolder, console: Console, data: Any = None) -> None:
        """The steps; `data` are what to learn from, where the recipe's config names no files."""
        self.recipe, self.folder, self.console, self.data = recipe, folder, console, data

    def all(self) -> list[Step]:
        """Every step, in order."""
        table = [self._step("table", "counting, privately", "preprocess", self._table)]
        report = [self._step("report", "evaluating", "evaluate", self._report)]
        return [
            Step("trace", "reading the input", "preprocess", self._trace_key, self._trace),
            *(table if self.recipe.draws_table else []),
            self._step("chunks", "cutting into chunks and encoding", "preprocess", self._chunks),
            self._step("models", "training", "train", self._models),
            self._step("generated", "generating", "postprocess", self._generated),
            self._step("synthetic", "rebuilding headers and writing", "postprocess", self._synthetic),
            *(report if self.recipe.config.evaluate.enabled else []),
        ]

    def run(self, until: tuple[str, ...]) -> None:
        """Do the steps that end with one of these commands, as far as they are not up to date."""
        key = ""
        for step in self.all():
            if step.until not in until:
                continue
            key = step.key(key)
            with self.folder.stage(step.name, key) as work:
                self.console.stage(step.doing, skipped=work is None)
                if step.name == "trace" and work is None:
                    self._say_what_stays()
                if work is not None:
                    if step.name in self.recipe.looks:
                        self.recipe.charge(step.name, _identity(work), self.real().full, self.console)
                    step.work(work, key)
            if step.name == "models":
                self.keep_config()

    def keep_config(self) -> None:
        """Write the config beside the models, also where these are up to date: `generate` follows what it says now of
        addresses, repair and snaplen."""
        write_text(self._place("models") / CONFIG, self.recipe.config.model_dump_json(indent=1))
        self.recipe.documents(self.folder.path)

    def real(self) -> Split[Any]:
        """The input, what of it is trained on, and what is held back."""
        place, load = self._place("trace"), self.recipe.load
        holdout = load(place / HOLDOUT) if (place / HOLDOUT).exists() else None
        return Split(load(place / FULL), load(place / TRAIN), holdout)

    def prepared(self) -> Prepared[Any]:
        """What the chunks hold, the codec, and the key of the map of addresses where they are re-mapped."""
        prepared = self.recipe.load_prepared(self._place("chunks"))
        if self.recipe.config.addresses.prefixes:
            return replace(prepared, address_key=kept_key(self.folder.path))
        return prepared

    def models(self, prepared: Prepared[Any]) -> Models:
        """The trained generator of a chunk."""
        return read_models(prepared, self.recipe.config, self._place("models"))

    def _step(self, name: str, doing: str, until: str, work: Callable[[Path, str], None]) -> Step:
        def key(before: str) -> str:
            return self.folder.fingerprint(name, before, *self.recipe.settings(name))

        return Step(name, doing, until, key, work)

    def _place(self, name: str) -> Path:
        return self.folder.path / name

    def _trace_key(self, _: str) -> str:
        if self.data is not None:
            content = [("in memory", self.recipe.content_key(self.data))]
        else:
            content = [(path.name, file_fingerprint(path)) for path in self.recipe.files()]
        return self.folder.fingerprint("trace", content, *self.recipe.settings("trace"))

    def _trace(self, work: Path, _: str) -> None:
        """Files -> all records, those to train on, those held back."""
        data = self.recipe.read() if self.data is None else self.data
        self.recipe.check(data)
        for line in self.recipe.describe(data):
            self.console.say(f"  {line}")
        parts = self.recipe.split(data)
        for name, part in ((FULL, parts.full), (TRAIN, parts.train), (HOLDOUT, parts.holdout)):
            if part is not None:
                self.recipe.save(part, work / name)
        write_text(work / HELD_BACK, json.dumps(self._held_back()))

    def _held_back(self) -> float:
        evaluate = self.recipe.config.evaluate
        return evaluate.holdout if evaluate.enabled else 0.0

    def _say_what_stays(self) -> None:
        """Say where a private run does not hold back what the config says now: others would have to be counted."""
        kept, asked = json.loads((self._place("trace") / HELD_BACK).read_text()), self._held_back()
        if kept != asked and self.recipe.config.evaluate.enabled:
            self.console.say(
                f"  {kept:.0%} of the flows stay held back, not {asked:.0%}: learning from others would look at the input "
                "once more, and spend its budget; --fresh does so"
            )

    def _table(self, work: Path, _: str) -> None:
        """The training records -> the table that is learnt from in their place."""
        self.recipe.save(self.recipe.table(self.real(), self.console), work / TABLE)

    def _chunks(self, work: Path, _: str) -> None:
        """What is learnt from -> chunk plan, codec, encoded series of each chunk."""
        if self.recipe.draws_table:
            table = self.recipe.load(self._place("table") / TABLE)
            data = Split(table, table)
        else:
            data = self.real()
        self.recipe.prepare(data, self.console).save(work)

    def _models(self, work: Path, key: str) -> None:
        """Encoded series -> one trained model a chunk."""
        self.recipe.train(self.prepared(), work, key, self.console)

    def _generated(self, work: Path, _: str) -> None:
        """Trained models -> synthetic data, as decoded."""
        prepared, config = self.prepared(), self.recipe.config
        data, report = self.recipe.sample(
            prepared,
            self.models(prepared),
            count=config.generate.flows,
            given=None,
            seed=config.seed,
            console=self.console,
        )
        self.recipe.save(data, work / GENERATED)
        write_text(work / GENERATION, json.dumps(report.to_json(), indent=1))

    def _synthetic(self, work: Path, _: str) -> None:
        """Decoded data -> finished data, in every format asked for."""
        prepared = self.prepared()
        data, repairs = self.recipe.finish(self.recipe.load(self._place("generated") / GENERATED), prepared)
        write_text(work / REPAIRS, json.dumps(repairs, indent=1))
        self.recipe.export(data, prepared, work)

    def _report(self, work: Path, _: str) -> None:
        """Real, held-back and synthetic data -> report."""
        load, decoded = self.recipe.load, self._place("generated") / GENERATED
        finished = self._place("synthetic") / SYNTHETIC if self.recipe.changes_when_finished else decoded
        outcome = Outcome(
            generation=json.loads((self._place("generated") / GENERATION).read_text()),
            training={p.parent.name: json.loads(p.read_text()) for p in self._place("models").glob(f"*/{RESULT}")},
            repairs=json.loads((self._place("synthetic") / REPAIRS).read_text()),
        )
        fields = self.prepared().codec.describe()
        report = self.recipe.evaluate(self.real(), load(decoded), load(finished), outcome, fields)
        report = self.recipe.mark(report, self.folder.path)
        self.recipe.write_report(report, work)
        self.console.show(report.summary())


def _identity(work: Path) -> str:
    """The identity of the look that this folder is of; an interrupted step finds its own again."""
    place = work / LOOK
    if not place.exists():
        write_text(place, secrets.token_hex(16))
    return place.read_text()
