"""The recipe for packet and flow traces (NetShare, SIGCOMM 2022): trace -> chunks -> codec -> models -> trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from netshare.config.input import read_input
from netshare.config.schema import Config
from netshare.config.sections import AddressesSection
from netshare.console import Console
from netshare.evaluation import Provenance, Report, evaluate, write_html, write_json
from netshare.fingerprints import array_fingerprint
from netshare.postprocess.assemble import assemble
from netshare.postprocess.writers.write import format_of
from netshare.preprocess.codec import Codec
from netshare.preprocess.parquet import load_parquet, save_parquet
from netshare.preprocess.readers import list_files
from netshare.preprocess.trace import Trace
from netshare.recipe.base import Outcome
from netshare.recipe.finishing import finish_trace
from netshare.recipe.fitting import Models
from netshare.recipe.flow_sampling import GenerationReport
from netshare.recipe.generation import generate_series
from netshare.recipe.given_flows import GivenFlows, read_given_flows
from netshare.recipe.learning import PlainLearning, TraceLearning, section_json
from netshare.recipe.outputs import check_releasable, file_name, formats_for, write_like
from netshare.recipe.preparation import Prepared, Split, check_trace
from netshare.seeds import derive_seed
from netshare.training.devices import threads


class TraceRecipe:
    """See `netshare.recipe.base.Recipe`."""

    changes_when_finished = True

    def __init__(self, config: Config, learning: TraceLearning | None = None) -> None:
        """A recipe by a config; `learning` is the way of learning, by default without privacy."""
        self.config = config
        self.learning = learning or PlainLearning(config)
        self.draws_table, self.looks = self.learning.draws_table, self.learning.looks

    def settings(self, step: str) -> list[Any]:
        """See `Recipe.settings`."""
        config = self.config
        if step == "trace":
            return [section_json(config.input, but={"files"}), *self.learning.settings(step)]
        if step == "generated":
            return [section_json(config.generate, but={"threads"}), config.seed]
        if step == "synthetic":
            return [
                section_json(config.postprocess),
                section_json(config.addresses),
                config.output.formats,
                config.seed,
            ]
        if step == "report":
            return [section_json(config.evaluate)]
        return self.learning.settings(step)

    def files(self) -> list[Path]:
        """See `Recipe.files`."""
        return list_files(self.config.input.files)

    def content_key(self, data: Trace) -> str:
        """See `Recipe.content_key`."""
        return array_fingerprint({**data.columns}, [data.kind, {name: list(t) for name, t in data.categories.items()}])

    def read(self) -> Trace:
        """The config's input, as one trace sorted by time."""
        return read_input(self.config.input)

    def check(self, data: Trace) -> None:
        """See `Recipe.check`."""
        check_trace(data, self.config)

    def describe(self, data: Trace) -> list[str]:
        """What was read and what was not, a line each."""
        what = "packets" if data.kind == "packet" else "flow records"
        lines = [f"{len(data):,} {what} from {len(data.sources)} file(s)"]
        skipped = sorted(data.skipped.items(), key=lambda item: -item[1])
        lines += [f"skipped {count:,}: {reason}" for reason, count in skipped]
        return lines + [f"{source.path}: {note}" for source in data.sources for note in source.notes]

    def split(self, data: Trace) -> Split[Trace]:
        """See `TraceLearning.split`."""
        return self.learning.split(data)

    def charge(self, step: str, look: str, data: Trace, console: Console) -> None:
        """See `TraceLearning.charge`."""
        self.learning.charge(step, look, data, console)

    def table(self, data: Split[Trace], console: Console) -> Trace:
        """See `TraceLearning.table`."""
        return self.learning.table(data, console)

    def prepare(self, data: Split[Trace], console: Console) -> Prepared[Codec]:
        """See `TraceLearning.prepare`."""
        prepared = self.learning.prepare(data, console)
        check_releasable(prepared.known, self.config)
        return prepared

    def load_prepared(self, folder: Path) -> Prepared[Codec]:
        """See `TraceLearning.load`."""
        return self.learning.load(folder)

    def train(self, prepared: Prepared[Codec], folder: Path, key: str, console: Console) -> None:
        """See `TraceLearning.train`."""
        self.learning.train(prepared, folder, key, console)

    def sample(
        self,
        prepared: Prepared[Codec],
        models: Models,
        *,
        count: int | None,
        given: GivenFlows | None = None,
        seed: int,
        console: Console,
    ) -> tuple[Trace, GenerationReport]:
        """See `Recipe.sample`; `given` are the flows to make."""
        contents = prepared.contents
        avoid = prepared.known.five_tuples if self.config.generate.avoid_real_flows else None
        with threads(self.config.training.threads), console.generating(len(contents.chunks)) as progress:
            tables, report = generate_series(
                models,
                prepared.codec,
                contents,
                flows=count or contents.flows,
                avoid=avoid,
                given=given,
                seed=derive_seed(seed, "generate"),
                progress=progress,
            )
        report.seed = seed
        for note in report.notes():
            console.say(f"  {note}")
        return assemble(tables, contents.time), report

    def read_given(self, source: str | Path | pd.DataFrame, prepared: Prepared[Codec]) -> GivenFlows:
        """See `netshare.recipe.given_flows.read_given_flows`."""
        plan, reference = prepared.contents.time, prepared.known
        return read_given_flows(
            source,
            versions=set(reference.ip_versions),
            duration=plan.width * plan.count,
            categories=reference.categories,
        )

    def finish(self, data: Trace, prepared: Prepared[Codec]) -> tuple[Trace, Mapping[str, Any]]:
        """See `netshare.recipe.finishing.finish_trace`."""
        return finish_trace(data, prepared.known, self.config, prepared.address_key)

    def signed(self, data: Trace, prepared: Prepared[Codec], seed: int) -> Trace:
        """See `Recipe.signed`."""
        source = replace(
            prepared.known.source, path="synthetic", records=len(data), notes=(f"sampled with seed {seed}",)
        )
        return replace(data, sources=(source,))

    def save(self, data: Trace, path: Path) -> None:
        """Write Parquet."""
        save_parquet(data, path)

    def load(self, path: Path) -> Trace:
        """Read Parquet."""
        return load_parquet(path)

    def export(self, data: Trace, prepared: Prepared[Codec], folder: Path) -> None:
        """See `Recipe.export`."""
        for name in formats_for(data.kind, self.config):
            source = prepared.known.source
            write_like(data, folder / file_name(name), source, self.config, format=name, seed=self.config.seed)

    def check_output(self, path: Path, prepared: Prepared[Codec]) -> None:
        """See `Recipe.check_output`."""
        format_of(path, prepared.known.source)

    def write(self, data: Trace, prepared: Prepared[Codec], path: Path, *, seed: int) -> None:
        """See `Recipe.write`."""
        write_like(data, path, prepared.known.source, self.config, seed=seed)

    def evaluate(self, real: Split[Trace], decoded: Trace, finished: Trace, outcome: Outcome, fields: Any) -> Report:
        """See `Recipe.evaluate`."""
        return evaluate(
            real.train,
            finished,
            real.holdout,
            provenance=Provenance(
                before_repair=decoded,
                repairs=outcome.repairs,
                extra={
                    "generator": self.config.generator.kind,
                    "generation": outcome.generation,
                    "training": outcome.training,
                    "fields": fields,
                    "skipped at reading": real.full.skipped,
                    "seed": self.config.seed,
                },
            ),
            seed=self.config.seed,
        )

    def write_report(self, report: Report, folder: Path) -> None:
        """Write `report.json` and `report.html` into `folder`."""
        write_json(report, folder / "report.json", force=True)
        write_html(report, folder / "report.html", force=True)

    def documents(self, run_folder: Path) -> None:
        """See `TraceLearning.documents`."""
        self.learning.documents(run_folder)

    def mark(self, report: Report, run_folder: Path) -> Report:
        """See `TraceLearning.mark`."""
        return self.learning.mark(report, run_folder)


def without_address_map(config: Config) -> Config:
    """The config with addresses left where the models draw them: moved ones cannot be compared, and given ones are kept."""
    return config.model_copy(update={"addresses": AddressesSection()})
