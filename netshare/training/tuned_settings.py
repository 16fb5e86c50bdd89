"""Settings of the generator that are tried out on the data: settled once a run, shared by all its models.

The networks' shapes depend on them, so the seed model and those fine-tuned from it need the same, and so does whatever
samples from them later. The choice is made before the first model is trained, on the series of the seed model's chunk,
and kept beside the models in `settled.json`, with the score of every value that was tried.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netshare.config.generator import GeneratorSection
from netshare.generators.doppelganger.autotune import choose_records_per_pass
from netshare.preprocess.atomic import write_text
from netshare.preprocess.encoded import Encoded

SETTLED = "settled.json"


def settle_generator(
    section: GeneratorSection,
    data: Callable[[], Encoded],
    models: Path,
    *,
    seed: int,
    device: str,
    threads: int,
    say: Callable[[str], None],
) -> GeneratorSection:
    """The section with every choice made; made at the first call, read from `models / "settled.json"` later.

    Args:
        section: of the config.
        data: the seed model's series.
        models: folder that the models are trained in; trials that were interrupted go on there.
        seed, device, threads: of the trials.
        say: told what is tried and what came of it.

    Raises:
        TrainingError: a trial's loss is not finite.
    """
    if not needs_settling(section):
        return section
    if not (models / SETTLED).exists():
        say("  trying records per pass ...")
        _, tuning = choose_records_per_pass(
            data(), section.doppelganger, folder=models / "trials", seed=seed, device=device, threads=threads
        )
        tried = ", ".join(f"{records}: {score:.3f}" for records, score in tuning.scores.items())
        say(f"  records per pass: {tuning.records_per_pass}" + (f" (of {tried})" if tried else ", by the rule"))
        found: dict[str, Any] = {"records_per_pass": tuning.records_per_pass, "scores": tuning.scores}
        write_text(models / SETTLED, json.dumps(found, indent=1))
    return settled_generator(section, models)


def settled_generator(section: GeneratorSection, models: Path) -> GeneratorSection:
    """The section as the models in this folder were trained with."""
    if not needs_settling(section):
        return section
    records = json.loads((models / SETTLED).read_text())["records_per_pass"]
    own = section.doppelganger.model_copy(update={"records_per_pass": records})
    return section.model_copy(update={"doppelganger": own})


def needs_settling(section: GeneratorSection) -> bool:
    """Whether the section leaves anything to be tried out."""
    return section.kind == "doppelganger" and section.doppelganger.records_per_pass == "auto"
