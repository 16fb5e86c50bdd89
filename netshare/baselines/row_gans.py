"""GANs of single packets or flow records: E-WGAN-GP, PAC-GAN, PacketCGAN, Flow-WGAN.

Each class cites its paper and says where we had to decide. Common to all: batches of 128 rows, noise of 64 values, a
category drawn from the generator's probabilities. The three packet GANs know no time: as their papers generate packets
alone, the time of a row is drawn from a normal distribution fitted to the training rows' times.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from netshare.baselines.adversarial import convincing, standard_step, wasserstein_step
from netshare.baselines.base import field_groups
from netshare.baselines.rows import RowBaseline, rows_of
from netshare.generators.doppelganger.modules import Critic, Perceptron
from netshare.preprocess.encoded import Encoded

BATCH, NOISE = 128, 64
ROUNDS = 5  # critic updates per generator update, where the paper's loss is Wasserstein's
CLIP = 0.01


class RowGAN(RowBaseline):
    """Noise -> units of a row. Fitted: `time`, mean and deviation of the rows' time columns, where time is not
    generated."""

    timeless = True
    critic_rounds = 1
    rate = 2e-4

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """The distribution of the times."""
        times = rows_of(data)[:, self._time_columns()].double()
        spread = (times - times.mean(0)).square().mean(0).sqrt()
        return {"time": torch.stack([times.mean(0), spread]).float(), "width": torch.tensor([self.layout.width])}

    def begin(self, data: Encoded) -> None:
        """Rows as units, and an optimiser for each network."""
        self._training = rows_of(data)
        for name in self.networks:
            self.adam(name, name, rate=self.rate)

    def draw_real(self) -> torch.Tensor:
        """Units of a batch of rows."""
        chosen = torch.randint(len(self._training), (min(BATCH, max(len(self._training), 2)),), generator=self.random)
        return self.layout.expand(self._training[chosen])

    def noise(self, n: int, random: torch.Generator) -> torch.Tensor:
        """float32[n, NOISE]."""
        return torch.randn(n, NOISE, generator=random)

    def generate(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Units of `n` rows, activated."""
        return self.layout.activate(self.networks["generator"](self.noise(n, random)))

    def update(self) -> dict[str, float]:
        """`critic_rounds` steps of the critic, one of the generator."""
        for _ in range(self.critic_rounds):
            real = self.draw_real()
            loss = self.criticise(real, self.generate(len(real), self.random))
        generator = self.judge(self.generate(len(real), self.random))
        self.descend("generator", generator)
        return {"critic": loss, "generator": generator.item(), "records": float(self.critic_rounds * len(real))}

    def criticise(self, real: torch.Tensor, fake: torch.Tensor) -> float:
        """A step of the critic; its loss."""
        return standard_step(self, real, fake)

    def judge(self, fake: torch.Tensor) -> torch.Tensor:
        """The generator's loss."""
        return convincing(self.networks["critic"](fake))

    def sample_rows(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Rows from the generator, their time drawn apart."""
        blocks = [self.generate(len(block), random) for block in torch.zeros(n).split(4096)]
        rows = torch.cat([self.layout.collapse(units, "sample", random) for units in blocks])
        if self.timeless and (columns := self._time_columns()):
            mean, spread = self.fitted["time"]
            rows[:, columns] = (mean + spread * torch.randn(n, len(columns), generator=random)).clamp(0, 1)
        return rows

    def _time_columns(self) -> list[int]:
        return [i for i, c in enumerate(self.columns) if c.field == "start" and c.kind == "continuous"]


class PacketCGAN(RowGAN):
    """PacketCGAN (P. Wang, S. Li, F. Ye, Z. Wang, M. Zhang: "PacketCGAN: Exploratory study of class imbalance for
    encrypted traffic classification using CGAN", ICC 2020): a conditional GAN, here of perceptrons, whose condition is
    the class of the traffic.

    Where we had to decide: the class is the row's label where the trace has labels, or else its protocol; classes are
    drawn by their share in the data, and the generated row keeps the class that it was asked for.
    """

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """Times, and the classes' columns of the rows."""
        return super().measure(data) | {"classes": rows_of(data)[:, self._class_columns()]}

    def build(self) -> dict[str, nn.Module]:
        """Both see the class beside noise or row."""
        width, given = self.layout.width, self.fitted["classes"].shape[1]
        if given != len(self._class_columns()):
            raise ValueError("classes of another schema")
        return {"generator": Perceptron(NOISE + given, 2, 128, width), "critic": _perceptron(width, 256, 256, 1)}

    def generate(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Rows of classes drawn from the data."""
        classes = self.fitted["classes"][torch.randint(len(self.fitted["classes"]), (n,), generator=random)]
        units = self.layout.activate(self.networks["generator"](torch.cat([self.noise(n, random), classes], 1)))
        rows = units.new_zeros(n, len(self.columns))
        rows[:, self._class_columns()] = classes
        own = self.layout.expand(rows)
        return torch.where(self._class_units(), own, units)

    def _class_columns(self) -> list[int]:
        groups = field_groups(self.schema)
        return next((groups[name] for name in ("label", "protocol") if name in groups), [])

    def _class_units(self) -> torch.Tensor:
        """bool[width]: the units that the class decides."""
        columns, layout = self._class_columns(), self.layout
        parts = [torch.isin(layout.sigmoid_columns, torch.tensor(columns, dtype=torch.long))]
        parts += [torch.isin(p, torch.tensor(columns, dtype=torch.long)).repeat_interleave(k) for k, p in layout.slabs]
        return torch.cat(parts)


class PACGAN(RowGAN):
    """PAC-GAN (A. Cheng: "PAC-GAN: Packet generation of network traffic using generative adversarial networks", IEMCON
    2019): a packet is a grey-scale image, made and judged by convolutional networks.

    Where we had to decide: the image is square, a unit of the row a pixel, in the order of the units (the paper
    duplicates half-bytes into patches); three transposed convolutions make it, three convolutions judge it.
    """

    def build(self) -> dict[str, nn.Module]:
        """Both convolutional; sides are multiples of 4."""
        if self.fitted["width"].tolist() != [self.layout.width]:
            raise ValueError("an image of another schema")
        self._side = 4 * max(1, math.ceil(math.sqrt(self.layout.width) / 4))
        quarter = self._side // 4
        generator = nn.Sequential(
            nn.Linear(NOISE, 64 * quarter**2),
            nn.ReLU(),
            nn.Unflatten(1, (64, quarter, quarter)),
            nn.ConvTranspose2d(64, 32, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 1, 3, 1, 1),
            nn.Flatten(),
        )
        critic = nn.Sequential(
            nn.Unflatten(1, (1, self._side, self._side)),
            nn.Conv2d(1, 32, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(64 * quarter**2, 1),
        )
        return {"generator": generator, "critic": nn.Sequential(nn.ZeroPad1d((0, self._spare())), critic)}

    def generate(self, n: int, random: torch.Generator) -> torch.Tensor:
        """The image's pixels, those beyond the row left out."""
        return self.layout.activate(self.networks["generator"](self.noise(n, random))[:, : self.layout.width])

    def _spare(self) -> int:
        return self._side**2 - self.layout.width


class FlowWGAN(RowGAN):
    """Flow-WGAN (L. Han, Y. Sheng, X. Zeng: "A packet-length-adjustable attention model based on bytes embedding using
    Flow-WGAN for smart cybersecurity", IEEE Access 7, 2019): bytes are embedded, and a WGAN with weight clipping
    (Arjovsky et al., 2017) generates them.

    Where we had to decide: addresses and ports are bytes of 256 values, each embedded by the critic in 8 numbers (a
    generated byte by its probabilities); RMSprop at 5e-5, weights clipped at 0.01, five critic steps, as in WGAN.
    """

    critic_rounds = ROUNDS

    def build(self) -> dict[str, nn.Module]:
        """The critic embeds each one-hot group, all groups of one size alike."""
        width = self.layout.n_sigmoid + 8 * sum(len(places) for _, places in self.layout.slabs)
        networks: dict[str, nn.Module] = {
            f"embedding{size}": nn.Linear(size, 8, bias=False) for size, _ in self.layout.slabs
        }
        networks["score"] = _perceptron(width, 256, 256, 1)
        return {"generator": Perceptron(NOISE, 2, 256, self.layout.width), "critic": nn.ModuleDict(networks)}

    def begin(self, data: Encoded) -> None:
        """RMSprop."""
        super().begin(data)
        for name in self.networks:
            self.optimizers[name] = torch.optim.RMSprop(self.networks[name].parameters(), 5e-5)

    def score(self, units: torch.Tensor) -> torch.Tensor:
        """The critic's score of rows."""
        critic, start = self.networks["critic"], self.layout.n_sigmoid
        parts = [units[:, :start]]
        for size, places in self.layout.slabs:
            slab = units[:, start : start + size * len(places)].unflatten(1, (len(places), size))
            parts.append(critic[f"embedding{size}"](slab).flatten(1))  # type: ignore[index]
            start += size * len(places)
        return critic["score"](torch.cat(parts, 1))  # type: ignore[index]

    def criticise(self, real: torch.Tensor, fake: torch.Tensor) -> float:
        """A step up the difference of scores, then the weights are clipped."""
        loss = self.score(fake.detach()).mean() - self.score(real).mean()
        self.descend("critic", loss)
        with torch.no_grad():
            for parameter in self.networks["critic"].parameters():
                parameter.clamp_(-CLIP, CLIP)
        return loss.item()

    def judge(self, fake: torch.Tensor) -> torch.Tensor:
        """Higher scores are better."""
        return -self.score(fake).mean()


class WassersteinRows(RowGAN):
    """A WGAN-GP of perceptrons over units."""

    timeless = False
    critic_rounds = ROUNDS
    rate = 1e-4

    def build(self) -> dict[str, nn.Module]:
        """Perceptrons."""
        return {
            "generator": Perceptron(NOISE, 2, 256, self.generated_width()),
            "critic": Critic(self.generated_width(), 2, 256),
        }

    def generated_width(self) -> int:
        """Values that the generator makes for a row."""
        return self.layout.width

    def criticise(self, real: torch.Tensor, fake: torch.Tensor) -> float:
        """A step under the gradient penalty."""
        return wasserstein_step(self, real, fake)

    def judge(self, fake: torch.Tensor) -> torch.Tensor:
        """Higher scores are better."""
        return -self.networks["critic"](fake).mean()


def _perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])
