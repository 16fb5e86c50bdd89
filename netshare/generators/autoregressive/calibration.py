"""Give each column's net the share of rare values that they have in the training data.

A net stopped early, and trained with dropout, is right about what is common and draws what is rare too seldom: the
longest flows, the widest spans. Its mean probability of a value over the training rows ought to be that value's share
of them (where the likelihood of logits with a bias is largest, it is). So when training has ended, the bias of each logit
is raised by the logarithm of share over mean probability. Values that were seen fewer than `MIN_POOL_COUNT` times are
pooled with their neighbours until the pool has that many: the error of a tail as a whole can be measured, that of each of
its bins is lost in noise.
"""

from __future__ import annotations

import numpy as np
import torch

from netshare.generators.autoregressive.parts import Part

MIN_POOL_COUNT = 15
PSEUDO_COUNT = 2.0
ROUNDS = 4  # each brings the shares most of the way
MAX_ROWS = 40_000


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
            for i, counts, target in part.column_counts(batch):
                expected[i] += counts
                seen[i] += torch.bincount(target, minlength=len(seen[i]))
        for i, bias in biases.items():
            pool = _pools(seen[i])
            ratio = _pooled(seen[i], pool) / _pooled(expected[i], pool)
            bias += ratio.log()[pool]
    part.net.train(training)


def _pools(seen: torch.Tensor) -> torch.Tensor:
    """int64[size]: the pool of each value, numbered in order; a pool is closed once `MIN_POOL_COUNT` of it were seen."""
    pools, number, count = [], 0, 0.0
    for share in seen.tolist():
        pools.append(number)
        count += share
        if count >= MIN_POOL_COUNT:
            number, count = number + 1, 0.0
    return torch.tensor(pools, device=seen.device)


def _pooled(values: torch.Tensor, pool: torch.Tensor) -> torch.Tensor:
    return torch.full((int(pool[-1]) + 1,), PSEUDO_COUNT, device=values.device).index_add_(0, pool, values)


def _some(part: Part, chosen: np.ndarray) -> np.ndarray:
    """The series, or so many random ones that they have about `MAX_ROWS` rows."""
    rows = part.size(chosen)
    if rows <= MAX_ROWS:
        return chosen
    share = max(1, round(len(chosen) * MAX_ROWS / rows))
    return np.sort(np.random.default_rng(0).permutation(chosen)[:share])
