"""Training of one net until flows held back say stop.

After every pass over the data the likelihood of the validation flows is taken; the best weights are kept, for each
group of weights that learns independently (`Part.groups`). Where it has not improved for `patience` passes, training
goes back to the best weights and goes on at a lower learning rate, and ends when that has been done `rate_decays`
times. Everything random follows from the seed and the step, so that a training that is continued from `state` is bit
by bit the one that was never stopped.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from netshare.generators.autoregressive.calibration import calibrate
from netshare.generators.autoregressive.parts import VALIDATION_BATCH, Part
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.tensors import named, optimizer_tensors, part_of, restore_optimizer
from netshare.preprocess.errors import TrainingError

COUNTERS = ("epoch", "position", "steps", "decays", "bad_epochs", "finished", "closed", "loss")
GATE_RATE = 20.0  # times the learning rate: what gates have to learn is simple and decides much
EPSILON = 1e-3  # of AdamW: what is rarely seen is learnt slowly, where the usual 1e-8 would learn it by heart at once
MAX_PASSES, MAX_STEPS = 100, 3000  # by default, whichever is more: over little data a pass is but a few steps
PATIENCE_PASSES, PATIENCE_STEPS = 3, 100
REMEDY = "lower generator.autoregressive.learning_rate"
MIN_IMPROVEMENT = 1e-4  # of the validation loss, relative, that counts as one


class PartTraining:
    """Optimiser, schedule and early stopping of one part."""

    def __init__(
        self,
        part: Part,
        *,
        name: str,
        settings: AutoregressiveSettings,
        seed: int,
        train: np.ndarray,
        held: np.ndarray,
        rate_factor: float,
    ) -> None:
        self.part, self.name, self.settings, self.seed = part, name, settings, seed
        self.train, self.held = train, held
        self.batch_rows = part.default_batch(train)
        self.peak_rate = settings.learning_rate * rate_factor
        self.epoch = 0
        self.position = 0
        self.steps = 0
        self.decays = 0
        self.bad_epochs = 0
        self.best_losses = [math.inf] * len(part.groups)
        self.validation_loss = math.inf
        self.loss = 0.0
        self.closed = False
        self.finished = not any(size > 1 for size in part.layout.sizes)
        self.best = self._weights()
        self.optimizer: torch.optim.Optimizer | None = self._new_optimizer()
        self._batches = self._draw_batches()

    @property
    def progress(self) -> float:
        """Passes over the data made."""
        return self.epoch + self.position / len(self._batches)

    @property
    def max_steps(self) -> int:
        """The most steps that training may take; once it has ended, the steps that it took."""
        return self.steps if self.finished else self._max_passes * len(self._batches)

    @property
    def _patience(self) -> int:
        """Passes without improvement after which the learning rate is lowered: more where a pass takes only a few steps."""
        return self.settings.patience or max(PATIENCE_PASSES, -(-PATIENCE_STEPS // len(self._batches)))

    @property
    def _max_passes(self) -> int:
        return self.settings.epochs or max(MAX_PASSES, -(-MAX_STEPS // len(self._batches)))

    def step(self) -> int:
        """One optimisation step, and validation at the end of a pass; returns the number of rows looked at.

        Raises:
            TrainingError: the loss is not finite.
        """
        with self._randomness(self.steps):
            rows = self._optimise(self._batches[self.position])
        self.steps += 1
        self.position += 1
        if self.position == len(self._batches):
            self.epoch, self.position = self.epoch + 1, 0
            self._batches = self._draw_batches()
            self._end_of_pass()
            if self.finished:
                self.close()
        return rows

    @property
    def best_loss(self) -> float:
        """Lowest validation loss so far, group by group; infinite before the first validation."""
        return float(sum(self.best_losses)) if self.best_losses else math.inf

    def close(self) -> None:
        """End training: put the best weights into the net and calibrate them; a second call does nothing."""
        self.finished = True
        if self.closed:
            return
        self.closed = True
        self.optimizer = None  # it holds twice the weights
        if not self.part.output_biases() or not len(self.train):
            return
        self.keep_best()
        calibrate(self.part, self.train, VALIDATION_BATCH * self.batch_rows)
        self.best = self.part.net.state_dict()

    def keep_best(self) -> None:
        """Put the best weights so far into the net, unless there has been no validation yet."""
        if self.best_loss < math.inf:
            self.part.net.load_state_dict(self.best)

    def best_weights(self) -> dict[str, torch.Tensor]:
        """The weights with the best validation loss so far, or the present ones before the first validation."""
        return self.best if self.best_loss < math.inf else self._weights()

    def validate(self, chosen: np.ndarray) -> list[float]:
        """Mean negative log-likelihood of each column over all rows of the chosen series, in nats."""
        rng = np.random.default_rng(0)
        batches = self.part.batches(chosen, VALIDATION_BATCH * self.batch_rows, rng)
        sums, rows = np.zeros(len(self.part.layout)), 0
        self.part.net.eval()
        with torch.no_grad():
            for batch in batches:
                losses, count = self.part.losses(batch, 0.0)
                sums += [0.0 if loss is None else float(loss) for loss in losses]
                rows += count
        self.part.net.train()
        return list(sums / max(rows, 1))

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Tensors and JSON-able scalars that `restore` takes."""
        tensors = named("weights", {key: value.detach() for key, value in self.part.net.state_dict().items()})
        if self.optimizer is not None:
            tensors |= named("best", self.best)
            tensors |= named("optimizer", optimizer_tensors(self.optimizer))
        scalars: dict[str, Any] = {key: getattr(self, key) for key in COUNTERS}
        scalars["validation_loss"] = _as_json(self.validation_loss)
        scalars["best_losses"] = [_as_json(loss) for loss in self.best_losses]
        return tensors, scalars

    def restore(self, tensors: dict[str, torch.Tensor], scalars: dict[str, Any]) -> None:
        """Set what `state` returned."""
        for key in COUNTERS:
            setattr(self, key, scalars[key])
        self.validation_loss = _from_json(scalars["validation_loss"])
        self.best_losses = [_from_json(loss) for loss in scalars["best_losses"]]
        self.part.net.load_state_dict(part_of(tensors, "weights"))
        self._batches = self._draw_batches()
        if self.closed:
            self.optimizer, self.best = None, self.part.net.state_dict()
            return
        self.best = {key: value.clone().to(self.part.device) for key, value in part_of(tensors, "best").items()}
        self.optimizer = self._new_optimizer()
        restore_optimizer(self.optimizer, part_of(tensors, "optimizer"))

    def _optimise(self, batch: object) -> int:
        assert self.optimizer is not None
        warm = min(1.0, (self.steps + 1) / (self.settings.warmup_steps + 1))
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * self.peak_rate * warm * self.settings.rate_decay**self.decays
        losses, rows = self.part.losses(batch, self.settings.label_smoothing)
        present = [loss for loss in losses if loss is not None]
        if not present:
            return rows
        total = torch.stack(present).sum() / rows
        self.loss = float(total.detach())
        if not math.isfinite(self.loss):
            raise TrainingError(f"the loss of the {self.name} net became {self.loss}; {REMEDY}")
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.part.net.parameters(), self.settings.gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return rows

    def _end_of_pass(self) -> None:
        settings = self.settings
        if len(self.held) == 0:
            self.finished = self.epoch >= min(settings.epochs_without_validation, self._max_passes)
            return
        losses = self.validate(self.held)
        self.validation_loss = float(sum(losses))
        if not math.isfinite(self.validation_loss):
            raise TrainingError(f"the validation loss of the {self.name} net became {self.validation_loss}; {REMEDY}")
        before = self.best_loss
        weights = self.part.net.state_dict()
        for number, (prefix, columns) in enumerate(self.part.groups):
            loss = float(sum(losses[column] for column in columns))
            if loss < self.best_losses[number]:
                self.best_losses[number] = loss
                for key, value in weights.items():
                    if key.startswith(prefix):
                        self.best[key].copy_(value)
        improved = self.best_loss < before - MIN_IMPROVEMENT * abs(self.best_loss)
        self.bad_epochs = 0 if improved else self.bad_epochs + 1
        if self.bad_epochs >= self._patience:
            self.keep_best()
            self.bad_epochs = 0
            self.decays += 1
        self.finished = self.decays > settings.rate_decays or self.epoch >= self._max_passes

    def _draw_batches(self) -> list[object]:
        rng = np.random.default_rng([self.seed, self.epoch])
        return self.part.batches(self.train, self.batch_rows, rng)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        decay = self.settings.weight_decay
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in self.part.net.named_parameters():
            groups.setdefault((".gate." in name, parameter.ndim > 1), []).append(parameter)
        settings = [
            {"params": own, "weight_decay": decay if matrix else 0.0, "factor": GATE_RATE if gate else 1.0}
            for (gate, matrix), own in groups.items()
        ]
        if not settings:  # every column has but one value
            settings = [{"params": [torch.zeros(1)], "weight_decay": 0.0, "factor": 1.0}]
        return torch.optim.AdamW(settings, lr=self.peak_rate, betas=(0.9, 0.99), eps=EPSILON, fused=True)

    def _weights(self) -> dict[str, torch.Tensor]:
        return {key: value.detach().clone() for key, value in self.part.net.state_dict().items()}

    def _randomness(self, step: int) -> _Seeded:
        return _Seeded(self.part.device, self.seed, step)


class _Seeded:
    """Within it, torch draws numbers that depend on seed and step alone; afterwards its generators are as before."""

    def __init__(self, device: torch.device, seed: int, step: int) -> None:
        devices = [device] if device.type == "cuda" else []
        self._fork = torch.random.fork_rng(devices)
        self._seed = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def __enter__(self) -> None:
        self._fork.__enter__()
        torch.manual_seed(self._seed)

    def __exit__(self, *error: Any) -> None:
        self._fork.__exit__(*error)


def _as_json(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def _from_json(loss: float | None) -> float:
    return math.inf if loss is None else loss
