"""Half precision (bfloat16): which devices compute in it by themselves, and which can compute in it at all."""

from __future__ import annotations

import torch
from torch import nn


def computes_in_half(device: torch.device) -> bool:
    """Whether the device multiplies matrices of bfloat16 by itself, faster than those of float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in asked)


def can_compute_in_half(device: torch.device) -> bool:
    """Whether a recurrent net runs in bfloat16 there, however slowly: on some processors torch has no code for it."""
    try:
        with torch.autocast(device.type, torch.bfloat16):
            nn.LSTM(2, 2, device=device)(torch.zeros(1, 1, 2, device=device))
    except RuntimeError:
        return False
    return True
