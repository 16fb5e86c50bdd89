"""`Synthesizer`: learn a trace, or time series, and make as many more of the same kind as wanted.

    synthesizer = Synthesizer().fit("campus.pcap")
    trace = synthesizer.sample(1_000, seed=1)
    trace.to_pandas()

It holds in memory what a run keeps in a folder: both go through the same recipe (`netshare.recipe`).
"""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, Self, overload

import pandas as pd
import torch
from typing_extensions import TypeVar

from netshare.config.in_memory import TIME_SERIES, check_preset
from netshare.config.input import read_table
from netshare.config.load import default_config
from netshare.config.presets import merge
from netshare.config.schema import Config, InputPreset
from netshare.config.series import SeriesSettings
from netshare.console import Console
from netshare.evaluation.report import Report, SeriesReport
from netshare.preprocess.data import TraceLike, as_trace
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import ConfigError, TrainingError
from netshare.preprocess.stored import read_json
from netshare.preprocess.timeseries import TimeSeries
from netshare.preprocess.trace import Trace
from netshare.recipe.address_key import new_key, read_key, write_key
from netshare.recipe.base import Outcome, Recipe
from netshare.recipe.fitting import check_network_size, models_of, read_weights
from netshare.recipe.preparation import Prepared, Split, chunk_folder
from netshare.recipe.trace_recipe import without_address_map
from netshare.synthesizer import saved
from netshare.synthesizer.recipes import recipe_for
from netshare.training.loop import SAMPLING
from netshare.training.tuned_settings import TUNED, tuned_choice

Data = TypeVar("Data", bound=Trace | TimeSeries, default=Trace)  # what is learnt and sampled


@dataclass(frozen=True)
class _Fitted:
    """What was learnt: the config that it was learnt by, chunks and codec, and the models' weights by chunk."""

    config: Config
    prepared: Prepared[Any]
    weights: Mapping[int, dict[str, torch.Tensor]]
    tuned: str | None


class Synthesizer(Generic[Data]):
    """Learns data and makes synthetic data of them.

    To a type checker it is a `Synthesizer[Trace]`, with the preset `timeseries` a `Synthesizer[TimeSeries]`. Of a saved one
    `Synthesizer[TimeSeries].load(folder)` says so.

    >>> import netshare
    >>> trace = netshare.read_trace(netshare.sample_path("pcap")).take(slice(0, 400))
    >>> synthesizer = netshare.Synthesizer(settings={"training": {"steps": 2, "finetune_steps": 2}})
    >>> synthetic = synthesizer.fit(trace).sample(20, seed=1)
    >>> synthetic.kind
    'packet'
    """

    @overload
    def __init__(
        self: Synthesizer[TimeSeries],
        *,
        preset: Literal["timeseries"],
        generator: str = ...,
        epsilon: float | None = ...,
        seed: int = ...,
        settings: Mapping[str, Any] | None = ...,
        console: Console | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self,
        *,
        generator: str = ...,
        epsilon: float | None = ...,
        preset: InputPreset | None = ...,
        seed: int = ...,
        settings: Mapping[str, Any] | None = ...,
        console: Console | None = ...,
    ) -> None: ...

    def __init__(
        self,
        *,
        generator: str = "autoregressive",
        epsilon: float | None = None,
        preset: InputPreset | None = None,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        console: Console | None = None,
    ) -> None:
        """A synthesizer that has learnt nothing yet.

        Args:
            generator: a registered kind: `autoregressive`, `doppelganger`, or a plugin's.
            epsilon: makes it differentially private; `settings` must then declare `privacy.bounds`.
            preset: `pcap`, `netflow` or `timeseries`; by default by the data, which are then a trace.
            seed: of all that is random in fitting.
            settings: sections of a config (`docs/config.md`), such as `{"training": {"steps": 500}}`.
            console: where progress goes; by default into a notebook, and nowhere else.

        Raises:
            ConfigError: when `fit` is called: a setting is unknown or does not apply.
        """
        self.settings = {**(settings or {}), "seed": seed}
        self.settings["generator"] = {"kind": generator, **self.settings.get("generator", {})}
        if epsilon is not None:
            self.settings["privacy"] = {**self.settings.get("privacy", {}), "epsilon": epsilon}
        self.preset = preset
        self.console = console or Console.default()
        self._fitted: _Fitted | None = None
        self._real: Split[Any] | None = None
        self._folder: Path | None = None  # that it was loaded from

    def fit(self, data: TraceLike | Data) -> Self:
        """Learn data; what was learnt before is forgotten.

        Args:
            data: a path, several, a `Trace`, a DataFrame of packets or of flows; with the preset `timeseries` a path, a
                DataFrame or a `TimeSeries`. All of it is trained on, unless `settings` hold a share back
                (`evaluate.holdout`).

        Returns:
            itself.

        Raises:
            InputError, FieldError: the data cannot be read, or are too few to learn from without copying them.
            ConfigError: a setting is unknown or does not apply to data of this kind.
            TrainingError, ClusterError: a model cannot be trained.
        """
        read = self._read(data)
        preset = check_preset(self.preset, read)
        config = default_config(preset, merge({"evaluate": {"holdout": 0.0}}, self.settings))
        recipe = recipe_for(config)
        recipe.check(read)
        for line in recipe.describe(read):
            self.console.say(line)
        real = recipe.split(read)
        for step in recipe.looks:
            recipe.charge(step, secrets.token_hex(16), real.full, self.console)
        table = recipe.table(real, self.console) if recipe.draws_table else None
        prepared = recipe.prepare(real if table is None else Split(table, table), self.console)
        with tempfile.TemporaryDirectory(prefix="netshare-") as place:
            folder = Path(place)
            recipe.train(prepared, folder, "", self.console)
            weights = {
                chunk: read_weights(chunk_folder(folder, chunk) / SAMPLING) for chunk in prepared.contents.chunks
            }
            found = (folder / TUNED).read_text() if (folder / TUNED).exists() else None
        fitted = replace(prepared, encoded=_let_go, address_key=new_key())
        self._fitted = _Fitted(config, fitted, weights, found)
        self._real, self._folder = real, None
        return self

    @property
    def config(self) -> Config:
        """The config that was fitted by, with all defaults filled in."""
        return self._known.config

    def sample(
        self, n: int | None = None, *, seed: int | None = None, metadata: str | Path | pd.DataFrame | None = None
    ) -> Data:
        """Synthetic data, finished: headers are valid, and whatever the settings say of addresses is done.

        Args:
            n: flows (distinct five-tuples; of time series: series) to make; by default as many as were learnt.
            seed: the same seed gives the same data; by default another one each time. It is named in the notes of
                what is returned (`trace.sources[0].notes`) and shown on the console.
            metadata: the flows to make instead, a CSV, Parquet or DataFrame (see `netshare.recipe.given_flows`).

        Returns:
            a `Trace`, or a `TimeSeries` if such were learnt.

        Raises:
            TrainingError: nothing has been fitted.
            ConfigError, InputError: `n` is not positive, or `metadata` cannot be used.
        """
        return self._sampled(n, seed, metadata)[1]

    @overload
    def report(
        self: Synthesizer[Trace], holdout: TraceLike | None = None, *, synthetic: TraceLike | None = None
    ) -> Report: ...

    @overload
    def report(
        self: Synthesizer[TimeSeries],
        holdout: TraceLike | TimeSeries | None = None,
        *,
        synthetic: TraceLike | TimeSeries | None = None,
    ) -> SeriesReport: ...

    def report(
        self, holdout: TraceLike | TimeSeries | None = None, *, synthetic: TraceLike | TimeSeries | None = None
    ) -> Report | SeriesReport:
        """How close samples are to real data, and what they give away.

        Args:
            holdout: real data that were not fitted on; by default those held back by `evaluate.holdout`, else the
                training data are halved, which flatters.
            synthetic: what to judge; by default a sample with seed 0.

        Returns:
            a `netshare.evaluation.Report`, of time series a `SeriesReport`.

        Raises:
            TrainingError: nothing has been fitted, or the synthesizer was loaded without its training data.
        """
        known, real = self._known, self._real
        if real is None:
            raise TrainingError(
                "a loaded synthesizer does not hold its training data; use netshare.evaluate(train, synthetic, holdout)"
            )
        recipe = recipe_for(known.config)
        decoded, finished = self._sampled(None, 0, None) if synthetic is None else (None, self._read(synthetic))
        held_back = real.holdout if holdout is None else self._read(holdout)
        return recipe.evaluate(
            replace(real, holdout=held_back),
            decoded if decoded is not None else finished,
            finished,
            Outcome(),
            known.prepared.codec.describe(),
        )

    def save(self, folder: str | Path, *, with_address_key: bool = False) -> None:
        """Write what was learnt into a new folder; see `netshare.synthesizer.saved`. The training data are not in it.

        Args:
            folder: new or empty.
            with_address_key: also write the secret key by which `addresses.prefixes` re-maps addresses. Whoever has it can
                undo the map, so do not give such a folder away. Without it a loaded synthesizer draws a key of its own, and
                its addresses do not agree with those of traces made before.

        Raises:
            TrainingError: nothing has been fitted.
            RunFolderError: the folder is not empty, or cannot be written.
        """
        known = self._known
        saved.save(Path(folder), known.config, known.prepared, known.weights, known.tuned)
        if with_address_key and known.prepared.address_key is not None:
            write_key(Path(folder), known.prepared.address_key)

    @classmethod
    def load(cls, folder: str | Path, *, console: Console | None = None) -> Self:
        """A fitted synthesizer from a folder that `save` wrote, or from that of a finished run.

        The folder may be a stranger's: nothing in it is run, and nothing outside it is read.

        Raises:
            RunFolderError: it is no such folder, is damaged, or is of a version that does not fit.
        """
        place = Path(folder)
        found = saved.open_saved(place)
        with saved.as_damage(place):
            recipe = recipe_for(found.config)
            prepared = recipe.load_prepared(found.chunks)
            check_network_size(tuned_choice(found.config.generator.choice(), found.models), prepared.schema)
            weights = {
                chunk: read_weights(chunk_folder(found.models, chunk) / SAMPLING) for chunk in prepared.contents.chunks
            }
            text = json.dumps(read_json(found.models / TUNED)) if (found.models / TUNED).exists() else None
            loaded = cls(console=console)
            loaded.settings, loaded.preset = found.config.model_dump(mode="json"), None
            key = read_key(place) or new_key()
            known = replace(prepared, encoded=_let_go, address_key=key)
            loaded._fitted = _Fitted(found.config, known, weights, text)
            loaded._check_weights(found.models)
        loaded._folder = place
        return loaded

    @property
    def _known(self) -> _Fitted:
        if self._fitted is None:
            raise TrainingError("nothing has been learnt yet; call fit(data) first")
        return self._fitted

    def _sampled(self, n: int | None, seed: int | None, metadata: Any) -> tuple[Data, Data]:
        """A sample as decoded, and finished."""
        known = self._known
        if n is not None and n < 1:
            raise ConfigError(f"n is {n}; give a whole number of at least 1")
        seed = secrets.randbits(31) if seed is None else seed
        config = known.config if metadata is None else without_address_map(known.config)
        recipe: Recipe[Any] = recipe_for(config)
        given = None if metadata is None else recipe.read_given(metadata, known.prepared)
        models = models_of(known.prepared, config, self._choice(), lambda chunk: dict(known.weights[chunk]))
        self.console.say(f"sampling with seed {seed}")
        with nullcontext() if self._folder is None else saved.as_damage(self._folder):
            decoded, _ = recipe.sample(known.prepared, models, count=n, given=given, seed=seed, console=self.console)
            finished, _ = recipe.finish(decoded, known.prepared)
            return decoded, recipe.signed(finished, known.prepared, seed)

    def _choice(self) -> Any:
        known = self._known
        with tempfile.TemporaryDirectory(prefix="netshare-") as place:
            if known.tuned is not None:
                (Path(place) / TUNED).write_text(known.tuned)
            return tuned_choice(known.config.generator.choice(), Path(place))

    def _check_weights(self, folder: Path) -> None:
        """Build every model once, so that weights that do not fit are refused at loading."""
        known = self._known
        models = models_of(known.prepared, known.config, self._choice(), lambda chunk: dict(known.weights[chunk]))
        for chunk in known.prepared.contents.chunks:
            with saved.as_damage(chunk_folder(folder, chunk) / SAMPLING):
                models(chunk)

    def _read(self, data: Any) -> Any:
        if isinstance(data, TimeSeries | Trace):
            return data
        if self.preset == TIME_SERIES:
            return read_table(data, SeriesSettings(**self.settings.get("series", {})))
        return as_trace(data)


def _let_go(chunk: int) -> Encoded:
    raise TrainingError(f"the training series of chunk {chunk} are not kept once the models are trained; fit again")
