"""The stages of a private run: the same as of any run, with every look at the input either private or left out.

| what depends on the input otherwise | in a private run |
|---|---|
| chunk borders, number of chunks | declared |
| encodings: bounds, vocabularies, constants, resolution | RFCs, registries, and the public trace's columns |
| longest series | declared; longer ones are cut |
| models | DP-SGD from public weights; fixed steps; charged |
| flows a chunk | noisy count; charged |
| records a chunk, real five-tuples to avoid, conventions that repair respects | not used; the public trace's habits |

What is charged is in `models/privacy.json`, the ledger.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netshare.evaluation import Report
from netshare.evaluation.split import split_by_flow
from netshare.generators import Generator, build_generator
from netshare.preprocess import Trace
from netshare.preprocess.atomic import write_text
from netshare.preprocess.chunks import NANOSECONDS, ChunkPlan, cut_series, take_series
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.flows import FlowKey, group_flows
from netshare.preprocess.readers import list_files
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import Kind
from netshare.privacy.accounting import LEDGER, make_ledger, make_plan, read_ledger, statement
from netshare.privacy.accounting.plan import Plan, chunk_count
from netshare.privacy.gradients import PrivateSchedule, private_generator
from netshare.privacy.noise import Randomness, SecureRandomness, SeededRandomness
from netshare.privacy.public import check_different, public_files, public_series, read_public, without_labels
from netshare.privacy.units import UnitBounds, bounded, units_of
from netshare.run.folder import file_fingerprint, fingerprint
from netshare.run.stages import DEFAULT_FLOW_KEY, DEFAULT_STEPS, Run, check_usable, plain
from netshare.seeds import derive_seed
from netshare.training.devices import device_of
from netshare.training.loop import load_weights, train

logger = logging.getLogger(__name__)

PUBLIC = "public"  # folder of the model that is trained on the public trace
REPORT_NOTE = (
    "This report was made by comparing with the private input: its figures, charts and examples are NOT covered by the "
    "differential privacy of the synthetic trace. Do not release it with the trace."
)


class PrivateRun(Run):
    """The stages of one private run."""

    def habits(self, part: str) -> Trace:
        """The public trace: a release may follow no habit of the input."""
        return self._public()

    def split(self, trace: Trace) -> tuple[Trace, Trace | None]:
        """Flows are held back by a hash of each alone, so that no flow's presence moves another."""
        share = self.config.evaluate.holdout
        if not (self.config.evaluate.enabled and share > 0):
            return trace, None
        return split_by_flow(trace, 1 - share, self.config.seed)

    def volumes(self) -> dict[int, int] | None:
        """Not met: the numbers of records are private."""
        return None

    def chunks(self, before: str) -> str:
        """The training records -> declared chunks, public codec, encoded series and their units, noisy counts."""
        config = self.config
        key = fingerprint(
            "private chunks", before, config.generator.kind, plain(config.fields), plain(config.chunks), plain(config.ip2vec),
            plain(config.privacy), self._public_fingerprints(),
        )  # fmt: skip
        plan = make_plan(config)
        with self._stage("chunks", key, "cutting flows into chunks, privately") as work:
            if work is not None:
                self.console.show(plan.text())
                private, public = self.real("train"), self._public()
                check_different(public, self.real("full"))
                columns = [name for name in public if name in private]
                window = self._window()
                encode = self._codec_of(without_labels(public, columns), window)
                tables = self._tables(without_labels(private, columns), window, encode[1][0])
                for chunk, table in tables.items():
                    (work / f"{chunk:03d}").mkdir(exist_ok=True)
                    encode[0].encode(table, nearest=True).save(work / f"{chunk:03d}")
                    np.save(work / f"{chunk:03d}" / "units.npy", units_of(table, self._hosts()))
                (work / PUBLIC).mkdir(exist_ok=True)
                _joined([encode[0].encode(table, nearest=True) for table in encode[1]]).save(work / PUBLIC)
                write_text(work / "codec.json", json.dumps(encode[0].to_json()))
                write_text(work / "chunks.json", json.dumps(self._noisy_facts(tables, window, plan), indent=1))
        return key

    def train(self, before: str) -> str:
        """A model of the public trace, then one private model a chunk, and the ledger."""
        config = self.config
        device = device_of(config.training.device)
        kind = config.generator.kind
        settings = [kind, plain(getattr(config.generator, kind))]
        lasting = config.training.model_dump(mode="json", exclude={"checkpoint_seconds", "device"})
        key = fingerprint("private models", before, settings, lasting, torch.device(device).type, config.seed)
        with self._stage("models", key, "training, privately") as work:
            if work is not None:
                plan = make_plan(config)
                weights = self._pretrained(work, key, device)
                rounds = config.generator.doppelganger.critic_rounds if kind == "doppelganger" else 1
                with self.console.training(len(plan.steps)) as report:
                    for chunk, steps in enumerate(plan.steps):
                        result = train(
                            self._private_generator(chunk, plan, device),
                            self._encoded(chunk),
                            folder=work / f"{chunk:03d}",
                            steps=steps // rounds,
                            seed=derive_seed(config.seed, "train", chunk),
                            name=f"{chunk:03d}",
                            fingerprint=fingerprint(key, chunk),
                            initial_weights=weights,
                            checkpoint_seconds=config.training.checkpoint_seconds,
                            progress=report,
                            threads=config.training.threads,
                        )
                        weights = load_weights(result.training) if chunk == 0 else weights
                ledger = make_ledger(config, plan, self._public_fingerprints(), self._flow_key())
                write_text(work / LEDGER, json.dumps(ledger.to_json(), indent=1))
        write_text(
            self.folder.path / "PRIVACY.txt", statement(read_ledger(self.folder.path), self.folder.path.name) + "\n"
        )
        write_text(self.folder.path / "models" / "config.json", config.model_dump_json(indent=1))
        return key

    def _codec_of(self, public: Trace, window: ChunkPlan) -> tuple[Codec, list[SeriesTable]]:
        """A codec in which nothing is measured, and the public series."""
        config, longest = self.config, self.config.privacy.bounds.max_records
        tables = public_series(public, window, flow_key=self._flow_key(), max_records=longest)
        codec = Codec.fit(
            tables,
            encodings=config.fields.encodings,
            style="gan" if config.generator.kind == "doppelganger" else "autoregressive",
            ip2vec=self._ip2vec(),
            max_length=longest,
            public=True,
        )
        for row in codec.describe():
            if row["bounds"] != "public":
                raise ConfigError(
                    f"fields.encodings.{row['field']}: encoding {row['encoding']} measures its bounds on data, which "
                    "privacy forbids; declare them (maximum and atoms, or values), or leave the field to the default"
                )
        return codec, tables

    def _tables(self, private: Trace, window: ChunkPlan, template: SeriesTable) -> dict[int, SeriesTable]:
        """The bounded series of every declared chunk, those without any included."""
        privacy = self.config.privacy
        bounds = UnitBounds(
            self._flow_key(),
            privacy.bounds.max_records,
            hosts=self._hosts(),
            max_flows=privacy.max_flows_per_unit,
            max_chunks=privacy.max_chunks_per_unit,
        )
        kept = bounded(private, window, bounds)
        self._say_left_out(len(private) - len(kept), len(private))
        found: Mapping[int, SeriesTable] = {}
        if len(kept):
            flows = group_flows(kept, self._flow_key())
            found = cut_series(kept, flows, window, max_records_per_segment=privacy.bounds.max_records)
        nothing = take_series(template, np.zeros(0, np.int64))
        return {chunk: found.get(chunk, nothing) for chunk in range(window.count)}

    def _say_left_out(self, left_out: int, records: int) -> None:
        if left_out:
            self.console.say(
                f"  {left_out:,} of {records:,} training records are outside the declared bounds and are not learnt "
                "from (this line is private)"
            )
        if 2 * left_out > records:
            self.console.say(
                "  WARNING: that is more than half of them; look at privacy.bounds.begin and seconds (the capture's time "
                "is UTC) and, with unit host, hosts"
            )

    def _noisy_facts(self, tables: Mapping[int, SeriesTable], window: ChunkPlan, plan: Plan) -> dict[str, Any]:
        """Flows that start in each chunk, by the Gaussian mechanism; nothing else is counted."""
        counts = np.array([int(tables[chunk].metadata["starts_here"].sum()) for chunk in range(window.count)])
        deviation = plan.counting.noise_multiplier * plan.counts_sensitivity
        noisy = np.rint(counts + deviation * self._randomness("counts").normal(window.count)).clip(min=0).astype(int)
        noisy[0] = max(noisy[0], int(noisy.sum() == 0))
        held_back = self.config.evaluate.holdout if self.config.evaluate.enabled else 0.0
        return {
            "plan": window.to_json(),
            "flows": max(1, round(int(noisy.sum()) / (1 - held_back))),
            "chunks": {str(chunk): {"starting": int(count), "segments": 0} for chunk, count in enumerate(noisy)},
            "counts": "noisy; see models/privacy.json",
        }

    def _pretrained(self, work: Path, key: str, device: str) -> dict[str, torch.Tensor] | None:
        if self.config.privacy.public is None:
            return None
        data = self._encoded_public()
        generator = build_generator(data.schema, self.config.generator, device=device)
        with self.console.training(1) as report:
            result = train(
                generator,
                data,
                folder=work / PUBLIC,
                steps=DEFAULT_STEPS[self.config.generator.kind][0],
                seed=derive_seed(self.config.seed, "train", PUBLIC),
                name=PUBLIC,
                fingerprint=fingerprint(key, PUBLIC),
                checkpoint_seconds=self.config.training.checkpoint_seconds,
                progress=report,
                threads=self.config.training.threads,
            )
        return load_weights(result.training)

    def _private_generator(self, chunk: int, plan: Plan, device: str) -> Generator:
        schedule = PrivateSchedule(plan.noise_multiplier, plan.sampling_rate, plan.clip_norm, float(plan.batch))
        kind = self.config.generator.kind
        return private_generator(kind)(
            self._codec().schema,
            getattr(self.config.generator, kind),
            schedule=schedule,
            units=np.load(self.folder.path / "chunks" / f"{chunk:03d}" / "units.npy"),
            randomness=self._randomness("training", chunk),
            device=device,
        )

    def _randomness(self, *purpose: object) -> Randomness:
        if self.config.privacy.secure_rng:
            return SecureRandomness()
        logger.warning("privacy.secure_rng is false: noise follows from the seed, so this run guarantees nothing")
        return SeededRandomness(derive_seed(self.config.seed, "privacy", *purpose))

    def _window(self) -> ChunkPlan:
        """The declared time window, cut into the declared chunks."""
        bounds, chunks, count = self.config.privacy.bounds, self.config.chunks, chunk_count(self.config)
        assert bounds.seconds is not None
        width = chunks.seconds if chunks.seconds is not None else bounds.seconds / count
        return ChunkPlan(bounds.begin_ns, max(1, round(width * NANOSECONDS)), count)

    def _hosts(self) -> list[str]:
        return self.config.privacy.bounds.hosts if self.config.privacy.unit == "host" else []

    def _public(self) -> Trace:
        private = list_files(self.config.input.files)
        trace = read_public(self._public_files(), private, self._kind())
        check_usable(self.config, trace)
        return trace

    def _public_files(self) -> list[Path]:
        return public_files(self.config.privacy.public, self._kind())

    def _public_fingerprints(self) -> dict[str, str]:
        return {path.name: file_fingerprint(path) for path in self._public_files()}

    def _flow_key(self) -> FlowKey:
        return self.config.fields.flow_key or DEFAULT_FLOW_KEY[self._kind()]

    def _kind(self) -> Kind:
        return "packet" if self.config.preset == "pcap" else "flow"

    def _encoded_public(self) -> Encoded:
        return Encoded.load(self.folder.path / "chunks" / PUBLIC)

    def _report(self) -> Report:
        report = super()._report()
        said = json.loads((self.folder.path / "models" / LEDGER).read_text())
        return replace(report, notes=(REPORT_NOTE, *report.notes), extra={"privacy": said, **report.extra})


def _joined(parts: list[Encoded]) -> Encoded:
    """Series of several tables as one."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Encoded(
        np.concatenate([part.metadata for part in parts]),
        np.concatenate([part.measurements for part in parts]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        parts[0].schema,
    )
