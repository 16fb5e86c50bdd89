"""Losses of the three autoregressive nets on all rows of some units, recorded on a tape with the unit of each row.

The same likelihoods as `netshare.generators.autoregressive` trains on, summed over all series and records given; but without
dropout and smoothing, and nothing mixes rows of different units.

Private: tokens, records and units. Public: the nets' weights.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from netshare.generators.autoregressive.columns_net import ColumnsNet
from netshare.generators.autoregressive.networks import RecordNet
from netshare.generators.autoregressive.row_model import RowModel
from netshare.generators.autoregressive.windows import Windows, pack
from netshare.privacy.gradients.ghost_clipping import Tape


def columns_loss(net: ColumnsNet, tokens: torch.Tensor, units: torch.Tensor, tape: Tape) -> torch.Tensor:
    """Summed negative log-likelihood of the columns that the net learns: metadata, or lengths given metadata.

    Args:
        tokens: int64[n, columns].
        units: int64[n], the unit of each row.
    """
    numbered, loss = net.layout.numbered(tokens), tokens.new_zeros((), dtype=_dtype(net))
    for i in range(len(net.layout)):
        if str(i) not in net.columns:
            continue
        open_rows = net.layout.open_rows(tokens, i)
        rows = slice(None) if open_rows is None else open_rows
        tape.rows = units[rows]
        logits = net.columns[str(i)](numbered[rows, :i])
        loss = loss + functional.cross_entropy(logits, tokens[rows, i], reduction="sum")
    return loss


def record_loss(
    net: RecordNet,
    metadata: torch.Tensor,
    windows: Windows,
    records: tuple[torch.Tensor, np.ndarray, np.ndarray],
    units: torch.Tensor,
    tape: Tape,
) -> torch.Tensor:
    """Summed negative log-likelihood of the records that the windows count (each record counts in one window).

    Args:
        metadata: int64[n_series, A] tokens.
        windows: of these series.
        records: int64[n_records, F] tokens, the series one after another; and each series' offset and length, int64.
        units: int64[n_series].
    """
    tokens, offsets, lengths = records
    packed = pack(windows)
    series = windows.series[packed.order]
    of_window = torch.from_numpy(series)
    window = torch.from_numpy(packed.window)
    owner = series[packed.window]
    record = offsets[owner] + packed.position
    unit_of_record = units[torch.from_numpy(owner)]

    tape.rows = units[of_window]
    conditioned = net.conditioned(metadata[of_window])
    tape.rows = unit_of_record
    remaining = lengths[owner] - 1 - packed.position
    place = conditioned[window] + net.places(torch.from_numpy(packed.position), torch.from_numpy(remaining))
    previous = tokens[torch.from_numpy(np.maximum(record - 1, 0))]
    context = net.contexts(previous, torch.from_numpy(packed.position == 0), place, torch.from_numpy(packed.sizes))
    counted = torch.from_numpy(np.flatnonzero(packed.counted))
    own = tokens[torch.from_numpy(record)][counted]
    return _rows_loss(net.rows, own, context[counted], unit_of_record[counted], tape)


def _rows_loss(
    model: RowModel, tokens: torch.Tensor, context: torch.Tensor, units: torch.Tensor, tape: Tape
) -> torch.Tensor:
    tape.rows = units
    known = model.table(model.layout.numbered(tokens))
    total = context + model.start
    heads, loss = dict(model.learnt_heads()), context.new_zeros(())
    for i in range(len(model.layout)):
        if i in heads:
            open_rows = model.layout.open_rows(tokens, i)
            rows = slice(None) if open_rows is None else open_rows
            tape.rows = units[rows]
            loss = loss + functional.cross_entropy(heads[i](total[rows]), tokens[rows, i], reduction="sum")
        total = total + known[:, i]
    return loss


def _dtype(net: torch.nn.Module) -> torch.dtype:
    return next((p.dtype for p in net.parameters()), torch.float32)
