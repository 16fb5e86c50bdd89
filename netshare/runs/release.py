"""A release of a finished run: the one folder to hand over.

    netshare release RUN                 # fills RUN/release
    netshare release RUN -o campus-2026

A private run makes its release by itself. `netshare.runs.release_folder` says what is in one.
"""

from __future__ import annotations

from pathlib import Path

from netshare.console import Console
from netshare.runs.folder import RELEASE
from netshare.runs.pipeline import finished_run
from netshare.runs.release_folder import write_release


def release(
    run_folder: str | Path,
    output: str | Path | None = None,
    *,
    force: bool = False,
    with_models: bool = False,
    console: Console | None = None,
) -> Path:
    """Fill a folder with what may be handed over of a finished run, and a statement of what that guarantees.

    Args:
        run_folder: of a run that has made synthetic data.
        output: the folder; by default `release/` in the run folder, which is replaced.
        force: replace an earlier release in `output`; anything else there is never replaced.
        with_models: of a run that is not private, release the model, too; of a private one it always is.
        console: where progress goes; by default into a notebook, and nowhere else.

    Returns:
        the folder.

    Raises:
        InputError: there are no synthetic data, or they are out of date; the output cannot be such a folder.
        RunFolderError: a folder is in use, or cannot be written.
    """
    place = Path(run_folder) / RELEASE if output is None else Path(output)
    with finished_run(run_folder, console) as steps:
        return write_release(steps, place, force=force, with_models=with_models)
