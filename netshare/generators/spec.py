"""What a kind of generator is: everything that the rest of the project needs to know of it before building one.

Each kind declares one `GeneratorSpec`; nothing else asks for a kind by its name. This module, and the module that
declares a spec, load no torch: the networks are imported when `GeneratorSpec.create` is called.

    SPEC = GeneratorSpec(
        kind="mine",
        summary="a Markov chain of records",
        settings=MineSettings,
        create=create,
        style="autoregressive",
        segment_records=65_536,
        seed_steps=2_000,
        finetune_steps=500,
    )
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.fields.choose import Style

if TYPE_CHECKING:
    from netshare.generators.base import Generator

AUTO = "auto"
"""The value of a setting that is to be tried out on the data."""


@dataclass(frozen=True)
class Tuning:
    """How one setting of a generator is chosen by trials on the training data, where the config says `"auto"`.

    Each candidate is given a model, which is trained on four fifths of the series; the candidate whose sample scores
    lowest against the fifth that was held back is kept (`netshare.training.tuned_settings`).

    setting: name of the setting; it is open as long as its value is `"auto"`
    candidates: schema -> the values to try, in ascending order
    rule: (settings, schema) -> the value to use without trials, where there is too little data or no time for them
    trial: (settings, value) -> the settings of that candidate's trial
    steps: settings -> optimisation steps of each trial
    score: (series held back, series sampled) -> how far apart they are, 0 or more, lower is better
    """

    setting: str
    candidates: Callable[[Schema], Sequence[Any]]
    rule: Callable[[Any, Schema], Any]
    trial: Callable[[Any, Any], Any]
    steps: Callable[[Any], int]
    score: Callable[[Encoded, Encoded], float]

    def is_open(self, settings: BaseModel) -> bool:
        """Whether these settings leave the choice to trials."""
        return getattr(settings, self.setting) == AUTO


@dataclass(frozen=True)
class GeneratorSpec:
    """One kind of generator.

    kind: its name in a config (`generator.kind`); also the key of its settings (`generator.KIND`)
    summary: what it is, in half a sentence, for the reference of the config
    settings: its settings, a pydantic model in which every field has a default and a description; it should refuse
        unknown keys (`extra="forbid"`) and be frozen
    create: `create(schema, settings, device=...)` builds it, untrained
    style: how fields are encoded for it, `"gan"` or `"autoregressive"` (`netshare.preprocess.fields.choose`)
    segment_records: records of its longest series: longer flows are cut into segments of so many
    seed_steps: optimisation steps of the seed model, where the config does not say
    finetune_steps: the same for the models that are fine-tuned from it
    tuning: the setting that can be chosen by trials on the data; None where there is none
    looks_per_step: settings -> how often one optimisation step computes gradients of training series; a private run
        accounts for each of them
    """

    kind: str
    summary: str
    settings: type[BaseModel]
    create: Callable[..., Generator]
    style: Style
    segment_records: int
    seed_steps: int
    finetune_steps: int
    tuning: Tuning | None = None
    looks_per_step: Callable[[Any], int] = lambda settings: 1
