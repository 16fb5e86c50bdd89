"""Learning by gradients: every look at the input is clipped and noisy, or left out.

Private: the training records, in `prepare` (noisy counts of flows) and `train` (DP-SGD). Public: everything else that is
looked at.

| what depends on the input otherwise | in such a run |
|---|---|
| chunk borders, number of chunks | declared |
| encodings: bounds, vocabularies, constants, resolution | RFCs, registries, and the public trace's columns |
| longest series | declared; longer ones are cut |
| models | DP-SGD from public weights; fixed steps; charged |
| flows a chunk | noisy count; charged |
| records a chunk, real five-tuples to avoid, conventions that repair respects | not used; the public trace's |

What is charged is in `models/privacy.json`, the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netshare.config.schema import Config
from netshare.console import Console
from netshare.evaluation import Report
from netshare.fingerprints import fingerprint
from netshare.preprocess.chunks import ChunkPlan, cut_series
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.flows import group_flows
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import Trace
from netshare.privacy.accounting.plan import Plan, make_plan
from netshare.privacy.counts.counting import CountingNoise, NoisyCounts
from netshare.privacy.declared import Declared, report_left_out
from netshare.privacy.gradients import PrivateSchedule, private_generator
from netshare.privacy.public import public_series, without_labels
from netshare.privacy.release_notes import mark_private, write_ledger, write_statement
from netshare.privacy.units import bounded, units_of
from netshare.recipe.contents import ChunkContents, Contents
from netshare.recipe.learning import PlainLearning, section_json
from netshare.recipe.preparation import Prepared, Split, chunk_folder, load_prepared, read_ip2vec
from netshare.seeds import derive_seed
from netshare.training.devices import device_of
from netshare.training.loop import TrainingPlan, load_weights, train

PUBLIC = "public"  # folder of the public series, and of the model that is trained on them
UNITS_FILE = "units.npy"
FLOWS_BY_CHUNK = "flows by chunk"


@dataclass(frozen=True)
class PrivatelyPrepared(Prepared[Codec]):
    """Data made ready for DP-SGD.

    units: int64[n_series] of a chunk, the unit of privacy that each series belongs to, by chunk number
    public: the public series, encoded in the same way
    """

    units: Callable[[int], np.ndarray] = lambda _: np.zeros(0, np.int64)
    public: Callable[[], Encoded] | None = None

    def save(self, folder: Path) -> None:
        """Write all of it into `folder`."""
        super().save(folder)
        for chunk in self.contents.chunks:
            np.save(chunk_folder(folder, chunk) / UNITS_FILE, self.units(chunk), allow_pickle=False)
        if self.public is not None:
            (folder / PUBLIC).mkdir(exist_ok=True)
            self.public().save(folder / PUBLIC)


class GradientsLearning:
    """See `netshare.recipe.learning.TraceLearning`."""

    draws_table = False
    looks: tuple[str, ...] = ("chunks", "models")

    def __init__(self, config: Config) -> None:
        self.config = config
        self.declared = Declared(config)

    def settings(self, step: str) -> list[Any]:
        """See `TraceLearning.settings`."""
        config = self.config
        if step == "trace":
            return []  # as by noisy counts: what is held back is settled with the first reading
        own = PlainLearning(config).settings(step)
        if step == "chunks":
            privacy = section_json(config.privacy, but={"lifetime_epsilon"})
            return ["private", *own, privacy, self.declared.public_fingerprints()]
        return ["private", *own] if step == "models" else own

    def split(self, trace: Trace) -> Split[Trace]:
        """See `Declared.split`."""
        return self.declared.split(trace)

    def charge(self, step: str, look: str, data: Trace, console: Console) -> None:
        """See `Declared.charge`: flows are counted for the chunks, all else is training."""
        plan = make_plan(self.config)
        assert plan.training is not None
        mechanism = plan.counting if step == "chunks" else plan.training
        self.declared.charge(look, data, [mechanism], console)

    def table(self, data: Split[Trace], console: Console) -> Trace:
        """The training records themselves."""
        return data.train

    def prepare(self, data: Split[Trace], console: Console) -> PrivatelyPrepared:
        """Declared chunks, a public codec, encoded series with their units, and noisy counts of flows."""
        plan, public = make_plan(self.config), self.declared.public_trace()
        console.show(plan.text())
        columns = [name for name in public if name in data.train]
        codec, public_tables = self._codec(without_labels(public, columns))
        tables = self._tables(without_labels(data.train, columns), public_tables[0], console)
        return PrivatelyPrepared(
            contents=self._noisy_contents(tables, plan),
            codec=codec,
            encoded=lambda chunk: codec.encode(tables[chunk], nearest=True),
            reference=self.declared.reference(public),
            units=lambda chunk: units_of(tables[chunk], self.declared.hosts),
            public=lambda: Encoded.concatenate([codec.encode(table, nearest=True) for table in public_tables]),
        )

    def load(self, folder: Path) -> PrivatelyPrepared:
        """See `TraceLearning.load`."""
        plain = load_prepared(folder)
        return PrivatelyPrepared(
            contents=plain.contents,
            codec=plain.codec,
            encoded=plain.encoded,
            reference=plain.reference,
            units=lambda chunk: np.load(chunk_folder(folder, chunk) / UNITS_FILE, allow_pickle=False),
            public=lambda: Encoded.load(folder / PUBLIC),
        )

    def train(self, prepared: Prepared[Codec], folder: Path, key: str, console: Console) -> None:
        """A model of the public trace, then one private model a chunk, and the ledger."""
        assert isinstance(prepared, PrivatelyPrepared)
        config, plan = self.config, make_plan(self.config)
        device = device_of(config.training.device)
        weights = self._public_weights(prepared, folder, key, device, console)
        choice = config.generator.choice()
        looks = choice.spec.looks_per_step(choice.settings)
        schedule = PrivateSchedule(plan.noise_multiplier, plan.sampling_rate, plan.clip_norm, float(plan.batch))
        with console.training(len(plan.steps)) as progress:
            for chunk, steps in enumerate(plan.steps):
                generator = private_generator(choice.kind)(
                    prepared.schema,
                    choice.settings,
                    schedule=schedule,
                    units=prepared.units(chunk),
                    randomness=self.declared.randomness("training", chunk),
                    device=device,
                )
                result = train(
                    generator,
                    prepared.encoded(chunk),
                    chunk_folder(folder, chunk),
                    self._plan(chunk_folder(folder, chunk).name, steps // looks, key, chunk),
                    initial_weights=weights,
                    progress=progress,
                )
                weights = load_weights(result.training) if chunk == 0 else weights
        write_ledger(config, self.declared, folder)

    def documents(self, run_folder: Path) -> None:
        """The guarantee in words."""
        write_statement(run_folder)

    def mark(self, report: Report, run_folder: Path) -> Report:
        """See `mark_private`."""
        return mark_private(report, run_folder)

    def _codec(self, public: Trace) -> tuple[Codec, list[SeriesTable]]:
        """A codec in which nothing is measured on the input, and the public series."""
        config, longest = self.config, self.config.privacy.bounds.max_records
        tables = public_series(public, self.declared.chunks, flow_key=self.declared.flow_key, max_records=longest)
        codec = Codec.fit(
            tables,
            encodings=config.fields.encodings,
            style=config.generator.choice().spec.style,
            ip2vec=read_ip2vec(config),
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

    def _tables(self, private: Trace, template: SeriesTable, console: Console) -> dict[int, SeriesTable]:
        """The bounded series of every declared chunk, those without any included."""
        privacy, window = self.config.privacy, self.declared.chunks
        kept = bounded(private, window, self.declared.unit_bounds(max_chunks=privacy.max_chunks_per_unit))
        report_left_out(len(private) - len(kept), len(private), console)
        found: Mapping[int, SeriesTable] = {}
        if len(kept):
            flows = group_flows(kept, self.declared.flow_key)
            found = cut_series(kept, flows, window, max_records_per_segment=privacy.bounds.max_records)
        nothing = template.take(np.zeros(0, np.int64))
        return {chunk: found.get(chunk, nothing) for chunk in range(window.count)}

    def _noisy_contents(self, tables: Mapping[int, SeriesTable], plan: Plan) -> Contents:
        """Flows that start in each chunk, by the Gaussian mechanism; nothing else is counted."""
        window: ChunkPlan = self.declared.chunks
        counts = np.array([int(tables[chunk].metadata["starts_here"].sum()) for chunk in range(window.count)])
        sensitivity, randomness = plan.counts_sensitivity, self.declared.randomness("counts")
        counter = NoisyCounts(
            {FLOWS_BY_CHUNK: 1.0}, CountingNoise(plan.counting.noise_multiplier, sensitivity, randomness)
        )
        noisy = np.rint(counter.release(FLOWS_BY_CHUNK, counts, sensitivity=sensitivity)).clip(min=0).astype(int)
        noisy[0] = max(noisy[0], int(noisy.sum() == 0))
        held_back = self.config.evaluate.holdout if self.config.evaluate.enabled else 0.0
        return Contents(
            flows=max(1, round(int(noisy.sum()) / (1 - held_back))),
            chunks={k: ChunkContents(series=None, records=None, starting=int(n)) for k, n in enumerate(noisy)},
            plan=window,
            noisy=True,
        )

    def _plan(self, name: str, steps: int, key: str, what: int | str) -> TrainingPlan:
        """How a model of a chunk, or of the public trace, is trained."""
        config = self.config
        return TrainingPlan(
            name=name,
            steps=steps,
            seed=derive_seed(config.seed, "train", what),
            fingerprint=fingerprint(key, what),
            checkpoint_seconds=config.training.checkpoint_seconds,
            threads=config.training.threads,
        )

    def _public_weights(
        self, prepared: PrivatelyPrepared, folder: Path, key: str, device: str, console: Console
    ) -> dict[str, torch.Tensor] | None:
        """Weights of a model of the public trace, to start from; None where none was named."""
        config = self.config
        if config.privacy.public is None or prepared.public is None:
            return None
        choice = config.generator.choice()
        with console.training(1) as progress:
            result = train(
                choice.build(prepared.schema, device=device),
                prepared.public(),
                folder / PUBLIC,
                self._plan(PUBLIC, choice.spec.seed_steps, key, PUBLIC),
                progress=progress,
            )
        return load_weights(result.training)
