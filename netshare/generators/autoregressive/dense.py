"""Dense layers for sampling, computed by the faster of the two libraries of matrix products that torch brings.

On the CPU torch multiplies single precision matrices with MKL, which makes full use of Intel's processors only; oneDNN,
which does so on others too, and takes the ReLU along, needs some rows before its calls pay. Both give the same numbers
but for rounding. Nothing here keeps what a backward pass would need: it is for sampling.

oneDNN makes a kernel for each number of rows that it meets, which takes longer than a product. So batches that shrink
ought to do so in few steps: `batch_sizes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

MIN_ONEDNN_MULTIPLICATIONS = 2**20  # multiplications from which oneDNN is the faster
MIN_ROWS = 64  # of a batch that may come to so many
SIZE_RATIO = 1.25
_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def batch_sizes(rows: np.ndarray, most: int) -> np.ndarray:
    """int64[n]: how many of `most` rows to compute where `rows` (int64[n]) are needed: the same number or a few more, so
    that few different numbers occur."""
    allowed = _allowed_sizes(most)
    return allowed[np.searchsorted(allowed, rows)]


def padded(rows: torch.Tensor, most: int) -> torch.Tensor:
    """The rows (int64[n] numbers, n at least 1), followed by repetitions of the first until there are `batch_sizes` rows."""
    if len(rows) < MIN_ROWS:
        return rows
    allowed = _allowed_sizes(most)
    size = int(allowed[np.searchsorted(allowed, len(rows))])
    return torch.cat([rows, rows[:1].expand(size - len(rows))]) if size > len(rows) else rows


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """float32[n, out] of float32[n, in]; weight: float32[out, in]."""
    if _by_onednn(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return functional.linear(x, weight, bias)


def linear_relu(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The same, then ReLU."""
    if _by_onednn(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
    return torch.relu_(functional.linear(x, weight, bias))


def gru_cell(x: torch.Tensor, state: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """float32[n, units]: the next state of a gated recurrent unit.

    Args:
        x: float32[n, in].
        state: float32[n, units].
        weights: as in `torch.nn.GRU`: input and recurrent matrix, then the biases of both.
    """
    of_input, of_state, input_bias, state_bias = weights
    if not _by_onednn(x, of_state):
        return torch.gru_cell(x, state, of_input, of_state, input_bias, state_bias)
    units = state.shape[1]
    into, back = linear(x, of_input, input_bias), linear(state, of_state, state_bias)
    gates = torch.sigmoid_(into[:, : 2 * units] + back[:, : 2 * units])
    new = torch.tanh_(torch.addcmul(into[:, 2 * units :], gates[:, :units], back[:, 2 * units :]))
    return torch.lerp(new, state, gates[:, units:])


@lru_cache(maxsize=64)
def _allowed_sizes(most: int) -> np.ndarray:
    sizes = [MIN_ROWS]
    while sizes[-1] < most:
        sizes.append(int(sizes[-1] * SIZE_RATIO) // 8 * 8)
    return np.minimum(np.concatenate([np.arange(MIN_ROWS), sizes]), most)


def _by_onednn(x: torch.Tensor, weight: torch.Tensor) -> bool:
    work = x.shape[0] * weight.numel()
    return _ONEDNN and work >= MIN_ONEDNN_MULTIPLICATIONS and x.device.type == "cpu" and x.dtype == torch.float32
