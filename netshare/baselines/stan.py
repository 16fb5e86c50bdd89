"""STAN (S. Xu, M. Marwah, M. Arlitt, N. Ramakrishnan: "STAN: Synthetic network traffic generation with generative neural
models", MLHat 2021): the records of one host, in the order of time, each from a window of those before it, column by
column; mixtures of normal distributions for numbers, categories for the rest.

Hosts are those of the training data, as in the paper: their addresses are copies, which the comparison shows.

Where we had to decide: a host is a source address (of a trace without addresses, the first field); addresses
and ports are bits (of 256 or more categories a column, the masked layer would have tens of millions of weights); the
window is the 5 records before, seen through a convolution over them; columns depend on those before them in the record
by one masked layer; mixtures have 4 components; a host's records are generated in runs of at most 50, whose number per
host is that of the training data, and start from an empty window.
"""

from __future__ import annotations

import math
from itertools import accumulate

import torch
from torch import nn

from netshare.baselines.base import field_groups
from netshare.baselines.rows import RowBaseline, rows_of
from netshare.baselines.units import MIN_SCALE, one_hot
from netshare.preprocess.encoded import Encoded

WINDOW, RUN, BATCH = 5, 50, 256
UNITS, COMPONENTS = 200, 4
RATE = 1e-3


class STAN(RowBaseline):
    """Fitted: the host columns of each run of records in the data, and the length of the run."""

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """Runs of records by host."""
        rows = rows_of(data)
        columns = self._host_columns()
        _, host = torch.unique(rows[:, columns], dim=0, return_inverse=True)
        self._sequence = torch.argsort(host, stable=True)
        ordered = host[self._sequence]
        first = torch.searchsorted(ordered, torch.arange(int(ordered.max()) + 1))
        self._position = (torch.arange(len(ordered)) - first[ordered]) % RUN
        begins = (self._position == 0).nonzero()[:, 0]
        lengths = torch.diff(begins, append=torch.tensor([len(ordered)]))
        return {"hosts": rows[self._sequence[begins]][:, columns], "lengths": lengths}

    def build(self) -> dict[str, nn.Module]:
        """The window's convolution, the masked layer of the row's own columns, and the output heads."""
        if self.fitted["hosts"].shape[1] != len(self._host_columns()):
            raise ValueError("hosts of another schema")
        width = self.layout.width
        self._starts, self._sizes = self._units_of_columns()
        sizes = [3 * COMPONENTS if c.kind == "continuous" else c.cardinality for c in self.columns]
        self._outputs = [0, *accumulate(sizes)]
        outputs = self._outputs[-1]
        return {
            "window": nn.Sequential(nn.Conv1d(width, UNITS, 3, padding=1), nn.ReLU(), nn.Conv1d(UNITS, 64, WINDOW)),
            "own": nn.Linear(width, outputs, bias=False),
            "head": nn.Sequential(nn.ReLU(), nn.Linear(64, UNITS), nn.ReLU(), nn.Linear(UNITS, outputs)),
        }

    def begin(self, data: Encoded) -> None:
        """Rows in the order of their hosts."""
        self._training = rows_of(data)[self._sequence]
        self._mask = self._earlier_columns()
        self.adam("adam", *self.networks, rate=RATE, beta1=0.9)

    def update(self) -> dict[str, float]:
        """A step up the likelihood of a batch of records given their windows."""
        chosen = torch.randint(len(self._training), (BATCH,), generator=self.random)
        lag = torch.arange(WINDOW, 0, -1)
        window = self.layout.expand(self._training[(chosen[:, None] - lag).clamp(min=0)])
        window = window * (lag <= self._position[chosen][:, None]).unsqueeze(-1)
        rows = self._training[chosen]
        own = self.layout.expand(rows) @ (self._own() * self._mask).T
        outputs = self.networks["head"](self._context(window)) + own
        loss = torch.stack([self._loss(i, outputs, rows[:, i]) for i in range(len(self.columns))]).sum(0).mean()
        self.descend("adam", loss, 5.0)
        return {"loss": loss.item(), "records": float(BATCH)}

    def sample_rows(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Runs of hosts drawn from the data, all at once, record by record and column by column."""
        lengths = self.fitted["lengths"]
        runs = torch.randint(len(lengths), (n,), generator=random)  # enough: each has a record
        runs = runs[: int((lengths[runs].cumsum(0) < n).sum()) + 1]
        hosts, lengths = self.fitted["hosts"][runs], lengths[runs]
        weights, made = (self._own() * self._earlier_columns()).T, list[torch.Tensor]()
        window = torch.zeros(len(runs), WINDOW, self.layout.width)
        running = torch.arange(len(runs))
        for step in range(int(lengths.max())):
            going = lengths[running] > step
            running, window = running[going], window[going]
            outputs = self.networks["head"](self._context(window))
            rows = torch.zeros(len(running), len(self.columns))
            rows[:, self._host_columns()] = hosts[running]
            units = self.layout.expand(rows)
            for i, column in enumerate(self.columns):
                if i not in self._host_columns():
                    part = self._part(i)
                    chances = outputs[:, part] + units @ weights[:, part]
                    rows[:, i] = self._draw(column.kind == "continuous", chances, random)
                    self._fill(units, i, rows[:, i])
            made.append(rows)
            window = torch.cat([window[:, 1:], units[:, None]], 1)
        return torch.cat(made)[:n]

    def _host_columns(self) -> list[int]:
        groups = field_groups(self.schema)
        return groups.get("src_ip") or next(iter(groups.values()))

    def _own(self) -> torch.Tensor:
        return self.networks["own"].weight  # type: ignore[return-value]

    def _context(self, window: torch.Tensor) -> torch.Tensor:
        return self.networks["window"](window.transpose(1, 2))[..., 0]

    def _part(self, column: int) -> slice:
        """The outputs of a column."""
        return slice(self._outputs[column], self._outputs[column + 1])

    def _units_of_columns(self) -> tuple[list[int], list[int]]:
        """First unit and number of units of each column in the layout."""
        starts, sizes = [0] * len(self.columns), [0] * len(self.columns)
        for position, i in enumerate(self.layout.sigmoid_columns.tolist()):
            starts[i], sizes[i] = position, 1
        start = self.layout.n_sigmoid
        for size, places in self.layout.slabs:
            for i in places.tolist():
                starts[i], sizes[i] = start, size
                start += size
        return starts, sizes

    def _fill(self, units: torch.Tensor, column: int, values: torch.Tensor) -> None:
        """Write a column's values into its units."""
        start, size = self._starts[column], self._sizes[column]
        if size == 1:
            units[:, start] = values
        elif size > 1:
            units[:, start : start + size] = nn.functional.one_hot(values.long(), size).float()

    def _earlier_columns(self) -> torch.Tensor:
        """float32[outputs, width]: 1 where an output may see a unit: the host's, and those of columns before its own."""
        mask, hosts = torch.zeros(self._part(len(self.columns) - 1).stop, self.layout.width), self._host_columns()
        for i in range(len(self.columns)):
            for j in {*range(i), *hosts} - {i}:
                if j in hosts or (j < i and i not in hosts):
                    mask[self._part(i), self._starts[j] : self._starts[j] + self._sizes[j]] = 1
        return mask

    def _loss(self, i: int, outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood float32[n] of column `i`; none of the host's, which is given."""
        part = outputs[:, self._part(i)]
        if i in self._host_columns() or self.columns[i].cardinality == 1:
            return torch.zeros(len(values))
        if self.columns[i].kind == "categorical":
            return nn.functional.cross_entropy(part, values.long(), reduction="none")
        weight, mean, scale = self._mixture(part)
        normal = -0.5 * ((values[:, None] - mean) / scale).square() - scale.log() - 0.5 * math.log(2 * math.pi)
        return -torch.logsumexp(weight + normal, 1)

    def _mixture(self, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        weight, mean, scale = part.split(COMPONENTS, 1)
        return torch.log_softmax(weight, 1), mean, (scale - 2).exp() + MIN_SCALE

    def _draw(self, is_number: bool, part: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """float32[n]: values of a column."""
        if not is_number:
            return one_hot(torch.softmax(part, 1), random).argmax(1).float()
        weight, mean, scale = self._mixture(part)
        chosen = one_hot(weight.exp(), random)
        noise = torch.randn(len(part), generator=random)
        return ((mean * chosen).sum(1) + (scale * chosen).sum(1) * noise).clamp(0, 1)
