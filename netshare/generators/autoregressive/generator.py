"""The autoregressive generator: both slots learnt by likelihood, sampled column by column and record by record.

    generator = AutoregressiveGenerator(schema, AutoregressiveSettings())
    generator.prepare(encoded, seed=1, steps=10_000)
    while not generator.done:
        generator.step()
    synthetic = generator.sample(1000, seed=2)

Three nets are trained side by side (metadata; lengths given metadata; records given both), each until its own loss on
held-back flows stops falling, which is what keeps it from reciting flows that it has seen. `steps` is an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from netshare.generators.autoregressive.columns_net import ColumnsNet
from netshare.generators.autoregressive.flow_split import conversation_of, hold_back
from netshare.generators.autoregressive.interpolated_counts import learning_order
from netshare.generators.autoregressive.lengths import LengthCode
from netshare.generators.autoregressive.networks import RecordNet
from netshare.generators.autoregressive.part_training import PartTraining
from netshare.generators.autoregressive.parts import ColumnsPart, Part, RecordPart
from netshare.generators.autoregressive.quasi_random import QuasiRandom
from netshare.generators.autoregressive.record_sampling import sample_records
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.autoregressive.tokens import TokenLayout
from netshare.generators.base import Generator, check_lengths
from netshare.generators.tensors import named, part_of
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import TrainingError
from netshare.preprocess.ragged import offsets_of

COUNTED_ROWS = (
    "metadata.memory",
    "length.memory",
)  # names among the weights of the training rows that are counted over
METADATA_BATCH = 16_384  # rows sampled at once, at most
ROUNDS = 24  # in which metadata are sampled ...
MIN_ROUND_ROWS = 32  # ... of no fewer rows


class AutoregressiveGenerator(Generator):
    """See the module's docstring; `settings` are documented at their declaration."""

    def __init__(self, schema: Schema, settings: AutoregressiveSettings | None = None, device: str = "cpu") -> None:
        super().__init__(schema, device)
        self.settings = settings or AutoregressiveSettings()
        self.length_code = LengthCode(schema.max_length)
        self.metadata_order = learning_order(schema.metadata)
        ordered, bins = [schema.metadata[i] for i in self.metadata_order], self.settings.continuous_bins
        self.metadata_layout = TokenLayout(ordered, bins)
        self.length_layout = TokenLayout([*ordered, *self.length_code.columns], bins)  # of metadata and length
        self.record_layout = TokenLayout(schema.measurements, bins)
        self.steps = 0
        self._trainings: dict[str, PartTraining] = {}
        self.build_networks(seed=0)

    def prepare(
        self, data: Encoded, *, seed: int, steps: int, initial_weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """See `Generator.prepare`; each of the three nets gets the share of `steps` that it needs."""
        self._check(data)
        self.build_networks(seed)
        if initial_weights is not None:
            self.load_networks(initial_weights)
        self._begin(data, seed, steps, tuple(self.networks()), fine_tuning=initial_weights is not None)

    def prepare_metadata(self, data: Encoded, *, seed: int, steps: int, weights: dict[str, torch.Tensor]) -> None:
        """See `Generator.prepare_metadata`; addresses and lengths are interpolated with counts of the new series
        only."""
        self._check(data)
        self.build_networks(seed)
        fresh = {name: value.clone() for name, value in self.metadata_net.state_dict().items()}
        self.load_networks(weights)
        self.metadata_net.load_state_dict(fresh)
        self._begin(data, seed, steps, ("metadata",), fine_tuning=False)

    def _check(self, data: Encoded) -> None:
        if len(data) == 0:
            raise TrainingError("there are no series to learn from; give a trace with records")
        if data.schema != self.schema:
            raise TrainingError("the data's schema is not the one that the generator was built for")

    def _begin(self, data: Encoded, seed: int, steps: int, learning: tuple[str, ...], *, fine_tuning: bool) -> None:
        self.steps, self.steps_done = steps, 0
        train, held = hold_back(data, self.settings.validation, seed, fewest=self.settings.fewest_held)
        tokens = self.length_tokens(data.metadata, data.lengths)
        metadata = tokens[:, : len(self.metadata_layout)]
        common = (data, self.settings, self.device)
        conversations = conversation_of(data)

        def columns(net: ColumnsNet, rows: torch.Tensor) -> Part:
            return ColumnsPart(net, rows, *common, train=train, held=held, conversations=conversations)

        parts: dict[str, Callable[[], Part]] = {
            "metadata": lambda: columns(self.metadata_net, metadata),
            "length": lambda: columns(self.length_net, tokens),
            "record": lambda: RecordPart(self.record_net, metadata, *common),
        }
        self.metadata_net.count_rows(metadata)
        self.length_net.count_rows(tokens)
        factor = self.settings.fine_tuning_rate if fine_tuning else 1.0
        self._trainings = {}
        for number, name in enumerate(learning):
            part = parts[name]()
            part.set_marginals(train, initialise=not fine_tuning)
            part.net.train()
            self._trainings[name] = PartTraining(
                part, name=name, settings=self.settings, seed=3 * seed + number, train=train, held=held,
                rate_factor=factor,
            )  # fmt: skip

    @property
    def done(self) -> bool:
        """All nets have stopped improving, or the steps are used up."""
        return self.steps_done >= self.steps or all(training.finished for training in self._trainings.values())

    @property
    def max_steps(self) -> int:
        """Steps if no net stops before its last pass; most stop much earlier."""
        return min(self.steps, sum(training.max_steps for training in self._trainings.values()))

    def step(self) -> dict[str, float]:
        """One step of the net that has made the fewest passes over the data among those still learning."""
        if not self._trainings:
            raise TrainingError("prepare must be called before step")
        learning = [training for training in self._trainings.values() if not training.finished]
        if not learning:
            raise TrainingError("training has ended; prepare again to go on")
        training = min(learning, key=lambda one: one.progress)
        rows = training.step()
        self.steps_done += 1
        if self.steps_done >= self.steps:
            self.finish()
        metrics = {"records": float(rows)}
        for name, one in self._trainings.items():
            if one.steps:
                metrics[name] = one.loss
            if np.isfinite(one.validation_loss):
                metrics[f"{name}_validation"] = one.validation_loss
        return metrics

    def finish(self) -> None:
        """See `Generator.finish`: nets that are still learning go back to their best weights."""
        for training in self._trainings.values():
            if not training.finished:
                training.close()

    def training_state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """See `Generator.training_state`."""
        tensors: dict[str, torch.Tensor] = {}
        scalars: dict[str, Any] = {"steps_done": self.steps_done}
        for name, training in self._trainings.items():
            own, scalars[name] = training.state()
            tensors |= named(name, own)
        return tensors, scalars

    def restore(self, tensors: dict[str, torch.Tensor], scalars: dict[str, Any]) -> None:
        """See `Generator.restore`."""
        self.steps_done = scalars["steps_done"]
        for name, training in self._trainings.items():
            training.restore(part_of(tensors, name), scalars[name])

    def training_weights(self) -> dict[str, torch.Tensor]:
        """The weights that were best on held-back flows, without the rows that are counted over."""
        return {name: value for name, value in self.sampling_weights().items() if name not in COUNTED_ROWS}

    def sampling_weights(self) -> dict[str, torch.Tensor]:
        """The weights that were best on held-back flows."""
        weights: dict[str, torch.Tensor] = {}
        for name, net in self.networks().items():
            training = self._trainings.get(name)
            own = training.best_weights() if training is not None else net.state_dict()
            weights |= {f"{name}.{key}": value.detach().cpu().clone() for key, value in own.items()}
        return weights | {
            name: net.counted_rows.clone() for name, net in zip(COUNTED_ROWS, self.counting_nets(), strict=True)
        }

    def load_sampling_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """See `Generator.load_sampling_weights`; ends training."""
        self._trainings = {}
        self.load_networks(weights)
        for name, net in zip(COUNTED_ROWS, self.counting_nets(), strict=True):
            rows = weights.get(name)
            if rows is None or rows.ndim != 2 or rows.shape[1] != len(net.layout):
                raise TrainingError(f"the weights lack {name}, or it does not fit the fields; train again")
            if len(rows) and (bool((rows < 0).any()) or bool((rows > torch.tensor(net.layout.sizes)).any())):
                raise TrainingError(f"the weights' {name} has tokens that the fields have not; train again")
            net.count_rows(rows)

    def sample_metadata(self, n: int, *, seed: int) -> np.ndarray:
        """See `Generator.sample_metadata`.

        Rows are drawn in rounds, and each round's addresses count as seen in the next: a host that is new comes back
        as hosts do, instead of every new flow bringing hosts of its own.
        """
        random, layout = torch.Generator().manual_seed(seed), self.metadata_layout
        rows = [np.zeros((0, len(layout)), np.float32)]
        rounds = max(1, min(ROUNDS, n // MIN_ROUND_ROWS), -(-n // METADATA_BATCH))
        uniform = QuasiRandom(2 * len(layout), random)
        with _Sampling(self):
            for k in range(rounds):
                count = n * (k + 1) // rounds - n * k // rounds
                tokens = self.metadata_net.sample(uniform.batch(count))
                self.metadata_net.count_too(tokens)
                rows.append(layout.decode(tokens, torch.rand(count, len(layout), generator=random)).numpy())
            self.metadata_net.count_rows(self.metadata_net.counted_rows)
        metadata = np.empty((n, len(layout)), np.float32)
        metadata[:, self.metadata_order] = np.concatenate(rows)
        return metadata

    def sample_measurements(
        self, metadata: np.ndarray, *, seed: int, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Generator.sample_measurements`."""
        random = torch.Generator().manual_seed(seed)
        tokens = self.metadata_tokens(metadata)
        with _Sampling(self):
            if lengths is None:
                lengths = self._sample_lengths(tokens, random)
            else:
                lengths = check_lengths(lengths, len(metadata), self.schema.max_length)
            offsets = offsets_of(lengths)
            measurements = sample_records(self.record_net, tokens, lengths, random, threads=self.sampling_threads)
        return measurements, offsets

    def sample_lengths(self, metadata: np.ndarray, *, seed: int) -> np.ndarray:
        """See `Generator.sample_lengths`."""
        with _Sampling(self):
            return self._sample_lengths(self.metadata_tokens(metadata), torch.Generator().manual_seed(seed))

    def metadata_log_likelihood(self, metadata: np.ndarray) -> np.ndarray:
        """float64[n]: log P(metadata) of each row, float32[n, A] in the order of the schema.

        Raises:
            TrainingError: a likelihood is not finite.
        """
        net, tokens = self.metadata_net, self.metadata_tokens(metadata).to(self.device)
        total = torch.zeros(len(tokens), device=self.device)
        with _Sampling(self):
            numbered = net.layout.numbered(tokens)
            for i in range(len(net.layout)):
                open_rows = net.layout.open_rows(tokens, i)
                rows = torch.arange(len(tokens), device=self.device) if open_rows is None else open_rows
                if str(i) in net.columns and len(rows):
                    logits = net.columns[str(i)](numbered[rows, :i])
                    total.index_add_(0, rows, -functional.cross_entropy(logits, tokens[rows, i], reduction="none"))
        if not bool(total.isfinite().all()):
            raise TrainingError("the models give likelihoods that are not finite; train again")
        return total.cpu().double().numpy()

    def metadata_tokens(self, metadata: np.ndarray) -> torch.Tensor:
        """int64[n, A] in the order of `metadata_layout`, of float32[n, A] in that of the schema."""
        ordered = np.asarray(metadata)[:, self.metadata_order].astype(np.float32)
        return self.metadata_layout.encode(torch.from_numpy(ordered))

    def length_tokens(self, metadata: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
        """int64[n, A + length columns] in the order of `length_layout`, of float32[n, A] in that of the schema and int64[n]."""
        ordered = np.asarray(metadata)[:, self.metadata_order].astype(np.float32)
        rows = np.concatenate([ordered, self.length_code.encode(lengths)], axis=1)
        return self.length_layout.encode(torch.from_numpy(rows))

    def _sample_lengths(self, tokens: torch.Tensor, random: torch.Generator) -> np.ndarray:
        layout, lengths = self.length_layout, [np.zeros(0, np.int64)]
        uniform = QuasiRandom(2 * len(layout), random)
        for batch in torch.split(tokens, METADATA_BATCH):
            drawn = self.length_net.sample(uniform.batch(len(batch)), batch)
            rows = layout.decode(drawn, torch.zeros(drawn.shape)).numpy()[:, self.length_net.first :]
            within = torch.rand(len(batch), generator=random, dtype=torch.float64)
            lengths.append(self.length_code.decode(rows, within.numpy()))
        return np.concatenate(lengths)

    def counting_nets(self) -> tuple[ColumnsNet, ColumnsNet]:
        """The nets that are interpolated with counts, in the order of `COUNTED_ROWS`."""
        return self.metadata_net, self.length_net

    def networks(self) -> dict[str, torch.nn.Module]:
        """The three nets, by the prefix of their weights' names."""
        return {"metadata": self.metadata_net, "length": self.length_net, "record": self.record_net}

    def build_networks(self, seed: int) -> None:
        """Make all nets afresh, their weights drawn from `seed`."""
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.metadata_net = ColumnsNet(self.metadata_layout, self.settings)
            self.length_net = ColumnsNet(self.length_layout, self.settings, first=len(self.metadata_layout))
            self.record_net = RecordNet(self.metadata_layout, self.record_layout, self.settings)
        for net in self.networks().values():
            net.to(self.device)

    def load_networks(self, weights: dict[str, torch.Tensor]) -> None:
        """Set the weights of all nets; rows to count over, if there are any, are left out.

        Raises:
            TrainingError: they do not fit.
        """
        for name, net in self.networks().items():
            own = part_of({key: value for key, value in weights.items() if key not in COUNTED_ROWS}, name)
            expected = {key: value.shape for key, value in net.state_dict().items()}
            if {key: value.shape for key, value in own.items()} != expected:
                raise TrainingError(
                    f"the weights of the {name} net do not fit the fields and settings; train again with these settings"
                )
            net.load_state_dict(own)


class _Sampling:
    """Within it, the nets hold their best weights, without dropout and gradients; afterwards they go on as before."""

    def __init__(self, generator: AutoregressiveGenerator) -> None:
        self._generator = generator
        self._no_grad = torch.inference_mode()

    def __enter__(self) -> None:
        self._no_grad.__enter__()
        self._present: dict[str, dict[str, torch.Tensor]] = {}
        for name, net in self._generator.networks().items():
            training = self._generator._trainings.get(name)
            if training is not None:
                self._present[name] = {key: value.clone() for key, value in net.state_dict().items()}
                net.load_state_dict(training.best_weights())
            net.eval()

    def __exit__(self, *error: object) -> None:
        for name, net in self._generator.networks().items():
            if name in self._present:
                net.load_state_dict(self._present[name])
                net.train()
        self._no_grad.__exit__(*error)
