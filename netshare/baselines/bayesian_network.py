"""Bayesian network over flows: a Chow-Liu tree of metadata fields and length, and records that depend on it.

C. K. Chow, C. N. Liu: "Approximating discrete probability distributions with dependence trees", IEEE Trans. Inf. Theory
14 (1968). The tree that keeps most mutual information is the maximum spanning tree over pairwise mutual information.

Where we had to decide:
- a field is its encoded columns taken together, numbers cut at their 16 quantiles; from the estimate of mutual information
  that of shuffled columns is taken off, or else addresses, nearly all distinct, would seem to determine everything;
- a child is drawn from the training flows whose parent has the same value; with one part in (their number + 1) from all
  flows, so that a value seen once does not determine what follows;
- records are independent given their flow: each of their fields has one parent, another field of the record or one of
  the flow, in a tree of the same kind whose root is the flow.
"""

from __future__ import annotations

import numpy as np
import torch

from netshare.baselines.base import Baseline, check_width, field_groups
from netshare.baselines.rows import rows_of
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.ragged import offsets_of

BINS = 16
ESCAPE = 1.0  # weight of all flows beside those that share the parent's value


class BayesianNetwork(Baseline):
    """Two trees: of flows, and of records given their flow."""

    most_updates = 1

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """The training flows and records, and for both the parent of each field (-1: none)."""
        width = len(self.schema.metadata)
        groups = list(field_groups(self.schema).values())
        own = [columns for columns in groups if columns[0] < width]
        flows = np.column_stack([data.metadata, data.lengths.astype(np.float32)])
        records = rows_of(data).numpy()
        flow_codes = _codes(flows, [*own, [width]])
        all_codes = _codes(records, groups)
        lengths = np.repeat(flow_codes[:, -1:], data.lengths, axis=0)
        with_length = np.hstack([all_codes[:, : len(own)], lengths, all_codes[:, len(own) :]])
        return {
            "flows": torch.from_numpy(flows.astype(np.float32)),
            "records": torch.from_numpy(records[:, width:].copy()),
            "flow_codes": torch.from_numpy(flow_codes),
            "record_codes": torch.from_numpy(with_length),
            "flow_parents": torch.from_numpy(_tree(flow_codes, evidence=0)),
            "record_parents": torch.from_numpy(_tree(with_length, evidence=len(own) + 1)),
        }

    def build(self) -> dict[str, torch.nn.Module]:
        """No networks; refuses flows and records of another schema."""
        check_width(self.fitted["flows"], len(self.schema.metadata) + 1)
        check_width(self.fitted["records"], len(self.schema.measurements))
        return {}

    def update(self) -> dict[str, float]:
        """Nothing is left to do."""
        return {"records": float(len(self.fitted["records"]))}

    def sample(self, n: int, *, seed: int) -> Encoded:
        """`n` flows, each with a length that goes with its metadata."""
        flows, codes = self._flows(n, seed)
        lengths = flows[:, -1].astype(np.int64)
        measurements = self._records(np.repeat(codes, lengths, axis=0), seed + 1)
        offsets = offsets_of(lengths)
        return Encoded(np.ascontiguousarray(flows[:, :-1]), measurements, offsets, self.schema)

    def sample_metadata(self, n: int, *, seed: int) -> np.ndarray:
        """The metadata of `n` flows."""
        return np.ascontiguousarray(self._flows(n, seed)[0][:, :-1])

    def measurements_for(self, metadata: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Length and codes are those of the nearest training flow."""
        known, given = self.fitted["flows"][:, :-1], torch.from_numpy(np.asarray(metadata, np.float32))
        blocks = [torch.cdist(block, known, p=1).argmin(1) for block in given.split(512) if len(block)]
        nearest = torch.cat(blocks) if blocks else torch.zeros(0, dtype=torch.long)
        lengths = self.fitted["flows"][nearest, -1].long().numpy()
        codes = np.repeat(self.fitted["flow_codes"][nearest].numpy(), lengths, axis=0)
        return self._records(codes, seed), offsets_of(lengths)

    def _flows(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """float32[n, A + 1] with the length last, and their codes."""
        groups = [c for c in field_groups(self.schema).values() if c[0] < len(self.schema.metadata)]
        groups = [*groups, [len(self.schema.metadata)]]
        table, codes = self.fitted["flows"].numpy(), self.fitted["flow_codes"].numpy()
        evidence = np.zeros((n, 0), np.int64)
        picked = _draw(codes, self.fitted["flow_parents"].numpy(), evidence, n, seed)
        return _gather(table, groups, picked), np.column_stack([codes[p, i] for i, p in enumerate(picked)])

    def _records(self, evidence: np.ndarray, seed: int) -> np.ndarray:
        width = len(self.schema.metadata)
        groups = [[i - width for i in c] for c in field_groups(self.schema).values() if c[0] >= width]
        codes, parents = self.fitted["record_codes"].numpy(), self.fitted["record_parents"].numpy()
        picked = _draw(codes, parents, evidence, len(evidence), seed)
        return _gather(self.fitted["records"].numpy(), groups, picked)


def _codes(table: np.ndarray, groups: list[list[int]]) -> np.ndarray:
    """int64[n, fields]: equal values of a field have equal codes; a number of many values is cut at its quantiles."""
    codes = []
    for columns in groups:
        values = table[:, columns]
        if len(columns) == 1 and len(np.unique(values)) > 2 * BINS:
            edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1], method="higher"))
            codes.append(np.searchsorted(edges, values[:, 0], "right"))
        else:
            codes.append(np.unique(values, axis=0, return_inverse=True)[1].reshape(-1))
    return np.stack(codes, 1).astype(np.int64)


def _tree(codes: np.ndarray, *, evidence: int) -> np.ndarray:
    """int64[fields]: the parent of each field in the maximum spanning tree (Prim), -1 where it has none.

    The first `evidence` fields are known: they need no parent, and count as one root.
    """
    fields = codes.shape[1]
    parents = np.full(fields, -1, np.int64)
    inside = list(range(evidence)) or [0]
    outside = [i for i in range(fields) if i not in inside]
    best = {i: max((mutual_information(codes[:, i], codes[:, j]), j) for j in inside) for i in outside}
    while outside:
        child = max(outside, key=lambda i: (best[i][0], -i))
        parents[child] = best[child][1] if best[child][0] > 0 else -1
        outside.remove(child)
        for i in outside:
            best[i] = max(best[i], (mutual_information(codes[:, i], codes[:, child]), child))
    return parents


def mutual_information(x: np.ndarray, y: np.ndarray) -> float:
    """Mutual information of two columns of codes in nats, less that of the same columns shuffled."""

    def entropy(codes: np.ndarray) -> float:
        shares = np.unique(codes, return_counts=True)[1] / len(codes)
        return float(-(shares * np.log(shares)).sum())

    pairs = x * (int(y.max(initial=0)) + 1)
    return entropy(pairs + np.random.default_rng(0).permutation(y)) - entropy(pairs + y)


def _draw(codes: np.ndarray, parents: np.ndarray, evidence: np.ndarray, n: int, seed: int) -> list[np.ndarray]:
    """For each field that is not evidence, int64[n]: the training rows that its values are taken from."""
    random, known = np.random.default_rng(seed), evidence.shape[1]
    drawn: dict[int, np.ndarray] = {i: evidence[:, i] for i in range(known)}
    picked: dict[int, np.ndarray] = {}
    waiting = list(range(known, codes.shape[1]))
    while waiting:
        field = next(i for i in waiting if parents[i] < 0 or int(parents[i]) in drawn)
        waiting.remove(field)
        rows = random.integers(len(codes), size=n)
        if parents[field] >= 0:
            parent = int(parents[field])
            order = np.argsort(codes[:, parent], kind="stable")
            low, high = (np.searchsorted(codes[order, parent], drawn[parent], side) for side in ("left", "right"))
            follows = random.random(n) * (high - low + ESCAPE) < high - low
            position = low + (random.random(n) * (high - low)).astype(np.int64)
            rows = np.where(follows, order[np.minimum(position, len(order) - 1)], rows)
        picked[field] = rows
        drawn[field] = codes[rows, field]
    return [picked[i] for i in range(known, codes.shape[1])]


def _gather(table: np.ndarray, groups: list[list[int]], picked: list[np.ndarray]) -> np.ndarray:
    rows = np.zeros((len(picked[0]) if picked else 0, table.shape[1]), np.float32)
    for columns, source in zip(groups, picked, strict=True):
        rows[:, columns] = table[source][:, columns]
    return rows
