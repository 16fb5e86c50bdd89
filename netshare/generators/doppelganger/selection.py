"""Which of a training's checkpoints is kept: the one whose sample is nearest to series that were held back.

An adversarial loss shows how good the critics are, not how good the samples are, and samples get worse again at times. So a
share of the series is held back from training, and every so often, and at the end, the averaged weights are sampled and
compared with them: distances of series and metadata, and what is copied beyond what the held-back series have in common
with the others (`netshare.generators.doppelganger.distances`). Nothing else of the input is looked at, in particular not
what an evaluation holds back.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from netshare.generators.doppelganger.distances import copied_beyond, metadata_distance, score
from netshare.preprocess.encoded import Encoded

FIRST_STEP = 64
MIN_HELD = 20  # fewer series cannot tell one checkpoint from another
MAX_COMPARED = 1_000


class Selection:
    """The checkpoints of the later half of a training so far, and the scores of all that were compared.

    Earlier ones are not chosen from, and later ones are preferred: where few series are held back, one of many
    half-trained models would look good by chance.

    Args:
        data: all series.
        share: of them to hold back.
        often: comparisons each time the steps double; none where 0, or where too few series would be held back.
        seed: decides who is held back.

    Attributes:
        learning: int64[k], the series that are learnt from, ascending.
    """

    def __init__(self, data: Encoded, *, share: float, often: int, seed: int) -> None:
        held = int(share * len(data)) if often else 0
        order = np.random.default_rng(seed).permutation(len(data))
        possible = held >= MIN_HELD
        self.learning = np.sort(order[held:]) if possible else np.arange(len(data))
        self._known = data.metadata[self.learning] if possible else data.metadata[:0]
        self._held = data.take(np.sort(order[:held][:MAX_COMPARED])) if possible else None
        self._often = often
        self._weights: dict[int, dict[str, torch.Tensor]] = {}
        self.scores: dict[int, float] = {}

    @property
    def compared(self) -> int:
        """Series to sample for a comparison."""
        return 0 if self._held is None else len(self._held)

    @property
    def best(self) -> int | None:
        """The last of the steps in the later half whose score is as low as the lowest one, up to chance: n held-back series
        tell scores apart that differ by about one in the square root of n. None before the first comparison."""
        if not self._weights:
            return None
        enough = min(self.scores[step] for step in self._weights) * (1 + self.compared**-0.5)
        return max(step for step in self._weights if self.scores[step] <= enough)

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """Those of the best step; none before the first comparison."""
        return {} if self.best is None else self._weights[self.best]

    def due(self, step: int) -> bool:
        """Whether the weights after `step` steps are to be compared, for the first time after FIRST_STEP."""
        if self._held is None or step < FIRST_STEP:
            return False
        return step == FIRST_STEP or int(self._often * math.log2(step)) > int(self._often * math.log2(step - 1))

    def compare(self, step: int, sample: Encoded, weights: dict[str, torch.Tensor]) -> float:
        """The score of a sample of `weights`, of which a copy is kept."""
        assert self._held is not None
        found = (score(self._held, sample) + metadata_distance(self._held, sample)) / 2
        self.scores[step] = found + copied_beyond(self._known, self._held, sample)
        self._weights[step] = {name: value.clone() for name, value in weights.items()}
        self._weights = {at: kept for at, kept in self._weights.items() if at >= step / 2}
        return self.scores[step]

    def state(self) -> tuple[dict[str, torch.Tensor], list[list[float]]]:
        """Weights that may still be chosen, and JSON-able the scores of all steps."""
        tensors = {f"{step}.{name}": value for step, kept in self._weights.items() for name, value in kept.items()}
        return tensors, [[step, value] for step, value in self.scores.items()]

    def restore(self, tensors: dict[str, torch.Tensor], scores: list[list[float]]) -> None:
        """Set what `state` returned."""
        self.scores, self._weights = {int(step): value for step, value in scores}, {}
        for key, value in tensors.items():
            step, name = key.split(".", 1)
            self._weights.setdefault(int(step), {})[name] = value
