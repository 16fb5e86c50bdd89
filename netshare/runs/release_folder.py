"""The folder that leaves: filled file by file from a list of what may, never by leaving out what may not.

    release/
      STATEMENT.txt       what was promised and what was not, in plain words first
      statement.json      the same for programs, with the SHA-256 of every other file
      report.json         what can be said of the synthetic data without the input
      synthetic/          the synthetic data in every format of the run
      model/              as `Synthesizer.save` lays it out; only where the models are private, or where it is asked for

No fingerprint, size, time, path, seed or memory figure of the input or of the run is in it: nothing is copied from the
run folder but the synthetic files, and all else is written anew from values that are named here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from netshare.config.schema import Config
from netshare.evaluation.metrics.consistency import consistency_tests
from netshare.preprocess.atomic import write_text
from netshare.preprocess.errors import InputError, RunFolderError
from netshare.preprocess.flows import group_flows
from netshare.preprocess.trace import Trace
from netshare.privacy.accounting import InputBudget, Ledger, Spent, read_ledger
from netshare.recipe.fitting import read_weights
from netshare.recipe.preparation import chunk_folder
from netshare.runs.folder import RELEASE
from netshare.runs.release_statement import Facts, as_json, as_text
from netshare.runs.steps import GENERATED, LOOK, REPAIRS, SYNTHETIC, RunSteps
from netshare.synthesizer import saved
from netshare.training.loop import SAMPLING
from netshare.training.tuned_settings import tuned_file

TEXT, JSON, REPORT = "STATEMENT.txt", "statement.json", "report.json"
COMPARED = ("field", "title", "measure", "synthetic", "floor", "ratio")
"""What is released of a distance to the input, where the run is not private."""


def write_release(steps: RunSteps, output: Path, *, force: bool = False, with_models: bool = False) -> Path:
    """Fill a folder with what may be handed over of a finished run.

    Args:
        steps: of the run, whose folder is held.
        output: the new folder; the run's own `release/` is replaced, another release only with `force`.
        force: whether an earlier release gives way.
        with_models: release the model of a run that is not private as well.

    Returns:
        `output`.

    Raises:
        InputError: the run has no synthetic data that are up to date, or the output cannot be such a folder.
        RunFolderError: the output cannot be written.
    """
    _check_current(steps)
    _check_place(output, steps.folder.path, force)
    ledger = read_ledger(steps.folder.path) if steps.recipe.config.privacy.enabled else None
    guaranteed = ledger is not None and ledger.secure_rng
    partial = output.with_name(f".{output.name}-partial")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        _copy_synthetic(steps.folder.path / "synthetic", partial / "synthetic")
        write_text(partial / REPORT, json.dumps(_report(steps, compared=ledger is None), indent=1))
        if guaranteed or with_models:
            _write_model(steps, partial / "model")
        facts = Facts(
            files={str(path.relative_to(partial)): _sha256(path) for path in _files(partial)},
            has_model=guaranteed or with_models,
            ledger=ledger,
            spent=None if ledger is None else _spent(steps, ledger),
        )
        write_text(partial / JSON, json.dumps(as_json(facts), indent=1))
        write_text(partial / TEXT, as_text(facts))
        if output.exists():
            shutil.rmtree(output)
        partial.replace(output)
    except OSError as error:
        raise RunFolderError(
            f"{output}: cannot be written ({error.strerror or error}); choose another folder"
        ) from None
    return output


def _check_current(steps: RunSteps) -> None:
    """Refuse a run whose synthetic data are missing, or were not made by its present models and settings."""
    folder = steps.folder
    key = folder.key_of("models")
    for step in steps.all():
        if step.name in ("generated", "synthetic"):
            key = step.key(key)
            if not folder.is_current(step.name, key):
                raise InputError(
                    f"{folder.path}: no synthetic data of its present models and settings; `netshare run` makes them"
                )


def _check_place(output: Path, run: Path, force: bool) -> None:
    own, place = (run / RELEASE).resolve(), output.resolve()
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise InputError(f"{output}: is no folder; name a new one")
    if place != own and place.is_relative_to(run.resolve()):
        raise InputError(f"{output}: lies in the run folder, which is not to be handed over; choose another folder")
    if not output.exists() or not any(output.iterdir()):
        return
    if not (output / JSON).is_file():
        raise InputError(f"{output}: holds something that is no release; choose a new folder")
    if not force and place != own:
        raise InputError(
            f"{output}: holds a release already; choose a new folder, or replace it with --force (force=True)"
        )


def _copy_synthetic(source: Path, place: Path) -> None:
    place.mkdir()
    for path in sorted(source.glob("synthetic*")):
        if path.is_file() and not path.is_symlink():
            shutil.copyfile(path, place / path.name)


def _report(steps: RunSteps, *, compared: bool) -> dict[str, Any]:
    """What follows from the synthetic data alone; with `compared` also how near they come to the input, by field."""
    folder = steps.folder
    finished = folder.path / "synthetic" / SYNTHETIC
    if not steps.recipe.changes_when_finished:
        finished = folder.path / "generated" / GENERATED
    data = steps.recipe.load(finished)
    found: dict[str, Any] = {"records": len(data)}
    if isinstance(data, Trace):
        found |= {"kind": data.kind, "flows": len(group_flows(data))}
        found["consistency"] = [
            {"test": each.test, "of": each.of, "tested": each.tested, "passed": each.passed}
            for each in consistency_tests(data)
        ]
    found["repairs"] = json.loads((folder.path / "synthetic" / REPAIRS).read_text())
    report = folder.path / "report" / "report.json"
    if compared and report.exists() and folder.is_current("report", steps.all()[-1].key(folder.key_of("synthetic"))):
        whole = json.loads(report.read_text())
        found["comparison_with_the_input"] = {
            "geometric_mean_ratio": whole["geometric_mean_ratio"],
            "distances": [{name: row.get(name) for name in COMPARED} for row in whole["distances"]],
        }
    return found


def _write_model(steps: RunSteps, place: Path) -> None:
    """The model without real five-tuples, and without the run's seed, which its addresses may follow from."""
    config, models = steps.recipe.config, steps.folder.path / "models"
    prepared = steps.prepared()
    weights = {chunk: read_weights(chunk_folder(models, chunk) / SAMPLING) for chunk in prepared.contents.chunks}
    tuned = tuned_file(models)
    saved.save(place, _nameless(config), prepared, weights, tuned.read_text() if tuned.exists() else None)


def _nameless(config: Config) -> Config:
    changes = {
        "seed": 0,
        "generate": config.generate.model_copy(update={"avoid_real_flows": False}),
        "addresses": config.addresses.model_copy(update={"avoid_real": False}),
    }
    return config.model_copy(update=changes)


def _spent(steps: RunSteps, ledger: Ledger) -> Spent | None:
    """What all looks at this run's input cost up to now; None where they are not in the ledger of this user."""
    places = [steps.folder.path / name / LOOK for name in steps.recipe.looks]
    if not all(place.exists() for place in places):
        return None
    return InputBudget.open().spent([place.read_text() for place in places], ledger.plan)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
