"""Ports and protocols as IP2Vec vectors: continuous columns in [0, 1], decoded by exact nearest neighbour.

The vectors are those of a model trained on public data (`netshare.preprocess.ip2vec`), which knows every port
and every protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from netshare.preprocess.encoded import Column
from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields.base import Bounds, FieldEncoding, check_range
from netshare.preprocess.ip2vec import IP2Vec
from netshare.preprocess.stored import check_types


@dataclass(frozen=True)
class _Described:
    """What `Embedded.to_json` writes beside its kind."""

    name: Literal["src_port", "dst_port", "protocol"]
    word: Literal["port", "protocol"]
    sha256: str
    bounds: Bounds


@dataclass(frozen=True, kw_only=True)
class Embedded(FieldEncoding):
    """A port or protocol as `model.size` continuous columns; `sha256` names the model, which is kept outside."""

    kind: ClassVar[str] = "ip2vec"
    word: Literal["port", "protocol"]
    sha256: str
    model: IP2Vec = field(repr=False, compare=False)

    @classmethod
    def of(cls, name: str, model: IP2Vec) -> Embedded:
        """The embedding of field `name` by `model`; measured on the data only if the model was trained on it."""
        word: Literal["port", "protocol"] = "protocol" if name == "protocol" else "port"
        return cls(name=name, word=word, sha256=model.sha256, model=model, bounds=model.bounds)

    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order."""
        return tuple(Column(f"{self.name}.vector{i}", self.name, "continuous") for i in range(self.model.size))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] of natural values [n]."""
        if self.word == "port":
            check_range(self.name, values, 0, 65535)
            return self.model.ports_to_vectors(values)
        check_range(self.name, values, 0, 255)
        return self.model.protocols_to_vectors(values)

    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: natural values of float32[n, k]."""
        decode = self.model.vectors_to_ports if self.word == "port" else self.model.vectors_to_protocols
        return decode(encoded).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form, without the model."""
        return {
            "kind": self.kind, "name": self.name, "word": self.word, "sha256": self.sha256, "bounds": self.bounds
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: dict[str, Any], model: IP2Vec | None) -> Embedded:
        """What `to_json` wrote, with the model it was made with (the shipped one by default).

        Raises:
            ValueError: it describes no embedding.
            FieldError: the model is another one.
        """
        check_types(_Described, {key: item for key, item in value.items() if key != "kind"})
        model = model or IP2Vec.load_default()
        if model.sha256 != value["sha256"]:
            raise FieldError(
                f"field {value['name']}: encoded with the IP2Vec model {value['sha256'][:12]}, "
                f"but {model.sha256[:12]} was given; give the one it was trained with"
            )
        return cls(**{key: item for key, item in value.items() if key != "kind"}, model=model)
