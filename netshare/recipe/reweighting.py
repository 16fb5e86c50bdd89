"""Another distribution of metadata for the training series: weights of flows, so that fields have the shares wanted.

Series are then drawn as often as they weigh. Within flows of one value all else keeps its distribution; several fields are
brought to their shares together, by iterative proportional fitting (DoppelGANger, IMC 2020, sections 4.4 and 5.3).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from netshare.config.schema import Config
from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.chunks import cut_series
from netshare.preprocess.codec import Codec
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.flows import group_flows
from netshare.preprocess.protocols import protocol_name, protocol_number
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import CATEGORY_COLUMNS, Trace
from netshare.recipe.contents import ChunkContents, Contents
from netshare.recipe.metadata import Metadata, concatenate
from netshare.recipe.preparation import Prepared, flow_key, segment_records

FIELDS = ("protocol", "src_port", "dst_port", "src_ip", "dst_ip", "ip_version", *CATEGORY_COLUMNS)
MAX_FITTING_ROUNDS = 200
FITTED = 1e-4  # largest error of a share
MAX_LISTED = 20  # values of a field that the report lists

Wanted = dict[str, dict[str, float] | None]  # field -> value -> share; None is uniform over the values that occur


@dataclass(frozen=True)
class Share:
    """The share of flows that have one value of a field: before, as wanted, and as drawn from the new models."""

    before: float
    wanted: float
    drawn: float


def read_wanted(path: Path | None, uniform: Sequence[str], shares: Sequence[str]) -> Wanted:
    """What the command line asks for, as `retrain_metadata` takes it.

    Args:
        path: JSON of `{field: {value: share}}`, or `{field: "uniform"}`.
        uniform: fields.
        shares: texts `field=value:share`.

    Raises:
        ConfigError: nothing is asked for, a field twice, or something that is no share.
    """
    wanted: dict[str, Any] = {}
    if path is not None:
        try:
            wanted = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: cannot be read as JSON ({error})") from None
        if not isinstance(wanted, dict):
            raise ConfigError(f"{path}: give an object, such as {{'dst_port': {{'53': 0.5}}}}")
        wanted = {field: None if values == "uniform" else values for field, values in wanted.items()}
    for text in shares:
        field, equals, rest = text.partition("=")
        value, colon, share = rest.rpartition(":")
        if not (equals and colon) or (field in wanted and wanted[field] is None):
            raise ConfigError(f"--share {text}: write it as FIELD=VALUE:SHARE, such as dst_port=53:0.5")
        wanted.setdefault(field, {})[value] = share
    for field in uniform:
        if field in wanted:
            raise ConfigError(f"--uniform {field}: other shares of {field} are given as well; drop one of them")
        wanted[field] = None
    if not wanted:
        raise ConfigError("no distribution is wanted; give --wanted FILE, --uniform FIELD or --share FIELD=VALUE:SHARE")
    return {field: _checked_shares(field, values) for field, values in wanted.items()}


def fit_weights(values: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A factor for each value of each field, so that rows weighted by the product of theirs have the target shares.

    Args:
        values: field -> int64[n], the value of each row, by number.
        targets: field -> float64[k], the share wanted of each value.

    Raises:
        ConfigError: no weights give these shares, since the values wanted do not occur together.
    """
    factors = {field: np.ones(len(target)) for field, target in targets.items()}
    for _ in range(MAX_FITTING_ROUNDS):
        worst = 0.0
        for field, target in targets.items():
            weights = _product(values, factors)
            total = weights.sum()
            shares = np.bincount(values[field], weights, len(target)) / (total or 1)
            worst = max(worst, float(np.abs(shares - target).max()))
            factors[field] *= np.divide(target, shares, out=np.zeros_like(target), where=shares > 0)
        if worst < FITTED:
            return factors
    raise ConfigError(
        f"the shares wanted of {' and '.join(targets)} contradict one another; no flows have them together"
    )


def resample(weights: np.ndarray, count: int, seed: int) -> np.ndarray:
    """int64[count]: row numbers, each as often as its share of the weights, to within one; in random order."""
    random = np.random.default_rng(seed)
    places = (np.arange(count) + random.random()) * (weights.sum() / count)
    chosen = np.searchsorted(np.cumsum(weights), places, side="right")
    return random.permutation(np.minimum(chosen, np.flatnonzero(weights)[-1]))


@dataclass(frozen=True)
class _Field:
    """One field whose distribution is changed.

    names: its values, as a user writes them, sorted
    before, wanted: float64[k], shares of the flows by value
    factors: float64[k], what a flow's weight is multiplied by for its value
    """

    names: np.ndarray
    before: np.ndarray
    wanted: np.ndarray
    factors: np.ndarray


class Reweighting:
    """The training series of a run with their weights.

    flows: training flows; effective_flows: how many of equal weight the weighted ones are worth
    contents: what the chunks hold, as weighted; chunks without any weight are left out
    """

    def __init__(self, trace: Trace, prepared: Prepared[Codec], config: Config, wanted: Wanted) -> None:
        """Weights for the training part of a trace, which `prepared` was made of under `config`.

        Raises:
            ConfigError: an unknown field, a value that never occurs, shares that contradict one another.
            InputError: the trace is not the one that was prepared.
        """
        self.codec = prepared.codec
        flows = group_flows(trace, flow_key(config, trace.kind))
        first = {name: column[flows.first] for name, column in trace.columns.items()}
        texts = {field: _texts(field, first, trace.categories) for field in wanted}
        names = {field: np.unique(column) for field, column in texts.items()}
        numbers = {field: np.searchsorted(names[field], column) for field, column in texts.items()}
        groups = {field: _groups(field, wanted[field], names[field]) for field in wanted}
        found = fit_weights(
            {field: group[numbers[field]] for field, (group, _) in groups.items()},
            {field: target for field, (_, target) in groups.items()},
        )
        factors = {field: found[field][group] for field, (group, _) in groups.items()}
        weights = _product(numbers, factors)
        self.fields = {
            field: _Field(
                names[field],
                np.bincount(numbers[field], minlength=len(names[field])) / len(flows),
                np.bincount(numbers[field], weights, len(names[field])) / weights.sum(),
                factors[field],
            )
            for field in wanted
        }
        self.flows, self.effective_flows = len(flows), float(weights.sum() ** 2 / (weights**2).sum())
        scale = len(flows) / weights.sum()
        tables = cut_series(trace, flows, prepared.contents.time, max_records_per_segment=segment_records(config))
        held = {chunk: each.series for chunk, each in prepared.contents.chunks.items()}
        if {chunk: len(tables[chunk]) for chunk in held if chunk in tables} != held:
            raise InputError("the training series cannot be cut again as they were trained on; run it again")
        self.weights = {chunk: self._series_weights(tables[chunk]) * scale for chunk in held}
        self.contents = self._weighted(prepared.contents, tables)

    def rows(self, chunk: int, count: int, seed: int) -> np.ndarray:
        """int64[count]: numbers of the chunk's training series, each as often as it weighs."""
        return resample(self.weights[chunk], count, seed)

    def shares(self, drawn: Sequence[Metadata]) -> dict[str, dict[str, Share]]:
        """By field and value: the share of flows before, wanted, and among those drawn."""
        together = concatenate(drawn)
        found = {}
        for name, field in self.fields.items():
            texts = _texts(name, together.columns, self.codec.categories)
            now = [float((texts == value).mean()) if len(texts) else 0.0 for value in field.names]
            order = np.argsort(-np.maximum(field.wanted, field.before), kind="stable")[:MAX_LISTED]
            found[name] = {
                str(field.names[i]): Share(float(field.before[i]), float(field.wanted[i]), now[i]) for i in order
            }
        return found

    def _series_weights(self, table: SeriesTable) -> np.ndarray:
        texts = {name: _texts(name, table.metadata, table.categories) for name in self.fields}
        numbers = {name: np.searchsorted(field.names, texts[name]) for name, field in self.fields.items()}
        return _product(numbers, {name: field.factors for name, field in self.fields.items()})

    def _weighted(self, contents: Contents, tables: Mapping[int, SeriesTable]) -> Contents:
        chunks = {}
        for chunk, weights in self.weights.items():
            table = tables[chunk]
            if weights.any():
                chunks[chunk] = ChunkContents(
                    series=len(table),
                    records=round(float((weights * table.lengths).sum())),
                    starting=round(float(weights[table.metadata["starts_here"] == 1].sum())),
                    segments=round(float(weights[table.metadata["continues"] == 1].sum())),
                )
        return replace(contents, chunks=chunks)


def _product(values: Mapping[str, np.ndarray], factors: Mapping[str, np.ndarray]) -> np.ndarray:
    """float64[n]: each row's weight."""
    return np.prod([factors[field][values[field]] for field in factors], axis=0)


def _texts(field: str, columns: Mapping[str, np.ndarray], categories: Mapping[str, tuple[str, ...]]) -> np.ndarray:
    """The field's value in each row, as a user writes it."""
    if field not in FIELDS or (field in CATEGORY_COLUMNS and field not in columns):
        known = [name for name in FIELDS if name not in CATEGORY_COLUMNS or name in columns]
        raise ConfigError(f"{field}: no field whose distribution can be changed; choose of {', '.join(known)}")
    if field in CATEGORY_COLUMNS:
        return np.array(categories[field], dtype=str)[columns[field]]
    if field in ("src_ip", "dst_ip"):
        side = field[:3]
        return format_addresses(columns["ip_version"], columns[f"{side}_hi"], columns[f"{side}_lo"]).astype(str)
    if field == "protocol":
        return protocol_name(columns[field]).astype(str)
    return columns[field].astype(str)


def _groups(field: str, shares: Mapping[str, float] | None, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The group of each value in `names` (int64[k]), and the share wanted of each group: a value that is listed is one,
    all others together are the last."""
    if shares is None:
        return np.arange(len(names)), np.full(len(names), 1 / len(names))
    group, target = np.full(len(names), len(shares)), np.zeros(len(shares) + 1)
    for position, (value, share) in enumerate(shares.items()):
        text = value
        if field == "protocol":
            number, known = protocol_number([value])
            text = str(protocol_name(number)[0]) if known[0] else value
        place = int(np.searchsorted(names, text))
        if place == len(names) or names[place] != text:
            raise ConfigError(
                f"{field} {value}: never occurs in the training data, so that nothing of it can be learnt"
            )
        group[place], target[position] = position, share
    rest = 1 - target.sum()
    if rest < -FITTED or (rest > FITTED and (group < len(shares)).all()):
        raise ConfigError(f"{field}: the shares wanted sum to {target.sum():g}; they must sum to 1, or to less if other "
                          "values occur")  # fmt: skip
    target[-1] = max(rest, 0)
    return group, target / target.sum()


def _checked_shares(field: str, values: Any) -> dict[str, float] | None:
    if values is None:
        return None
    if not isinstance(values, dict) or not values:
        raise ConfigError(f"{field}: give shares by value, such as {{'53': 0.5}}, or 'uniform'")
    shares: dict[str, float] = {}
    for value, share in values.items():
        try:
            shares[str(value)] = float(share)
        except (TypeError, ValueError):
            raise ConfigError(f"{field} {value}: {share} is no share; give a number from 0 to 1") from None
        if not 0 <= shares[str(value)] <= 1:
            raise ConfigError(f"{field} {value}: the share {share} is not from 0 to 1")
    return shares
