"""Hidden Markov model of records (the "HMM" of Lin et al., IMC 2020, section 5.0.1), fitted by Baum-Welch.

L. R. Rabiner: "A tutorial on hidden Markov models", Proc. IEEE 77 (1989), with scaled forward and backward variables.

Where we had to decide: 12 states; given its state a record's columns are independent, numbers normal, bits and
categories discrete, with one pseudo-observation of the overall distribution each; the end of a series is one of these
columns. One update is one pass of expectation and maximisation over all series; it ends when an update gains less than
0.01% of the log-likelihood. Means start at records drawn from the data.
"""

from __future__ import annotations

import torch

from netshare.baselines.series import SeriesBaseline, lengths_of
from netshare.baselines.units import MIN_SCALE
from netshare.preprocess.encoded import Encoded

STATES = 12
MAX_PASSES = 200
GAIN = 1e-4
START_WEIGHT = 0.7  # of the record that a state starts from, the rest is the overall distribution


class HiddenMarkovModel(SeriesBaseline):
    """Fitted: `start` [K], `transition` [K, K], and emissions `mean` [K, width] (chances of bits and categories) and
    `scale` [K, numbers]."""

    states = STATES

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """The starting point: random records, widened by the overall distribution."""
        units, k = self.units.of(data).double(), self.states
        spread = (units - units.mean(0)).square().mean(0)[: self.units.numbers]
        overall, chosen = units.mean(0), torch.randint(len(units), (k,), generator=self.random)
        return super().measure(data) | {
            "start": torch.full((k,), 1 / k, dtype=torch.float64),
            "transition": (torch.full((k, k), 0.3 / k) + 0.7 * torch.eye(k)).double(),
            "mean": START_WEIGHT * units[chosen] + (1 - START_WEIGHT) * overall,
            "scale": spread.sqrt().clamp(min=MIN_SCALE).repeat(k, 1),
            "likelihood": torch.tensor([-torch.inf, -torch.inf], dtype=torch.float64),
        }

    def begin(self, data: Encoded) -> None:
        """Records in order of position within their series, the longest series first."""
        self._units = self.units.of(data).double()
        self._active = self.units.active(self._units.float()).double()
        order = torch.from_numpy(data.lengths.copy()).argsort(descending=True, stable=True)
        self._first = torch.from_numpy(data.offsets[:-1].copy())[order]
        lengths = torch.from_numpy(data.lengths.copy())[order]
        self._running = [int((lengths > t).sum()) for t in range(int(lengths.max()))]

    @property
    def done(self) -> bool:
        """Whether the likelihood has stopped rising."""
        before, now = self.fitted["likelihood"].tolist() if self.fitted else (0.0, 0.0)
        converged = self.steps_done > 1 and now - before < GAIN * abs(before)
        return converged or self.steps_done >= min(self._steps, MAX_PASSES)

    @property
    def max_steps(self) -> int:
        """Passes at most."""
        return min(self._steps, MAX_PASSES)

    def update(self) -> dict[str, float]:
        """One pass of Baum-Welch."""
        chances, peak = self._emissions()
        gamma, pairs, likelihood = self._forward_backward(chances)
        likelihood += float(peak.sum())
        self._maximise(gamma, pairs)
        before = self.fitted["likelihood"][1]
        self.fitted["likelihood"] = torch.stack([before, torch.tensor(likelihood, dtype=torch.float64)])
        return {"loss": -likelihood / len(gamma), "records": float(len(gamma))}

    def records(self, metadata: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """States one after another, and records from them."""
        n, most = len(metadata), self.schema.max_length
        state = torch.multinomial(self.fitted["start"].expand(n, -1), 1, replacement=True, generator=random)[:, 0]
        logits = torch.cat([self.fitted["mean"][:, : self.units.numbers], self._logits()], 1).float()
        scale = (self.fitted["scale"] - MIN_SCALE).clamp(min=1e-9).log().float()
        passes, stopped = [], torch.zeros(n, dtype=torch.bool)
        for _ in range(most):
            passes.append(self.units.draw(logits[state], scale[state], random))
            stopped |= self.units.stops(passes[-1])
            if bool(stopped.all()):
                break
            state = torch.multinomial(self.fitted["transition"][state], 1, generator=random)[:, 0]
        units = torch.stack(passes, 1)
        return units, lengths_of(self.units.stops(units))

    def _logits(self) -> torch.Tensor:
        """Logits of the bits and log-chances of the categories, of each state."""
        chances = self.fitted["mean"][:, self.units.numbers :].clamp(1e-6, 1 - 1e-6)
        bits = self.units.bits.stop - self.units.bits.start
        return torch.cat([torch.logit(chances[:, :bits]), chances[:, bits:].log()], 1)

    def _emissions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Likelihood of each record in each state, relative to its best state's [n, K]; and the logarithm of that [n]."""
        k, n = self.units.numbers, len(self._units)
        mean, scale = self.fitted["mean"], self.fitted["scale"]
        total = torch.zeros(n, len(mean), dtype=torch.float64)
        for i in range(k):
            apart = (self._units[:, i : i + 1] - mean[:, i]) / scale[:, i]
            total -= self._active[:, i : i + 1] * (0.5 * apart.square() + scale[:, i].log() + 0.9189385332046727)
        chances = mean[:, k:].clamp(1e-6, 1 - 1e-6)
        total += self._units[:, k:] @ chances.log().T
        bits = self.units.bits
        total += (1 - self._units[:, bits]) @ (1 - chances[:, : bits.stop - bits.start]).log().T
        peak = total.max(1).values
        return (total - peak[:, None]).exp(), peak

    def _forward_backward(self, chances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        """State probabilities of each record [n, K], expected transitions [K, K], and the log-likelihood."""
        transition, gamma = self.fitted["transition"], torch.zeros_like(chances)
        forward, scales, places = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
        for t, running in enumerate(self._running):
            place = self._first[:running] + t
            ahead = self.fitted["start"].expand(running, -1) if t == 0 else forward[-1][:running] @ transition
            joint = ahead * chances[place]
            scale = joint.sum(1, keepdim=True).clamp(min=1e-300)
            forward.append(joint / scale)
            scales.append(scale)
            places.append(place)
        pairs, behind = torch.zeros_like(transition), torch.zeros(0, chances.shape[1], dtype=torch.float64)
        for t in reversed(range(len(forward))):
            later = len(behind)
            backward = torch.ones_like(forward[t])
            if later:
                weighted = chances[places[t + 1]] * behind / scales[t + 1]
                pairs += transition * (forward[t][:later].T @ weighted)
                backward[:later] = weighted @ transition.T
            posterior = forward[t] * backward
            gamma[places[t]] = posterior / posterior.sum(1, keepdim=True).clamp(min=1e-300)
            behind = backward
        return gamma, pairs, float(sum(scale.log().sum() for scale in scales))

    def _maximise(self, gamma: torch.Tensor, pairs: torch.Tensor) -> None:
        k, units = self.units.numbers, self._units
        start = gamma[self._first].sum(0) + 1e-3
        self.fitted["start"] = start / start.sum()
        pairs = pairs + 1e-3
        self.fitted["transition"] = pairs / pairs.sum(1, keepdim=True)
        mass = gamma.sum(0)[:, None]
        mean = (gamma.T @ units + units.mean(0)) / (mass + 1)
        active = gamma.T @ self._active + 1e-9
        first = (gamma.T @ (self._active * units[:, :k])) / active
        second = (gamma.T @ (self._active * units[:, :k].square())) / active
        mean[:, :k] = first
        self.fitted["mean"] = mean
        self.fitted["scale"] = (second - first.square()).clamp(min=MIN_SCALE**2).sqrt()
