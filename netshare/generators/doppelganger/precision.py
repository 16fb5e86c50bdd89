"""Which devices compute in half precision by themselves."""

from __future__ import annotations

import torch


def computes_in_half(device: torch.device) -> bool:
    """Whether the device multiplies matrices of bfloat16 by itself, faster than those of float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in asked)
