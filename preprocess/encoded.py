"""Encoded series: what a codec makes of flows, what a generator learns from and gives back.

A *series* is one flow (or one segment of a long flow) within one chunk: a row of metadata and a run of records.
Series are ragged: the measurements of all series lie one after another, `offsets` says where each begins. Nothing is
padded here; a generator pads its own batches.

Every column is either *continuous*, a number in [0, 1], or *categorical*, a category's index stored as a number (a
generator expands it to one-hot or embeds it as it likes). A bit is a categorical column of cardinality 2.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from netshare.preprocess.ragged import Ragged


@dataclass(frozen=True)
class Column:
    """One column of an encoded array.

    name: unique within its array, such as `"src_ip.bit7"`
    field: the field that the column belongs to, such as `"src_ip"`
    cardinality: number of categories of a categorical column, 0 for a continuous one
    gate: name of a categorical column of the same array, or None. This column then has a meaning only in the rows where
        the value of the gate is in `gate_values`; in other rows it is encoded as 0, and the decoder ignores it.
    positions: for categories that stand for numbers, the place of each on a scale from 0 to 1; otherwise empty
    """

    name: str
    field: str
    kind: Literal["continuous", "categorical"]
    cardinality: int = 0
    gate: str | None = None
    gate_values: tuple[int, ...] = ()
    positions: tuple[float, ...] = ()


@dataclass(frozen=True)
class Schema:
    """The columns of the two encoded arrays, in their order, and the records of the longest series that may be emitted."""

    metadata: tuple[Column, ...]
    measurements: tuple[Column, ...]
    max_length: int

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Schema:
        """What `to_json` gave."""

        def columns(rows: list[dict[str, Any]]) -> tuple[Column, ...]:
            return tuple(
                Column(**{**row, "gate_values": tuple(row["gate_values"]), "positions": tuple(row["positions"])})
                for row in rows
            )

        return cls(columns(value["metadata"]), columns(value["measurements"]), value["max_length"])


@dataclass(frozen=True)
class Encoded(Ragged[np.ndarray]):
    """Ragged encoded series.

    metadata: float32[n_series, A]
    measurements: float32[n_records, F], the series one after another
    offsets: int64[n_series + 1]; series i has the records offsets[i]:offsets[i + 1], at least one
    """

    schema: Schema

    def save(self, folder: Path) -> None:
        """Write as npy files and JSON into `folder` (which must exist)."""
        np.save(folder / "metadata.npy", self.metadata)
        np.save(folder / "measurements.npy", self.measurements)
        np.save(folder / "offsets.npy", self.offsets)
        (folder / "schema.json").write_text(json.dumps(self.schema.to_json()))

    @classmethod
    def load(cls, folder: Path) -> Encoded:
        """Read what `save` wrote, memory-mapped."""
        return cls(
            np.load(folder / "metadata.npy", mmap_mode="r"),
            np.load(folder / "measurements.npy", mmap_mode="r"),
            np.load(folder / "offsets.npy"),
            Schema.from_json(json.loads((folder / "schema.json").read_text())),
        )
