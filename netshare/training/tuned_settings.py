"""The setting of a generator that is chosen by trials on the data, once a run and for all its models.

The networks' shapes depend on it, so the seed model and those fine-tuned from it need the same value, and so does
whatever samples from them later. It is chosen before the first model is trained, on the series of the seed model's
chunk, and kept beside the models in `tuned.json`, with the score of every value that was tried. What is tried is declared
by the generator (`netshare.generators.spec.Tuning`). All trials have the same seed and steps, so that the choice is the
same every time.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netshare.generators.registry import GeneratorChoice
from netshare.generators.spec import Tuning
from netshare.preprocess.atomic import write_text
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import RunFolderError
from netshare.preprocess.stored import GET_AGAIN, read_json, shown
from netshare.training.loop import TrainingPlan, train

logger = logging.getLogger(__name__)

TUNED = "tuned.json"
EARLIER_NAME = "settled.json"  # of the same file in run folders of earlier versions
HELD_BACK = 0.2  # share of the series that samples are compared with
MIN_SERIES = 20  # fewer cannot tell one value from another
MAX_COMPARED = 2_000  # series sampled in a trial, and looked at of those held back


@dataclass(frozen=True)
class Tuned:
    """What was chosen, and the score of each value that was tried (empty where there was no choice)."""

    value: Any
    scores: dict[Any, float]


def tune(
    choice: GeneratorChoice,
    data: Callable[[], Encoded],
    models: Path,
    *,
    seed: int,
    device: str,
    threads: int,
    say: Callable[[str], None],
) -> GeneratorChoice:
    """The generator with its open setting chosen: by trials at the first call, from `models / "tuned.json"` later.

    Args:
        choice: as in the config; returned as it is if it leaves nothing open.
        data: returns the seed model's series.
        models: folder that the models are trained in; trials that were interrupted go on there.
        seed: seeds the split, the trials and their samples.
        device, threads: see `netshare.training.loop.train`.
        say: called with a line of text on what is tried, and one on what was chosen.

    Raises:
        TrainingError: a trial's loss is not finite.
    """
    tuning = open_tuning(choice)
    if tuning is None:
        return choice
    if not tuned_file(models).exists():
        name = tuning.setting.replace("_", " ")
        say(f"  trying {name} ...")
        found = run_trials(choice, data(), folder=models / "trials", seed=seed, device=device, threads=threads)
        tried = ", ".join(f"{value}: {score:.3f}" for value, score in found.scores.items())
        say(f"  {name}: {found.value}" + (f" (of {tried})" if tried else ", by the rule"))
        write_text(models / TUNED, json.dumps({tuning.setting: found.value, "scores": found.scores}, indent=1))
    return tuned_choice(choice, models)


def tuned_choice(choice: GeneratorChoice, models: Path) -> GeneratorChoice:
    """The generator with the setting that the models in this folder were trained with.

    Raises:
        RunFolderError: the file of it is missing, or holds no value of the setting.
    """
    tuning = open_tuning(choice)
    if tuning is None:
        return choice
    path = tuned_file(models)
    value = read_json(path).get(tuning.setting)
    try:
        checked = choice.spec.settings.model_validate({**choice.settings.model_dump(), tuning.setting: value})
    except ValueError:
        raise RunFolderError(f"{path}: {tuning.setting} cannot be {shown(value)}; {GET_AGAIN}") from None
    return choice.updated(**{tuning.setting: getattr(checked, tuning.setting)})


def tuned_file(models: Path) -> Path:
    """Where the chosen setting of the models in this folder is kept, or will be."""
    earlier = models / EARLIER_NAME
    return earlier if earlier.exists() else models / TUNED


def choice_by_rule(choice: GeneratorChoice, schema: Schema) -> GeneratorChoice:
    """The generator with its open setting, if any, at the value that is used without trials."""
    tuning = open_tuning(choice)
    return choice if tuning is None else choice.updated(**{tuning.setting: tuning.rule(choice.settings, schema)})


def open_tuning(choice: GeneratorChoice) -> Tuning | None:
    """What has to be tried out for this generator; None where its settings leave nothing open."""
    tuning = choice.spec.tuning
    return tuning if tuning is not None and tuning.is_open(choice.settings) else None


def run_trials(
    choice: GeneratorChoice, data: Encoded, *, folder: Path, seed: int, device: str = "cpu", threads: int = 1
) -> Tuned:
    """The best value of the open setting, each candidate having been trained on four fifths of `data` and its sample
    compared with the rest.

    Args:
        choice: a generator with an open setting.
        data: training series.
        folder: trials are trained here, and it is removed at the end; an interrupted call goes on in it.
        seed, device, threads: see `tune`.

    Raises:
        TrainingError: a trial's loss is not finite.
    """
    tuning = choice.spec.tuning
    assert tuning is not None, f"{choice.kind} has no setting to be tried out"
    candidates = tuning.candidates(data.schema)
    if len(candidates) == 1 or len(data) < MIN_SERIES:
        value = tuning.rule(choice.settings, data.schema)
        logger.info("%s: %s, by the rule (nothing to choose from)", tuning.setting, value)
        return Tuned(value, {})
    order = np.random.default_rng(seed).permutation(len(data))
    held = max(int(HELD_BACK * len(data)), MIN_SERIES // 4)
    learning, compared = data.take(np.sort(order[held:])), data.take(np.sort(order[:held][:MAX_COMPARED]))
    scores: dict[Any, float] = {}
    for value in candidates:
        trial = GeneratorChoice(choice.kind, tuning.trial(choice.settings, value))
        model = trial.build(data.schema, device=device)
        name = f"{tuning.setting.replace('_', '-')}-{value}"
        plan = TrainingPlan(
            name=name, steps=tuning.steps(trial.settings), seed=seed, threads=threads,
            fingerprint=f"{seed} {trial.settings.model_dump_json()} {len(learning)}",
        )  # fmt: skip
        train(model, learning, folder / name, plan)
        scores[value] = tuning.score(compared, model.sample(len(compared), seed=seed))
        logger.info("%s: %s scores %.4f", tuning.setting, value, scores[value])
    best = min(candidates, key=lambda value: (scores[value], value))
    logger.info("%s: %s chosen", tuning.setting, best)
    shutil.rmtree(folder)
    return Tuned(best, scores)
