"""A whole run, from a config to synthetic data and their report, in one run folder.

`run` goes through all steps (`netshare.runs.steps`) and skips those that are up to date; `generate` makes more data from a
finished run's models.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netshare.config.in_memory import data_in_memory
from netshare.config.load import ConfigSource, load_config
from netshare.console import Console
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.outputs import check_output, existing_files
from netshare.recipe.flow_sampling import GenerationReport
from netshare.recipe.trace_recipe import without_address_map
from netshare.runs.folder import RELEASE, RunFolder
from netshare.runs.release_folder import write_release
from netshare.runs.steps import CONFIG, RunSteps
from netshare.synthesizer.recipes import recipe_for
from netshare.synthesizer.saved import check_links, read_config

COMMANDS = ("preprocess", "train", "postprocess", "evaluate")
"""What a run can end with, in order."""


@dataclass(frozen=True)
class RunResult:
    """What a run has made: its folder, the files of the synthetic data, the report (None if not asked for), and the folder to
    hand over (None of a run that is not private, which `netshare.release` makes one of)."""

    folder: Path
    outputs: tuple[Path, ...]
    report: Path | None
    release: Path | None = None


def run(
    config: ConfigSource,
    *,
    until: str = "evaluate",
    overrides: Sequence[str] = (),
    work_dir: str | Path | None = None,
    fresh: bool = False,
    console: Console | None = None,
) -> RunResult:
    """Run a config, going on from whatever its run folder already holds.

    Args:
        config: a config, its content as a mapping, the path of a JSON file, paths of traces, or data in memory (a trace, a
            data frame of packets or flow records, a `TimeSeries`, or a mapping whose `input` is one); see `load_config`.
        until: the last command: `preprocess`, `train`, `postprocess` or `evaluate`.
        overrides, work_dir: see `load_config`.
        fresh: forget what the run folder holds.
        console: where progress goes; by default into a notebook, and nowhere else.

    Raises:
        NetshareError: its message says what is wrong and what to do.
    """
    if until not in COMMANDS:
        raise ConfigError(f"until is {until}; it must be one of {', '.join(COMMANDS)}")
    data = data_in_memory(config)
    if data is not None:  # as read, so that it is not read once more
        config = {**config, "input": data} if isinstance(config, Mapping) else data
    loaded = load_config(config, overrides, work_dir=work_dir)
    assert loaded.output.folder is not None
    with RunFolder.open(Path(loaded.output.folder), fresh=fresh) as folder:
        steps = RunSteps(recipe_for(loaded), folder, console or Console.default(), data)
        steps.run(COMMANDS[: COMMANDS.index(until) + 1])
        written = until in ("postprocess", "evaluate")
        released = write_release(steps, folder.path / RELEASE) if written and loaded.privacy.enabled else None
    report = folder.path / "report" / "report.html"
    return RunResult(
        folder.path,
        tuple(sorted((folder.path / "synthetic").glob("synthetic*"))) if written else (),
        report if until == "evaluate" and loaded.evaluate.enabled else None,
        released,
    )


def generate(
    run_folder: str | Path,
    output: str | Path,
    *,
    flows: int | None = None,
    metadata: str | Path | None = None,
    seed: int | None = None,
    force: bool = False,
    console: Console | None = None,
) -> GenerationReport:
    """More data from the models of a finished run, repaired and written to one file.

    Args:
        run_folder: of a run whose models are trained.
        output: the file to write; its suffix says the format.
        flows: distinct five-tuples (of time series: series), by default as many as the run's input has.
        metadata: CSV or Parquet of the flows to make, instead (see `netshare.recipe.given_flows`); they keep their
            addresses, whatever `addresses.prefixes` says.
        seed: the same seed gives the same data; by default another one each time, which the returned report names.
        force: replace the output where it exists; the run's input and its own files are never replaced.
        console: where progress goes; by default into a notebook, and nowhere else.

    Raises:
        RunFolderError, InputError: there are no trained models; the output cannot be written, is an input, or exists;
            `metadata` cannot be read.
    """
    path, seed = Path(output), secrets.randbits(31) if seed is None else seed
    with finished_run(run_folder, console) as steps:
        recipe, prepared = steps.recipe, steps.prepared()
        recipe.check_output(path, prepared)  # what cannot be written is refused before anything is drawn
        check_output(path, inputs=_protected(steps, metadata), force=force)
        given = None
        if metadata is not None:
            recipe = recipe_for(without_address_map(recipe.config))
            given = recipe.read_given(metadata, prepared)
        models = steps.models(prepared)
        data, report = recipe.sample(prepared, models, count=flows, given=given, seed=seed, console=steps.console)
        finished, _ = recipe.finish(data, prepared)
        check_output(path, inputs=_protected(steps, metadata), force=force)  # drawing may have taken long
        recipe.write(finished, prepared, path, seed=seed)
    return report


def _protected(steps: RunSteps, metadata: Any) -> list[Path]:
    """The run's input and its own files, which nothing that is generated from it may replace."""
    own = [path for path in steps.folder.path.rglob("*") if path.is_file()]
    named = [Path(metadata)] if isinstance(metadata, str | Path) else []
    return [*existing_files(steps.recipe.config.input.files), *own, *named]


@contextmanager
def finished_run(run_folder: str | Path, console: Console | None = None) -> Iterator[RunSteps]:
    """The steps of a run whose models are trained, with its folder held by this process meanwhile.

    Raises:
        InputError: no trained models lie there.
    """
    path = Path(run_folder)
    if not (path / "models" / "stage.json").exists():
        raise InputError(
            f"{path}: no trained models here; give the folder of a finished `netshare run` or `netshare train`"
        )
    check_links(path)
    with RunFolder.open(path) as folder:
        config = read_config(path / "models" / CONFIG)
        yield RunSteps(recipe_for(config), folder, console or Console.default())
