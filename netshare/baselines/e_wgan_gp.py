"""E-WGAN-GP (M. Ring, D. Schlör, D. Landes, A. Hotho: "Flow-based network traffic generation using generative
adversarial networks", Computers & Security 82, 2019): addresses, ports and protocols as IP2Vec embeddings that are
trained on the data to be hidden, a WGAN-GP over the embedded rows, and decoding by nearest neighbour.

Decoding can only give back addresses and ports that were seen: all are copies, which the comparison shows.

Where we had to decide: a record's source, destination, ports and protocol are one sentence (the paper lists five pairs
of input and output words), in 10 dimensions, skip-gram for 10 epochs, scaled to [0, 1]; the other fields are units as
for every row GAN.
"""

from __future__ import annotations

import hashlib
import logging

import numpy as np
import torch
from scipy.spatial import cKDTree

from netshare.baselines.base import field_groups
from netshare.baselines.row_gans import WassersteinRows
from netshare.baselines.rows import rows_of
from netshare.generators.doppelganger.layout import ColumnLayout
from netshare.preprocess.encoded import Encoded

EMBEDDED = ("src_ip", "dst_ip", "src_port", "dst_port", "protocol")
SIZE = 10


class EWGANGP(WassersteinRows):
    """Fitted, for each embedded field: its distinct `values` (columns) and their `vectors`."""

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """Train the embedding."""
        rows, fields = rows_of(data).numpy(), self._fields()
        words, fitted = [], super().measure(data)
        for name, columns in fields.items():
            values, code = np.unique(rows[:, columns], axis=0, return_inverse=True)
            kind = name.removeprefix("src_").removeprefix("dst_")
            named = [f"{kind} {value.tobytes().hex()}" for value in values]
            words.append((named, code.reshape(-1)))
            fitted[f"{name}.values"] = torch.from_numpy(values)
        vectors = _embed([[named[c] for named, code in words for c in (code[i],)] for i in range(len(rows))], self.seed)
        every = np.stack(list(vectors.values())) if vectors else np.zeros((1, SIZE), np.float32)
        low, high = every.min(0), every.max(0)
        for name, (named, _) in zip(fields, words, strict=True):
            table = (np.stack([vectors[word] for word in named]) - low) / np.maximum(high - low, 1e-9)
            fitted[f"{name}.vectors"] = torch.from_numpy(table.astype(np.float32))
        return fitted

    def begin(self, data: Encoded) -> None:
        """Rows with their embeddings, as the critic sees them."""
        super().begin(data)
        rows = self._training.numpy()
        parts = [self._others().expand(self._training[:, self._other_columns()])]
        for name, columns in self._fields().items():
            code = np.unique(rows[:, columns], axis=0, return_inverse=True)[1].reshape(-1)
            parts.append(self.fitted[f"{name}.vectors"][torch.from_numpy(code)])
        self._embedded = torch.cat(parts, 1)

    def generated_width(self) -> int:
        """Units of the other fields, then the vectors."""
        for name, columns in self._fields().items():
            if self.fitted[f"{name}.values"].shape[1] != len(columns):
                raise ValueError(f"{name} of another schema")
        return self._others().width + SIZE * len(self._fields())

    def draw_real(self) -> torch.Tensor:
        """A batch of embedded rows."""
        n = len(self._embedded)
        return self._embedded[torch.randint(n, (min(128, max(n, 2)),), generator=self.random)]

    def generate(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Activated units and vectors in [0, 1]."""
        made, width = self.networks["generator"](self.noise(n, random)), self._others().width
        return torch.cat([self._others().activate(made[:, :width]), torch.sigmoid(made[:, width:])], 1)

    def sample_rows(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Vectors become the values nearest to them."""
        made, start = self.generate(n, random), self._others().width
        rows = torch.zeros(n, len(self.columns))
        rows[:, self._other_columns()] = self._others().collapse(made[:, :start], "sample", random)
        for name, columns in self._fields().items():
            tree = cKDTree(self.fitted[f"{name}.vectors"].numpy())
            nearest = tree.query(made[:, start : start + SIZE].numpy())[1]
            rows[:, columns] = self.fitted[f"{name}.values"][torch.from_numpy(nearest)]
            start += SIZE
        return rows

    def _fields(self) -> dict[str, list[int]]:
        return {name: columns for name, columns in field_groups(self.schema).items() if name in EMBEDDED}

    def _other_columns(self) -> list[int]:
        embedded = {i for columns in self._fields().values() for i in columns}
        return [i for i in range(len(self.columns)) if i not in embedded]

    def _others(self) -> ColumnLayout:
        return ColumnLayout(tuple(self.columns[i] for i in self._other_columns()), self.device)


def _embed(sentences: list[list[str]], seed: int) -> dict[str, np.ndarray]:
    """float32[SIZE] for each word."""
    from gensim.models import Word2Vec

    if not sentences or not sentences[0]:
        return {}
    logging.getLogger("gensim").setLevel(logging.WARNING)
    model = Word2Vec(
        sentences, vector_size=SIZE, window=5, min_count=1, sg=1, workers=1, seed=seed, hashfxn=_stable_hash, epochs=10
    )
    return {word: model.wv[word] for word in model.wv.index_to_key}


def _stable_hash(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
