"""The autoregressive generator, trained by DP-SGD.

Each step draws units by Poisson sampling, clips each unit's gradient (over all its series and records, exactly:
`ghost_clipping`), adds Gaussian noise and takes a step of Adam (Abadi et al., "Deep learning with differential privacy",
2016).

Private: `data` and `units`. Public: everything else, that is schema, settings, number of steps, sampling rate, noise,
initial weights; and, after noise, the weights. Sensitivity: the three nets share the clip norm C evenly. Each net's part of
a unit's gradient is clipped to C / sqrt(3), so that the whole has a norm of at most C, and adding or removing a unit
changes the clipped sum by at most C.

What differs from ordinary training, and why: the number of steps is fixed and the running average of the weights is kept
(early stopping and choosing the best would look at private data); no recall, marginals or calibration (they count private
rows); no loss is logged (it would be a statement about private rows).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from netshare.generators.autoregressive.generator import MEMORIES, AutoregressiveGenerator
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.autoregressive.windows import cut_windows
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import TrainingError
from netshare.preprocess.ragged import offsets_of, records_of
from netshare.privacy.gradients.ghost_clipping import SteppedGRU, Tape
from netshare.privacy.gradients.schedule import PrivateSchedule, set_noisy_gradients
from netshare.privacy.gradients.unit_losses import columns_loss, record_loss
from netshare.privacy.noise import Randomness

AVERAGE_DECAY = 0.98  # share of the weights' running average that a step keeps
RECORDS_AT_ONCE = 16_384  # of the sampled units; more are handled in turns, to bound memory
FINAL_RATE = 0.1  # share of the learning rate at the last step


class PrivateAutoregressive(AutoregressiveGenerator):
    """See the module's docstring.

    Args:
        schedule: clip norm, sampling rate and noise.
        units: int64[series], the unit that each series of the training data belongs to.
        randomness: of sampling and noise.

    Raises:
        TrainingError: recall is on.
    """

    def __init__(
        self, schema: Schema, settings: AutoregressiveSettings, *, schedule: PrivateSchedule, units: np.ndarray,
        randomness: Randomness, device: str = "cpu",
    ) -> None:  # fmt: skip
        if settings.recall:
            raise TrainingError("generator.autoregressive.recall keeps training rows; a private model must do without")
        super().__init__(schema, settings, device)
        self.schedule, self.randomness = schedule, randomness
        self.units, self.count = _numbered(units)
        self.factor = 1.0

    def prepare(
        self, data: Encoded, *, seed: int, steps: int, initial_weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """See `Generator.prepare`; `data` may hold no series at all: training then goes on as always, so that this does not
        show."""
        if data.schema != self.schema:
            raise TrainingError("the data's schema is not the one that the generator was built for")
        if len(data) != len(self.units):
            raise TrainingError(f"{len(self.units)} units were given for {len(data)} series")
        self._build(seed)
        if initial_weights is not None:
            self._load(initial_weights)
        self.data, self.steps, self.steps_done = data, steps, 0
        self.factor = 1.0 if initial_weights is None else self.settings.fine_tuning_rate
        self._order = np.argsort(self.units, kind="stable")
        self._starts = np.searchsorted(self.units[self._order], np.arange(self.count + 1))
        self._freeze_and_unroll()
        self.average = {key: value.detach().clone() for key, value in self._state().items()}
        self.optimizer = torch.optim.Adam(self.learnt_weights(), lr=self.settings.learning_rate, betas=(0.9, 0.99))

    @property
    def done(self) -> bool:
        """All steps are done."""
        return self.steps_done >= self.steps

    @property
    def max_steps(self) -> int:
        """All of them."""
        return self.steps

    def step(self) -> dict[str, float]:
        """One private step; the metrics say nothing of the data, not even how many records it has."""
        self.privatise()
        self.apply()
        return {"records": 0.0}

    def privatise(self) -> None:
        """Give every weight its noisy gradient: all that a step learns of the data."""
        chosen = self.randomness.poisson_sample(self.count, self.schedule.sampling_rate, self.steps_done)
        sums = self.clipped_sums(chosen)
        set_noisy_gradients(self.learnt_weights(), sums, self.schedule, self.randomness, self.steps_done)

    def apply(self) -> None:
        """Move the weights, and their average, by the noisy gradient."""
        self._set_rate()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps_done += 1
        self._update_average()

    def learnt_weights(self) -> list[torch.nn.Parameter]:
        """The weights that are trained, in the order in which their noise is drawn."""
        return [p for net in self._nets().values() for p in net.parameters() if p.requires_grad]

    def clipped_sums(self, chosen: np.ndarray) -> dict[torch.Tensor, torch.Tensor]:
        """The sum over the chosen units (int64[k]) of their gradients, each clipped to the norm; no noise yet."""
        sums: dict[torch.Tensor, torch.Tensor] = {}
        for some in self._in_turns(chosen):
            series = np.concatenate([self._order[self._starts[u] : self._starts[u + 1]] for u in some])
            counts = self._starts[some + 1] - self._starts[some]
            units = torch.from_numpy(np.repeat(np.arange(len(some)), counts)).to(self.device)
            for parameter, gradient in self._gradients(series, units, len(some)).items():
                sums[parameter] = sums[parameter] + gradient if parameter in sums else gradient
        return sums

    def training_state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """See `Generator.training_state`."""
        tensors = {f"weights.{key}": value for key, value in self._state().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": value for key, value in moments.items()}
        return tensors, {"steps_done": self.steps_done}

    def restore(self, tensors: dict[str, torch.Tensor], scalars: dict[str, Any]) -> None:
        """See `Generator.restore`."""
        self.steps_done = scalars["steps_done"]
        parts: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "average": {}, "optimizer": {}}
        for key, value in tensors.items():
            kind, _, rest = key.partition(".")
            parts[kind][rest] = value.clone().to(self.device if kind != "optimizer" else value.device)
        self._load(parts["weights"])
        self.average = parts["average"]
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in parts["optimizer"].items():
            number, _, name = key.partition(".")
            state.setdefault(int(number), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})

    def sampling_weights(self) -> dict[str, torch.Tensor]:
        """The running average of the weights."""
        weights = {key: value.detach().cpu().clone() for key, value in self.average.items()}
        return weights | {name: net.memory.clone() for name, net in zip(MEMORIES, self._remembering(), strict=True)}

    def load_sampling_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """See `Generator.load_sampling_weights`."""
        super().load_sampling_weights(weights)
        self.average = self._state()

    def _gradients(self, series: np.ndarray, units: torch.Tensor, count: int) -> dict[torch.Tensor, torch.Tensor]:
        """Clipped sums of all three nets over these series; `units` (int64[n]) numbers their units from 0."""
        part = self.schedule.clip_norm / math.sqrt(3)
        lengths = self.data.lengths[series]
        tokens = self._length_tokens(np.asarray(self.data.metadata[series]), lengths).to(self.device)
        metadata = tokens[:, : len(self.metadata_layout)]
        found: dict[torch.Tensor, torch.Tensor] = {}
        for net, given in ((self.metadata_net, metadata), (self.length_net, tokens)):
            with Tape(net) as tape:
                loss = columns_loss(net, given, units, tape)
            found |= tape.clipped(loss, units=count, clip_norm=part)[0]

        if len(self.record_layout):
            index, offsets = records_of(self.data.offsets, series)
            rows = np.asarray(self.data.measurements[index])
            records = self.record_layout.encode(torch.from_numpy(rows)).to(self.device)
            windows = cut_windows(
                np.arange(len(series)), lengths,
                window=self.settings.window_records, burn_in=self.settings.burn_in_records,
            )  # fmt: skip
            places = (records, offsets[:-1], lengths)
            with Tape(self.record_net) as tape:
                loss = record_loss(self.record_net, metadata, windows, places, units, tape)
            found |= tape.clipped(loss, units=count, clip_norm=part)[0]
        return found

    def _in_turns(self, chosen: np.ndarray) -> list[np.ndarray]:
        """The chosen units in groups of about `RECORDS_AT_ONCE` records."""
        if len(chosen) == 0:
            return []
        of_series = offsets_of(self.data.lengths[self._order])
        records = of_series[self._starts[chosen + 1]] - of_series[self._starts[chosen]]
        return np.split(chosen, np.flatnonzero(np.diff((np.cumsum(records) - 1) // RECORDS_AT_ONCE)) + 1)

    def _freeze_and_unroll(self) -> None:
        """Replace the GRU by one whose steps a tape sees; do not learn `start` of the row models, which a bias makes
        redundant."""
        if not isinstance(self.record_net.recurrent, SteppedGRU):
            self.record_net.recurrent = SteppedGRU(self.record_net.recurrent)  # type: ignore[assignment]
        for net in self._nets().values():
            net.eval()
        self.record_net.rows.start.requires_grad_(False)

    def _state(self) -> dict[str, torch.Tensor]:
        return {f"{name}.{key}": value for name, net in self._nets().items() for key, value in net.state_dict().items()}

    def _set_rate(self) -> None:
        """The learning rate rises at first and then falls linearly; all of it is known before the first step."""
        warm = min(1.0, (self.steps_done + 1) / (self.settings.warmup_steps + 1))
        left = FINAL_RATE + (1 - FINAL_RATE) * (1 - self.steps_done / max(self.steps, 1))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self.factor * warm * left

    @torch.no_grad()
    def _update_average(self) -> None:
        kept = min(AVERAGE_DECAY, self.steps_done / (self.steps_done + 9))
        for key, value in self._state().items():
            self.average[key].lerp_(value, 1 - kept)


def _numbered(units: np.ndarray) -> tuple[np.ndarray, int]:
    names, number = np.unique(units, return_inverse=True)
    return number.astype(np.int64), len(names)
