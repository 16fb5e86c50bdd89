"""Give each column's net the share of rare values that they have in the training data.

A net stopped early, and trained with dropout, is right about what is common and draws what is rare too seldom: the
longest flows, the widest spans. Its mean probability of a value over the training rows ought to be that value's share
of them (for logits with a bias, the likelihood's gradient says so at its maximum). So when training has ended, each
logit's bias is moved by the logarithm of the one over the other, both with `PSEUDO_COUNT` added, which leaves values
that were hardly seen alone.
"""

from __future__ import annotations

import numpy as np
import torch

from netshare.generators.autoregressive.parts import Part

PSEUDO_COUNT = 5.0
ROUNDS = 2  # columns depend on one another through what is drawn, not through what is learnt: few are enough
MOST_ROWS = 40_000


@torch.no_grad()
def calibrate(part: Part, chosen: np.ndarray, batch_rows: int) -> None:
    """Move the output biases of the part's net; `chosen` are the numbers of its training series."""
    sample = _some(part, chosen)
    biases = part.output_biases()
    training = part.net.training
    part.net.eval()
    for _ in range(ROUNDS):
        seen = {i: torch.zeros_like(bias) for i, bias in biases.items()}
        expected = {i: torch.zeros_like(bias) for i, bias in biases.items()}
        for batch in part.batches(sample, batch_rows, np.random.default_rng(0)):
            for i, found in enumerate(part.column_logits(batch)):
                if found is not None:
                    logits, target = found
                    expected[i] += torch.softmax(logits, dim=1).sum(dim=0)
                    seen[i] += torch.bincount(target, minlength=len(seen[i]))
        for i, bias in biases.items():
            bias += ((seen[i] + PSEUDO_COUNT) / (expected[i] + PSEUDO_COUNT)).log()
    part.net.train(training)


def _some(part: Part, chosen: np.ndarray) -> np.ndarray:
    """The series, or so many random ones that they have about `MOST_ROWS` rows."""
    rows = part.size(chosen)
    if rows <= MOST_ROWS:
        return chosen
    share = max(1, round(len(chosen) * MOST_ROWS / rows))
    return np.sort(np.random.default_rng(0).permutation(chosen)[:share])
