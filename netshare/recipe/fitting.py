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
from netshare.generators.registry import BUILT_IN, GeneratorChoice
from netshare.preprocess.encoded import Schema
from netshare.preprocess.errors import ClusterError, RunFolderError, TrainingError
from netshare.preprocess.stored import GET_AGAIN, check_file, shown
from netshare.recipe.preparation import Prepared, chunk_folder
from netshare.seeds import derive_seed
from netshare.training.checkpoint import DTYPES
from netshare.training.devices import available_cores, device_of
from netshare.training.job import TrainingJob, run_jobs
from netshare.training.loop import SAMPLING
from netshare.training.ray_cluster import train_on_ray
from netshare.training.tuned_settings import tune, tuned_choice

Models = Callable[[int], Generator]
MAX_WEIGHT_BYTES = 4 * 2**30  # of one model
MAX_WEIGHTS = 2**28  # of all networks of one model, critics included; ours have a few millions


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
        TrainingError: the networks that the settings ask for are larger than any of ours.
        RunFolderError, TrainingError: when called: a chunk has no weights there, or they do not fit.
    """
    choice = tuned_choice(config.generator.choice(), folder)
    check_network_size(choice, prepared.schema)
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


def check_network_size(choice: GeneratorChoice, schema: Schema) -> None:
    """Refuse networks that would take more memory than any of ours, before they are made.

    They are built without memory for their weights; a generator of another distribution for which that is impossible is
    not looked at.

    Raises:
        TrainingError: how large they would be.
    """
    try:
        with torch.device("meta"):
            generator = choice.build(schema, device="meta")
    except (NotImplementedError, RuntimeError):
        if choice.spec in BUILT_IN:
            raise
        return
    networks = [part for part in vars(generator).values() if isinstance(part, torch.nn.Module)]
    size = sum(weight.numel() for network in networks for weight in network.parameters())
    if size > MAX_WEIGHTS:
        raise TrainingError(
            f"the networks of {choice.kind} would have {size:,} weights, more than {MAX_WEIGHTS:,}; make them smaller"
        )


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file; nothing in it is run.

    Raises:
        RunFolderError: it is missing, a link, too large or damaged, or a number in it is not finite.
    """
    check_file(path, MAX_WEIGHT_BYTES)
    try:
        weights = load_file(path)
    except Exception as error:  # safetensors has an error of its own beside OSError
        raise RunFolderError(f"{path}: no weights of a model ({shown(error)}); {GET_AGAIN}, or train again") from None
    for name, tensor in weights.items():
        if tensor.dtype not in DTYPES or (tensor.is_floating_point() and not bool(tensor.isfinite().all())):
            raise RunFolderError(
                f"{path}: {shown(name)} holds numbers that are not finite, or of an unknown type; {GET_AGAIN}"
            )
    return weights


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
