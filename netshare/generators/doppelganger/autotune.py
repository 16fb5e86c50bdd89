"""How many records an LSTM pass emits (S in the DoppelGANger paper, section 4.1.1), tried out on the data.

Few passes remember long series better, many draw each record more freely; the paper recommends about 50 passes for the
longest series. With `records_per_pass: "auto"` the values of S that make about 100, 50, 25 and 10 passes are each given
a model, trained for `autotune_steps` steps on four fifths of the series, and sampled; the one whose sample is nearest to
the fifth that was held back is kept. All trials have the same seed and steps, so the choice is the same every time.

    settings, tuning = choose_records_per_pass(encoded, settings, folder=folder, seed=1)

How near is `score` of `netshare.generators.doppelganger.distances`.
"""

from __future__ import annotations

import logging
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netshare.generators.doppelganger.distances import score
from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Encoded
from netshare.training.loop import train

logger = logging.getLogger(__name__)

PASSES = (100, 50, 25, 10)  # of the longest series, about
HELD_BACK = 0.2
FEWEST_SERIES = 20  # fewer cannot tell one S from another
MOST_COMPARED = 2_000  # series sampled in a trial, and looked at of those held back


@dataclass(frozen=True)
class Tuning:
    """What was chosen: `records_per_pass`, and the score of each value tried (empty where there was no choice)."""

    records_per_pass: int
    scores: dict[int, float]


def choose_records_per_pass(
    data: Encoded,
    settings: DoppelGANgerSettings,
    *,
    folder: Path,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
) -> tuple[DoppelGANgerSettings, Tuning]:
    """Settings with a number in the place of `records_per_pass: "auto"`, and how it was found.

    Args:
        data: training series.
        settings: as they came; returned as they are unless `records_per_pass` is `"auto"`.
        folder: trials are trained here, and it is removed at the end; an interrupted call goes on in it.
        seed: seeds the split, the trials and their samples.
        device, threads: see `netshare.training.loop.train`.

    Raises:
        TrainingError: a trial's loss is not finite.
    """
    if settings.records_per_pass != "auto":
        _, records = settings.passes_of(data.schema.max_length)
        return settings, Tuning(records, {})
    tried = candidates(data.schema.max_length)
    by_rule = settings.model_copy(update={"records_per_pass": None})
    if len(tried) == 1 or len(data) < FEWEST_SERIES:
        _, records = by_rule.passes_of(data.schema.max_length)
        logger.info("records per pass: %d, by the rule (nothing to choose from)", records)
        return by_rule, Tuning(records, {})
    order = np.random.default_rng(seed).permutation(len(data))
    held = max(int(HELD_BACK * len(data)), FEWEST_SERIES // 4)
    learning, compared = data.take(np.sort(order[held:])), data.take(np.sort(order[:held][:MOST_COMPARED]))
    scores: dict[int, float] = {}
    for records in tried:
        own = settings.model_copy(update={"records_per_pass": records, "selections": 0})
        model = DoppelGANger(data.schema, own, device)
        name = f"records-per-pass-{records}"
        train(
            model, learning, folder=folder / name, steps=settings.autotune_steps, seed=seed, name=name,
            fingerprint=f"{seed} {own.model_dump_json()} {len(learning)}", threads=threads,
        )  # fmt: skip
        scores[records] = score(compared, model.sample(len(compared), seed=seed))
        logger.info("records per pass: %d scores %.4f after %d steps", records, scores[records], own.autotune_steps)
    best = min(tried, key=lambda records: (scores[records], records))
    logger.info("records per pass: %d chosen", best)
    shutil.rmtree(folder)
    return settings.model_copy(update={"records_per_pass": best}), Tuning(best, scores)


def candidates(longest: int) -> list[int]:
    """Records per pass worth trying for series of up to `longest` records, ascending."""
    return sorted({min(max(math.ceil(longest / passes), 1), longest) for passes in PASSES})
