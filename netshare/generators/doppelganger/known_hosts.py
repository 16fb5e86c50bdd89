"""Addresses drawn among the hosts of the training data and their neighbours, as often as each comes in new traffic.

A perceptron that makes addresses bit by bit spreads flows over many hosts, where in a network few have most of them. So
its bits are read as evidence about the host: each known host is drawn with a probability proportional to the chance of
its bits, times a prior weight of that host. The weights are fitted (iterative scaling) such that over many draws every host
is as frequent as it should be; which flow has which host is left to the network.

How frequent a host should be follows from absolute discounting (Ney, Essen, Kneser, "On structuring probabilistic
dependences in stochastic language modelling", 1994): of each host's flows a share D of one flow goes to hosts never seen,
where D = n1 / (n1 + 2 n2) by the numbers of hosts seen once and twice. These are made in the network of the host whose share it
is: its leading bits stay, the others (the last byte of an IPv4 address, the interface identifier of an IPv6 one, RFC
4291) are drawn evenly. So hosts of the training data come back about as often as they do in other traffic of the same
network, and not more often.

The hosts are kept with the model: whoever holds its file can read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from netshare.generators.doppelganger.layout import ColumnLayout, uniform_like
from netshare.preprocess.encoded import Column

ADDRESS_BITS = (32, 128)  # two-valued columns of a field that is an address
OPEN_BITS = {32: 8, 128: 64}  # of each: those that hosts of a network do not share
MAX_HOSTS = 4096  # known, of a field; the others are in their networks' shares
CELLS = 8_000_000  # of a matrix of rows and hosts, while fitting
ROUNDS = 40
MAX_BIT_PROBABILITY = 0.98  # a bit's probability counts as this at most


@dataclass(frozen=True)
class AddressField:
    """Where an address lies.

    columns: of the encoded rows; units: of the layout's, in the same order
    gate: the column that decides whether the leading bits have meaning (None: they always do); long: its values where so
    """

    name: str
    columns: tuple[int, ...]
    units: tuple[int, ...]
    gate: int | None
    long: tuple[int, ...]


def address_fields(columns: Sequence[Column], layout: ColumnLayout) -> list[AddressField]:
    """The fields written in 32 or 128 bits."""
    bits: dict[str, list[int]] = {}
    for i, column in enumerate(columns):
        if column.kind == "categorical" and column.cardinality == 2:
            bits.setdefault(column.field, []).append(i)
    units = {column: unit for unit, column in enumerate(layout.sigmoid_columns.tolist())}
    names = [column.name for column in columns]
    found = []
    for name, own in bits.items():
        if len(own) in ADDRESS_BITS and sum(column.field == name for column in columns) == len(own):
            first = columns[own[0]]
            gate = None if first.gate is None else names.index(first.gate)
            found.append(AddressField(name, tuple(own), tuple(units[i] for i in own), gate, first.gate_values))
    return found


@dataclass(frozen=True)
class KnownHosts:
    """Hosts and networks of one address field under one version, and their prior weights.

    bits: uint8[k, columns], networks with zeros behind their prefix
    weights: float32[k], logarithms
    n_hosts: how many of them are hosts; the others are networks
    length: bits of this version's addresses, the last ones of the columns
    """

    bits: torch.Tensor
    weights: torch.Tensor
    n_hosts: int
    length: int

    def draw(self, probabilities: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """float32[n, columns]: addresses, given the probabilities of their bits."""
        chances = torch.softmax(self._evidence(probabilities) + self.weights, 1).cumsum(1)
        wanted = uniform_like(chances[:, :1], random) * chances[:, -1:]
        chosen = torch.searchsorted(chances, wanted, right=True).squeeze(1).clamp_(max=len(self.bits) - 1)
        found = self.bits[chosen].to(probabilities.dtype)
        free = self._open
        new = (uniform_like(found[:, free:], random) < 0.5).to(found.dtype)
        found[:, free:] = torch.where((chosen >= self.n_hosts).unsqueeze(1), new, found[:, free:])
        return found

    @property
    def _open(self) -> int:
        """The first of the columns that a network leaves open."""
        return self.bits.shape[1] - OPEN_BITS[self.length]

    def _evidence(self, probabilities: torch.Tensor) -> torch.Tensor:
        """float32[n, k]: log-probability of each host's bits, and of each network's prefix."""
        sure = probabilities.clamp(1 - MAX_BIT_PROBABILITY, MAX_BIT_PROBABILITY)
        leading = slice(sure.shape[1] - self.length, None)
        yes, no, bits = sure[:, leading].log(), (1 - sure[:, leading]).log(), self.bits[:, leading].to(sure.dtype)
        counted = torch.ones_like(bits)
        counted[self.n_hosts :, -OPEN_BITS[self.length] :] = 0
        return yes @ (bits * counted).T + no @ ((1 - bits) * counted).T


def fit_hosts(real: np.ndarray, probabilities: torch.Tensor, *, length: int) -> KnownHosts:
    """Hosts of the training data, their weights fitted on a sample.

    Args:
        real: [m, columns], bits of the training data's addresses, m > 0.
        probabilities: float32[n, columns], of a sample, n > 0.
        length: bits of an address of this version.
    """
    packed, counts = np.unique(np.packbits(real.astype(np.uint8), axis=1), axis=0, return_counts=True)
    hosts = np.unpackbits(packed, axis=1, count=real.shape[1])
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    discount = once / (once + 2 * twice) if once else 0.0
    known = np.argsort(-counts, kind="stable")[:MAX_HOSTS]
    known = known[counts[known] > discount]
    to_network = np.where(np.isin(np.arange(len(counts)), known), discount, counts)
    networks = hosts.copy()
    networks[:, real.shape[1] - OPEN_BITS[length] :] = 0
    networks, member = np.unique(networks, axis=0, return_inverse=True)
    of_network = np.bincount(member.ravel(), to_network)
    kept = of_network > 0
    bits = np.concatenate([hosts[known], networks[kept]])
    share = np.concatenate([counts[known] - discount, of_network[kept]]) / len(real)
    n_hosts = len(known)
    device = probabilities.device
    logs = torch.from_numpy(share.astype(np.float32)).to(device).log()
    found = KnownHosts(torch.from_numpy(bits).to(device), logs, n_hosts, length)
    sample = probabilities[: max(CELLS // len(bits), 256)]
    evidence = found._evidence(sample)
    weights = logs.clone()
    for _ in range(ROUNDS):
        mean = torch.softmax(evidence + weights, 1).mean(0)
        weights = weights + logs - mean.clamp_min(1e-12).log()
    return KnownHosts(found.bits, weights, n_hosts, length)
