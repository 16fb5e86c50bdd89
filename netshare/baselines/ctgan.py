"""CTGAN (L. Xu, M. Skoularidou, A. Cuesta-Infante, K. Veeramachaneni: "Modeling tabular data using conditional GAN",
NeurIPS 2019), written from the paper: mode-specific normalisation, conditional vector with training by sampling, PacGAN.

A record is a row. Numbers are a mode and a scalar (see `modes`), categories and bits one-hot groups. At each step a
discrete column is drawn, and one of its categories by the logarithm of its frequency. The real rows are drawn among those
that have it; the generator gets it as a condition, and a cross-entropy loss where its row has another category. The critic
sees 10 rows at a time (Lin et al., "PacGAN", 2018), under the Wasserstein loss with gradient penalty.

Where we had to decide: addresses and ports are bits (as categories of their own they would have tens of thousands);
batches of 500 rows (fewer where the data have fewer), the generator normalised by layer instead of by batch, so that a
sample does not depend on its neighbours, and the critic without dropout, which lets its penalty be in closed form.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from netshare.baselines.adversarial import wasserstein_step
from netshare.baselines.modes import Modes
from netshare.baselines.rows import RowBaseline, rows_of
from netshare.generators.doppelganger.modules import Critic
from netshare.preprocess.encoded import Encoded

NOISE, UNITS, PACK, BATCH = 128, 256, 10, 500
TEMPERATURE = 0.2  # of the Gumbel softmax
RATE = 2e-4


class CTGAN(RowBaseline):
    """Units of a row: the scalars of the numbers, then one group after the other: modes, then discrete columns.

    Fitted: `modes` of each number, and of all groups one after another the `counts` of their categories.
    """

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """Fit the mixtures, count the categories."""
        rows = rows_of(data).numpy()
        numbers, _ = self._split()
        fitted = {f"modes.{i}": Modes.fit(rows[:, i], self.seed).to_tensor() for i in numbers}
        self.fitted = fitted
        groups = self._groups(rows)
        return fitted | {"counts": torch.cat([torch.from_numpy(np.bincount(c, minlength=k)) for c, k in groups])}

    def build(self) -> dict[str, nn.Module]:
        """A residual generator, and a critic of packs."""
        numbers, discrete = self._split()
        self._sizes = [len(self._modes(i).mean) for i in numbers] + [self.columns[i].cardinality for i in discrete]
        if sum(self._sizes) != len(self.fitted["counts"]):
            raise ValueError("categories of another schema")
        width = len(numbers) + sum(self._sizes)
        given = sum(self._sizes[len(numbers) :])
        return {
            "generator": _Residual(NOISE + given, width),
            "critic": Critic(PACK * (width + given), 2, UNITS),
        }

    def begin(self, data: Encoded) -> None:
        """All rows as units, and for each category the rows that have it."""
        rows = rows_of(data).numpy()
        self._training, codes = self._units(rows)
        discrete = codes[:, len(self._split()[0]) :]
        self._order = torch.from_numpy(np.argsort(discrete, axis=0, kind="stable"))
        self.adam("generator", "generator", rate=RATE)
        self.adam("critic", "critic", rate=RATE)

    def update(self) -> dict[str, float]:
        """A step of the critic, a step of the generator."""
        n = max(PACK, min(BATCH, len(self._training)) // PACK * PACK)
        column, category, condition = self._condition(n, self.random)
        real = self._training[self._rows_with(column, category)]
        noise = torch.randn(n, NOISE, generator=self.random)
        logits = self.networks["generator"](torch.cat([noise, condition], 1))
        fake = self._activate(logits, self.random)
        width = PACK * (fake.shape[1] + condition.shape[1])
        packed_real = torch.cat([real, condition], 1).reshape(-1, width)
        packed_fake = torch.cat([fake, condition], 1).reshape(-1, width)
        critic = wasserstein_step(self, packed_real, packed_fake)
        loss = -self.networks["critic"](packed_fake).mean() + self._disobedience(logits, column, category)
        self.descend("generator", loss)
        return {"critic": critic, "generator": loss.item(), "records": float(n)}

    def sample_rows(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Rows under conditions drawn by the categories' frequencies in the data."""
        numbers, discrete = self._split()
        rows = torch.zeros(n, len(self.columns))
        for begin in range(0, n, 4096):
            part = rows[begin : begin + 4096]
            _, _, condition = self._condition(len(part), random, logarithmic=False)
            noise = torch.randn(len(part), NOISE, generator=random)
            units = self._activate(self.networks["generator"](torch.cat([noise, condition], 1)), random)
            start = len(numbers)
            for position, size in enumerate(self._sizes):
                chosen = units[:, start : start + size].argmax(1)
                start += size
                if position < len(numbers):
                    i = numbers[position]
                    values = self._modes(i).restore(chosen.numpy(), units[:, position].double().numpy())
                    part[:, i] = torch.from_numpy(values.clip(0, 1)).float()
                else:
                    part[:, discrete[position - len(numbers)]] = chosen.float()
        return rows

    def _split(self) -> tuple[list[int], list[int]]:
        """Columns that are numbers, and discrete ones of more than one category."""
        numbers = [i for i, column in enumerate(self.columns) if column.kind == "continuous"]
        discrete = [i for i, column in enumerate(self.columns) if column.cardinality > 1]
        return numbers, discrete

    def _modes(self, column: int) -> Modes:
        return Modes.from_tensor(self.fitted[f"modes.{column}"])

    def _groups(self, rows: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """Codes and number of categories of each group; modes are drawn."""
        random, (numbers, discrete) = np.random.default_rng(self.seed), self._split()
        groups = []
        for i in numbers:
            modes = self._modes(i)
            groups.append((modes.normalise(rows[:, i], random)[0], len(modes.mean)))
        return groups + [(rows[:, i].astype(np.int64), self.columns[i].cardinality) for i in discrete]

    def _units(self, rows: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """Units float32[n, width] of rows and the codes int64[n, groups]."""
        groups, (numbers, _) = self._groups(rows), self._split()
        scalars = np.zeros((len(rows), len(numbers)))
        for position, i in enumerate(numbers):
            modes, mode = self._modes(i), groups[position][0]
            scalars[:, position] = ((rows[:, i] - modes.mean[mode]) / modes.deviation[mode] / 4).clip(-1, 1)
        hot = [np.eye(size, dtype=np.float32)[codes] for codes, size in groups]
        codes = np.stack([c for c, _ in groups], 1) if groups else np.zeros((len(rows), 0), np.int64)
        return torch.from_numpy(np.hstack([scalars.astype(np.float32), *hot])), codes

    def _discrete_counts(self) -> list[torch.Tensor]:
        sizes = self._sizes
        return list(self.fitted["counts"].split(sizes))[len(self._split()[0]) :] if sizes else []

    def _condition(
        self, n: int, random: torch.Generator, *, logarithmic: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Columns int64[n], their categories int64[n], and the vector float32[n, all categories]."""
        counts = self._discrete_counts()
        if not counts:
            none = torch.zeros(n, dtype=torch.long)
            return none, none, torch.zeros(n, 0)
        column = torch.randint(len(counts), (n,), generator=random)
        longest = max(len(count) for count in counts)
        weights = torch.stack([nn.functional.pad(c.double(), (0, longest - len(c))) for c in counts])
        weights = (1 + weights).log() if logarithmic else weights
        category = torch.multinomial(weights[column], 1, generator=random)[:, 0]
        starts = torch.tensor([0, *np.cumsum([len(count) for count in counts])[:-1]])
        vector = torch.zeros(n, sum(len(count) for count in counts))
        vector[torch.arange(n), starts[column] + category] = 1
        return column, category, vector

    def _rows_with(self, column: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
        """int64[n]: a random row that has the category in the column."""
        counts = self._discrete_counts()
        uniform = torch.rand(len(column), generator=self.random, dtype=torch.float64)
        if not counts:
            return (uniform * len(self._training)).long()
        longest = max(len(count) for count in counts)
        table = torch.stack([nn.functional.pad(count, (0, longest - len(count))) for count in counts])
        first = (table.cumsum(1) - table)[column, category]
        position = first + (uniform * table[column, category]).long()
        return self._order[position.clamp(max=len(self._training) - 1), column]

    def _activate(self, logits: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """tanh for the scalars, Gumbel softmax for the groups."""
        start = len(self._split()[0])
        parts = [torch.tanh(logits[:, :start])]
        for size in self._sizes:
            uniform = torch.rand(len(logits), size, generator=random).clamp(1e-9, 1 - 1e-7)
            gumbel = -(-uniform.log()).log()
            parts.append(torch.softmax((logits[:, start : start + size] + gumbel) / TEMPERATURE, 1))
            start += size
        return torch.cat(parts, 1)

    def _disobedience(self, logits: torch.Tensor, column: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the conditioned columns."""
        numbers = len(self._split()[0])
        start, total = numbers + sum(self._sizes[:numbers]), logits.new_zeros(())
        for position, size in enumerate(self._sizes[numbers:]):
            asked = column == position
            if bool(asked.any()):
                chances = torch.log_softmax(logits[asked, start : start + size], 1)
                total = total - chances.gather(1, category[asked, None]).sum()
            start += size
        return total / len(logits)


class _Residual(nn.Module):
    """Two layers whose inputs go along to the next; the paper's generator."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(inputs, UNITS), nn.LayerNorm(UNITS), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(inputs + UNITS, UNITS), nn.LayerNorm(UNITS), nn.ReLU())
        self.last = nn.Linear(inputs + 2 * UNITS, outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inputs = torch.cat([self.first(inputs), inputs], 1)
        return self.last(torch.cat([self.second(inputs), inputs], 1))
