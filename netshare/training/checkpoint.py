"""A training's state on disk: one file that is either whole or not there.

A checkpoint is a single safetensors file: the tensors, and in its metadata the JSON-able scalars and a digest of both.
It is written beside its place, flushed to disk and then renamed, and the one before it is kept, so that whatever
happens in between (a kill, a full disk, a power cut, a flipped bit) the newest undamaged checkpoint is found.

    save_checkpoint(folder, {"weights": tensor}, {"step": 100})
    tensors, scalars = load_checkpoint(folder)
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from preprocess.atomic import atomic_file, write_bytes

logger = logging.getLogger(__name__)

NEWEST = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"


def save_checkpoint(folder: Path, tensors: dict[str, torch.Tensor], scalars: dict[str, Any]) -> None:
    """Write `tensors` and `scalars` as one atomic unit; the checkpoint that was there is kept as the previous one.

    Args:
        folder: made if it is not there.
        tensors: of any dtype, on any device; loaded back on the CPU.
        scalars: JSON-able; floats come back bit by bit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = {name: _plain(tensor) for name, tensor in tensors.items()}
    text = json.dumps(scalars)
    content = safetensors.torch.save(own, {"scalars": text, "digest": _digest(own, text)})
    newest = folder / NEWEST
    with atomic_file(newest) as stream:
        stream.write(content)
        stream.flush()  # a full disk shows here, before anything is moved
        if newest.exists():
            newest.replace(folder / PREVIOUS)


def load_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """The newest checkpoint of `folder` that is undamaged, or None where there is none."""
    for name in (NEWEST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            return _read(path)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            logger.warning("%s is damaged (%s) and is left out; an older state is used", path, error)
    return None


def remove_checkpoints(folder: Path) -> None:
    """Delete both checkpoints of `folder`, where there are any."""
    for name in (NEWEST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write `tensors` as a safetensors file at `path`, atomically; equal tensors give equal bytes."""
    content = safetensors.torch.save({name: _plain(tensors[name]) for name in sorted(tensors)})
    write_bytes(path, content)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous copy on the CPU that shares memory with nothing (safetensors refuses shared memory)."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _digest(tensors: dict[str, torch.Tensor], text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    if metadata.get("digest") != _digest(tensors, metadata.get("scalars", "")):
        raise ValueError("its digest does not fit its content")
    return tensors, json.loads(metadata["scalars"])
