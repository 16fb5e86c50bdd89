"""A fitted synthesizer as a folder: safe to give away and to take from a stranger.

    synthesizer.json    format, version of netshare, the config without any file name, digests of the other files
    chunks/             codec.json, chunks.json, reference.json, five_tuples.npy; ip2vec/ where it is not the one that ships
    models/             sampling.safetensors of each chunk's model, in a folder by its number; tuned settings

The folder of a finished run can be loaded, too: its `chunks/` and `models/` are the same.

Loading reads JSON, npy and safetensors and runs nothing of what it reads. No file that the folder's config names is read,
now or later: names of inputs, public traces, embeddings and clusters are dropped. Links are refused, and so are values,
sizes and networks that no synthesizer of ours has, before memory is asked for by them (`netshare.preprocess.stored`). The
digests tell a damaged folder from a whole one; they say nothing of who made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors.torch import save_file

from netshare.config.privacy import SAMPLE
from netshare.config.schema import Config
from netshare.preprocess.atomic import write_text
from netshare.preprocess.errors import NetshareError, RunFolderError
from netshare.preprocess.stored import GET_AGAIN, check_file, file_digest, read_json, shown
from netshare.recipe.fitting import MAX_WEIGHT_BYTES
from netshare.recipe.metadata import Metadata
from netshare.recipe.preparation import Prepared, chunk_folder
from netshare.synthesizer.run_format import FORMAT as RUN_FORMAT
from netshare.synthesizer.run_format import MANIFEST, other_format
from netshare.training.loop import SAMPLING
from netshare.training.tuned_settings import TUNED
from netshare.version import version

FORMAT = 1
DESCRIPTION, RUN_CONFIG = "synthesizer.json", "config.json"
MAX_FILES = 1_000_000
OF_ONE_MACHINE = ("input", "output", "cluster", "ip2vec")
"""Sections of the config that name files or machines. The embedding itself lies beside the codec that needs it."""


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
        digests = {str(path.relative_to(folder)): file_digest(path) for path in _inside(chunks, models)}
        value = _portable(config.model_dump(mode="json"))
        description = {"format": FORMAT, "netshare": version(), "config": value, "sha256": digests}
        write_text(folder / DESCRIPTION, json.dumps(description, indent=1))
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be written ({error.strerror or error}); choose another") from None


def open_saved(folder: Path) -> Saved:
    """The folder of a fitted synthesizer or of a finished run, checked.

    Raises:
        RunFolderError: it is neither, is of another version, has a link in it, or is damaged.
    """
    check_links(folder)
    chunks, models, path = folder / "chunks", folder / "models", folder / DESCRIPTION
    if not path.exists():
        if not (models / RUN_CONFIG).is_file():
            raise RunFolderError(
                f"{folder}: no fitted synthesizer and no finished run (no {DESCRIPTION}); check the name"
            )
        if (number := other_format(folder)) is not None:
            raise RunFolderError(
                f"{folder}: a run folder of format {number}, made by another version of netshare, where this one reads "
                f"format {RUN_FORMAT}; run its config again, or install that version"
            )
        path = models / RUN_CONFIG
        return Saved(_config(_portable(read_json(path)), path), chunks, models)
    description = read_json(path)
    if description.get("format") != FORMAT:
        raise RunFolderError(
            f"{path}: format {shown(description.get('format'))} of netshare {shown(description.get('netshare'))}, but "
            f"this is netshare {version()}, which reads format {FORMAT}; fit it again, or install that version"
        )
    found, digests = (
        {str(each.relative_to(folder)): each for each in _inside(chunks, models)},
        description.get("sha256"),
    )
    if not isinstance(digests, dict) or (differing := sorted(set(digests) ^ set(found))):
        name = shown(differing[0]) if isinstance(digests, dict) else "sha256"
        raise RunFolderError(f"{path}: {name} is in the folder or in its list of files, but not in both; {GET_AGAIN}")
    for name, each in found.items():
        check_file(each, MAX_WEIGHT_BYTES)
        if file_digest(each) != digests[name]:
            raise RunFolderError(f"{each}: is damaged, or was changed since it was saved; {GET_AGAIN}")
    value = description.get("config")
    return Saved(_config(_portable(value) if isinstance(value, dict) else value, path), chunks, models)


def read_config(path: Path) -> Config:
    """The config of a finished run, from its `models/config.json`.

    Raises:
        RunFolderError: it is missing, or no config of this version.
    """
    return _config(read_json(path), path)


def check_links(folder: Path) -> None:
    """Refuse a folder in whose `chunks`, `models` or JSON files there is a link or a special file.

    Raises:
        RunFolderError: which one.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder}: no such folder; give that of `Synthesizer.save` or of a finished run")
    for path in (folder / DESCRIPTION, folder / MANIFEST):
        if path.is_symlink():
            raise RunFolderError(f"{path}: is a link; do not use this folder")
    for _ in _inside(folder / "chunks", folder / "models"):
        continue


@contextmanager
def as_damage(folder: Path) -> Iterator[None]:
    """Whatever goes wrong within it is said of the folder, in one line: what is in it does not go together.

    Raises:
        RunFolderError: in place of any other error.
    """
    try:
        yield
    except RunFolderError as error:
        if str(folder) in str(error):
            raise
        raise RunFolderError(f"{folder}: {shown(error)}") from error
    except Exception as error:
        what = shown(error) if isinstance(error, NetshareError) else f"{type(error).__name__}: {shown(error)}"
        raise RunFolderError(f"{folder}: what it holds does not go together ({what}); {GET_AGAIN}") from error


def _portable(value: dict[str, Any]) -> dict[str, Any]:
    """A config as JSON-able values without names of files and machines; a public trace of a user's own is not named."""
    value = {name: section for name, section in value.items() if name not in OF_ONE_MACHINE}
    privacy = value.get("privacy")
    if isinstance(privacy, dict) and privacy.get("public") is not None:
        value["privacy"] = {**privacy, "public": SAMPLE}
    return value


def _config(value: Any, path: Path) -> Config:
    try:
        if not isinstance(value, dict):
            raise ValueError("it is no object")
        return Config.model_validate(value)
    except (ValueError, TypeError, RecursionError, NetshareError) as error:
        raise RunFolderError(f"{path}: not a config of this version ({_first(error)}); fit it again") from None


def _first(error: Exception) -> str:
    """What a config's first mistake is."""
    if isinstance(error, ValidationError):
        found = error.errors()[0]
        return shown(f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}")
    return shown(error)


def _inside(*folders: Path) -> Iterator[Path]:
    """The regular files below these folders; anything but files and folders is refused."""
    waiting, seen = list(folders), 0
    while waiting:
        place = waiting.pop()
        if place.is_symlink():
            raise RunFolderError(f"{place}: is a link; do not use this folder")
        for path in place.iterdir() if place.is_dir() else ():
            seen += 1
            if seen > MAX_FILES:
                raise RunFolderError(f"{place}: more than {MAX_FILES:,} files; it is no folder of ours")
            if path.is_dir() or path.is_symlink():
                waiting.append(path)
            elif path.is_file():
                yield path
            else:
                raise RunFolderError(f"{shown(path)}: is neither file nor folder; do not use this folder")
