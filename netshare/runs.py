"""Which kind of run a config asks for: on traces, or on time series of any other kind.

The stages are the same and live in one run folder; what is within them differs (`netshare.pipeline`,
`netshare.series_run`).
"""

from __future__ import annotations

from pathlib import Path

from netshare import pipeline
from netshare.config import Config
from netshare.generation import GenerationReport
from netshare.pipeline import Run, RunResult
from netshare.progress import Console
from netshare.series_run import SeriesRun
from preprocess.errors import InputError


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
    return pipeline.run(config, until=until, fresh=fresh, console=console, kind=_kind_of(config))


def generate(
    run_folder: str | Path,
    output: str | Path,
    *,
    flows: int | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> GenerationReport:
    """More data from the models of a finished run, written to one file.

    Args:
        run_folder: of a run whose models are trained.
        output: the trace or table of series to write; its suffix says the format.
        flows: distinct five-tuples, or series; by default as many as the run's input has.
        seed: another seed gives other data.

    Raises:
        RunFolderError, InputError: there are no trained models; the output cannot be written.
    """
    saved = Path(run_folder) / "models" / "config.json"
    if not (saved.parent / "stage.json").exists():
        raise InputError(
            f"{run_folder}: no trained models here; give the folder of a finished `netshare run` or `netshare train`"
        )
    kind = _kind_of(Config.model_validate_json(saved.read_text()))
    return pipeline.generate(run_folder, output, flows=flows, seed=seed, console=console, kind=kind)


def _kind_of(config: Config) -> type[Run]:
    return SeriesRun if config.preset == "timeseries" else Run
