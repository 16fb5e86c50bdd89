"""DoppelGANger (Lin, Jain, Wang, Fanti, Sekar: "Using GANs for Sharing Networked Time Series Data", IMC 2020).

P(metadata) is a perceptron, P(measurements | metadata) an LSTM that emits several records a pass and says itself when
a series ends; both are trained against a critic of metadata and series together and an auxiliary critic of metadata
alone, under the Wasserstein loss with gradient penalty. Sampling uses a moving average of the generators' weights, and
what is sampled is corrected where single columns are not yet distributed as in the training data
(`netshare.generators.doppelganger.corrections`).

    generator = DoppelGANger(encoded.schema, DoppelGANgerSettings(batch_size=64))
    train(generator, encoded, folder, TrainingPlan(name="model", steps=3000, seed=1))
    synthetic = generator.sample(1000, seed=2)

The LSTM is conditioned on metadata as it will be when sampled, categories and bits decided; the critics see their
probabilities, through which gradients flow. One forward pass of the generators serves both a critic update and the
generator update that follows it.
"""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

import numpy as np
import torch
from torch import nn

from netshare.generators.base import Generator, check_lengths
from netshare.generators.doppelganger.batches import Batch, BatchShape, BatchSource, check_learnable, possible_horizons
from netshare.generators.doppelganger.corrections import Groups, MeasurementCorrections, MetadataCorrections
from netshare.generators.doppelganger.fitting import measurement_corrections, metadata_corrections
from netshare.generators.doppelganger.layout import ColumnLayout, Random
from netshare.generators.doppelganger.losses import critic_loss
from netshare.generators.doppelganger.modules import (
    FLAG_UNITS,
    Critic,
    MeasurementGenerator,
    Perceptron,
    critic_rows,
    mask_after_stop,
    normal,
    packed,
)
from netshare.generators.doppelganger.precision import can_compute_in_half, computes_in_half
from netshare.generators.doppelganger.sampling import Networks, SeriesModel, draw_measurements, draw_metadata
from netshare.generators.doppelganger.selection import Selection
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.generators.tensors import load_module, named, optimizer_tensors, part_of, restore_optimizer
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import TrainingError

logger = logging.getLogger(__name__)


class DoppelGANger(Generator):
    """The generator of the paper, behind the common interface."""

    def __init__(self, schema: Schema, settings: DoppelGANgerSettings | None = None, device: str = "cpu") -> None:
        super().__init__(schema, device)
        self.settings = settings or DoppelGANgerSettings()
        self._metadata = ColumnLayout(schema.metadata, self.device)
        self._measurements = ColumnLayout(schema.measurements, self.device)
        numbers = [i for i, column in enumerate(schema.measurements) if column.kind == "continuous"]
        self._ranged = numbers if self.settings.auto_normalize else []
        self._passes, self.records_per_pass = self.settings.passes_of(schema.max_length)
        self._steps = 0
        self._of_metadata, self._of_measurements = (
            MetadataCorrections(),
            MeasurementCorrections(Groups.one(self.device)),
        )
        precision = self.settings.precision
        self._half = precision == "bfloat16" or (precision == "auto" and computes_in_half(self.device))
        self._build(seed=0)

    # Training

    def prepare(
        self, data: Encoded, *, seed: int, steps: int, initial_weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Build networks afresh (or from `initial_weights`), optimisers and the source of batches."""
        self.check_data(data)
        self._check_precision()
        self._build(seed)
        if initial_weights is not None:
            load_module(self._generators, part_of(initial_weights, "generators"), "generator weights to fine-tune from")
            load_module(self.critics, part_of(initial_weights, "critics"), "critic weights to fine-tune from")
        self.begin_training(data, seed, steps)

    def prepare_metadata(self, data: Encoded, *, seed: int, steps: int, weights: dict[str, torch.Tensor]) -> None:
        """See `Generator.prepare_metadata`: the perceptron of metadata starts afresh and is trained against a critic of
        metadata alone; the other networks stay as they are in `weights`."""
        self.check_data(data)
        if not self._metadata.width:
            raise TrainingError("the metadata are constant, so that there is nothing to retrain")
        self._build(seed, metadata_alone=True)
        fresh = {name: value.clone() for name, value in self._generators.metadata.state_dict().items()}
        networks, _, of_measurements = self._parted(weights)
        load_module(self._generators, networks, "weights of the model to retrain")
        self._generators.metadata.load_state_dict(fresh)
        self.begin_training(data, seed, steps)
        self._of_measurements = of_measurements

    def _check_precision(self) -> None:
        """Refuse half precision where torch cannot compute in it."""
        if self._half and not can_compute_in_half(self.device):
            raise TrainingError(
                f"generator.doppelganger.precision is {self.settings.precision}, but torch cannot train recurrent nets in "
                f"bfloat16 on this {self.device.type}; write auto or float32"
            )

    def begin_training(self, data: Encoded, seed: int, steps: int) -> None:
        """Make optimisers, average, held-back series and the source of batches for the networks as they are."""
        settings = self.settings
        self.data = data
        self._of_metadata, self._of_measurements = (
            MetadataCorrections(),
            MeasurementCorrections(Groups.one(self.device)),
        )
        learning = self._generators.metadata if self._metadata_alone else self._generators
        self._average = copy.deepcopy(self._generators).requires_grad_(False)
        self._average.measurements.lstm.flatten_parameters()  # cuDNN wants them in one piece, which a copy is not
        betas = (settings.adam_beta1, 0.999)
        self._generator_optimizer = torch.optim.Adam(
            learning.parameters(), settings.generator_learning_rate, betas, fused=True
        )
        self.critic_optimizer = torch.optim.Adam(
            self.critics.parameters(), settings.critic_learning_rate, betas, fused=True
        )
        self.random = torch.Generator().manual_seed(seed)
        self.selection = Selection(
            data,
            share=settings.validation,
            often=0 if self._metadata_alone else settings.selections,
            seed=seed,
        )
        self.batches = BatchSource(
            data,
            self._metadata,
            self._measurements,
            BatchShape(settings.batch_size * settings.packing, self.records_per_pass, settings.horizon),
            ranged=self._ranged,
            seed=seed,
            series=self.selection.learning,
        )
        self._steps, self.steps_done = steps, 0

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.steps_done >= self._steps

    @property
    def max_steps(self) -> int:
        """All of them: see `Generator.max_steps`."""
        return self._steps

    def step(self) -> dict[str, float]:
        """`critic_rounds` updates of the critics, one of the generators; all within the same horizon."""
        horizon, rounds, records = self.batches.draw_horizon(), self.settings.critic_rounds, 0
        for round_ in range(rounds):
            real = self.batches.draw(horizon)
            records += real.records
            with torch.set_grad_enabled(round_ == rounds - 1):
                fake = self.shown_rows(*self.fake_series(len(real.metadata), horizon))
            critic, distance = self.update_critics(self.shown_real_rows(real), fake)
        generator = self.update_generators(fake)
        self.steps_done += 1
        self.update_average()
        names = ("critic", "distance", "generator")
        losses = dict(zip(names, torch.stack([critic, distance, generator]).tolist(), strict=True))
        for name, value in losses.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"loss '{name}' became {value}; lower generator_learning_rate and critic_learning_rate"
                    " (now {generator_learning_rate:g} and {critic_learning_rate:g})".format(**dict(self.settings))
                )
        compared = self._compare()
        if self.done:
            self.finish()
        return {**losses, "records": float(records), **compared}

    def finish(self) -> None:
        """See `Generator.finish`: sampling goes back to the best of the checkpoints that were compared, and is corrected."""
        best = self.selection.best
        if best is not None:
            self._average.load_state_dict(self.selection.weights)
            logger.info("of %d steps the weights after step %d are kept", self.steps_done, best)
        networks, layout, data = self._average, self._metadata, self.data
        self._of_metadata = metadata_corrections(networks, layout, data, self.settings)
        if not self._metadata_alone:
            self._of_measurements = measurement_corrections(
                networks, layout, data, self.settings, self._of_metadata, self._ranged
            )

    def training_state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Networks, their average, both optimisers, and the state of all random numbers."""
        tensors = self.training_weights()
        tensors |= named("average", self._average.state_dict())
        for name, optimizer in self._optimizers().items():
            tensors |= named(name, optimizer_tensors(optimizer))
        compared, scores = self.selection.state()
        tensors |= named("compared", compared)
        tensors["random"] = self.random.get_state()
        scalars = {"batches": self.batches.state(), "selection": scores}
        return tensors, {"steps_done": self.steps_done, **scalars}

    def restore(self, tensors: dict[str, torch.Tensor], scalars: dict[str, Any]) -> None:
        """Go on from a `training_state`."""
        for name, module in (
            ("generators", self._generators),
            ("critics", self.critics),
            ("average", self._average),
        ):
            load_module(module, part_of(tensors, name), f"{name} of the checkpoint")
        for name, optimizer in self._optimizers().items():
            restore_optimizer(optimizer, part_of(tensors, name))
        self.random.set_state(tensors["random"])
        self.batches.restore(scalars["batches"])
        self.selection.restore(part_of(tensors, "compared"), scalars["selection"])
        self.steps_done = scalars["steps_done"]

    # Weights

    def training_weights(self) -> dict[str, torch.Tensor]:
        """Generators and critics as they stand."""
        return named("generators", self._generators.state_dict()) | named("critics", self.critics.state_dict())

    def sampling_weights(self) -> dict[str, torch.Tensor]:
        """The generators' averaged weights; after training, those of the best checkpoint that was compared, and what
        corrects its samples."""
        corrections = named("metadata.corrections", self._of_metadata.tensors())
        corrections |= named("measurements.corrections", self._of_measurements.tensors())
        return {**self._average.state_dict(), **corrections}

    def load_sampling_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Sample from these weights from now on."""
        networks, self._of_metadata, self._of_measurements = self._parted(weights)
        load_module(self._average, networks, "weights of the model")
        self._average.requires_grad_(False)  # as after training: with gradients torch's LSTM rounds differently

    # Sampling

    def sample_metadata(self, n: int, *, seed: int) -> np.ndarray:
        """float32[n, A]: metadata rows drawn from P(metadata)."""
        how, corrections = self.settings.discretize, self._of_metadata
        return draw_metadata(self._average, self._metadata, n, how=how, seed=seed, corrections=corrections)

    def sample_measurements(
        self, metadata: np.ndarray, *, seed: int, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """One series for each metadata row, generated or given: measurements and offsets."""
        return draw_measurements(
            SeriesModel(self._average, self._metadata, self._of_measurements, self.schema.max_length),
            metadata,
            ranged=self._ranged,
            how=self.settings.discretize,
            seed=seed,
            given_lengths=None if lengths is None else check_lengths(lengths, len(metadata), self.schema.max_length),
        )

    # Inside

    def _build(self, seed: int, *, metadata_alone: bool = False) -> None:
        """Fresh networks, initialised from `seed` alone; only a critic of metadata where nothing else is to learn."""
        settings, ranges = self.settings, 2 * len(self._ranged)
        condition = self._metadata.width + ranges
        self._metadata_alone = metadata_alone
        layers, units, noise = settings.metadata_layers, settings.metadata_units, settings.metadata_noise
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._generators = Networks(
                Perceptron(noise, layers, units, self._metadata.width),
                Perceptron(noise + self._metadata.width, layers, units, ranges),
                MeasurementGenerator(
                    condition,
                    settings.measurement_noise,
                    settings.lstm_units,
                    self._measurements,
                    self.records_per_pass,
                    settings.lstm_initial_state,
                ),
                noise,
            ).to(self.device)
            record = self._measurements.width + FLAG_UNITS
            judged = self._metadata.width if metadata_alone else condition
            together, record = judged * settings.packing, record * settings.packing
            series = self._passes * self.records_per_pass * record
            critic = (settings.critic_layers, settings.critic_units)
            horizons = possible_horizons(self.schema.max_length, self.records_per_pass)[:-1]
            edges = tuple(together + record * int(horizon) for horizon in horizons)
            self.judges: dict[str, tuple[Critic, float]] = {}
            if not metadata_alone:
                self.judges["joint"] = Critic(together + series, *critic, edges).to(self.device), 1.0
            if judged and (settings.auxiliary_weight or metadata_alone):
                weight = 1.0 if metadata_alone else settings.auxiliary_weight
                self.judges["auxiliary"] = Critic(together, *critic).to(self.device), weight
        self.critics = nn.ModuleDict({name: judge for name, (judge, _) in self.judges.items()})
        self._average = self._generators

    def fake_series(
        self, n: int, horizon: int, random: Random | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Generated metadata units float32[n, condition] and series float32[n, horizon, width + 2] (None where metadata
        are trained alone); `random` is the training's own where not given."""
        networks, random, device = self._generators, random or self.random, self.device
        sample = self.settings.discretize != "argmax"
        with self._autocast():
            noise = normal(random, device, n, self.settings.metadata_noise)
            metadata = self._metadata.activate(networks.metadata(noise))
            if self._metadata_alone:
                return metadata, None
            decided = self._metadata.harden(metadata, self.settings.discretize, random)
            ranges = networks.draw_ranges(decided, random) if self._ranged else metadata.new_zeros(n, 0)
            condition = torch.cat([decided, ranges], 1)
            state = networks.measurements.first_state(condition, random)
            passes = normal(random, device, n, horizon // self.records_per_pass, self.settings.measurement_noise)
            units, flags, _ = networks.measurements(condition, passes, state)
            exists, _ = mask_after_stop(flags.detach(), sample, random)
            series = torch.cat([units, flags], -1) * exists.unsqueeze(-1)
        return torch.cat([metadata, ranges], 1), series

    def shown_real_rows(self, real: Batch) -> list[torch.Tensor]:
        """What each critic is shown of a batch of real series, in the order of `judges`."""
        if self._metadata_alone:
            return self.shown_rows(real.metadata[:, : self._metadata.width], None)
        return self.shown_rows(real.metadata, real.series)

    def shown_rows(self, metadata: torch.Tensor, series: torch.Tensor | None) -> list[torch.Tensor]:
        """What each critic is shown of a batch, in the order of `judges`."""
        packing = self.settings.packing
        shown = {"auxiliary": packed(metadata, packing)}
        if series is not None:
            shown["joint"] = critic_rows(metadata, series, packing)
        return [shown[name] for name in self.judges]

    def update_critics(self, real: list[torch.Tensor], fake: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """One step of the critics; their loss and the first one's Wasserstein distance."""
        mixing = torch.rand((len(real[0]), 1), generator=self.random).to(self.device)
        with self._autocast():
            found = [
                critic_loss(judge, real_rows, fake_rows.detach(), mixing, self.settings.penalty_weight)
                for (judge, _), real_rows, fake_rows in zip(self.judges.values(), real, fake, strict=True)
            ]
            weights = [weight for _, weight in self.judges.values()]
            loss = torch.stack([weight * own for weight, (own, _) in zip(weights, found, strict=True)]).sum()
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return loss.detach(), found[0][1]

    def update_generators(self, fake: list[torch.Tensor]) -> torch.Tensor:
        """One step of the generators against the critics as they now are; its loss."""
        self.critics.requires_grad_(False)
        with self._autocast():
            scores = [
                weight * judge(rows).mean() for (judge, weight), rows in zip(self.judges.values(), fake, strict=True)
            ]
            loss = -torch.stack(scores).sum()
        self._generator_optimizer.zero_grad()
        loss.backward()
        self._generator_optimizer.step()
        self.critics.requires_grad_(True)
        return loss.detach()

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the average towards the weights; early on faster, so that it forgets where it began."""
        kept = min(self.settings.average_decay, self.steps_done / (self.steps_done + 9))
        for average, weight in zip(self._average.parameters(), self._generators.parameters(), strict=True):
            average.lerp_(weight, 1 - kept)

    def _compare(self) -> dict[str, float]:
        """Compare the averaged weights with held-back series, where it is time to; what there is to log."""
        if not self.selection.due(self.steps_done) and not (self.done and self.selection.compared):
            return {}
        sample = self.sample(self.selection.compared, seed=0)
        return {"validation": self.selection.compare(self.steps_done, sample, dict(self._average.state_dict()))}

    def _parted(
        self, weights: dict[str, torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], MetadataCorrections, MeasurementCorrections]:
        """What `sampling_weights` put together: the networks' weights, and what corrects metadata and measurements."""
        own = {name: tensor.to(self.device) for name, tensor in weights.items()}
        networks = {name: tensor for name, tensor in own.items() if ".corrections." not in name}
        metadata, measurements = (part_of(own, f"{part}.corrections") for part in ("metadata", "measurements"))
        of_measurements = MeasurementCorrections.from_tensors(measurements, self.device)
        return networks, MetadataCorrections.from_tensors(metadata), of_measurements

    def _optimizers(self) -> dict[str, torch.optim.Adam]:
        return {"generator_optimizer": self._generator_optimizer, "critic_optimizer": self.critic_optimizer}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)

    def check_data(self, data: Encoded) -> None:
        """Refuse data that cannot be learnt from.

        Raises:
            TrainingError: there are no series, or they do not fit the schema.
        """
        check_learnable(data, self.schema)
