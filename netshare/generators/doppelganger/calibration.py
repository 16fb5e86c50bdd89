"""Samples whose single columns are distributed as in the training data: what is left to correct once training has ended.

A GAN's critics see rows whole, so that small errors of single columns remain: a host's protocol is right, but one category
comes a little too often, or numbers lie a little too high. A calibration is fitted on a sample of the trained generators
and then applied to the units of every other sample:

- *categories and bits* get a shift of their log-probabilities, such that their mean probabilities are the training data's
  shares (iterative scaling);
- *numbers* go through a monotone map, from the sample's quantiles to the training data's; vectors, several numbers of one
  field, stay as they are;
- *ends of series* get a shift of their log-odds by position, such that the training data's share of series gets past each
  position. Neighbouring positions share a shift until enough series end at them, at most up to twice the first position.

Which row has which value is left to the networks: the order of a column's numbers is kept.

    fitted = fit_units(layout, units, real)       # UnitCalibration
    calibrated = fitted.apply(layout, units)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch

from netshare.generators.doppelganger.layout import ColumnLayout

LEVELS = 257  # quantiles of a monotone map, both ends included
ROUNDS = 60  # of iterative scaling, or until all shares are so near
SHARE_TOLERANCE = 1e-4
MAX_SHIFT = 12.0  # shift of a log-probability
TINY = 1e-7
MIN_ROWS = 20  # rows, generated and real, that a column is calibrated on


@dataclass(frozen=True)
class UnitCalibration:
    """Corrections of a layout's units.

    shifts: float32[width], of log-odds and log-probabilities; 0 for numbers
    quantiles: float32[2, n_numbers, LEVELS], generated and real; both alike where a number stays as it is
    """

    shifts: torch.Tensor
    quantiles: torch.Tensor

    def apply(self, layout: ColumnLayout, units: torch.Tensor) -> torch.Tensor:
        """Activated units float32[..., width] -> the same, corrected."""
        parts = []
        if layout.n_numbers:
            parts.append(map_numbers(units[..., : layout.n_numbers], self.quantiles))
        if layout.n_sigmoid > layout.n_numbers:
            bits = slice(layout.n_numbers, layout.n_sigmoid)
            parts.append(_shifted_bits(units[..., bits], self.shifts[bits]))
        start = layout.n_sigmoid
        for k, places in layout.slabs:
            end = start + k * len(places)
            slab = units[..., start:end].unflatten(-1, (len(places), k))
            parts.append(_shifted(slab, self.shifts[start:end].view(len(places), k)).flatten(-2))
            start = end
        return torch.cat(parts, -1) if parts else units


def fit_units(
    layout: ColumnLayout,
    units: torch.Tensor,
    real: np.ndarray,
    *,
    categories: bool = True,
    numbers: bool = True,
    left_out: Collection[int] = (),
) -> UnitCalibration:
    """Measure what is to be corrected.

    Args:
        layout: of the columns.
        units: float32[n, width], activated, of a sample.
        real: float32[m, columns], of the training data.
        categories: whether categories and bits are drawn, so that there is something to shift.
        numbers: whether to calibrate numbers as well.
        left_out: columns to leave as they are.
    """
    columns, device = layout.columns, layout.device
    names = [column.name for column in columns]
    shifts = torch.zeros(layout.width, device=device)
    quantiles = torch.linspace(0, 1, LEVELS, device=device).repeat(2, layout.n_numbers, 1)
    calibration = UnitCalibration(shifts, quantiles)
    if len(units) < MIN_ROWS or len(real) < MIN_ROWS:
        return calibration
    places = unit_places(layout)
    ungated = [i for i, column in enumerate(columns) if column.gate is None]
    gated = [i for i in range(len(columns)) if i not in set(ungated)]
    for group in (ungated, gated) if categories else ():
        current = calibration.apply(layout, units)
        for i in group:
            if columns[i].kind == "categorical" and columns[i].cardinality > 1 and i not in left_out:
                weights, rows = _where_open(layout, current, real, i, names, places)
                _fit_shift(shifts, units, real[rows, i], weights, places[i])
    current = calibration.apply(layout, units)
    for number, i in _calibrated_numbers(layout) if numbers else ():
        weights, rows = _where_open(layout, current, real, i, names, places)
        _fit_quantiles(quantiles[:, number], units[:, number], weights, real[rows, i])
    return calibration


def fit_numbers(layout: ColumnLayout, rows: torch.Tensor, real: np.ndarray) -> torch.Tensor:
    """float32[2, n_numbers, LEVELS]: as the `quantiles` of `fit_units`, from rows that are read off (float32[n, columns]) but
    for their numbers."""
    names = [column.name for column in layout.columns]
    quantiles = torch.linspace(0, 1, LEVELS, device=rows.device).repeat(2, layout.n_numbers, 1)
    for number, i in _calibrated_numbers(layout):
        column, of_real, weights = layout.columns[i], np.ones(len(real), bool), torch.ones_like(rows[:, 0])
        if column.gate is not None:
            gate, opens = names.index(column.gate), torch.tensor(column.gate_values, device=rows.device)
            of_real = np.isin(real[:, gate], column.gate_values)
            weights = torch.isin(rows[:, gate].long(), opens).to(rows.dtype)
        _fit_quantiles(quantiles[:, number], rows[:, i], weights, real[of_real, i])
    return quantiles


def map_numbers(numbers: torch.Tensor, quantiles: torch.Tensor) -> torch.Tensor:
    """Numbers float32[..., n] through the monotone maps of `quantiles` (float32[2, n, LEVELS]), from one column's quantiles
    to the other's; a number that is several quantiles becomes the one in their middle."""
    generated, real = quantiles.unbind(0)
    generated, flat = generated.contiguous(), numbers.reshape(-1, numbers.shape[-1]).T.contiguous()
    first, after = torch.searchsorted(generated, flat), torch.searchsorted(generated, flat, right=True)
    low, high = (first - 1).clamp(0, LEVELS - 1), first.clamp(0, LEVELS - 1)
    below, above = generated.gather(1, low), generated.gather(1, high)
    part = ((flat - below) / (above - below).clamp_min(1e-12)).clamp(0, 1)
    level = torch.where(after > first, (first + after - 1) / 2, low + part * (high - low))
    whole = level.floor().long().clamp(0, LEVELS - 2)
    start, end = real.gather(1, whole), real.gather(1, whole + 1)
    return (start + (level - whole) * (end - start)).T.reshape(numbers.shape).to(numbers.dtype)


def fit_stops(hazards: torch.Tensor, lengths: np.ndarray) -> torch.Tensor:
    """float32[longest]: by position of a record, the shift of the log-odds that its series ends with it.

    Args:
        hazards: float32[n, longest], of a sample's series the probability of ending with each record, if they get so far.
        lengths: int64[m], of the training data's series, 1 to `longest`.
    """
    longest = hazards.shape[1]
    shifts = torch.zeros(longest, device=hazards.device)
    alive = torch.ones(len(hazards), device=hazards.device)
    ends = np.bincount(lengths - 1, minlength=longest)
    begin = 0
    while begin < longest - 1:  # the last record ends its series in any case
        end = _end_of_span(ends, begin)
        reached = float((lengths > begin).mean())
        if reached * len(lengths) < MIN_ROWS or float(alive.sum()) < 1:
            shifts[begin:] = shifts[begin - 1] if begin else 0.0
            break
        wanted = float((lengths > end).mean()) / reached
        low, high = -MAX_SHIFT, MAX_SHIFT
        for _ in range(30):
            middle = (low + high) / 2
            kept = alive * (1 - _shifted_bits(hazards[:, begin:end], middle)).prod(1)
            low, high = (middle, high) if float(kept.sum() / alive.sum()) > wanted else (low, middle)
        shifts[begin:end] = (low + high) / 2
        alive = alive * (1 - _shifted_bits(hazards[:, begin:end], shifts[begin:end])).prod(1)
        begin = end
    return shifts


def _end_of_span(ends: np.ndarray, begin: int) -> int:
    """Where the positions from `begin` on that share a shift end: where enough series end at one position, it stands alone;
    else where enough have ended, and at the double of `begin` at the latest. `ends` counts series by their last record."""
    if ends[begin] >= MIN_ROWS:
        return begin + 1
    last = min(2 * begin + 1, len(ends) - 1)
    following = ends[begin:last]
    enough = (following >= MIN_ROWS) | (np.cumsum(following) - following >= MIN_ROWS)
    return max(begin + int(enough.argmax()) if enough.any() else last, begin + 1)


def shifted_flags(flags: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Probabilities of continue and stop, float32[n, records, 2], with the log-odds of stop shifted (float32[records])."""
    stop = _shifted_bits(flags[..., 1], shifts)
    return torch.stack([1 - stop, stop], -1)


def unit_places(layout: ColumnLayout) -> dict[int, slice]:
    """The units of each column."""
    found = {column: slice(unit, unit + 1) for unit, column in enumerate(layout.sigmoid_columns.tolist())}
    start = layout.n_sigmoid
    for k, columns in layout.slabs:
        for column in columns.tolist():
            found[column] = slice(start, start + k)
            start += k
    return found


def _where_open(
    layout: ColumnLayout,
    units: torch.Tensor,
    real: np.ndarray,
    column: int,
    names: list[str],
    places: dict[int, slice],
) -> tuple[torch.Tensor, np.ndarray]:
    """How likely column's gate is open in each generated row (float32[n]), and whether it is in each real one (bool[m])."""
    gate, values = layout.columns[column].gate, layout.columns[column].gate_values
    if gate is None or names.index(gate) not in places:  # a gate of one category has no unit
        return torch.ones(len(units), device=units.device), np.ones(len(real), bool)
    number = names.index(gate)
    found = units[:, places[number]]
    if found.shape[1] == 1:
        found = torch.cat([1 - found, found], 1)
    return found[:, list(values)].sum(1), np.isin(real[:, number], values)


def _fit_shift(
    shifts: torch.Tensor, units: torch.Tensor, real: np.ndarray, weights: torch.Tensor, place: slice
) -> None:
    """Set the shifts of one column, by the rows' weights and the real categories [m]."""
    if float(weights.sum()) < MIN_ROWS or len(real) < MIN_ROWS:
        return
    found = units[:, place]
    is_bit = found.shape[1] == 1
    whole = torch.cat([1 - found, found], 1) if is_bit else found
    shares = np.bincount(real.astype(np.int64), minlength=whole.shape[1]) / len(real)
    wanted = torch.from_numpy(shares.astype(np.float32)).to(units.device).clamp_min(TINY)
    logs, weights = whole.clamp_min(TINY).log(), weights / weights.sum()
    shift = torch.zeros(whole.shape[1], device=units.device)
    for _ in range(ROUNDS):
        mean = weights @ torch.softmax(logs + shift, 1)
        if float((mean - wanted).abs().max()) < SHARE_TOLERANCE:
            break
        shift = (shift + wanted.log() - mean.clamp_min(TINY).log()).clamp_(-MAX_SHIFT, MAX_SHIFT)
    shifts[place] = (shift[1:] - shift[:1]) if is_bit else shift - shift.max()


def _shifted(probabilities: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    return torch.softmax(probabilities.clamp_min(TINY).log() + shifts, -1)


def _shifted_bits(probabilities: torch.Tensor, shifts: torch.Tensor | float) -> torch.Tensor:
    return torch.sigmoid(torch.logit(probabilities.clamp(TINY, 1 - TINY)) + shifts)


def _calibrated_numbers(layout: ColumnLayout) -> list[tuple[int, int]]:
    """Unit and column of each number that is no part of a vector."""
    counts = Counter(column.field for column in layout.columns if column.kind == "continuous")
    return [(k, i) for k, i in enumerate(layout.number_columns.tolist()) if counts[layout.columns[i].field] == 1]


def _fit_quantiles(quantiles: torch.Tensor, made: torch.Tensor, weights: torch.Tensor, real: np.ndarray) -> None:
    """Set the quantiles float32[2, LEVELS] of one column, generated with these weights (both float32[n]) and real."""
    if float(weights.sum()) >= MIN_ROWS and len(real) >= MIN_ROWS:
        levels = torch.linspace(0, 1, LEVELS, device=made.device)
        quantiles[0] = _weighted_quantiles(made, weights, levels)
        known = np.quantile(real, levels.cpu().numpy()).astype(np.float32)
        quantiles[1] = torch.from_numpy(known).to(made.device)


def _weighted_quantiles(values: torch.Tensor, weights: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """float32[k]: of values [n] where each counts as its weight."""
    ordered, order = values.sort()
    until = weights[order].cumsum(0)
    middle = (until - weights[order] / 2) / until[-1]
    place = torch.searchsorted(middle.contiguous(), levels.contiguous()).clamp(0, len(values) - 1)
    return ordered[place].cummax(0).values
