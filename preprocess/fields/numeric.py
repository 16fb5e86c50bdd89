"""Counters, sizes and times: a number in [0, 1] on a linear, logarithmic or quantile scale, with atoms; or tokens.

An *atom* is a value so frequent (an interarrival time of 0, a packet of 1,500 bytes) that a continuous column would
smear it. A categorical column holds the atom; its last category stands for all other values, which a continuous column
holds. *Tokens* are for models that generate categories: every frequent value, a *spike*, has a token; the other values
are cut into bins, each of which has a token, and a continuous column, the residual, says where in the bin they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from netshare.preprocess.encoded import Column
from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields.base import Bounds, FieldEncoding, category, check_range, find, nearest_of

MIN_ATOM_SHARE = 0.01  # of all values, that an atom must have
QUANTILES = 1001  # knots of the quantile scale
MAX_SPIKES = 512
MIN_SPIKE_SHARE = 1e-4  # of all values, that a spike must have, ...
MIN_SPIKE_COUNT = 3  # ... and how often it must occur
QUANTILE_BINS = 40  # of tokens: bins of about equally many values, ...
LOG_BINS = 24  # ... and edges at regular distances in the logarithm, which cut the widest of these bins again

Scale = Literal["linear", "log1p", "quantile"]


@dataclass(frozen=True, kw_only=True)
class Numeric(FieldEncoding):
    """A number on a scale, with atoms.

    Decoding rounds integers and clips to minimum..maximum. float32 resolves 2**-24 of the scaled range: on the
    logarithmic scale a relative error of about 1e-6 for values up to 1e12.

    scale: how values between `minimum` and `maximum` are spread over [0, 1]
    minimum, maximum: of the values that are not atoms; None where all are
    atoms: sorted
    knots, levels: of the quantile scale, values and the share of the data up to them
    """

    kind: ClassVar[str] = "numeric"
    scale: Scale
    minimum: float | None
    maximum: float | None
    atoms: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()
    integer: bool = True

    @property
    def encoding(self) -> str:
        """The name under which a user chooses this encoding."""
        return self.scale

    @classmethod
    def fit(
        cls,
        name: str,
        values: np.ndarray,
        *,
        scale: Scale = "log1p",
        atoms: bool | Sequence[float] = True,
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> Numeric:
        """Measure the constants that are not given.

        Nothing is measured if `maximum` is given and `atoms` is a list or False, unless the scale is by quantiles; the
        minimum is then 0 by default.

        Args:
            name: of the field.
            values: integers or floats; not negative on the log1p scale.
            scale: of the continuous column.
            atoms: True to find them (at least 1% of the values, and 0 wherever it occurs), a list to declare them, False
                for none.
            minimum, maximum: of the values that are no atoms.

        Raises:
            FieldError: there are negative values on the log1p scale.
        """
        measured = atoms is True or maximum is None or scale == "quantile"
        kept = _heavy_values(values) if atoms is True else np.asarray(sorted(atoms or ()), values.dtype)
        rest = values[~np.isin(values, kept)]
        low, high = minimum, maximum
        if maximum is None and len(rest):
            high = rest.max().item()
        if minimum is None:
            low = (rest.min().item() if len(rest) else None) if measured else 0
        if low is None or high is None:
            low = high = None
        if scale == "log1p" and (low or 0) < 0:
            raise FieldError(f"field {name}: found {low}, but the log1p scale takes no negative values; use linear")
        if low is None and len(kept) == 0:
            low = high = 0
        knots, levels = _quantiles(rest) if scale == "quantile" else ((), ())
        return cls(
            name=name,
            bounds="measured" if measured else "public",
            scale=scale,
            minimum=low,
            maximum=high,
            atoms=tuple(kept.tolist()),
            knots=knots,
            levels=levels,
            integer=values.dtype.kind in "iub",
        )

    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order."""
        atom, count = f"{self.name}.atom", len(self.atoms)
        if count == 0:
            return (Column(self.name, self.name, "continuous"),)
        if self.minimum is None:
            return (Column(atom, self.name, "categorical", count),)
        return (
            Column(atom, self.name, "categorical", count + 1),
            Column(self.name, self.name, "continuous", 0, atom, (count,)),
        )

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] of natural values [n]."""
        position, is_atom = find(np.asarray(self.atoms, values.dtype), values)
        encoded = np.zeros((len(values), len(self.columns())), np.float32)
        rest = values[~is_atom]
        if self.minimum is None or self.maximum is None:
            if len(rest):
                raise FieldError(f"field {self.name}: {rest[0]} is not among its {len(self.atoms)} known values")
        else:
            check_range(self.name, rest, self.minimum, self.maximum)  # type: ignore[arg-type]
            encoded[~is_atom, -1] = self._to_unit(rest.astype(np.float64))
        if self.atoms:
            encoded[:, 0] = np.where(is_atom, position, len(self.atoms))
        return encoded

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """Values that are no atoms, clipped to minimum..maximum; where there are only atoms, the nearest of them."""
        atoms = np.asarray(self.atoms, values.dtype)
        if self.minimum is None or self.maximum is None:
            return nearest_of(atoms, values)
        clipped = np.clip(values, self.minimum, self.maximum).astype(values.dtype)
        return np.where(find(atoms, values)[1], values, clipped)

    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: natural values of float32[n, k]."""
        dtype = np.int64 if self.integer else np.float64
        atoms = np.append(np.asarray(self.atoms, dtype), np.zeros(1, dtype))
        index = category(encoded[:, 0], len(self.atoms) + (self.minimum is not None)) if self.atoms else 0
        if self.minimum is None or self.maximum is None:
            return atoms[index]
        rest = self._from_unit(np.clip(encoded[:, -1].astype(np.float64), 0.0, 1.0))
        rest = np.clip(np.rint(rest) if self.integer else rest, self.minimum, self.maximum).astype(dtype)
        return np.where(index == len(self.atoms), rest, atoms[index])

    def _to_unit(self, values: np.ndarray) -> np.ndarray:
        if self.scale == "quantile":
            return np.interp(values, self.knots, self.levels)
        low, high = self._ends()
        scaled = np.log1p(values) if self.scale == "log1p" else values
        return np.clip((scaled - low) / (high - low), 0.0, 1.0) if high > low else np.zeros(len(values))

    def _from_unit(self, unit: np.ndarray) -> np.ndarray:
        if self.scale == "quantile":
            return np.interp(unit, self.levels, self.knots)
        low, high = self._ends()
        scaled = low + unit * (high - low)
        return np.expm1(scaled) if self.scale == "log1p" else scaled

    def _ends(self) -> tuple[float, float]:
        assert self.minimum is not None and self.maximum is not None
        if self.scale == "log1p":
            return float(np.log1p(self.minimum)), float(np.log1p(self.maximum))
        return float(self.minimum), float(self.maximum)


@dataclass(frozen=True, kw_only=True)
class NumericTokens(FieldEncoding):
    """Integers as tokens: one for each spike and one for each bin, with a residual in [0, 1] for the place in the bin.

    An integer x stands for the interval from x to x + 1. The residual is the middle of that interval on a scale, by
    default logarithmic, on which the bin reaches from 0 to 1. So residuals from 0 to 1 decode to all integers of the bin
    and to none outside it.

    spikes: sorted values with a token of their own, tokens 0 to len(spikes) - 1
    edges: sorted; bin i holds the integers edges[i] <= x < edges[i + 1] that are no spikes
    """

    kind: ClassVar[str] = "tokens"
    spikes: tuple[int, ...]
    edges: tuple[int, ...]
    scale: Literal["linear", "log1p"] = "log1p"

    @classmethod
    def fit(
        cls,
        name: str,
        values: np.ndarray,
        *,
        cap: int = MAX_SPIKES,
        share: float = MIN_SPIKE_SHARE,
        spikes: Sequence[int] | None = None,
        maximum: int | None = None,
    ) -> NumericTokens:
        """Measure spikes and bins.

        Bins hold about equally many values each; those that are wide are cut again at regular distances in the
        logarithm. With `spikes` and `maximum` nothing is measured, and 64 bins are regular in the logarithm.

        Args:
            name: of the field.
            values: integers, not negative.
            cap: the largest number of spikes.
            share: the smallest share of all values that a spike must have; it must also occur 3 times.
            spikes: declares the spikes.
            maximum: declares the largest value; it has an effect only together with `spikes`.

        Raises:
            FieldError: there are negative values.
        """
        values = values.astype(np.int64)
        if len(values) and values.min() < 0:
            raise FieldError(f"field {name}: found {values.min()}, but tokens take no negative values; use linear")
        bounds: Bounds = "measured"
        if spikes is not None and maximum is not None:
            kept, edges, bounds = np.unique(np.asarray(spikes, np.int64)), _log_edges(0, maximum + 1, 64), "public"
        else:
            kept = _frequent_values(values, cap, share) if spikes is None else np.unique(np.asarray(spikes, np.int64))
            edges = _measured_edges(values[~find(kept, values)[1]])
        return cls(name=name, bounds=bounds, spikes=tuple(kept.tolist()), edges=tuple(edges.tolist()))

    @classmethod
    def equal_bins(cls, name: str, maximum: int, bins: int = 64) -> NumericTokens:
        """`bins` bins of equal width over 0..maximum and no spikes; nothing is measured."""
        edges = [(maximum + 1) * i // bins for i in range(bins + 1)]
        return cls(name=name, spikes=(), edges=tuple(sorted(set(edges))), scale="linear")

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return max(len(self.edges) - 1, 0)

    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order."""
        token, spikes = f"{self.name}.token", len(self.spikes)
        columns = (Column(token, self.name, "categorical", spikes + self.bins, positions=self._positions()),)
        if self.bins == 0:
            return columns
        gate_values = tuple(range(spikes, spikes + self.bins))
        return (*columns, Column(f"{self.name}.residual", self.name, "continuous", 0, token, gate_values))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] of natural values [n]."""
        values = values.astype(np.int64)
        token, is_spike = find(np.asarray(self.spikes, np.int64), values)
        rest, encoded = values[~is_spike], np.zeros((len(values), len(self.columns())), np.float32)
        encoded[:, 0] = token
        if len(rest) == 0:
            return encoded
        if self.bins == 0:
            raise FieldError(f"field {self.name}: {rest[0]} is not among its {len(self.spikes)} known values")
        check_range(self.name, rest, self.edges[0], self.edges[-1] - 1)
        edges = np.asarray(self.edges, np.int64)
        index = np.searchsorted(edges, rest, side="right") - 1
        low, high = self._ends(edges, index)
        middle = rest + 0.5 if self.scale == "linear" else np.log(rest + 1.5)
        encoded[~is_spike, 0] = len(self.spikes) + index
        width = high - low  # 0 where the ends of a narrow bin of large numbers have one logarithm in float64
        encoded[~is_spike, 1] = np.where(width > 0, (middle - low) / np.where(width > 0, width, 1.0), 0.5).clip(
            0.0, 1.0
        )
        return encoded

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """Values that are no spikes, clipped to the range of the bins; where there are no bins, the nearest spike."""
        values, spikes = values.astype(np.int64), np.asarray(self.spikes, np.int64)
        if self.bins == 0:
            return nearest_of(spikes, values)
        return np.where(find(spikes, values)[1], values, np.clip(values, self.edges[0], self.edges[-1] - 1))

    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: natural values of float32[n, k]."""
        token = category(encoded[:, 0], len(self.spikes) + self.bins)
        values = np.append(np.asarray(self.spikes, np.int64), 0)[np.minimum(token, len(self.spikes))]
        binned = token >= len(self.spikes)
        if not bool(binned.any()):
            return values
        edges, index = np.asarray(self.edges, np.int64), token[binned] - len(self.spikes)
        low, high = self._ends(edges, index)
        scaled = low + np.clip(encoded[binned, 1].astype(np.float64), 0.0, 1.0) * (high - low)
        drawn = np.floor(scaled if self.scale == "linear" else np.exp(scaled) - 1.0).astype(np.int64)
        values[binned] = np.clip(drawn, edges[index], edges[index + 1] - 1)
        return values

    def _positions(self) -> tuple[float, ...]:
        spikes, edges = np.asarray(self.spikes, float), np.asarray(self.edges, float)
        places = np.concatenate([spikes, (edges[:-1] + edges[1:]) / 2])
        if self.scale == "log1p":
            places = np.log1p(np.concatenate([spikes, np.sqrt((edges[:-1] + 1) * edges[1:]) - 0.5]))
        low, high = places.min(initial=0.0), places.max(initial=1.0)
        return tuple(((places - low) / (high - low)).tolist())

    def _ends(self, edges: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaled = edges.astype(np.float64) if self.scale == "linear" else np.log(edges + 1.0)
        return scaled[index], scaled[index + 1]


def _heavy_values(values: np.ndarray) -> np.ndarray:
    """Values that occur twice or more and make up at least MIN_ATOM_SHARE of all, and 0 if it occurs; ascending."""
    seen, counts = np.unique(values, return_counts=True)
    return seen[((counts >= MIN_ATOM_SHARE * len(values)) & (counts > 1)) | (seen == 0)]


def _frequent_values(values: np.ndarray, cap: int, share: float) -> np.ndarray:
    """The at most `cap` most frequent values that are spikes, ascending; 0 is one wherever it occurs."""
    seen, counts = np.unique(values, return_counts=True)
    often = (counts >= max(MIN_SPIKE_COUNT, share * len(values))) | (seen == 0)
    seen, counts = seen[often], np.where(seen[often] == 0, len(values) + 1, counts[often])
    return np.sort(seen[np.argsort(-counts, kind="stable")[:cap]])


def _measured_edges(rest: np.ndarray) -> np.ndarray:
    """Edges of at most QUANTILE_BINS + LOG_BINS bins that cover `rest` exactly."""
    if len(rest) == 0:
        return np.zeros(0, np.int64)
    low, high = int(rest.min()), int(rest.max()) + 1
    quantiles = np.quantile(rest, np.linspace(0, 1, QUANTILE_BINS + 1)[1:-1], method="nearest")
    return np.unique(np.concatenate([quantiles, _log_edges(low, high, LOG_BINS)])).astype(np.int64)


def _log_edges(low: int, high: int, bins: int) -> np.ndarray:
    """Integer edges from `low` to `high` (both included), evenly spaced in log(x + 1)."""
    inner = np.floor(np.exp(np.linspace(np.log(low + 1.0), np.log(high + 1.0), bins + 1)[1:-1]) - 1.0)
    exact = np.array([low, high], np.int64)  # beyond 2**53 a float would miss them
    return np.unique(np.concatenate([exact, np.clip(np.minimum(inner, 2.0**62).astype(np.int64), low, high)]))


def _quantiles(values: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Distinct quantiles of `values` and the levels at which they lie (0 and 1 at the ends)."""
    if len(values) == 0:
        return (0.0, 1.0), (0.0, 1.0)
    levels = np.linspace(0, 1, min(QUANTILES, max(len(values), 2)))
    knots, first, count = np.unique(np.quantile(values, levels), return_index=True, return_counts=True)
    if len(knots) == 1:
        return (float(knots[0]), float(knots[0])), (0.0, 1.0)
    middle = (levels[first] + levels[first + count - 1]) / 2
    middle[0], middle[-1] = 0.0, 1.0
    return tuple(knots.tolist()), tuple(middle.tolist())
