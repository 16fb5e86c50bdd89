"""DoppelGANger, its critics trained by DP-SGD.

Only the critics see real series: their gradients, penalty included, are clipped series by series (exactly: `critics`)
over both critics together, summed, and get noise. The generators learn from the critics alone, and so do not cost
anything (post-processing), and neither does their moving average.

What differs from ordinary training, and why: series are drawn by Poisson sampling; how many records a step looks at is
drawn evenly from the possible horizons (otherwise the lengths of real series say); generators are updated with rows of
their own, as many as `batch_size` says, so that the size of the drawn batch does not show; no series are held back to
choose among checkpoints; samples are not corrected by the training data; no loss is logged.
Ranges of auto-normalised series are part of their metadata, and reach the release as generated ones only. There is no
batch norm. A packed row would hold several units, so that packing is refused.

Private: `data`. Public: everything else.
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
from netshare.privacy.gradients.autoregressive import PrivateSchedule, set_noisy_gradients
from netshare.privacy.gradients.critics import CriticInput, clipped_critic_sums
from netshare.privacy.noise import Randomness


class PrivateDoppelGANger(DoppelGANger):
    """See the module's docstring; each series is a unit."""

    def __init__(
        self, schema: Schema, settings: DoppelGANgerSettings, *, schedule: PrivateSchedule, randomness: Randomness,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        if settings.packing != 1:
            raise TrainingError(
                f"generator.doppelganger.packing is {settings.packing}; a packed row would hold several units, so a "
                "private run needs 1"
            )
        off = {"precision": "float32", "selections": 0, "calibrate": False, "known_hosts": False}
        super().__init__(schema, settings.model_copy(update=off), device)
        self.schedule, self.randomness = schedule, randomness

    def _check(self, data: Encoded) -> None:
        if len(data):  # a chunk may hold no series at all, which must not show
            super()._check(data)

    def _begin(self, data: Encoded, seed: int, steps: int) -> None:
        super()._begin(data, seed, steps)
        self._data = data
        self._horizons = possible_horizons(self.schema.max_length, self._records_per_pass)

    def step(self) -> dict[str, float]:
        """`critic_rounds` private updates of the critics, one of the generators; says nothing of the data."""
        horizon = int(self._horizons[int(torch.randint(len(self._horizons), (1,), generator=self._random))])
        for round_ in range(self.settings.critic_rounds):
            number = self.steps_done * self.settings.critic_rounds + round_
            chosen = self.randomness.poisson_sample(len(self._data), self.schedule.sampling_rate, number)
            sums = self.clipped_sums(chosen, horizon, number)
            set_noisy_gradients(list(self._critics.parameters()), sums, self.schedule, self.randomness, number)
            self._critic_optimizer.step()
        loss = self._update_generators(self._rows(*self._fake(self.settings.batch_size, horizon)))
        self.steps_done += 1
        self._update_average()
        if not math.isfinite(float(loss)):
            raise TrainingError("the generators' loss is not finite; lower generator_learning_rate")
        return {"records": 0.0}

    def clipped_sums(self, chosen: np.ndarray, horizon: int, number: int) -> dict[torch.Tensor, torch.Tensor]:
        """The sum over the chosen series (int64[k]) of the critics' gradients, each clipped to the norm; no noise yet.

        Args:
            number: of the critics' update; seeds the fake rows and the points of the penalty.
        """
        if len(chosen) == 0:
            return {}
        kept, self._random = self._random, torch.Generator().manual_seed(number)
        with torch.no_grad():
            fake = self._rows(*self._fake(len(chosen), horizon))
        mixing = torch.rand((len(chosen), 1), generator=self._random).to(self.device)
        self._random = kept
        real = self._real_rows(self._source.rows(chosen, horizon))
        met = [
            CriticInput(judge, own, other, weight)
            for (judge, weight), own, other in zip(self._judges.values(), real, fake, strict=True)
        ]
        return clipped_critic_sums(
            met, mixing, penalty_weight=self.settings.penalty_weight, clip_norm=self.schedule.clip_norm
        )[0]
