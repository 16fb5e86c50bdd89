"""The baseline: a plain recurrent net trained with teacher forcing (DoppelGANger paper, 5.0.1, "RNN").

It is given the metadata and the record before, and predicts the next record's mean; the noise is that of its errors.
Levels are on a logarithmic scale, since on the linear one it learns nothing here.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn

UNITS = 100
BATCH = 64


class Recurrent(nn.Module):
    """LSTM over (class, last value) with a linear output."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(classes + 1, UNITS, batch_first=True)
        self.out = nn.Linear(UNITS, 1)

    def forward(self, inputs: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None) -> tuple:  # noqa: D102
        hidden, state = self.lstm(inputs, state)
        return self.out(hidden).squeeze(-1), state


def train_and_sample(
    values: np.ndarray, classes: np.ndarray, given: np.ndarray, seconds: float, seed: int
) -> np.ndarray:
    """Synthetic values float64[n, T] for the classes `given`, after so many CPU seconds on values float64[m, T]."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    logs = np.log1p(values)
    middle, spread = logs.mean(), logs.std()
    scaled = torch.from_numpy(((logs - middle) / spread).astype(np.float32))
    kinds = torch.eye(int(classes.max()) + 1)[torch.from_numpy(classes.astype(np.int64))]
    net = Recurrent(kinds.shape[1])
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    begun, variance = time.process_time(), 1.0
    while time.process_time() - begun < seconds:
        rows = torch.from_numpy(rng.integers(len(scaled), size=BATCH))
        target = scaled[rows]
        before = torch.cat([torch.zeros(BATCH, 1), target[:, :-1]], 1)
        inputs = torch.cat([kinds[rows].unsqueeze(1).expand(-1, target.shape[1], -1), before.unsqueeze(-1)], -1)
        predicted, _ = net(inputs)
        loss = ((predicted - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        error = ((predicted - target) ** 2).detach()
        variance = 0.95 * variance + 0.05 * float(error[:, 1:].mean())
    first = [scaled[classes == code, 0] for code in range(kinds.shape[1])]
    return np.expm1(_sample(net, kinds, given, first, variance**0.5, rng, values.shape[1]) * spread + middle).clip(0)


@torch.inference_mode()
def _sample(
    net: Recurrent,
    kinds: torch.Tensor,
    given: np.ndarray,
    first: list[torch.Tensor],
    deviation: float,
    rng: np.random.Generator,
    length: int,
) -> np.ndarray:
    """Record by record, from a first value of the class; each is the prediction and noise of its usual error."""
    out = np.empty((len(given), length))
    out[:, 0] = [float(rng.choice(first[code].numpy())) for code in given]
    kind = torch.eye(kinds.shape[1])[torch.from_numpy(given.astype(np.int64))]
    last, state = torch.zeros(len(given), 1), None
    for t in range(length):
        predicted, state = net(torch.cat([kind, last], 1).unsqueeze(1), state)
        if t:
            out[:, t] = predicted[:, 0].numpy() + deviation * rng.standard_normal(len(given))
        last = torch.from_numpy(out[:, t : t + 1].astype(np.float32))
    return out
