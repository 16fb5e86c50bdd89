"""DoppelGANger, its critics trained by DP-SGD.

Only the critics see real series: their gradients, penalty included, are clipped series by series over both critics together
(exactly: `critic_clipping`), summed, and get noise. The generators learn from the critics alone, which costs nothing
(post-processing), and so do the moving averages of their weights.

Private: `data`. Public: everything else; and, after noise, all weights. Sensitivity: the term that a series adds to the
clipped sum has a norm of at most C. It depends on that series, on a secret of the update and on public weights alone:
the generated series that it is compared with, and the point between them at which the penalty is taken, follow from numbers
that belong to the series (`unit_noise`) and not to its place in the batch. So adding or removing one series changes the
clipped sum by at most C.

What differs from ordinary training, and why: series are drawn by Poisson sampling; how many records a step looks at is
drawn evenly from the possible horizons (otherwise it would depend on the lengths of real series); generators are updated
with rows of their own, as many as `batch_size` says, so that the size of the drawn batch does not show; no series are held
back to choose among checkpoints; samples are not corrected by the training data; no loss is logged. Ranges of
auto-normalised series are part of their metadata, and are released as generated ones only. There is no batch norm. Packing
is refused, since a packed row would hold several units.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from netshare.generators.doppelganger.batches import possible_horizons
from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import TrainingError
from netshare.privacy.gradients.critic_clipping import CriticInput, clipped_critic_sums
from netshare.privacy.gradients.schedule import PrivateSchedule, set_noisy_gradients
from netshare.privacy.gradients.unit_noise import UnitNoise, unit_keys
from netshare.privacy.noise import Randomness


class PrivateDoppelGANger(DoppelGANger):
    """See the module's docstring.

    Args:
        schedule: clip norm, sampling rate and noise.
        units: int64[series], the unit that each series of the training data belongs to; each has one.
        randomness: of sampling and noise.

    Raises:
        TrainingError: packing is on, or a unit has several series.
    """

    def __init__(
        self, schema: Schema, settings: DoppelGANgerSettings, *, schedule: PrivateSchedule, units: np.ndarray,
        randomness: Randomness, device: str = "cpu",
    ) -> None:  # fmt: skip
        if settings.packing != 1:
            raise TrainingError(
                f"generator.doppelganger.packing is {settings.packing}; a packed row would hold several units, so a "
                "private run needs 1"
            )
        if len(np.unique(units)) < len(units):
            raise TrainingError(
                "private critics clip series by series, but a unit has several; set privacy.unit to flow"
            )
        off = {"precision": "float32", "selections": 0, "calibrate": False, "known_hosts": False}
        super().__init__(schema, settings.model_copy(update=off), device)
        self.schedule, self.randomness = schedule, randomness

    def _check(self, data: Encoded) -> None:
        if len(data):  # a chunk may hold no series at all, which must not show
            super()._check(data)

    def _begin(self, data: Encoded, seed: int, steps: int) -> None:
        super()._begin(data, seed, steps)
        self._keys = unit_keys(data)
        self._horizons = possible_horizons(self.schema.max_length, self._records_per_pass)

    def step(self) -> dict[str, float]:
        """`critic_rounds` private updates of the critics, one of the generators; the metrics say nothing of the data."""
        horizon = int(self._horizons[int(torch.randint(len(self._horizons), (1,), generator=self._random))])
        for round_ in range(self.settings.critic_rounds):
            number = self.steps_done * self.settings.critic_rounds + round_
            chosen = self.randomness.poisson_sample(len(self._data), self.schedule.sampling_rate, number)
            sums = self.clipped_sums(chosen, horizon, number)
            set_noisy_gradients(self.learnt_weights(), sums, self.schedule, self.randomness, number)
            self._critic_optimizer.step()
        loss = self._update_generators(self._rows(*self._fake(self.settings.batch_size, horizon)))
        self.steps_done += 1
        self._update_average()
        if not math.isfinite(float(loss)):
            raise TrainingError("the generators' loss is not finite; lower generator_learning_rate")
        return {"records": 0.0}

    def learnt_weights(self) -> list[torch.nn.Parameter]:
        """The critics' weights, in the order in which their noise is drawn."""
        return list(self._critics.parameters())

    def clipped_sums(self, chosen: np.ndarray, horizon: int, number: int) -> dict[torch.Tensor, torch.Tensor]:
        """The sum over the chosen series (int64[k]) of the critics' gradients, each clipped to the norm; no noise yet.

        Args:
            horizon: records of each series that are looked at.
            number: of the critics' update, under which its secret is asked for.
        """
        if len(chosen) == 0:
            return {}
        noise = self.unit_noise(chosen, number)
        with torch.no_grad():
            fake = self._rows(*self._fake(len(chosen), horizon, noise))
        mixing = noise.uniform((len(chosen), 1)).to(self.device)
        real = self._real_rows(self._source.rows(chosen, horizon))
        critics = [
            CriticInput(judge, own, other, weight)
            for (judge, weight), own, other in zip(self._judges.values(), real, fake, strict=True)
        ]
        return clipped_critic_sums(
            critics, mixing, penalty_weight=self.settings.penalty_weight, clip_norm=self.schedule.clip_norm
        )[0]

    def unit_noise(self, chosen: np.ndarray, number: int) -> UnitNoise:
        """The numbers that generated series and penalty points of the chosen series (int64[k]) follow from."""
        high, low = (self.randomness.uniform(2, number, 1) * 2.0**32).astype(np.uint64).tolist()
        return UnitNoise(self._keys[chosen], high << 32 | low)
