"""One method of a comparison: from the training half of a trace to a synthetic trace as large.

Our own generators go their usual way, chunk by chunk, each chunk with its share of the budget. A baseline knows no
chunks: it sees the whole trace as one, as its paper does, and is asked for as many series (or single records) as there
are.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from netshare.baselines.registry import BASELINES
from netshare.baselines.rows import cut_rows
from netshare.comparison.budget import train_within
from netshare.config.schema import Config
from netshare.generators.base import Generator
from netshare.postprocess.assemble import assemble
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.flows import group_flows
from netshare.preprocess.ip2vec import IP2Vec
from netshare.preprocess.series import METADATA_OF_FLOW
from netshare.preprocess.trace import Trace
from netshare.recipe.generation import generate_series
from netshare.run.stages import DEFAULT_FLOW_KEY
from netshare.seeds import derive_seed
from netshare.training.tuned_settings import choice_by_rule


def synthesise(name: str, train: Trace, config: Config, budget: float) -> tuple[Trace, dict[str, Any]]:
    """A synthetic trace by the method `name`, not yet repaired, and what its training took.

    Args:
        name: of a method, see `netshare.baselines.all_methods`.
        train: the half to learn from, sorted by time.
        config: sections fields, chunks, generator, generate and seed.
        budget: CPU seconds of training.

    Raises:
        TrainingError: the method cannot learn from this trace.
    """
    if name not in BASELINES:
        return _ours(name, train, config, budget)
    method, seed = BASELINES[name], derive_seed(config.seed, "compare", name)
    plan = plan_chunks(train["time"], count=1)
    table = cut_rows(train, plan) if method.single_records else None
    if table is None:
        table = cut_series(train, group_flows(train), plan, max_records_per_segment=method.segment)[0]
    codec = Codec.fit([table], encodings=method.encodings, style="gan", ip2vec=_ip2vec(config))
    data = codec.encode(table)
    generator = method.create(codec.schema)
    spent = train_within(generator, data, seed=seed, cpu_seconds=budget)
    begun = time.process_time()
    made = codec.decode(generator.sample(len(data), seed=derive_seed(seed, "sample")), seed=seed)
    facts = {**vars(spent), "sampling_seconds": round(time.process_time() - begun, 2)}
    return assemble({0: made}, plan), facts


def _ours(name: str, train: Trace, config: Config, budget: float) -> tuple[Trace, dict[str, Any]]:
    choice = config.generator.model_copy(update={"kind": name}).choice()
    plan = plan_chunks(train["time"], count=config.chunks.count, seconds=config.chunks.seconds)
    flows = group_flows(train, config.fields.flow_key or DEFAULT_FLOW_KEY[train.kind])
    longest = config.chunks.max_records_per_segment or choice.spec.segment_records
    tables = cut_series(train, flows, plan, max_records_per_segment=longest)
    codec = Codec.fit_chunks(tables, encodings=config.fields.encodings, style=choice.spec.style, ip2vec=_ip2vec(config))
    choice = choice_by_rule(choice, codec.schema)  # trials would take the budget
    models: dict[int, Generator] = {}
    weights, spent = None, []
    for chunk, table in tables.items():
        generator = choice.build(codec.schema)
        share = budget * int(table.offsets[-1]) / len(train)
        seed = derive_seed(config.seed, "train", chunk)
        data = codec.at(chunk).encode(table)
        spent.append(train_within(generator, data, seed=seed, cpu_seconds=share, initial_weights=weights))
        weights = weights or generator.training_weights()
        models[chunk] = generator
    begun, first = time.process_time(), flows.first
    made, _ = generate_series(
        models.__getitem__,
        codec,
        plan,
        starting={chunk: int(table.metadata["starts_here"].sum()) for chunk, table in tables.items()},
        records={chunk: int(table.offsets[-1]) for chunk, table in tables.items()},
        segments={chunk: int(table.metadata["continues"].sum()) for chunk, table in tables.items()},
        avoid={n: train[n][first] for n in METADATA_OF_FLOW} if config.generate.avoid_real_flows else None,
        flows=len(flows),
        seed=derive_seed(config.seed, "generate"),
    )
    return assemble(made, plan), {
        "cpu_seconds": round(sum(one.cpu_seconds for one in spent), 2),
        "steps": sum(one.steps for one in spent),
        "records": sum(one.records for one in spent),
        "ended_itself": all(one.ended_itself for one in spent),
        "sampling_seconds": round(time.process_time() - begun, 2),
    }


def _ip2vec(config: Config) -> IP2Vec | None:
    return IP2Vec.load(Path(config.ip2vec.model)) if config.ip2vec.model is not None else None
