"""The recipe for time series that are no traces (DoppelGANger, IMC 2020): table -> codec -> one model -> table.

There is one chunk, the whole of the data; nothing is repaired and no header rebuilt. Series are written in the form in
which they were read, and compared with held-back ones by the DoppelGANger paper's measures.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from netshare.config.input import read_table
from netshare.config.schema import Config
from netshare.console import Console
from netshare.evaluation import SeriesReport, write_json
from netshare.evaluation.evaluate_series import evaluate_series
from netshare.evaluation.render.series_html import write_series_html
from netshare.fingerprints import array_fingerprint
from netshare.generators.base import Generator
from netshare.postprocess.writers.series import SUFFIXES, write_series
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.readers import list_files
from netshare.preprocess.timeseries import SeriesCodec, TimeSeries, load_series, save_series, split_series
from netshare.preprocess.timeseries.three_arrays import descriptions_path
from netshare.recipe.base import Outcome
from netshare.recipe.contents import ChunkContents, Contents
from netshare.recipe.fitting import Models, fit_models
from netshare.recipe.flow_sampling import GenerationReport
from netshare.recipe.learning import PlainLearning, section_json
from netshare.recipe.preparation import Prepared, Split, load_prepared_series
from netshare.seeds import derive_seed
from netshare.training.devices import threads

logger = logging.getLogger(__name__)

MIN_SERIES = 10  # a model of fewer could only recite them
READING = {"auto_normalize", "fold"}  # settings of series that are of their encoding, not of reading them
ONLY_CHUNK = 0


def draw_series(generator: Generator, codec: SeriesCodec, count: int, *, seed: int) -> TimeSeries:
    """`count` series from a trained generator; where all that it learnt from have one length, of that length."""
    metadata = generator.sample_metadata(count, seed=derive_seed(seed, "metadata"))
    lengths = None if codec.fixed_length is None else np.full(count, codec.schema.max_length, np.int64)
    drawn = generator.sample_measurements(metadata, seed=derive_seed(seed, "measurements"), lengths=lengths)
    return codec.decode(Encoded(metadata, *drawn, codec.schema), seed=derive_seed(seed, "decode"))


class SeriesRecipe:
    """See `netshare.recipe.base.Recipe`."""

    draws_table = changes_when_finished = False
    looks: tuple[str, ...] = ()

    def __init__(self, config: Config) -> None:
        self.config = config

    def settings(self, step: str) -> list[Any]:
        """See `Recipe.settings`."""
        config = self.config
        if step == "trace":
            reading = [section_json(config.input, but={"files"}), section_json(config.series, but=READING)]
            return ["series", *reading, section_json(config.evaluate), config.seed]
        if step == "chunks":
            series = config.series
            return [config.fields.encodings, series.auto_normalize, series.fold, config.generator.kind]
        if step == "models":
            return PlainLearning(config).settings("models")
        if step == "generated":
            return [config.generate.flows, config.seed]
        return [config.output.formats] if step == "synthetic" else [section_json(config.evaluate)]

    def files(self) -> list[Path]:
        """See `Recipe.files`; the description of three arrays is read, too."""
        files = list_files(self.config.input.files)
        return files + [about for file in files if (about := descriptions_path(file)).exists()]

    def content_key(self, data: TimeSeries) -> str:
        """See `Recipe.content_key`."""
        arrays = {**data.metadata, **data.measurements, "offsets of series": data.offsets}
        return array_fingerprint(arrays, [data.kinds, {name: list(t) for name, t in data.categories.items()}])

    def read(self) -> TimeSeries:
        """The config's input."""
        config = self.config
        return read_table(config.input.files, config.series, limit=config.input.limit, max_bytes=config.input.max_bytes)

    def check(self, data: TimeSeries) -> None:
        """See `Recipe.check`."""
        if len(data) < MIN_SERIES:
            where = self.config.input.files[0] if self.config.input.files else "the table"
            raise InputError(
                f"{where}: {len(data)} series are too few to learn from without copying them; give at least {MIN_SERIES}"
            )

    def describe(self, data: TimeSeries) -> list[str]:
        """What was read and what was left out, a line each."""
        return [f"{len(data):,} series of {int(data.offsets[-1]):,} records", *data.notes]

    def split(self, data: TimeSeries) -> Split[TimeSeries]:
        """Series are held back at random, unless too few would be."""
        config = self.config
        if not (config.evaluate.enabled and config.evaluate.holdout > 0):
            return Split(data, data)
        train, holdout = split_series(data, 1 - config.evaluate.holdout, config.seed)
        if holdout is None:
            logger.warning("too few series to hold any back for the evaluation; training on all of them")
        return Split(data, train, holdout)

    def charge(self, step: str, look: str, data: TimeSeries, console: Console) -> None:
        """Nothing is looked at privately."""

    def table(self, data: Split[TimeSeries], console: Console) -> TimeSeries:
        """The training series themselves."""
        return data.train

    def prepare(self, data: Split[TimeSeries], console: Console) -> Prepared[SeriesCodec]:
        """A codec of all columns, and the encoded series."""
        config, series = self.config, data.train
        codec = SeriesCodec.fit(
            series,
            encodings=config.fields.encodings,
            style=config.generator.choice().spec.style,
            auto_normalize=config.series.auto_normalize,
            fold=config.series.fold,
        )
        held = ChunkContents(series=len(series), records=int(series.offsets[-1]), starting=len(series))
        contents = Contents(flows=len(data.full), chunks={ONLY_CHUNK: held})
        return Prepared(contents, codec, lambda _: codec.encode(series))

    def load_prepared(self, folder: Path) -> Prepared[SeriesCodec]:
        """What `prepare` made, as saved in `folder`."""
        return load_prepared_series(folder)

    def train(self, prepared: Prepared[SeriesCodec], folder: Path, key: str, console: Console) -> None:
        """Train the one model."""
        fit_models(prepared, self.config, folder, key=key, console=console)

    def sample(
        self,
        prepared: Prepared[SeriesCodec],
        models: Models,
        *,
        count: int | None,
        given: Any = None,
        seed: int,
        console: Console,
    ) -> tuple[TimeSeries, GenerationReport]:
        """See `Recipe.sample`."""
        wanted = count or prepared.contents.flows
        with threads(self.config.training.threads):
            series = draw_series(models(ONLY_CHUNK), prepared.codec, wanted, seed=seed)
        report = GenerationReport(flows_asked=wanted, by_chunk={ONLY_CHUNK: wanted}, seed=seed)
        report.series = report.flows = len(series)
        report.records = int(series.offsets[-1])
        for note in self.describe(series):
            console.say(f"  {note}")
        return series, report

    def read_given(self, source: Any, prepared: Prepared[SeriesCodec]) -> Any:
        """Refused: metadata cannot be given for series yet."""
        named = f"{source}: " if isinstance(source, str | Path) else ""
        raise ConfigError(f"{named}metadata can be given for flows of traces only, not for other series; leave it out")

    def finish(self, data: TimeSeries, prepared: Prepared[SeriesCodec]) -> tuple[TimeSeries, Mapping[str, Any]]:
        """The series as they are: nothing is repaired."""
        return data, {}

    def signed(self, data: TimeSeries, prepared: Prepared[SeriesCodec], seed: int) -> TimeSeries:
        """See `Recipe.signed`."""
        return replace(data, notes=(*data.notes, f"sampled with seed {seed}"))

    def save(self, data: TimeSeries, path: Path) -> None:
        """Write Parquet."""
        save_series(data, path)

    def load(self, path: Path) -> TimeSeries:
        """Read Parquet."""
        return load_series(path)

    def export(self, data: TimeSeries, prepared: Prepared[SeriesCodec], folder: Path) -> None:
        """Write the series in the form in which the input was read, and in every format asked for."""
        for name in dict.fromkeys([data.layout.file_format, *self.config.output.formats]):
            write_series(data, folder / f"synthetic.{name}", force=True)

    def check_output(self, path: Path, prepared: Prepared[SeriesCodec]) -> None:
        """See `Recipe.check_output`."""
        if not path.name.endswith(SUFFIXES):
            raise InputError(f"{path}: series are written as {', '.join(SUFFIXES)}; choose one of these suffixes")

    def write(self, data: TimeSeries, prepared: Prepared[SeriesCodec], path: Path, *, seed: int) -> None:
        """See `Recipe.write`."""
        write_series(data, path, force=True)

    def evaluate(
        self, real: Split[TimeSeries], decoded: TimeSeries, finished: TimeSeries, outcome: Outcome, fields: Any
    ) -> SeriesReport:
        """See `Recipe.evaluate`."""
        return evaluate_series(
            real.train,
            finished,
            real.holdout,
            extra={
                "generator": self.config.generator.kind,
                "generation": outcome.generation,
                "training": outcome.training,
                "fields": fields,
                "left out or filled in at reading": list(real.full.notes),
                "seed": self.config.seed,
            },
            seed=self.config.seed,
        )

    def write_report(self, report: SeriesReport, folder: Path) -> None:
        """Write `report.json` and `report.html` into `folder`."""
        write_json(report, folder / "report.json", force=True)
        write_series_html(report, folder / "report.html", force=True)

    def documents(self, run_folder: Path) -> None:
        """No note is needed."""

    def mark(self, report: SeriesReport, run_folder: Path) -> SeriesReport:
        """The report as it is."""
        return report
