"""The methods that `netshare compare` knows, by name: the generators that are installed, and the published baselines.

A new method is a module with a class, and a line in `BASELINES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from netshare.baselines.base import Baseline
from netshare.generators.registry import kinds
from netshare.preprocess.encoded import Schema
from netshare.preprocess.errors import ConfigError

Family = Literal["ours", "simple", "series", "rows"]
FAMILIES: dict[Family, str] = {
    "ours": "ours",
    "simple": "simple",
    "series": "DoppelGANger paper",
    "rows": "NetShare paper",
}
LINEAR_START = {"start": {"encoding": "linear", "atoms": False}}
PORTS_AS_BITS = {"src_port": "bits", "dst_port": "bits"}
BYTES = {"src_ip": "bytes", "dst_ip": "bytes", "src_port": "bytes", "dst_port": "bytes"}


@dataclass(frozen=True)
class Method:
    """A baseline: where its class is, and what it is fed.

    single_records: it models records, not series (see `netshare.baselines.rows`)
    encodings: of the fields, where the GAN style's are not wanted
    segment: records of the longest series
    """

    name: str
    title: str
    family: Family
    where: str
    single_records: bool = True
    encodings: Mapping[str, Any] = field(default_factory=dict)
    segment: int = 200

    def create(self, schema: Schema) -> Baseline:
        """The method, untrained, for series of this schema."""
        module, name = self.where.split(":")
        return getattr(importlib.import_module(f"netshare.baselines.{module}"), name)(schema)


_METHODS = (
    Method("independent-columns", "Independent columns", "simple", "independent_columns:IndependentColumns"),
    Method("row-bootstrap", "Row bootstrap", "simple", "row_bootstrap:RowBootstrap"),
    Method(
        "bayesian-network",
        "Bayesian network (Chow-Liu)",
        "simple",
        "bayesian_network:BayesianNetwork",
        single_records=False,
        encodings=PORTS_AS_BITS,
    ),
    Method("hmm", "Hidden Markov model", "series", "hmm:HiddenMarkovModel", single_records=False),
    Method("ar", "Nonlinear autoregressive", "series", "teacher_forcing:NonlinearAR", single_records=False),
    Method("rnn", "RNN, teacher forcing", "series", "teacher_forcing:TeacherForcedRNN", single_records=False),
    Method("naive-gan", "Naive GAN", "series", "series_gans:NaiveGAN", single_records=False),
    Method("timegan", "TimeGAN", "series", "series_gans:TimeGAN", single_records=False),
    Method("rcgan", "RCGAN", "series", "series_gans:RCGAN", single_records=False),
    Method("market-simulator", "Market simulator (VAE)", "series", "series_gans:MarketSimulator", single_records=False),
    Method("ctgan", "CTGAN", "rows", "ctgan:CTGAN", encodings=PORTS_AS_BITS),
    Method("stan", "STAN", "rows", "stan:STAN", encodings=PORTS_AS_BITS),
    Method("e-wgan-gp", "E-WGAN-GP", "rows", "e_wgan_gp:EWGANGP", encodings=PORTS_AS_BITS),
    Method("pac-gan", "PAC-GAN", "rows", "row_gans:PACGAN", encodings={**PORTS_AS_BITS, **LINEAR_START}),
    Method("packet-cgan", "PacketCGAN", "rows", "row_gans:PacketCGAN", encodings={**PORTS_AS_BITS, **LINEAR_START}),
    Method("flow-wgan", "Flow-WGAN", "rows", "row_gans:FlowWGAN", encodings={**BYTES, **LINEAR_START}),
)
BASELINES = {method.name: method for method in _METHODS}


def all_methods() -> tuple[str, ...]:
    """Names of all methods, ours first."""
    return (*kinds(), *BASELINES)


def choose_methods(text: str | None) -> tuple[str, ...]:
    """The methods that a comma-separated list names, each once; all where there is none.

    Raises:
        ConfigError: a name is unknown, or none is given.
    """
    if text is None:
        return all_methods()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in all_methods()]
    if unknown or not names:
        raise ConfigError(
            f"--methods: {unknown[0] if unknown else 'an empty list'} is no method; "
            f"choose of {', '.join(all_methods())}"
        )
    return names
