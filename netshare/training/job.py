"""One model to train, described so that it can be done here or on another machine.

A job is plain data: it can be sent to a Ray actor, and the same function does it in either place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from netshare.generators.registry import GeneratorChoice
from netshare.preprocess.encoded import Encoded
from netshare.training.loop import TrainingPlan, TrainingResult, load_weights, train
from netshare.training.progress import Progress


@dataclass(frozen=True, kw_only=True)
class TrainingJob(TrainingPlan):
    """A plan (whose `name` is the model's folder), and what is trained where.

    chunk: number of the chunk that is learnt from
    generator: kind and settings
    device: of torch, `"cpu"` or `"cuda:0"`
    """

    chunk: int
    generator: GeneratorChoice
    device: str


def run_job(
    job: TrainingJob,
    data: Encoded,
    folder: Path,
    *,
    initial_weights: dict[str, torch.Tensor] | None = None,
    progress: Callable[[Progress], None] | None = None,
    checkpointed: Callable[[], None] | None = None,
) -> TrainingResult:
    """Train the job's model in `folder`, or go on where an interrupted call was; see `netshare.training.loop.train`."""
    generator = job.generator.build(data.schema, device=job.device)
    return train(
        generator, data, folder, job, initial_weights=initial_weights, progress=progress, checkpointed=checkpointed
    )


def run_jobs(
    jobs: Sequence[TrainingJob],
    data: Callable[[int], Encoded],
    folder: Path,
    *,
    report: Callable[[Progress], None] | None = None,
) -> None:
    """Train the seed model (the first job), then the others from its weights, one after another in this process.

    Args:
        jobs: the seed model's first.
        data: the encoded series of a chunk, by chunk number.
        folder: models are written to `folder / job.name`.
        report: called with the progress of each model.

    Raises:
        TrainingError: a model cannot be trained.
    """
    seed_weights: dict[str, torch.Tensor] | None = None
    for job in jobs:
        found = run_job(job, data(job.chunk), folder / job.name, initial_weights=seed_weights, progress=report)
        if seed_weights is None:
            seed_weights = load_weights(found.training)
