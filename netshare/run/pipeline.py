"""A whole run, from a config to a synthetic trace and its report, in one run folder; `netshare.run.stages` has its stages.

`run` goes through all of them and skips those that are up to date; `generate` makes more from a finished run's models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netshare.config.schema import Config
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.outputs import check_output, existing_files
from netshare.recipe.flow_sampling import GenerationReport
from netshare.run.console import Console
from netshare.run.folder import RunFolder
from netshare.run.stages import LAST_STAGES, Run, RunResult


def run(config: Config, *, until: str = "evaluate", fresh: bool = False, console: Console | None = None) -> RunResult:
    """Run a config, going on from whatever its run folder already holds.

    Args:
        config: see `load_config`.
        until: the last stage: `preprocess`, `train`, `postprocess` or `evaluate`.
        fresh: forget what the run folder holds.
        console: where progress goes; silent by default.

    Raises:
        NetshareError: its message says what is wrong and what to do.
    """
    if until not in LAST_STAGES:
        raise ConfigError(f"until is {until}; it must be one of {', '.join(LAST_STAGES)}")
    assert config.output.folder is not None
    with RunFolder.open(Path(config.output.folder), fresh=fresh) as folder:
        return _run(config, folder, console).until(until)


def generate(
    run_folder: str | Path,
    output: str | Path,
    *,
    flows: int | None = None,
    metadata: str | Path | None = None,
    seed: int = 0,
    force: bool = False,
    console: Console | None = None,
) -> GenerationReport:
    """More data from the models of a finished run, repaired and written to one file.

    Args:
        run_folder: of a run whose models are trained.
        output: the trace to write; its suffix says the format.
        flows: distinct five-tuples, by default as many as the run's input has.
        metadata: CSV or Parquet of the flows to make, instead (see `netshare.recipe.given_flows`); they keep their addresses,
            whatever `addresses.prefixes` says.
        seed: another seed gives another trace.
        force: replace the output where it exists; the run's input and its own files are never replaced.

    Raises:
        RunFolderError, InputError: there are no trained models; the output cannot be written, is an input, or exists;
            `metadata` cannot be read.
    """
    path = Path(run_folder)
    if not (path / "models" / "stage.json").exists():
        raise InputError(
            f"{path}: no trained models here; give the folder of a finished `netshare run` or `netshare train`"
        )
    with RunFolder.open(path) as folder:
        config = Config.model_validate_json((path / "models" / "config.json").read_text())
        inputs = [*existing_files(config.input.files), *path.rglob("*"), *([] if metadata is None else [metadata])]
        check_output(output, inputs=inputs, force=force)
        return _run(config, folder, console).write_more(Path(output), flows=flows, metadata=metadata, seed=seed)


@contextmanager
def open_run(config: Config, path: Path) -> Iterator[Run]:
    """The stages of a run whose folder exists, held by this process meanwhile."""
    with RunFolder.open(path) as folder:
        yield _run(config, folder, None)


def _run(config: Config, folder: RunFolder, console: Console | None) -> Run:
    if config.preset == "timeseries":
        from netshare.run.series_run import SeriesRun

        return SeriesRun(config, folder, console or Console.silent())
    if config.privacy.enabled and config.privacy.method == "marginals":
        from netshare.run.counts_run import MarginalRun

        return MarginalRun(config, folder, console or Console.silent())
    if config.privacy.enabled:
        from netshare.run.gradients_run import PrivateRun

        return PrivateRun(config, folder, console or Console.silent())
    return Run(config, folder, console or Console.silent())
