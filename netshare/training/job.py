"""One model to train, described so that it can be done here or on another machine.

A job is plain data: it can be sent to a Ray actor, and the same function does it in either place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from netshare.config.generator import GeneratorSection
from netshare.generators import build_generator
from netshare.preprocess.encoded import Encoded
from netshare.training.loop import TrainingResult, train
from netshare.training.progress import Progress


@dataclass(frozen=True)
class TrainingJob:
    """What to train and how long; `fingerprint` covers data, settings, seed and initial weights."""

    name: str  # folder of the model, "chunk-003"
    chunk: int
    steps: int
    seed: int
    fingerprint: str
    generator: GeneratorSection
    device: str
    threads: int
    checkpoint_seconds: float


def run_job(
    job: TrainingJob,
    data: Encoded,
    folder: Path,
    *,
    initial_weights: dict[str, torch.Tensor] | None = None,
    progress: Callable[[Progress], None] | None = None,
    checkpointed: Callable[[], None] | None = None,
) -> TrainingResult:
    """Train the job's model in `folder`, or go on where an interrupted call was; see `netshare.training.train`."""
    generator = build_generator(data.schema, job.generator, device=job.device)
    return train(
        generator,
        data,
        folder=folder,
        steps=job.steps,
        seed=job.seed,
        name=job.name,
        fingerprint=job.fingerprint,
        initial_weights=initial_weights,
        checkpoint_seconds=job.checkpoint_seconds,
        progress=progress,
        checkpointed=checkpointed,
        threads=job.threads,
    )
