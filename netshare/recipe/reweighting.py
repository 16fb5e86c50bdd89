"""Another distribution of metadata for models that are trained already (DoppelGANger, IMC 2020, sections 4.4 and 5.3).

    netshare retrain-metadata RUN_DIR --share dst_port=53:0.5 --uniform protocol -o NEW_RUN

Only P(metadata) is learnt anew, from random weights, so that nothing is left of the distribution that the first training
saw (obfuscation), or so that rare flows come as often as wanted (amplification). P(measurements | metadata) stays, bit by
bit. What is learnt from are the training series, drawn so often that the fields named have the shares wanted; within
flows of one value, all else keeps its distribution. Several fields are brought to their shares together, by iterative
proportional fitting.

The new run folder generates like any other (`netshare generate NEW_RUN`). It holds a copy of the old one's trace.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netshare.config.schema import Config
from netshare.generators import build_generator
from netshare.generators.base import metadata_only
from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.atomic import write_text
from netshare.preprocess.chunks import ChunkPlan, cut_series
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.flows import group_flows
from netshare.preprocess.ip2vec import IP2Vec
from netshare.preprocess.parquet import load_parquet
from netshare.preprocess.protocols import protocol_name, protocol_number
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import CATEGORY_COLUMNS
from netshare.run.console import Console
from netshare.run.folder import RunFolder, fingerprint
from netshare.run.stages import DEFAULT_FLOW_KEY, DEFAULT_SEGMENTS, DEFAULT_STEPS
from netshare.seeds import derive_seed
from netshare.training.devices import device_of
from netshare.training.loop import SAMPLING, load_weights, train
from netshare.training.tuned_settings import SETTLED, settled_generator

FIELDS = ("protocol", "src_port", "dst_port", "src_ip", "dst_ip", "ip_version", *CATEGORY_COLUMNS)
FITTING_ROUNDS = 200
FITTED = 1e-4  # largest error of a share
SHOWN = 20  # values of a field that the report lists
CHECKED = 5_000  # metadata drawn to see what was learnt

Wanted = dict[str, dict[str, float] | None]  # field -> value -> share; None is uniform over the values that occur


@dataclass(frozen=True)
class RetrainingReport:
    """What came of it: `shares` by field and value (before, wanted, drawn from the new models), and how many flows of
    equal weight the weighted ones are worth."""

    folder: Path
    shares: dict[str, dict[str, dict[str, float]]]
    effective_flows: float


def retrain_metadata(
    run_folder: str | Path,
    output: str | Path,
    *,
    wanted: Wanted,
    steps: int | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> RetrainingReport:
    """A run folder whose models draw metadata as wanted; an interrupted call with the same arguments goes on.

    Args:
        run_folder: of a run whose models are trained; left as it is.
        output: the new run folder.
        wanted: field -> value -> share of the flows. Values not listed share the rest, in their present proportions as
            far as other fields allow, and are left out where the listed ones sum to 1. None instead of shares: all
            values alike.
        steps: optimisation steps, at most; by default those of the run's config.
        seed: of all that is random.

    Raises:
        InputError: the run has no trained models.
        ConfigError: an unknown field, a value that never occurs, shares that contradict one another;
            the run is private, or on other series than a trace.
        TrainingError: the metadata cannot be learnt.
    """
    old, new, say = Path(run_folder), Path(output), (console or Console.silent()).say
    if not (old / "models" / "stage.json").exists():
        raise InputError(f"{old}: no trained models here; give the folder of a finished `netshare run`")
    if old.resolve() == new.resolve():
        raise ConfigError(f"{new}: is the run to retrain; give another folder, the old models are kept")
    if (new / "models").exists() and not (new / "models" / "retrained.json").exists():
        raise ConfigError(f"{new}: holds the models of another run, which would be lost; give a new folder")
    with RunFolder.open(old) as source, RunFolder.open(new) as folder:
        config = Config.model_validate_json((old / "models" / "config.json").read_text())
        if config.privacy.enabled:
            raise ConfigError(
                f"{old}: is a private run; retraining looks at its input again, which its budget has no room for"
            )
        if config.preset == "timeseries":
            raise ConfigError(f"{old}: is a run on time series that are no traces; retraining is built for traces only")
        work = _Retraining(config, old, wanted)
        say(f"{work.effective_flows:,.0f} of {work.flows:,} training flows count, as weighted")
        keys = {name: (source.done(name) or {}).get("fingerprint") for name in ("trace", "chunks", "models")}
        with folder.stage("trace", str(keys["trace"])) as place:
            if place is not None:
                _copy(old / "trace", place)
        key = fingerprint("retrained", keys["chunks"], wanted)
        with folder.stage("chunks", key) as place:
            if place is not None:
                _copy(old / "chunks", place)
                write_text(place / "chunks.json", json.dumps(work.facts, indent=1))
        key = fingerprint("retrained", keys["models"], key, steps, seed)
        with folder.stage("models", key) as place:
            if place is not None:
                if (old / "models" / SETTLED).exists():
                    shutil.copyfile(old / "models" / SETTLED, place / SETTLED)
                drawn = work.train(place, key=key, steps=steps, seed=seed, say=say)
                write_text(place / "config.json", config.model_dump_json(indent=1))
                write_text(place / "retrained.json", json.dumps(work.shares(drawn), indent=1))
        shares = json.loads((new / "models" / "retrained.json").read_text())
    for field, values in shares.items():
        for value, share in values.items():
            say(
                f"  {field} {value}: {share['before']:.3f} before, {share['wanted']:.3f} wanted, {share['drawn']:.3f} now"
            )
    return RetrainingReport(new, shares, work.effective_flows)


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
    for _ in range(FITTING_ROUNDS):
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


class _Retraining:
    """The training series of a run with their weights."""

    def __init__(self, config: Config, folder: Path, wanted: Wanted) -> None:
        self.config, self.folder = config, folder
        ip2vec = IP2Vec.load(Path(config.ip2vec.model)) if config.ip2vec.model is not None else None
        self.codec = Codec.from_json(json.loads((folder / "chunks" / "codec.json").read_text()), ip2vec=ip2vec)
        facts = json.loads((folder / "chunks" / "chunks.json").read_text())
        trace = load_parquet(folder / "trace" / "train.parquet")
        flows = group_flows(trace, config.fields.flow_key or DEFAULT_FLOW_KEY[trace.kind])
        first = {name: column[flows.first] for name, column in trace.columns.items()}
        texts = {field: _texts(field, first, trace.categories) for field in wanted}
        self.names = {field: np.unique(column) for field, column in texts.items()}
        numbers = self._numbers(texts)
        self.before = {f: np.bincount(numbers[f], minlength=len(n)) / len(flows) for f, n in self.names.items()}
        groups = {f: _groups(f, wanted[f], self.names[f]) for f in wanted}
        grouped = {f: group[numbers[f]] for f, (group, _) in groups.items()}
        found = fit_weights(grouped, {f: target for f, (_, target) in groups.items()})
        self.factors = {f: found[f][group] for f, (group, _) in groups.items()}
        weights = _product(numbers, self.factors)
        self.wanted = {
            f: np.bincount(numbers[f], weights, len(n)) / weights.sum() for f, n in self.names.items()
        }  # fmt: skip
        self.flows, self.effective_flows = len(flows), float(weights.sum() ** 2 / (weights**2).sum())
        self.scale = len(flows) / weights.sum()
        self.tables = self._tables(trace, flows, facts)
        self.weights = {chunk: self._series_weights(table) for chunk, table in self.tables.items()}
        self.facts = self._weighted(facts)

    def train(self, models: Path, *, key: str, steps: int | None, seed: int, say: Any) -> list[dict[str, np.ndarray]]:
        """Retrain every chunk's model in `models`; metadata that they draw, in proportion to their flows."""
        config, drawn = self.config, []
        device = device_of(config.training.device)
        most = steps or config.training.steps or DEFAULT_STEPS[config.generator.kind][0]
        section = settled_generator(config.generator, self.folder / "models")
        for name, fact in self.facts["chunks"].items():
            chunk, folder = int(name), f"{int(name):03d}"
            say(f"  chunk {folder}: learning metadata")
            encoded = Encoded.load(self.folder / "chunks" / folder)
            own = derive_seed(seed, "retrain", chunk)
            rows = resample(self.weights[chunk], len(encoded), own)
            generator = build_generator(self.codec.schema, section, device=device)
            train(
                generator,
                metadata_only(np.asarray(encoded.metadata)[rows], encoded.lengths[rows], self.codec.schema),
                folder=models / folder,
                steps=most,
                seed=own,
                name=folder,
                fingerprint=fingerprint(key, chunk),
                initial_weights=load_weights(self.folder / "models" / folder / SAMPLING),
                retrain_metadata=True,
                checkpoint_seconds=config.training.checkpoint_seconds,
                threads=config.training.threads,
            )
            count = max(round(CHECKED * fact["starting"] / self.flows), 1)
            sampled = generator.sample_metadata(4 * count, seed=own)
            found = self.codec.at(chunk).decode_metadata(sampled, seed=own)
            starts = np.flatnonzero(found["starts_here"] == 1)[:count]
            drawn.append({column: values[starts] for column, values in found.items()})
        return drawn

    def shares(self, drawn: list[dict[str, np.ndarray]]) -> dict[str, dict[str, dict[str, float]]]:
        """By field and value: the share of flows before, wanted, and among those drawn."""
        together = {name: np.concatenate([part[name] for part in drawn]) for name in drawn[0]}
        categories = self.codec.categories
        found = {}
        for field, names in self.names.items():
            texts = _texts(field, together, categories)
            now = [float((texts == name).mean()) if len(texts) else 0.0 for name in names]
            order = np.argsort(-np.maximum(self.wanted[field], self.before[field]), kind="stable")[:SHOWN]
            found[field] = {
                str(names[i]): {"before": float(self.before[field][i]), "wanted": float(self.wanted[field][i]), "drawn": now[i]}
                for i in order
            }  # fmt: skip
        return found

    def _tables(self, trace: Any, flows: Any, facts: dict[str, Any]) -> dict[int, SeriesTable]:
        longest = self.config.chunks.max_records_per_segment or DEFAULT_SEGMENTS[self.config.generator.kind]
        tables = cut_series(trace, flows, ChunkPlan(**facts["plan"]), max_records_per_segment=longest)
        counts = {int(chunk): said["series"] for chunk, said in facts["chunks"].items()}
        tables = {chunk: table for chunk, table in tables.items() if chunk in counts}
        if {chunk: len(table) for chunk, table in tables.items()} != counts:
            raise InputError(f"{self.folder}: its series cannot be cut again as they were trained on; run it again")
        return tables

    def _numbers(self, texts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {field: np.searchsorted(self.names[field], column) for field, column in texts.items()}

    def _series_weights(self, table: SeriesTable) -> np.ndarray:
        texts = {field: _texts(field, table.metadata, table.categories) for field in self.names}
        return _product(self._numbers(texts), self.factors) * self.scale

    def _weighted(self, facts: dict[str, Any]) -> dict[str, Any]:
        """`chunks.json` with the counts that the weights give; chunks without any are left out."""
        chunks = {}
        for chunk, table in self.tables.items():
            weights = self.weights[chunk]
            if weights.any():
                starting = round(float(weights[table.metadata["starts_here"] == 1].sum()))
                records = round(float((weights * table.lengths).sum()))
                segments = round(float(weights[table.metadata["continues"] == 1].sum()))
                said = {"records": records, "starting": starting, "segments": segments}
                chunks[str(chunk)] = {"series": len(table), **said}
        return {**facts, "chunks": chunks}


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


def _copy(source: Path, place: Path) -> None:
    shutil.copytree(source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("stage.json"))
