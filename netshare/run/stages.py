"""The stages of a run on a trace, each from what the folder holds to what the next one reads.

    ingest -> chunks -> train -> generate -> postprocess -> evaluate

Each stage reads what earlier ones wrote, never what they hold in memory, so that any of them can be the first of a
resumed run. `netshare.run.pipeline` opens the folder and chooses the kind of run.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from netshare.config.schema import AddressesSection, Config, GeneratorSection, read_input
from netshare.evaluation import Provenance, Report, evaluate, split_by_flow, write_html, write_json
from netshare.generators import Generator, build_generator
from netshare.postprocess.assemble import assemble
from netshare.postprocess.writers.write import format_of
from netshare.preprocess import Trace
from netshare.preprocess.atomic import write_text
from netshare.preprocess.chunks import ChunkPlan, cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import ClusterError, ConfigError, InputError
from netshare.preprocess.flows import FlowKey, group_flows
from netshare.preprocess.ip2vec import IP2Vec
from netshare.preprocess.parquet import load_parquet, save_parquet
from netshare.preprocess.readers import list_files
from netshare.preprocess.series import METADATA_OF_FLOW
from netshare.preprocess.trace import Kind
from netshare.recipe.flow_sampling import GenerationReport
from netshare.recipe.generation import generate_series
from netshare.recipe.given_flows import GivenFlows, read_given_flows
from netshare.run.console import Console
from netshare.run.export import check_releasable, file_name, formats_for, made_valid, write_like
from netshare.run.folder import RunFolder, file_fingerprint, fingerprint
from netshare.seeds import derive_seed
from netshare.training.devices import available_cores, device_of, threads
from netshare.training.job import TrainingJob
from netshare.training.loop import SAMPLING
from netshare.training.ray_cluster import train_inline, train_on_ray
from netshare.training.tuned_settings import settle_generator, settled_generator

logger = logging.getLogger(__name__)

DEFAULT_STEPS = {"doppelganger": (4_000, 1_000), "autoregressive": (1_000_000, 1_000_000)}  # of the seed, of the others
DEFAULT_SEGMENTS = {"doppelganger": 200, "autoregressive": 65_536}  # records; a critic sees whole series
DEFAULT_FLOW_KEY: dict[Kind, FlowKey] = {"packet": "bidirectional", "flow": "unidirectional"}
FEWEST_FLOWS = 10  # a model of fewer could only recite them
LAST_STAGES = ("preprocess", "train", "postprocess", "evaluate")


@dataclass(frozen=True)
class RunResult:
    """What a run has made: its folder, the files of the synthetic trace, and the report (None if not asked for)."""

    folder: Path
    outputs: tuple[Path, ...]
    report: Path | None


class Run:
    """The stages of one run on a trace; `netshare.run.series_run` has those of other time series."""

    def __init__(self, config: Config, folder: RunFolder, console: Console) -> None:
        self.config, self.folder, self.console = config, folder, console

    def until(self, last: str) -> RunResult:
        """All stages up to `last`."""
        stages = [("preprocess", self.ingest), ("preprocess", self.chunks), ("train", self.train)]
        stages += [("postprocess", self.generate), ("postprocess", self.postprocess), ("evaluate", self.evaluate)]
        key = ""
        for name, stage in stages:
            if LAST_STAGES.index(name) <= LAST_STAGES.index(last):
                key = stage(key)
                if stage == self.ingest:
                    self.check_releasable()
        synthetic = self.folder.path / "synthetic"
        outputs = sorted(p for p in synthetic.glob("synthetic*")) if last in ("postprocess", "evaluate") else []
        report = self.folder.path / "report" / "report.html"
        shown = report if last == "evaluate" and self.config.evaluate.enabled else None
        return RunResult(self.folder.path, tuple(outputs), shown)

    def check_releasable(self) -> None:
        """Refuse, before anything is trained, an output that could not be written after it."""
        check_releasable(self.habits, config=self.config)

    def real(self, part: str) -> Trace:
        """A canonical table of the input: `full`, `train`, or `holdout`."""
        return load_parquet(self.folder.path / "trace" / f"{part}.parquet")

    def learnt(self, part: str) -> Trace:
        """What is cut into chunks, and counted, to learn from: the input's `full` or `train`."""
        return self.real(part)

    def habits(self, part: str) -> Trace:
        """A trace whose habits (broken rules, IP versions) the release may follow: the input."""
        return self.real(part)

    def split(self, trace: Trace) -> tuple[Trace, Trace | None]:
        """What to train on and what to hold back."""
        return _split(trace, self.config)

    def volumes(self) -> dict[int, int] | None:
        """Records that generation should reach in each chunk: as many as the input has there."""
        return {int(chunk): said["records"] for chunk, said in self._facts()["chunks"].items()}

    def ingest(self, _: str) -> str:
        """Files -> canonical tables: all records, those to train on, those held back."""
        config = self.config
        files = list_files(config.input.files)
        content = [(path.name, file_fingerprint(path)) for path in files]
        reading = config.input.model_dump(mode="json", exclude={"files"})
        key = fingerprint("trace", content, reading, plain(config.evaluate), config.seed)
        with self._stage("trace", key, "reading the input") as work:
            if work is not None:
                trace = read_input(config.input)
                self.console.note_trace(trace)
                check_usable(config, trace)
                train, holdout = self.split(trace)
                save_parquet(trace, work / "full.parquet")
                save_parquet(train, work / "train.parquet")
                if holdout is not None:
                    save_parquet(holdout, work / "holdout.parquet")
        return key

    def chunks(self, before: str) -> str:
        """The training records -> chunk plan, codec, encoded series of each chunk."""
        config = self.config
        key = fingerprint(
            "chunks", before, plain(config.fields), plain(config.chunks), plain(config.ip2vec), config.generator.kind
        )
        with self._stage("chunks", key, "cutting flows into chunks") as work:
            if work is not None:
                trace, whole = self.learnt("train"), self.learnt("full")
                plan = plan_chunks(whole["time"], count=config.chunks.count, seconds=config.chunks.seconds)
                key_of_flow = config.fields.flow_key or DEFAULT_FLOW_KEY[trace.kind]
                flows = group_flows(trace, key_of_flow)
                longest = config.chunks.max_records_per_segment or DEFAULT_SEGMENTS[config.generator.kind]
                tables = cut_series(trace, flows, plan, max_records_per_segment=longest)
                codec = Codec.fit_chunks(
                    tables,
                    encodings=config.fields.encodings,
                    style="gan" if config.generator.kind == "doppelganger" else "autoregressive",
                    ip2vec=self._ip2vec(),
                )
                facts: dict[str, Any] = {
                    "plan": plan.to_json(),
                    "flows": len(group_flows(whole, key_of_flow)),
                    "chunks": {},
                }
                for chunk, table in tables.items():
                    (work / f"{chunk:03d}").mkdir(exist_ok=True)
                    codec.at(chunk).encode(table).save(work / f"{chunk:03d}")
                    starting = int(table.metadata["starts_here"].sum())
                    facts["chunks"][str(chunk)] = {
                        "series": len(table),
                        "records": int(table.offsets[-1]),
                        "starting": starting,
                        "segments": int(table.metadata["continues"].sum()),
                    }
                facts["empty_chunks"] = plan.count - len(tables)
                write_text(work / "codec.json", json.dumps(codec.to_json()))
                write_text(work / "chunks.json", json.dumps(facts, indent=1))
        return key

    def train(self, before: str) -> str:
        """Encoded series -> one trained model a chunk."""
        config = self.config
        device = device_of(config.training.device)
        settings = config.generator.model_dump(mode="json")
        chosen = {"kind": config.generator.kind, "settings": settings[config.generator.kind]}
        lasting = config.training.model_dump(mode="json", exclude={"checkpoint_seconds", "device"})
        key = fingerprint("models", before, chosen, lasting, torch.device(device).type, config.seed)
        with self._stage("models", key, "training") as work:
            if work is not None:
                data = self._encoded
                first = int(next(iter(self._facts()["chunks"])))
                generator = settle_generator(
                    config.generator,
                    lambda: data(first),
                    work,
                    seed=derive_seed(config.seed, "settle"),
                    device=device,
                    threads=config.training.threads,
                    say=self.console.say,
                )
                jobs = self._jobs(key, device, generator)
                with self.console.training(len(jobs)) as report:
                    if self._uses_ray(len(jobs)):
                        train_on_ray(jobs, data, work, cluster=config.cluster, report=report)
                    else:
                        train_inline(jobs, data, work, report=report)
        # Also where the models are up to date: `generate` follows what is said now of addresses, repair and snaplen.
        write_text(self.folder.path / "models" / "config.json", config.model_dump_json(indent=1))
        return key

    def generate(self, before: str) -> str:
        """Trained models -> synthetic records, as decoded."""
        key = fingerprint("generated", before, plain(self.config.generate, but={"threads"}), self.config.seed)
        with self._stage("generated", key, "generating") as work:
            if work is not None:
                trace, said = self.sample(flows=self.config.generate.flows, seed=self.config.seed)
                save_parquet(trace, work / "generated.parquet")
                write_text(work / "generation.json", json.dumps(said.to_json(), indent=1))
        return key

    def postprocess(self, before: str) -> str:
        """Decoded records -> a valid trace in every format asked for."""
        config = self.config
        settings = [plain(config.postprocess), plain(config.addresses), config.output.formats, config.seed]
        key = fingerprint("synthetic", before, *settings)
        with self._stage("synthetic", key, "rebuilding headers and writing") as work:
            if work is not None:
                trace = load_parquet(self.folder.path / "generated" / "generated.parquet")
                trace, repairs = made_valid(trace, self.habits, config)
                write_text(work / "repairs.json", json.dumps(repairs, indent=1))
                for name in formats_for(trace.kind, config):
                    path = work / file_name(name)
                    write_like(trace, path, self.real("full").sources[0], config, format=name, seed=config.seed)
        return key

    def write_more(
        self, output: Path, *, flows: int | None, metadata: str | Path | None, seed: int
    ) -> GenerationReport:
        """A further synthetic trace, repaired, in one file; see `generate`."""
        source, config = self.real("full").sources[0], self.config
        format_of(output, source)  # an unknown suffix is said before anything is drawn
        given = self.given_flows(metadata) if metadata is not None else None
        if given is not None:
            config = config.model_copy(update={"addresses": AddressesSection()})
        trace, said = self.sample(flows=flows, given=given, seed=seed)
        valid, _ = made_valid(trace, self.habits, config)
        write_like(valid, output, source, config, seed=seed)
        return said

    def evaluate(self, before: str) -> str:
        """Real, held-back and synthetic trace -> report."""
        if not self.config.evaluate.enabled:
            return before
        key = fingerprint("report", before, plain(self.config.evaluate))
        with self._stage("report", key, "evaluating") as work:
            if work is not None:
                report = self._report()
                write_json(report, work / "report.json")
                write_html(report, work / "report.html")
                self.console.show(report.summary())
        return key

    def given_flows(self, path: str | Path) -> GivenFlows:
        """The flows that a user's file asks for."""
        plan = ChunkPlan(**self._facts()["plan"])
        real = self.habits("full")
        versions = {int(version) for version in np.unique(real["ip_version"])}
        return read_given_flows(path, versions=versions, duration=plan.width * plan.count, categories=real.categories)

    def sample(
        self, *, flows: int | None, seed: int, given: GivenFlows | None = None
    ) -> tuple[Trace, GenerationReport]:
        """A synthetic trace from the trained models, before repair."""
        facts = self._facts()
        plan = ChunkPlan(**facts["plan"])
        codec = self._codec()
        starting = {int(chunk): said["starting"] for chunk, said in facts["chunks"].items()}
        with threads(self.config.training.threads), self.console.generating(len(starting)) as report:
            tables, said = generate_series(
                lambda chunk: self._model(chunk, codec.schema),
                codec,
                plan,
                starting=starting,
                records=self.volumes(),
                segments={int(chunk): said["segments"] for chunk, said in facts["chunks"].items()},
                avoid=self._real_five_tuples() if self.config.generate.avoid_real_flows else None,
                flows=flows or facts["flows"],
                given=given,
                seed=derive_seed(seed, "generate"),
                report=report,
            )
        self.console.note_generation(said)
        return assemble(tables, plan), said

    def _report(self) -> Report:
        path = self.folder.path
        synthetic = load_parquet(path / "synthetic" / "synthetic.parquet")
        config = self.config
        return evaluate(
            self.real("train"),
            synthetic,
            self.real("holdout") if (path / "trace" / "holdout.parquet").exists() else None,
            provenance=Provenance(
                before_repair=load_parquet(path / "generated" / "generated.parquet"),
                repairs=json.loads((path / "synthetic" / "repairs.json").read_text()),
                extra={
                    "generator": config.generator.kind,
                    "generation": json.loads((path / "generated" / "generation.json").read_text()),
                    "training": {p.parent.name: json.loads(p.read_text()) for p in path.glob("models/*/result.json")},
                    "fields": self._codec().describe(),
                    "skipped at reading": self.real("full").skipped,
                    "seed": config.seed,
                },
            ),
            seed=config.seed,
        )

    def _jobs(self, key: str, device: str, generator: GeneratorSection) -> list[TrainingJob]:
        chunks = [int(chunk) for chunk in self._facts()["chunks"]]
        training = self.config.training
        seed_steps, other_steps = DEFAULT_STEPS[self.config.generator.kind]
        return [
            TrainingJob(
                name=f"{chunk:03d}",
                chunk=chunk,
                steps=(training.steps or seed_steps) if position == 0 else (training.finetune_steps or other_steps),
                seed=derive_seed(self.config.seed, "train", chunk),
                fingerprint=fingerprint(key, chunk),
                generator=generator,
                device=device,
                threads=training.threads,
                checkpoint_seconds=training.checkpoint_seconds,
            )
            for position, chunk in enumerate(chunks)
        ]

    def _uses_ray(self, jobs: int) -> bool:
        mode = self.config.cluster.mode
        if self.config.cluster.address is not None and mode == "inline":
            raise ClusterError("cluster.address is set but cluster.mode is inline; drop one of them")
        if mode == "auto":
            return self.config.cluster.address is not None or (jobs > 2 and (os.cpu_count() or 1) > 1)
        return mode == "ray"

    def _real_five_tuples(self) -> dict[str, np.ndarray]:
        real = self.real("full")
        first = group_flows(real).first
        return {name: real[name][first] for name in METADATA_OF_FLOW}

    def _facts(self) -> dict[str, Any]:
        return json.loads((self.folder.path / "chunks" / "chunks.json").read_text())

    def _codec(self) -> Codec:
        value = json.loads((self.folder.path / "chunks" / "codec.json").read_text())
        return Codec.from_json(value, ip2vec=self._ip2vec())

    def _ip2vec(self) -> IP2Vec | None:
        model = self.config.ip2vec.model
        return IP2Vec.load(Path(model)) if model is not None else None

    def _encoded(self, chunk: int) -> Encoded:
        return Encoded.load(self.folder.path / "chunks" / f"{chunk:03d}")

    def _model(self, chunk: int, schema: Schema) -> Generator:
        section = settled_generator(self.config.generator, self.folder.path / "models")
        generator = build_generator(schema, section, device=device_of(self.config.training.device))
        generator.load_sampling_weights(load_file(self.folder.path / "models" / f"{chunk:03d}" / SAMPLING))
        generator.sampling_threads = self.config.generate.threads or available_cores()
        return generator

    @contextmanager
    def _stage(self, name: str, key: str, doing: str) -> Iterator[Path | None]:
        with self.folder.stage(name, key) as work:
            self.console.stage(doing, skipped=work is None)
            yield work


def check_usable(config: Config, trace: Trace) -> None:
    """Refuse a trace that is not what the preset says, or too small.

    Raises:
        ConfigError, InputError: what is wrong with it.
    """
    expected = "packet" if config.preset == "pcap" else "flow"
    if trace.kind != expected:
        raise ConfigError(f"preset is {config.preset}, but the input is a {trace.kind} trace; drop preset or fix input")
    flows = len(group_flows(trace))
    if flows < FEWEST_FLOWS:
        raise InputError(
            f"{trace.sources[0].path}: {len(trace)} record(s) of {flows} flow(s) are too few to learn from without "
            f"copying them; give a trace of at least {FEWEST_FLOWS} flows"
        )


def _split(trace: Trace, config: Config) -> tuple[Trace, Trace | None]:
    """What to train on and what to hold back; nothing is held back where either part would be empty."""
    share = config.evaluate.holdout
    if not (config.evaluate.enabled and share > 0):
        return trace, None
    train, holdout = split_by_flow(trace, 1 - share, config.seed)
    if not len(train) or not len(holdout):
        logger.warning("too few flows to hold any back for the evaluation; training on all of them")
        return trace, None
    return train, holdout


def plain(section: Any, but: set[str] | None = None) -> Any:
    """A config section as JSON-able values, without those in `but`; for fingerprints."""
    return section.model_dump(mode="json", exclude=but)
