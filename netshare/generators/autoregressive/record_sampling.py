"""Sampling records: series side by side, the longest first, so that those still running are always the front rows.

Series are drawn in blocks of about equal lengths, few enough for what is computed of them to stay in a processor's
cache. Blocks are independent of one another, each with random numbers of its own, so that threads can share them and
their number changes nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.nn import functional

from netshare.generators.autoregressive.dense import batch_sizes, gru_cell, linear
from netshare.generators.autoregressive.networks import RecordNet, position_bin
from netshare.generators.autoregressive.row_model import RowSampler
from netshare.preprocess.ragged import offsets_of

BLOCK_SERIES = 2048
BLOCK_SERIES_ON_GPU = 131_072
UNIFORM_RECORDS = 16_384  # records that random numbers are drawn for at once


def sample_records(
    net: RecordNet, metadata: torch.Tensor, lengths: np.ndarray, random: torch.Generator, *, threads: int = 1
) -> np.ndarray:
    """float32[n_records, F]: records of series of the given lengths, the series one after another.

    Args:
        net: in evaluation mode.
        metadata: int64[n, A] tokens, on the CPU.
        lengths: int64[n], at least 1.
        random: of the CPU, so that every device draws the same numbers.
        threads: blocks drawn at a time.
    """
    out = np.zeros((int(lengths.sum()), len(net.layout)), np.float32)
    if not out.size:
        return out
    sampler = RecordSampler(net)
    order = np.argsort(-lengths, kind="stable")
    size = BLOCK_SERIES if sampler.device.type == "cpu" else BLOCK_SERIES_ON_GPU
    blocks = [order[begin : begin + size] for begin in range(0, len(order), size)]
    seeds = torch.randint(2**62, (len(blocks),), generator=random).tolist()
    starts = offsets_of(lengths)[:-1]

    def draw(block: np.ndarray, seed: int) -> None:
        sampler.draw(metadata[torch.from_numpy(block)], lengths[block], starts[block], out, seed)

    if threads == 1 or len(blocks) == 1:
        for block, seed in zip(blocks, seeds, strict=True):
            draw(block, seed)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(draw, blocks, seeds))
    return out


class RecordSampler:
    """A record net's weights laid out for drawing many series in many small steps."""

    def __init__(self, net: RecordNet) -> None:
        self._net, self._rows, self._previous = net, RowSampler(net.rows), net.previous.vectors().detach()
        cell = dict(net.recurrent.named_parameters())
        self._cell = [cell[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        self._offsets = torch.tensor(net.layout.offsets, dtype=torch.int64, device=self.device)

    @property
    def device(self) -> torch.device:
        """Where the net is."""
        return self._previous.device

    @torch.inference_mode()
    def draw(self, metadata: torch.Tensor, lengths: np.ndarray, starts: np.ndarray, out: np.ndarray, seed: int) -> None:
        """Records of series given longest first, written to the rows `starts[i]` and following of `out`.

        Args:
            metadata: int64[n, A] tokens, on the CPU.
            lengths, starts: int64[n].
            out: float32[n_records, F].
            seed: of the random numbers.
        """
        net, device, columns = self._net, self.device, len(self._net.layout)
        random = torch.Generator().manual_seed(seed)
        place = net.conditioned(metadata.to(device))
        place[:, net.to_rows.out_features :] += self._rows.start + net.to_rows.bias
        steps = int(lengths[0])
        needed = np.searchsorted(-lengths, -np.arange(steps), side="left")
        bins = position_bin(torch.arange(steps, device=device))
        index, left = net.index(bins), torch.from_numpy(lengths - 1).to(device)
        state = torch.zeros(len(place), net.recurrent.hidden_size, device=device)
        before = net.previous_of_none().expand(len(place), -1)
        uniform, used = torch.empty(0, 2 * columns), 0
        for t, (count, here) in enumerate(zip(batch_sizes(needed, len(place)).tolist(), needed.tolist(), strict=True)):
            if used + count > len(uniform):
                uniform, used = torch.rand(max(UNIFORM_RECORDS, count), 2 * columns, generator=random), 0
            mine = uniform[used : used + count]
            used += count
            remaining = net.remaining(bins[(left[:count] - t).clamp_min_(0)])
            into, beside = remaining.add_(place[:count]).add_(index[t]).chunk(2, dim=1)
            state = gru_cell(torch.relu_(into + before[:count]), state[:count], self._cell)
            total = linear(state, net.to_rows.weight, None).add_(beside)
            tokens = self._rows.sample(mine[:, :columns].to(device), total)
            before = functional.embedding_bag(tokens + self._offsets, self._previous, mode="sum")
            values = net.layout.decode(tokens[:here].cpu(), mine[:here, columns:])
            out[starts[:here] + t] = values.numpy()
