"""A run on time series that are no traces: the stages of `netshare.run.stages`, with other insides.

There is one chunk, the whole of the data; nothing is repaired and no header rebuilt. Series are written in the form in
which they were read, and compared with held-back ones by the DoppelGANger paper's measures.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from netshare.evaluation import SeriesReport, write_json
from netshare.evaluation.evaluate_series import evaluate_series
from netshare.evaluation.render.series_html import write_series_html
from netshare.generators import Generator
from netshare.postprocess.writers.series import SUFFIXES, write_series
from netshare.preprocess.atomic import write_text
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.readers import list_files
from netshare.preprocess.timeseries import SeriesCodec, TimeSeries, load_series, read_series, save_series, split_series
from netshare.preprocess.timeseries.three_arrays import descriptions_path
from netshare.recipe.flow_sampling import GenerationReport
from netshare.run.folder import file_fingerprint, fingerprint
from netshare.run.stages import Run
from netshare.seeds import derive_seed
from netshare.training.devices import threads

logger = logging.getLogger(__name__)

FEWEST_SERIES = 10  # a model of fewer could only recite them
FORMATS = {"csv": "csv", "parquet": "parquet", "npz": "npz"}
OF_TRACES = ("chunks", "ip2vec", "addresses", "postprocess")  # sections of the config
SERIES_FILE = "series.parquet"


def draw_series(generator: Generator, codec: SeriesCodec, count: int, *, seed: int) -> TimeSeries:
    """`count` series from a trained generator; where all that it learnt from have one length, of that length."""
    metadata = generator.sample_metadata(count, seed=derive_seed(seed, "metadata"))
    lengths = None if codec.fixed_length is None else np.full(count, codec.schema.max_length, np.int64)
    drawn = generator.sample_measurements(metadata, seed=derive_seed(seed, "measurements"), lengths=lengths)
    return codec.decode(Encoded(metadata, *drawn, codec.schema), seed=derive_seed(seed, "decode"))


class SeriesRun(Run):
    """The stages of one run on time series."""

    def check_releasable(self) -> None:
        """Refuse formats that series are not written in, and settings that mean nothing for them."""
        for name in OF_TRACES:
            section = getattr(self.config, name)
            if section != type(section)():
                raise ConfigError(f"{name} is about traces, but preset is timeseries; drop {name} from the config")
        unknown = [name for name in self.config.output.formats if name not in FORMATS]
        if unknown:
            raise ConfigError(f"output.formats: series are not written as {unknown[0]}; choose of {', '.join(FORMATS)}")

    def series(self, part: str) -> TimeSeries:
        """The series of the input: `full`, `train`, or `holdout`."""
        return load_series(self.folder.path / "trace" / f"{part}.parquet")

    def ingest(self, _: str) -> str:
        """Files -> series: all, those to train on, those held back."""
        config = self.config
        if config.preset != "timeseries":
            raise ConfigError(f"preset is {config.preset}, expected timeseries")
        files = list_files(config.input.files)
        content = [(path.name, file_fingerprint(path)) for path in files]
        content += [(said.name, file_fingerprint(said)) for path in files if (said := descriptions_path(path)).exists()]
        reading = config.input.model_dump(mode="json", exclude={"files"})
        asked = config.series.model_dump(mode="json", exclude={"auto_normalize", "fold"})
        key = fingerprint("series", content, reading, asked, config.evaluate.model_dump(mode="json"), config.seed)
        with self._stage("trace", key, "reading the input") as work:
            if work is not None:
                series = read_series(
                    config.input.files, **asked, limit=config.input.limit, max_bytes=config.input.max_bytes
                )
                self.console.say(f"  {len(series):,} series of {int(series.offsets[-1]):,} records")
                for note in series.notes:
                    self.console.say(f"  {note}")
                if len(series) < FEWEST_SERIES:
                    raise InputError(
                        f"{files[0]}: {len(series)} series are too few to learn from without copying them; give at "
                        f"least {FEWEST_SERIES}"
                    )
                train, holdout = series, None
                if config.evaluate.enabled and config.evaluate.holdout > 0:
                    train, holdout = split_series(series, 1 - config.evaluate.holdout, config.seed)
                    if holdout is None:
                        logger.warning("too few series to hold any back for the evaluation; training on all of them")
                save_series(series, work / "full.parquet")
                save_series(train, work / "train.parquet")
                if holdout is not None:
                    save_series(holdout, work / "holdout.parquet")
        return key

    def chunks(self, before: str) -> str:
        """The series to train on -> codec and encoded series."""
        config = self.config
        chosen = [config.fields.encodings, config.series.auto_normalize, config.series.fold, config.generator.kind]
        key = fingerprint("encoded series", before, chosen)
        with self._stage("chunks", key, "encoding the series") as work:
            if work is not None:
                series = self.series("train")
                codec = SeriesCodec.fit(
                    series,
                    encodings=config.fields.encodings,
                    style="gan" if config.generator.kind == "doppelganger" else "autoregressive",
                    auto_normalize=config.series.auto_normalize,
                    fold=config.series.fold,
                )
                (work / "000").mkdir(exist_ok=True)
                codec.encode(series).save(work / "000")
                counts = {"series": len(series), "records": int(series.offsets[-1])}
                write_text(work / "codec.json", json.dumps(codec.to_json()))
                write_text(work / "chunks.json", json.dumps({"chunks": {"0": counts}}, indent=1))
        return key

    def generate(self, before: str) -> str:
        """Trained model -> synthetic series."""
        asked = self.config.generate.flows
        key = fingerprint("generated series", before, asked, self.config.seed)
        with self._stage("generated", key, "generating") as work:
            if work is not None:
                series, said = self.sample_series(count=asked, seed=self.config.seed)
                save_series(series, work / SERIES_FILE)
                write_text(
                    work / "generation.json", json.dumps({**said.to_json(), "notes": list(series.notes)}, indent=1)
                )
        return key

    def postprocess(self, before: str) -> str:
        """Synthetic series -> files in the form of the input."""
        formats = self.config.output.formats
        key = fingerprint("written series", before, formats)
        with self._stage("synthetic", key, "writing") as work:
            if work is not None:
                series = load_series(self.folder.path / "generated" / SERIES_FILE)
                read_as = series.layout.file_format
                for name in dict.fromkeys([read_as, *formats]):
                    write_series(series, work / f"synthetic.{FORMATS[name]}")
        return key

    def evaluate(self, before: str) -> str:
        """Real, held-back and synthetic series -> report."""
        if not self.config.evaluate.enabled:
            return before
        key = fingerprint("series report", before, self.config.evaluate.model_dump(mode="json"))
        with self._stage("report", key, "evaluating") as work:
            if work is not None:
                report = self._series_report()
                write_json(report, work / "report.json")
                write_series_html(report, work / "report.html")
                self.console.show(report.summary())
        return key

    def write_more(
        self, output: Path, *, flows: int | None, metadata: str | Path | None, seed: int
    ) -> GenerationReport:
        """Further synthetic series in one file; its suffix says the format."""
        if metadata is not None:
            raise ConfigError(f"{metadata}: metadata can be given for flows of traces only, not for other series yet")
        if not output.name.endswith(SUFFIXES):
            raise InputError(f"{output}: series are written as {', '.join(SUFFIXES)}; choose one of these suffixes")
        series, said = self.sample_series(count=flows, seed=seed)
        write_series(series, output)
        return said

    def sample_series(self, *, count: int | None, seed: int) -> tuple[TimeSeries, GenerationReport]:
        """Synthetic series from the trained model, by default as many as the input has."""
        codec = SeriesCodec.from_json(json.loads((self.folder.path / "chunks" / "codec.json").read_text()))
        wanted = count or len(self.series("full"))
        with threads(self.config.training.threads):
            series = draw_series(self._model(0, codec.schema), codec, wanted, seed=seed)
        said = GenerationReport(flows_asked=wanted, by_chunk={0: wanted})
        said.series = said.flows = len(series)
        said.records = int(series.offsets[-1])
        self.console.say(f"  {len(series):,} series, {said.records:,} records")
        for note in series.notes:
            self.console.say(f"  {note}")
        return series, said

    def _series_report(self) -> SeriesReport:
        path, config = self.folder.path, self.config
        held_back = (path / "trace" / "holdout.parquet").exists()
        codec = SeriesCodec.from_json(json.loads((path / "chunks" / "codec.json").read_text()))
        return evaluate_series(
            self.series("train"),
            load_series(path / "generated" / SERIES_FILE),
            self.series("holdout") if held_back else None,
            extra={
                "generator": config.generator.kind,
                "generation": json.loads((path / "generated" / "generation.json").read_text()),
                "training": {p.parent.name: json.loads(p.read_text()) for p in path.glob("models/*/result.json")},
                "fields": codec.describe(),
                "records in an encoded record": codec.fold,
                "left out or filled in at reading": list(self.series("full").notes),
                "seed": config.seed,
            },
            seed=config.seed,
        )
