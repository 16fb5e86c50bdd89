"""Adversarial and variational models of series: naive GAN, RCGAN, TimeGAN, and the market simulator.

Each class cites its paper and says where we had to decide. Common to all: a record says itself whether the series goes
on, and what follows a record that says stop is zeros; categories are drawn from the model's probabilities.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from netshare.baselines.adversarial import convincing, standard_step, wasserstein_step
from netshare.baselines.base import as_array, seeded
from netshare.baselines.series import SeriesBaseline, exists_in, lengths_of
from netshare.generators.doppelganger.batches import Batch
from netshare.generators.doppelganger.modules import FLAG_UNITS, Critic, mask_after_stop
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.ragged import offsets_of

NOISE = 16
UNITS = 64
POOL = 1024  # series drawn, to find records that go with given metadata


class SeriesGAN(SeriesBaseline):
    """A generator of whole series at once; subclasses `generate` probabilities for a horizon."""

    rate = 5e-4

    def begin(self, data: Encoded) -> None:
        """Batches, and an optimiser for each network."""
        super().begin(data)
        for name in self.networks:
            self.adam(name, name, rate=self.rate)

    def activate(self, logits: torch.Tensor) -> torch.Tensor:
        """float32[n, t, width] of logits -> numbers and probabilities, flags included."""
        flags = torch.softmax(logits[..., -FLAG_UNITS:], -1)
        return torch.cat([self.units.layout.activate(logits[..., :-FLAG_UNITS]), flags], -1)

    def masked(self, units: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Activated units, zeros after a stop that is drawn from its probability."""
        exists, _ = mask_after_stop(units[..., -FLAG_UNITS:], True, random)
        return units * exists.unsqueeze(-1)

    def decided(self, units: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Activated units -> hard ones and the length of each series."""
        exists, _ = mask_after_stop(units[..., -FLAG_UNITS:], True, random)
        hard = self.units.layout.expand(self.units.layout.collapse(units[..., :-FLAG_UNITS], "sample", random))
        return torch.cat([hard, units[..., -FLAG_UNITS:]], -1), exists.sum(1)


class NaiveGAN(SeriesGAN):
    """The "naive GAN" of Lin et al. (IMC 2020, section 5.0.1): metadata and the whole series by one perceptron, judged by
    another, under the Wasserstein loss with gradient penalty.

    Where we had to decide: two layers of 200 units in each. Records for given metadata are those of the nearest series
    of a freshly drawn pool, for it has no conditional form.
    """

    def build(self) -> dict[str, nn.Module]:
        """Both over a flat row: metadata units, then the records."""
        super().build()
        width = self.metadata_layout.width + self.schema.max_length * self.units.width
        generator = nn.Sequential(
            nn.Linear(NOISE, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, width)
        )
        return {"generator": generator, "critic": Critic(width, 2, 200)}

    def generate(self, n: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Metadata units float32[n, ...] and activated units float32[n, max_length, width]."""
        made = self.networks["generator"](torch.randn(n, NOISE, generator=random))
        split = self.metadata_layout.width
        series = made[:, split:].unflatten(1, (self.schema.max_length, self.units.width))
        return self.metadata_layout.activate(made[:, :split]), self.activate(series)

    def update(self) -> dict[str, float]:
        """A step of the critic, a step of the generator."""
        batch = self._source.draw(self.schema.max_length)
        real = torch.cat([batch.metadata, batch.series.flatten(1)], 1)
        metadata, series = self.generate(len(real), self.random)
        fake = torch.cat([metadata, self.masked(series, self.random).flatten(1)], 1)
        critic = wasserstein_step(self, real, fake)
        generator = -self.networks["critic"](fake).mean()
        self.descend("generator", generator)
        return {"critic": critic, "generator": generator.item(), "records": float(batch.records)}

    def sample(self, n: int, *, seed: int) -> Encoded:
        """`n` series, metadata and records together."""
        random, parts = seeded(seed), []
        with torch.inference_mode():
            for block in torch.zeros(n).split(512) if n else ():
                metadata, series = self.generate(len(block), random)
                rows = self.metadata_layout.collapse(metadata, "sample", random)
                hard, lengths = self.decided(series, random)
                exists = torch.arange(series.shape[1]) < lengths[:, None]
                parts.append((as_array(rows), as_array(self.units.columns(hard[exists])), lengths.numpy()))
        given = np.concatenate([np.zeros((0, len(self.schema.metadata)), np.float32), *(part[0] for part in parts)])
        values = np.concatenate([np.zeros((0, len(self.schema.measurements)), np.float32), *(p[1] for p in parts)])
        offsets = offsets_of(np.concatenate([np.zeros(0, np.int64), *(part[2] for part in parts)]))
        return Encoded(given, values, offsets, self.schema)

    def sample_metadata(self, n: int, *, seed: int) -> np.ndarray:
        """The metadata of `n` series."""
        return self.sample(n, seed=seed).metadata

    def measurements_for(self, metadata: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Records of the nearest of `POOL` series."""
        pool = self.sample(POOL, seed=seed)
        given = torch.from_numpy(np.asarray(metadata, np.float32))
        nearest = torch.cdist(given, torch.from_numpy(pool.metadata), p=1).argmin(1).numpy()
        drawn = pool.take(nearest)
        return drawn.measurements, drawn.offsets

    def records(self, metadata: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Series regardless of the metadata."""
        return self.decided(self.generate(len(metadata), random)[1], random)


class RCGAN(SeriesGAN):
    """RCGAN (C. Esteban, S. L. Hyland, G. Rätsch: "Real-valued (medical) time series generation with recurrent
    conditional GANs", 2017): an LSTM turns noise at every step into a record, another judges every step; both are given
    the series' labels, here all of its metadata.
    """

    def build(self) -> dict[str, nn.Module]:
        """Two LSTMs with output layers."""
        super().build()
        given = self.metadata_layout.width
        return {
            "generator": _Recurrent(nn.LSTM, given + NOISE, UNITS, self.units.width),
            "critic": _Recurrent(nn.LSTM, given + self.units.width, UNITS, 1),
        }

    def generate(self, metadata: torch.Tensor, steps: int, random: torch.Generator) -> torch.Tensor:
        """Activated units float32[n, steps, width]."""
        noise = torch.randn(len(metadata), steps, NOISE, generator=random)
        return self.activate(self.networks["generator"](_beside(metadata, noise)))

    def update(self) -> dict[str, float]:
        """A step of the critic, a step of the generator."""
        batch = self.draw_batch()
        fake = self.masked(self.generate(batch.metadata, batch.series.shape[1], self.random), self.random)
        critic = standard_step(self, _beside(batch.metadata, batch.series), _beside(batch.metadata, fake))
        generator = convincing(self.networks["critic"](_beside(batch.metadata, fake)))
        self.descend("generator", generator)
        return {"critic": critic, "generator": generator.item(), "records": float(batch.records)}

    def records(self, metadata: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Whole series at once."""
        parts = [self.generate(block, self.schema.max_length, random) for block in metadata.split(512)]
        return self.decided(torch.cat(parts), random)


class TimeGAN(SeriesGAN):
    """TimeGAN (J. Yoon, D. Jarrett, M. van der Schaar: "Time-series generative adversarial networks", NeurIPS 2019): GRUs
    embed records in a latent space and recover them; a generator works in that space, a supervisor predicts its next
    step, a critic judges it.

    Where we had to decide: metadata are given to all five networks, and drawn from the data; the first 100 updates train
    embedding and recovery, the next 100 the supervisor, the rest all five together, with the paper's weights 10 for
    the supervisor's loss; and, of its moments, the first two.
    """

    warm_up = 100

    def build(self) -> dict[str, nn.Module]:
        """Five GRUs."""
        super().build()
        given, width = self.metadata_layout.width, self.units.width
        shapes = {
            "embedder": (given + width, UNITS),
            "recovery": (given + UNITS, width),
            "generator": (given + NOISE, UNITS),
            "supervisor": (given + UNITS, UNITS),
            "critic": (given + UNITS, 1),
        }
        return {name: _Recurrent(nn.GRU, inputs, UNITS, outputs) for name, (inputs, outputs) in shapes.items()}

    def update(self) -> dict[str, float]:
        """One step of the phase that training is in."""
        batch, exists = self._batch_with_mask()
        latent = self._net("embedder", batch.metadata, batch.series)
        if self.steps_done < self.warm_up:
            loss = self._reconstruction(batch, latent, exists)
            self._descend(loss, "embedder", "recovery")
            return {"embedding": loss.item(), "records": float(batch.records)}
        if self.steps_done < 2 * self.warm_up:
            loss = self._supervision(batch.metadata, latent.detach(), exists)
            self._descend(loss, "supervisor")
            return {"supervisor": loss.item(), "records": float(batch.records)}
        made = self._latent(batch.metadata, batch.series.shape[1], self.random)
        critic = standard_step(self, _beside(batch.metadata, latent.detach()), _beside(batch.metadata, made))
        moments = (made.mean((0, 1)) - latent.detach().mean((0, 1))).abs().mean()
        moments = moments + (made.std((0, 1), correction=0) - latent.detach().std((0, 1), correction=0)).abs().mean()
        supervision = self._supervision(batch.metadata, latent, exists)
        fooled = convincing(self.networks["critic"](_beside(batch.metadata, made)))
        self._descend(fooled + 10 * supervision + 10 * moments, "generator", "supervisor", keep=True)
        embedding = self._reconstruction(batch, self._net("embedder", batch.metadata, batch.series), exists)
        self._descend(embedding, "embedder", "recovery")
        figures = {"critic": critic, "generator": fooled.item(), "embedding": embedding.item()}
        return {**figures, "records": float(batch.records)}

    def records(self, metadata: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Latent series, recovered."""
        parts = []
        for block in metadata.split(512):
            latent = self._latent(block, self.schema.max_length, random)
            parts.append(self.activate(self.networks["recovery"](_beside(block, latent))))
        return self.decided(torch.cat(parts), random)

    def _batch_with_mask(self) -> tuple[Batch, torch.Tensor]:
        batch = self.draw_batch()
        return batch, exists_in(batch)

    def _net(self, name: str, metadata: torch.Tensor, series: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.networks[name](_beside(metadata, series)))

    def _latent(self, metadata: torch.Tensor, steps: int, random: torch.Generator) -> torch.Tensor:
        noise = torch.randn(len(metadata), steps, NOISE, generator=random)
        return self._net("supervisor", metadata, self._net("generator", metadata, noise))

    def _reconstruction(self, batch: Batch, latent: torch.Tensor, exists: torch.Tensor) -> torch.Tensor:
        outputs = self.networks["recovery"](_beside(batch.metadata, latent))
        numbers = torch.cat([torch.sigmoid(outputs[..., : self.units.numbers]), outputs[..., self.units.numbers :]], -1)
        scale = outputs.new_full((self.units.numbers,), -2.0)
        return (self.units.loss(numbers, scale, batch.series) * exists).sum() / exists.sum()

    def _supervision(self, metadata: torch.Tensor, latent: torch.Tensor, exists: torch.Tensor) -> torch.Tensor:
        ahead = self._net("supervisor", metadata, latent)[:, :-1]
        apart = (ahead - latent[:, 1:]).square().mean(-1) * exists[:, 1:]
        return apart.sum() / exists[:, 1:].sum().clamp(min=1)

    def _descend(self, loss: torch.Tensor, *names: str, keep: bool = False) -> None:
        """One step of several networks, each by its own optimiser."""
        groups = [list(self.networks[name].parameters()) for name in names]
        flat = [p for group in groups for p in group]
        gradients = torch.autograd.grad(loss, flat, retain_graph=keep, allow_unused=True)
        for parameter, gradient in zip(flat, gradients, strict=True):
            parameter.grad = gradient
        for name in names:
            self.optimizers[name].step()


class MarketSimulator(SeriesGAN):
    """Market simulator (H. Bühler, B. Horvath, T. Lyons, I. Perez Arribas, B. Wood: "A data-driven market simulator for
    small data environments", 2020): a conditional variational autoencoder of pieces of a path, given what came before.

    Where we had to decide: a piece is 8 records themselves, not the log-signature of their path (whose inversion has no
    meaning for categories); the condition is the metadata and the record before the piece.
    """

    piece = 8
    latent = 16
    rate = 1e-3

    def build(self) -> dict[str, nn.Module]:
        """Encoder, decoder, and the deviation of each number."""
        super().build()
        given = self.metadata_layout.width + self.units.width
        row = self.piece * self.units.width

        def net(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(
                nn.Linear(inputs, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, outputs)
            )

        scale = nn.Embedding(1, self.units.numbers)
        nn.init.constant_(scale.weight, -0.2)
        return {"encoder": net(given + row, 2 * self.latent), "decoder": net(given + self.latent, row), "scale": scale}

    def begin(self, data: Encoded) -> None:
        """One optimiser for all."""
        SeriesBaseline.begin(self, data)
        self.adam("adam", *self.networks, rate=self.rate, beta1=0.9)

    def update(self) -> dict[str, float]:
        """A step up the evidence lower bound, on all pieces of a batch."""
        batch = self.draw_batch()
        series = nn.functional.pad(batch.series, (0, 0, 0, -batch.series.shape[1] % self.piece))
        pieces = series.unflatten(1, (-1, self.piece))
        before = torch.cat([torch.zeros_like(pieces[:, :1, 0]), pieces[:, :-1, -1]], 1)
        condition = _beside(batch.metadata, before)
        mean, spread = self.networks["encoder"](torch.cat([condition, pieces.flatten(2)], -1)).chunk(2, -1)
        noise = torch.randn(mean.shape, generator=self.random)
        outputs = self._decode(condition, mean + spread.exp() * noise)
        exists = pieces[..., -FLAG_UNITS:].sum(-1)
        loss = (self.units.loss(outputs, self._log_scale(), pieces) * exists).sum()
        divergence = 0.5 * (mean.square() + (2 * spread).exp() - 2 * spread - 1).sum(-1)
        loss = (loss + (divergence * exists[..., 0]).sum()) / exists.sum()
        self.descend("adam", loss, 5.0)
        return {"loss": loss.item(), "records": float(batch.records)}

    def records(self, metadata: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Piece by piece, until each series says stop."""
        n, most = len(metadata), self.schema.max_length
        series = torch.zeros(n, -(-most // self.piece) * self.piece, self.units.width)
        running, last = torch.arange(n), torch.zeros(n, self.units.width)
        for start in range(0, most, self.piece):
            latent = torch.randn(len(running), self.latent, generator=random)
            outputs = self._decode(torch.cat([metadata[running], last], 1), latent)
            made = self.units.draw(outputs, self._log_scale(), random)
            series[running, start : start + self.piece] = made
            going = ~self.units.stops(made).any(1)
            running, last = running[going], made[going, -1]
            if not len(running):
                break
        return series[:, :most], lengths_of(self.units.stops(series[:, :most]))

    def _decode(self, condition: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        flat = self.networks["decoder"](torch.cat([condition, latent], -1))
        return flat.unflatten(-1, (self.piece, self.units.width))

    def _log_scale(self) -> torch.Tensor:
        return 10 * self.networks["scale"].weight[0]  # type: ignore[index]


class _Recurrent(nn.Module):
    """A recurrent layer and an output layer: float32[n, t, inputs] -> float32[n, t, outputs]."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], inputs: int, units: int, outputs: int) -> None:
        super().__init__()
        self.layer = kind(inputs, units, batch_first=True)
        self.output = nn.Linear(units, outputs)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        return self.output(self.layer(series)[0])


def _beside(metadata: torch.Tensor, series: torch.Tensor) -> torch.Tensor:
    """Metadata beside every record."""
    return torch.cat([metadata[:, None].expand(-1, series.shape[1], -1), series], -1)
