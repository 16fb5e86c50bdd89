"""Records predicted from those before them, trained with teacher forcing: nonlinear AR, and RNN.

Lin et al., IMC 2020, section 5.0.1: "AR" is a nonlinear autoregressive model, R_t = f(A, R_{t-1}, ..., R_{t-p}) with p = 3
and f a perceptron; "RNN" is an LSTM that is given the records before (Mogren 2016; Graves 2013), which at generation are
its own.

Where we had to decide: a record's columns are independent given the past, a number normal around the prediction with a
deviation of its own that is learnt, bits and categories drawn; whether the series ends is one of the columns. The AR
has 4 layers of 200 units, the RNN one layer of 100.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import nn

from netshare.baselines.series import SeriesBaseline, exists_in, lengths_of
from netshare.preprocess.encoded import Encoded

ORDER = 3
RATE = 1e-3
NORM = 5.0
SCALE_RATE = 10.0  # times the learning rate, for the deviations: they have far to go


class TeacherForced(SeriesBaseline):
    """`predict` says the next record's distribution at every position of a batch; `advance` one record at a time."""

    @abstractmethod
    def predict(self, metadata: torch.Tensor, series: torch.Tensor) -> torch.Tensor:
        """float32[n, t, width]: outputs for each record of `series` (float32[n, t, width]) from those before it."""

    @abstractmethod
    def advance(self, metadata: torch.Tensor, last: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Outputs float32[n, width] for the record after `last` (zeros: none yet), and the state to go on from."""

    @abstractmethod
    def keep(self, state: Any, going: torch.Tensor) -> Any:
        """The state of the series that go on (bool[n])."""

    def begin(self, data: Encoded) -> None:
        """Batches, and Adam for all networks."""
        super().begin(data)
        self.adam("adam", *self.networks, rate=RATE, beta1=0.9)

    def update(self) -> dict[str, float]:
        """One step up the likelihood of a batch."""
        batch = self.draw_batch()
        outputs = self.predict(batch.metadata, batch.series)
        exists = exists_in(batch)
        loss = (self.units.loss(outputs, self.log_scale, batch.series) * exists).sum() / exists.sum()
        self.descend("adam", loss, NORM)
        return {"loss": loss.item(), "records": float(batch.records)}

    def records(self, metadata: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Record by record, until each series says stop."""
        n, most = len(metadata), self.schema.max_length
        series = torch.zeros(n, most, self.units.width)
        running, last, state = torch.arange(n), torch.zeros(n, self.units.width), None
        for t in range(most):
            outputs, state = self.advance(metadata[running], last, state)
            last = self.units.draw(outputs, self.log_scale, random)
            series[running, t] = last
            going = ~self.units.stops(last)
            running, last, state = running[going], last[going], self.keep(state, going)
            if not len(running):
                break
        return series, lengths_of(self.units.stops(series))

    @property
    def log_scale(self) -> torch.Tensor:
        """float32[numbers]: of the numbers' deviations."""
        return SCALE_RATE * self.networks["scale"].weight[0]  # type: ignore[index]

    def _scale(self) -> nn.Module:
        scale = nn.Embedding(1, self.units.numbers)
        nn.init.constant_(scale.weight, -2.0 / SCALE_RATE)
        return scale


class NonlinearAR(TeacherForced):
    """A perceptron over the metadata and the last three records."""

    def build(self) -> dict[str, nn.Module]:
        """The perceptron; its input is the metadata, and three records with zeros where there are none."""
        super().build()
        inputs = self.metadata_layout.width + ORDER * self.units.width
        layers: list[nn.Module] = [nn.Linear(inputs, 200), nn.ReLU()]
        for _ in range(3):
            layers += [nn.Linear(200, 200), nn.ReLU()]
        return {"net": nn.Sequential(*layers, nn.Linear(200, self.units.width)), "scale": self._scale()}

    def predict(self, metadata: torch.Tensor, series: torch.Tensor) -> torch.Tensor:
        """All positions at once."""
        padded = torch.cat([series.new_zeros(len(series), ORDER, series.shape[2]), series], 1)
        past = [padded[:, ORDER - lag : ORDER - lag + series.shape[1]] for lag in range(1, ORDER + 1)]
        given = metadata[:, None].expand(-1, series.shape[1], -1)
        return self.networks["net"](torch.cat([given, *past], -1))

    def advance(self, metadata: torch.Tensor, last: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """The state is the records before `last`, the newest first."""
        before = state if state is not None else last.new_zeros(len(last), ORDER - 1, last.shape[1])
        past = torch.cat([last[:, None], before], 1)
        return self.networks["net"](torch.cat([metadata, past.flatten(1)], 1)), past[:, : ORDER - 1]

    def keep(self, state: Any, going: torch.Tensor) -> Any:
        """Rows of the records before."""
        return state[going]


class TeacherForcedRNN(TeacherForced):
    """An LSTM over the metadata and the record before."""

    def build(self) -> dict[str, nn.Module]:
        """The LSTM and its output layer."""
        super().build()
        inputs = self.metadata_layout.width + self.units.width
        lstm = nn.LSTM(inputs, 100, batch_first=True)
        return {"net": lstm, "output": nn.Linear(100, self.units.width), "scale": self._scale()}

    def predict(self, metadata: torch.Tensor, series: torch.Tensor) -> torch.Tensor:
        """All positions in one call."""
        before = torch.cat([series.new_zeros(len(series), 1, series.shape[2]), series[:, :-1]], 1)
        given = metadata[:, None].expand(-1, series.shape[1], -1)
        return self.networks["output"](self.networks["net"](torch.cat([given, before], -1))[0])

    def advance(self, metadata: torch.Tensor, last: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """One step of the LSTM."""
        hidden, state = self.networks["net"](torch.cat([metadata, last], 1)[:, None], state)
        return self.networks["output"](hidden[:, 0]), state

    def keep(self, state: Any, going: torch.Tensor) -> Any:
        """Columns of the LSTM's two states."""
        return tuple(part[:, going] for part in state)
