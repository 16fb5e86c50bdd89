"""One model a chunk: the seed model on the first non-empty chunk, the others fine-tuned from it (NetShare, section 4.3).

Models are trained in a folder, where an interrupted call goes on: inline, or as Ray actors (`netshare.training`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from netshare.config.schema import Config
from netshare.config.sections import ClusterSection
from netshare.console import Console
from netshare.fingerprints import fingerprint
from netshare.generators.base import Generator
from netshare.generators.registry import GeneratorChoice
from netshare.preprocess.errors import ClusterError, RunFolderError
from netshare.recipe.preparation import Prepared, chunk_folder
from netshare.seeds import derive_seed
from netshare.training.devices import available_cores, device_of
from netshare.training.job import TrainingJob, run_jobs
from netshare.training.loop import SAMPLING
from netshare.training.ray_cluster import train_on_ray
from netshare.training.tuned_settings import tune, tuned_choice

Models = Callable[[int], Generator]


def fit_models(prepared: Prepared, config: Config, folder: Path, *, key: str, console: Console) -> None:
    """Train the models of all chunks in `folder`, or go on where an interrupted call was.

    Args:
        prepared: the data.
        config: its sections generator, training and cluster, and the seed.
        key: fingerprint of data and settings; what `folder` holds under another one is not used.
        console: shown the progress.

    Raises:
        TrainingError, ClusterError: a model cannot be trained.
    """
    data, chunks = prepared.encoded, list(prepared.contents.chunks)
    choice = tune(
        config.generator.choice(),
        lambda: data(chunks[0]),
        folder,
        seed=derive_seed(config.seed, "settle"),
        device=device_of(config.training.device),
        threads=config.training.threads,
        say=console.say,
    )
    jobs = _jobs(chunks, choice, config, key)
    with console.training(len(jobs)) as progress:
        if _uses_ray(config.cluster, len(jobs)):
            train_on_ray(jobs, data, folder, cluster=config.cluster, report=progress)
        else:
            run_jobs(jobs, data, folder, report=progress)


def read_models(prepared: Prepared, config: Config, folder: Path) -> Models:
    """The trained generator of a chunk, read from `folder` when asked for.

    Raises:
        RunFolderError, TrainingError: when called: a chunk has no weights there, or they do not fit.
    """
    choice = tuned_choice(config.generator.choice(), folder)
    return models_of(prepared, config, choice, lambda chunk: read_weights(chunk_folder(folder, chunk) / SAMPLING))


def models_of(
    prepared: Prepared, config: Config, choice: GeneratorChoice, weights: Callable[[int], dict[str, torch.Tensor]]
) -> Models:
    """The trained generator of a chunk, made when asked for from the sampling weights of that chunk's model."""
    device = device_of(config.training.device)
    threads = config.generate.threads or available_cores()

    def model(chunk: int) -> Generator:
        generator = choice.build(prepared.schema, device=device)
        generator.load_sampling_weights(weights(chunk))
        generator.sampling_threads = threads
        return generator

    return model


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file; nothing in it is run.

    Raises:
        RunFolderError: it is missing or damaged.
    """
    try:
        return load_file(path)
    except Exception as error:  # safetensors has an error of its own beside OSError
        raise RunFolderError(f"{path}: no weights of a model ({error}); train again") from None


def _jobs(chunks: list[int], choice: GeneratorChoice, config: Config, key: str) -> list[TrainingJob]:
    training, spec = config.training, choice.spec
    seed_steps, other_steps = training.steps or spec.seed_steps, training.finetune_steps or spec.finetune_steps
    return [
        TrainingJob(
            name=f"{chunk:03d}",
            chunk=chunk,
            steps=seed_steps if position == 0 else other_steps,
            seed=derive_seed(config.seed, "train", chunk),
            fingerprint=fingerprint(key, chunk),
            generator=choice,
            device=device_of(training.device),
            threads=training.threads,
            checkpoint_seconds=training.checkpoint_seconds,
        )
        for position, chunk in enumerate(chunks)
    ]


def _uses_ray(cluster: ClusterSection, jobs: int) -> bool:
    if cluster.address is not None and cluster.mode == "inline":
        raise ClusterError("cluster.address is set but cluster.mode is inline; drop one of them")
    if cluster.mode == "auto":
        return cluster.address is not None or (jobs > 2 and (os.cpu_count() or 1) > 1)
    return cluster.mode == "ray"
