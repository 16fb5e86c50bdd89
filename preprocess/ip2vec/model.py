"""Vectors of every port and every protocol, in [0, 1], and the way back by exact nearest neighbour.

    model = IP2Vec.load_default()
    model.vectors_to_ports(model.ports_to_vectors(np.array([53, 443], np.uint16)))  # array([ 53, 443], dtype=uint16)

Ring et al., "IP2Vec: Learning similarities between IP addresses" (2017); NetShare (2022), section 4.2 and Table 2. A
model is two arrays (65,536 and 256 vectors) and how they were built, kept as npy and JSON.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from netshare.preprocess.atomic import atomic_file, write_text
from netshare.preprocess.errors import FieldError, NetshareError
from netshare.preprocess.ip2vec.nearest import NearestRow
from netshare.preprocess.stored import read_array, read_json, shown

PORTS = 65536
PROTOCOLS = 256
SHIPPED = Path(__file__).parent / "default"


@dataclass(frozen=True)
class IP2Vec:
    """ports: float32[65536, d], protocols: float32[256, d], rows distinct, values in [0, 1].

    `bounds` is "measured" if the model was trained on the user's own data. `details` says how it was built.
    """

    ports: np.ndarray
    protocols: np.ndarray
    bounds: Literal["public", "measured"] = "public"
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ports.shape[0] != PORTS or self.protocols.shape != (PROTOCOLS, self.ports.shape[1]):
            raise FieldError(
                f"IP2Vec: needs {PORTS} port and {PROTOCOLS} protocol vectors of one size, found "
                f"{self.ports.shape} and {self.protocols.shape}"
            )
        searches: dict[str, NearestRow] = {}
        object.__setattr__(self, "_searches", searches)

    @classmethod
    def load_default(cls) -> IP2Vec:
        """The model that ships with the package, trained on public facts and our own sample traffic."""
        return _load_shipped()

    @classmethod
    def load(cls, folder: Path) -> IP2Vec:
        """The model that `save` wrote.

        Raises:
            FieldError: the folder holds no model, or its files were changed.
        """
        try:
            ports, protocols = (_load_vectors(folder / f"{word}.npy") for word in ("ports", "protocols"))
            details = read_json(folder / "ip2vec.json")
            bounds, sha256 = details.pop("bounds"), details.pop("sha256")
        except (NetshareError, KeyError) as error:
            raise FieldError(
                f"{folder}: no IP2Vec model there ({error}); build one with preprocess.ip2vec.build"
            ) from None
        if bounds not in ("public", "measured"):
            raise FieldError(f"{folder}: bounds is {shown(bounds)}, expected public or measured; build it again")
        model = cls(ports, protocols, bounds, details)
        if model.sha256 != sha256:
            raise FieldError(f"{folder}: the IP2Vec vectors are not those that ip2vec.json describes; build it again")
        return model

    def save(self, folder: Path) -> None:
        """Write ports.npy, protocols.npy (a byte a value where that loses nothing), ip2vec.json, each atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        for word, vectors in (("ports", self.ports), ("protocols", self.protocols)):
            levels = np.rint(vectors * 255).astype(np.uint8)
            small = levels if bool(np.all(_from_levels(levels) == vectors)) else vectors
            with atomic_file(folder / f"{word}.npy") as file:
                np.save(file, small)
        about = {**self.details, "bounds": self.bounds, "sha256": self.sha256}
        write_text(folder / "ip2vec.json", json.dumps(about, indent=1) + "\n")

    @property
    def size(self) -> int:
        """d, the length of a vector."""
        return int(self.ports.shape[1])

    @property
    def sha256(self) -> str:
        """Of all vectors: the model's identity."""
        arrays = (np.ascontiguousarray(vectors, np.float32).tobytes() for vectors in (self.ports, self.protocols))
        return hashlib.sha256(b"".join(arrays)).hexdigest()

    def ports_to_vectors(self, ports: np.ndarray) -> np.ndarray:
        """float32[n, d] for integers 0-65535."""
        return self.ports[ports]

    def protocols_to_vectors(self, protocols: np.ndarray) -> np.ndarray:
        """float32[n, d] for integers 0-255."""
        return self.protocols[protocols]

    def vectors_to_ports(self, vectors: np.ndarray) -> np.ndarray:
        """uint16[n]: the nearest port of each of float[n, d]."""
        return self._nearest("ports", vectors).astype(np.uint16)

    def vectors_to_protocols(self, vectors: np.ndarray) -> np.ndarray:
        """uint8[n]: the nearest protocol of each of float[n, d]."""
        return self._nearest("protocols", vectors).astype(np.uint8)

    def _nearest(self, word: str, vectors: np.ndarray) -> np.ndarray:
        searches: dict[str, NearestRow] = self._searches  # type: ignore[attr-defined]
        if word not in searches:
            searches[word] = NearestRow(getattr(self, word))
        return searches[word](vectors)


def _load_vectors(path: Path) -> np.ndarray:
    """float32[n, d] of an npy file of float32, or of uint8 levels 0-255 that stand for k / 255."""
    vectors = read_array(path, np.dtype(np.float32), np.dtype(np.uint8), axes=2)
    vectors = _from_levels(vectors) if vectors.dtype == np.uint8 else vectors
    if not bool(np.isfinite(vectors).all()):
        raise FieldError(f"{path}: holds numbers that are not finite")
    return vectors


def _from_levels(levels: np.ndarray) -> np.ndarray:
    return (levels / 255).astype(np.float32)


@cache
def _load_shipped() -> IP2Vec:
    return IP2Vec.load(SHIPPED)
