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
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open

from netshare.preprocess.atomic import atomic_file

logger = logging.getLogger(__name__)

NEWEST = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


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
    newest = folder / NEWEST
    with atomic_file(newest) as stream:
        _write(stream, own, {"scalars": text, "digest": _digest(own, text)})
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
    with atomic_file(path) as stream:
        _write(stream, {name: _plain(tensors[name]) for name in sorted(tensors)}, {})


def _write(stream: IO[bytes], tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """The safetensors format, tensor by tensor: the library would hold the whole file in memory, more than once."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    stream.write(len(text).to_bytes(8, "little") + text)
    for tensor in tensors.values():
        stream.write(_bytes_of(tensor))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, contiguous and on the CPU; copied only where it is not."""
    return tensor.detach().cpu().contiguous()


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _digest(tensors: dict[str, torch.Tensor], text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    if metadata.get("digest") != _digest(tensors, metadata.get("scalars", "")):
        raise ValueError("its digest does not fit its content")
    return tensors, json.loads(metadata["scalars"])
