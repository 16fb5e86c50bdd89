"""Sampling records: series side by side, the longest first, so that those still running are always the front rows."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from netshare.generators.autoregressive.networks import RecordNet
from netshare.generators.autoregressive.row_model import RowSampler

UNIFORM_RECORDS = 65_536  # records that random numbers are drawn for at once


def sample_records(net: RecordNet, metadata: torch.Tensor, lengths: np.ndarray, random: torch.Generator) -> np.ndarray:
    """float32[n_records, F]: records of series of the given lengths, the series one after another.

    Args:
        net: in evaluation mode.
        metadata: int64[n, A] tokens, on the net's device.
        lengths: int64[n], at least 1.
        random: of the CPU, so that every device draws the same numbers.
    """
    columns = len(net.layout)
    order = np.argsort(-lengths, kind="stable")
    ordered = lengths[order]
    steps = int(ordered[0])
    running = np.searchsorted(-ordered, -np.arange(steps), side="left")
    offsets = np.cumsum(lengths) - lengths
    target = torch.from_numpy(offsets[order])
    out = torch.empty(int(lengths.sum()), columns, dtype=torch.int32)
    if columns:
        place = net.conditioned(metadata[torch.from_numpy(order).to(metadata.device)])
        _run(net, place, torch.from_numpy(ordered), running, target, out, random)
    values = np.empty((len(out), columns), np.float32)
    for begin in range(0, len(out), UNIFORM_RECORDS):
        tokens = out[begin : begin + UNIFORM_RECORDS].long()
        uniform = torch.rand(tokens.shape, generator=random)
        values[begin : begin + UNIFORM_RECORDS] = net.layout.decode(tokens, uniform).numpy()
    return values


def _run(
    net: RecordNet,
    place: torch.Tensor,
    lengths: torch.Tensor,
    running: np.ndarray,
    target: torch.Tensor,
    out: torch.Tensor,
    random: torch.Generator,
) -> None:
    """Draw step after step; the first running[t] series have a record at step t, written to out[target + t]."""
    device, columns = place.device, len(net.layout)
    rows, cell = RowSampler(net.rows), dict(net.recurrent.named_parameters())
    w_ih, w_hh, b_ih, b_hh = (cell[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    state = torch.zeros(len(place), net.recurrent.hidden_size, device=device)
    tokens = torch.zeros(len(place), columns, dtype=torch.int64, device=device)
    remaining = (lengths - 1).to(device)
    uniform, used = torch.empty(0, columns), 0
    for t, count in enumerate(running.tolist()):
        if used + count > len(uniform):
            uniform, used = torch.rand(max(UNIFORM_RECORDS, count), columns, generator=random), 0
        index = torch.full((1,), t, dtype=torch.int64, device=device)
        into, beside = (place[:count] + net.places(index, remaining[:count] - t)).chunk(2, dim=1)
        first = torch.full((count,), t == 0, device=device)
        entering = functional.relu(net.recall(tokens[:count], first) + into)
        state = torch.gru_cell(entering, state[:count], w_ih, w_hh, b_ih, b_hh)
        total = net.to_rows(state) + beside
        total += rows.start
        tokens = rows.sample(uniform[used : used + count].to(device), total)
        used += count
        out[target[:count] + t] = tokens.cpu().int()
