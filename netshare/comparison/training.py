"""One method of a comparison: from the training half of a trace to a finished synthetic trace as large.

Our own generators go through the recipe as in a run, chunk by chunk, each chunk with its share of the budget. A baseline
knows no chunks: it sees the whole trace as one, as its paper does, and is asked for as many series (or single records) as
there are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netshare.baselines.registry import BASELINES
from netshare.baselines.rows import cut_rows
from netshare.comparison.budget import Spent, train_within
from netshare.config.schema import Config
from netshare.console import Console
from netshare.generators.base import Generator
from netshare.generators.registry import kinds
from netshare.postprocess.assemble import assemble
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.flows import group_flows
from netshare.preprocess.trace import Trace
from netshare.recipe.finishing import finish_trace
from netshare.recipe.preparation import Split, read_ip2vec
from netshare.recipe.reference import Reference
from netshare.recipe.trace_recipe import TraceRecipe, without_address_map
from netshare.seeds import derive_seed
from netshare.training.tuned_settings import choice_by_rule


@dataclass(frozen=True)
class Synthesised:
    """A finished synthetic trace, the same before it was finished, its repairs by rule, and what it took to make it.

    Addresses are where the model drew them: moved ones could not be compared.
    """

    trace: Trace
    decoded: Trace
    repairs: Mapping[str, Any]
    spent: Spent
    sampling_seconds: float


def synthesise(name: str, train: Trace, config: Config, budget: float) -> Synthesised:
    """A synthetic trace by the method `name`.

    Args:
        name: of a method, see `netshare.baselines.all_methods`.
        train: the half to learn from, sorted by time.
        config: sections fields, chunks, generator, generate, postprocess and seed.
        budget: CPU seconds of training.

    Raises:
        TrainingError: the method cannot learn from this trace.
    """
    config = without_address_map(config)
    return _by_recipe(name, train, config, budget) if name in kinds() else _by_baseline(name, train, config, budget)


def _by_recipe(name: str, train: Trace, config: Config, budget: float) -> Synthesised:
    config = config.model_copy(update={"generator": config.generator.model_copy(update={"kind": name})})
    recipe, console = TraceRecipe(config), Console(quiet=True)
    prepared = recipe.prepare(Split(train, train), console)
    choice = choice_by_rule(config.generator.choice(), prepared.schema)  # trials would take the budget
    models: dict[int, Generator] = {}
    weights, spent = None, []
    for chunk, held in prepared.contents.chunks.items():
        generator = choice.build(prepared.schema)
        share = budget * (held.records or 0) / len(train)
        seed = derive_seed(config.seed, "train", chunk)
        data = prepared.encoded(chunk)
        spent.append(train_within(generator, data, seed=seed, cpu_seconds=share, initial_weights=weights))
        weights = weights or generator.training_weights()
        models[chunk] = generator
    begun = time.process_time()
    made, _ = recipe.sample(prepared, models.__getitem__, count=None, seed=config.seed, console=console)
    seconds = round(time.process_time() - begun, 2)
    trace, repairs = recipe.finish(made, prepared)
    return Synthesised(trace, made, repairs, Spent.sum(spent), seconds)


def _by_baseline(name: str, train: Trace, config: Config, budget: float) -> Synthesised:
    method, seed = BASELINES[name], derive_seed(config.seed, "compare", name)
    plan = plan_chunks(train["time"], count=1)
    table = cut_rows(train, plan) if method.single_records else None
    if table is None:
        table = cut_series(train, group_flows(train), plan, max_records_per_segment=method.segment)[0]
    codec = Codec.fit([table], encodings=method.encodings, style="gan", ip2vec=read_ip2vec(config))
    data = codec.encode(table)
    generator = method.create(codec.schema)
    spent = train_within(generator, data, seed=seed, cpu_seconds=budget)
    begun = time.process_time()
    table = codec.decode(generator.sample(len(data), seed=derive_seed(seed, "sample")), seed=seed)
    seconds = round(time.process_time() - begun, 2)
    made = assemble({0: table}, plan)
    trace, repairs = finish_trace(made, Reference.of(train, train), config)
    return Synthesised(trace, made, repairs, spent, seconds)
