"""The declaration of DoppelGANger.

How many records an LSTM pass emits (S in the DoppelGANger paper, section 4.1.1) can be tried out on the data: few passes
remember long series better, many draw each record more freely, and the paper recommends about 50 passes for the longest
series. With `records_per_pass: "auto"` the values of S that make about 100, 50, 25 and 10 passes are tried.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.generators.spec import GeneratorSpec, Tuning
from netshare.preprocess.encoded import Encoded, Schema

if TYPE_CHECKING:
    from netshare.generators.base import Generator

PASSES = (100, 50, 25, 10)  # of the longest series, about


def _create(schema: Schema, settings: DoppelGANgerSettings, *, device: str) -> Generator:
    from netshare.generators.doppelganger.generator import DoppelGANger

    return DoppelGANger(schema, settings, device=device)


def _candidates(schema: Schema) -> list[int]:
    longest = schema.max_length
    return sorted({min(max(math.ceil(longest / passes), 1), longest) for passes in PASSES})


def _by_rule(settings: DoppelGANgerSettings, schema: Schema) -> int:
    return settings.model_copy(update={"records_per_pass": None}).passes_of(schema.max_length)[1]


def _trial(settings: DoppelGANgerSettings, records: int) -> DoppelGANgerSettings:
    return settings.model_copy(update={"records_per_pass": records, "selections": 0})


def _score(held: Encoded, sample: Encoded) -> float:
    from netshare.generators.doppelganger.distances import score

    return score(held, sample)


SPEC = GeneratorSpec(
    kind="doppelganger",
    summary="adversarial in both slots",
    settings=DoppelGANgerSettings,
    create=_create,
    style="gan",
    segment_records=200,  # a critic sees whole series
    seed_steps=4_000,
    finetune_steps=1_000,
    looks_per_step=lambda settings: settings.critic_rounds,
    tuning=Tuning(
        setting="records_per_pass",
        candidates=_candidates,
        rule=_by_rule,
        trial=_trial,
        steps=lambda settings: settings.autotune_steps,
        score=_score,
    ),
)
