"""Where torch computes, and on how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from preprocess.errors import ConfigError


def device_named(name: str) -> str:
    """The torch device that a setting names; `auto` is CUDA where there is one.

    Raises:
        ConfigError: no such device, or none of it here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"training.device is {name}; write cpu, cuda, cuda:N or auto") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"training.device is {name}, but this machine has no CUDA device; use auto or cpu")
    return name


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch's threads set to `count` meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
