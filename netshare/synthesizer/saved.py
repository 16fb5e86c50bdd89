"""A fitted synthesizer as a folder: safe to give away and to take from a stranger.

    synthesizer.json    format, version of netshare, and the config without any file name
    chunks/             codec.json, chunks.json, reference.json, five_tuples.npy
    models/             sampling.safetensors of each chunk's model, in a folder by its number; tuned settings
    ip2vec/             the embedding, where it is not the one that ships

The folder of a finished run can be loaded, too: its `chunks/` and `models/` are the same.

Loading reads JSON, npy and safetensors, runs nothing of what it reads, follows no file name that the folder holds, and
refuses links that lead out of it and files beyond the sizes below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from netshare.config.schema import Config
from netshare.preprocess.atomic import write_text
from netshare.preprocess.errors import NetshareError, RunFolderError
from netshare.preprocess.ip2vec import IP2Vec
from netshare.recipe.metadata import Metadata
from netshare.recipe.preparation import Prepared, chunk_folder
from netshare.training.loop import SAMPLING
from netshare.training.tuned_settings import TUNED
from netshare.version import version

FORMAT = 1
DESCRIPTION, RUN_CONFIG = "synthesizer.json", "config.json"
MAX_JSON_BYTES = 256 * 2**20
MAX_WEIGHT_BYTES = 4 * 2**30  # of one model
MAX_ARRAY_BYTES = 4 * 2**30  # five-tuples, 38 bytes a flow
MAX_FILES = 20_000
OF_ONE_MACHINE = ("input", "output", "cluster")
"""Sections of the config that name files or machines, and say nothing of the model."""


@dataclass(frozen=True)
class Saved:
    """What a folder holds: the config, and where chunks and models lie."""

    config: Config
    chunks: Path
    models: Path


def save(
    folder: Path, config: Config, prepared: Prepared[Any], weights: Mapping[int, Mapping[str, Any]], tuned: str | None
) -> None:
    """Write a fitted synthesizer.

    Args:
        folder: new or empty.
        config: what it was fitted by.
        prepared: what was learnt beside the models.
        weights: sampling weights by chunk.
        tuned: content of the file of tuned settings, if there is one.

    Raises:
        RunFolderError: the folder holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunFolderError(f"{folder}: exists and is not empty; choose another folder, nothing is overwritten")
    try:
        chunks, models = folder / "chunks", folder / "models"
        chunks.mkdir(parents=True)
        models.mkdir()
        facts = prepared
        if prepared.reference is not None and not config.generate.avoid_real_flows:
            facts = replace(prepared, reference=replace(prepared.reference, five_tuples=Metadata()))
        facts.save_facts(chunks)
        for chunk, tensors in weights.items():
            chunk_folder(models, chunk).mkdir()
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()}, chunk_folder(models, chunk) / SAMPLING
            )
        if tuned is not None:
            write_text(models / TUNED, tuned)
        if config.ip2vec.model is not None:
            IP2Vec.load(Path(config.ip2vec.model)).save(folder / "ip2vec")
        value = config.model_dump(mode="json", exclude={*OF_ONE_MACHINE, "ip2vec"})
        value["privacy"]["public"] = None  # names of files
        description = {"format": FORMAT, "netshare": version(), "config": value}
        write_text(folder / DESCRIPTION, json.dumps(description, indent=1))
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be written ({error.strerror or error}); choose another") from None


def open_saved(folder: Path) -> Saved:
    """The folder of a fitted synthesizer or of a finished run, checked.

    Raises:
        RunFolderError: it is neither, is of another version, has a link that leads out of it, or is too large.
    """
    _check_files(folder)
    chunks, models = folder / "chunks", folder / "models"
    if (folder / DESCRIPTION).is_file():
        description = read_json(folder / DESCRIPTION)
        if description.get("format") != FORMAT:
            raise RunFolderError(
                f"{folder / DESCRIPTION}: format {description.get('format')!r} of netshare "
                f"{description.get('netshare')!r}, but this is netshare {version()}, which reads format {FORMAT}; "
                "fit it again, or install that version"
            )
        value = description.get("config")
        if isinstance(value, dict) and (folder / "ip2vec").is_dir():
            value["ip2vec"] = {"model": str(folder / "ip2vec")}
        elif isinstance(value, dict):
            value.pop("ip2vec", None)
        path = folder / DESCRIPTION
    elif (models / RUN_CONFIG).is_file():
        path, value = models / RUN_CONFIG, read_json(models / RUN_CONFIG)
    else:
        raise RunFolderError(f"{folder}: no fitted synthesizer and no finished run (no {DESCRIPTION}); check the name")
    try:
        config = Config.model_validate(value)
    except (ValueError, NetshareError) as error:
        raise RunFolderError(
            f"{path}: not a config of this version ({str(error).splitlines()[0]}); fit it again"
        ) from None
    return Saved(config, chunks, models)


def too_large(folder: Path, name: str, found: int, limit: int) -> RunFolderError:
    """The error for a declared size that no synthesizer has."""
    return RunFolderError(f"{folder}: {name} is {found:,}, more than {limit:,}; it is no synthesizer of ours")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        RunFolderError: the file is missing or holds something else.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path}: cannot be read ({error}); get the folder again") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{path}: holds {type(value).__name__}, expected an object; get the folder again")
    return value


def _check_files(folder: Path) -> None:
    """Refuse links out of the folder, special files, and sizes that no synthesizer has."""
    if not folder.is_dir():
        raise RunFolderError(f"{folder}: no such folder; give that of `Synthesizer.save` or of a finished run")
    root, limits = (
        folder.resolve(),
        {".json": MAX_JSON_BYTES, ".npy": MAX_ARRAY_BYTES, ".safetensors": MAX_WEIGHT_BYTES},
    )
    for number, path in enumerate([*_inside(folder / "chunks"), *_inside(folder / "models"), *folder.glob("*.json")]):
        if number >= MAX_FILES:
            raise RunFolderError(f"{folder}: more than {MAX_FILES:,} files; it is no synthesizer of ours")
        if not path.resolve().is_relative_to(root):
            raise RunFolderError(f"{path}: is a link that leads out of the folder; do not use this folder")
        if not (path.is_file() or path.is_dir()):
            raise RunFolderError(f"{path}: is neither file nor folder; do not use this folder")
        limit = limits.get(path.suffix)
        if path.is_file() and limit is not None and path.stat().st_size > limit:
            raise RunFolderError(
                f"{path}: has {path.stat().st_size:,} bytes, more than {limit:,}; it is no file of ours"
            )


def _inside(folder: Path) -> list[Path]:
    if folder.is_symlink():
        raise RunFolderError(f"{folder}: is a link; do not use this folder")
    return sorted(folder.rglob("*")) if folder.is_dir() else []
