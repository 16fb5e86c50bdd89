"""The canonical trace: one table, one row a record, columns typed and vectorised.

Readers produce it, writers take it, everything between works on its columns. A *packet trace* has one row a packet, a
*flow trace* one row a NetFlow record. There is never a Python object per row: times are integer nanoseconds, addresses
two unsigned 64-bit halves (an IPv4 address is the low 32 bits of `*_lo`, `*_hi` is 0) with a version column beside
them, texts (labels) are integer codes into `Trace.categories`.

    trace = read_trace("campus.pcap.gz")
    trace.kind, len(trace), trace["length"].mean()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from netshare.preprocess.columns import (
    CATEGORY_COLUMNS,
    FIVE_TUPLE,
    FLOW_COLUMNS,
    FLOW_OPTIONAL_COLUMNS,
    PACKET_COLUMNS,
    Kind,
    Records,
    Source,
    known_columns,
    required_columns,
    skipped_of,
)
from netshare.preprocess.errors import FieldError
from netshare.preprocess.interchange.arrow_tables import records_of_table, table_of
from netshare.preprocess.interchange.frames import frame_of, records_of_frame

__all__ = [
    "CATEGORY_COLUMNS",
    "FIVE_TUPLE",
    "FLOW_COLUMNS",
    "FLOW_OPTIONAL_COLUMNS",
    "PACKET_COLUMNS",
    "ArrowStream",
    "Kind",
    "Source",
    "Trace",
    "known_columns",
    "make_trace",
    "required_columns",
    "skipped_of",
]


class ArrowStream(Protocol):
    """Any table that Arrow's PyCapsule interface exports: of pyarrow, polars, DuckDB ..."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A capsule of an ArrowArrayStream."""


@dataclass(frozen=True)
class Trace:
    """A packet or flow trace as columns of equal length; see the module's docstring.

    Immutable by convention: operations return a new trace that may share arrays with the old one.
    """

    kind: Kind
    columns: dict[str, np.ndarray]
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        required = required_columns(self.kind)
        missing = [name for name in required if name not in self.columns]
        if missing:
            raise FieldError(f"a {self.kind} trace needs the columns {', '.join(missing)}, which are missing")
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise FieldError(f"columns of a trace must be equally long, found {lengths}")

    def __len__(self) -> int:
        return len(self.columns["time"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    @property
    def skipped(self) -> dict[str, int]:
        """Records left out at reading, by reason, over all sources."""
        return skipped_of(self.sources)

    def take(self, index: np.ndarray) -> Trace:
        """The rows that `index` (integer positions, a boolean mask) selects, in its order."""
        return replace(self, columns={name: values[index] for name, values in self.columns.items()})

    def sorted_by_time(self) -> Trace:
        """The same records, stably sorted by time."""
        time = self.columns["time"]
        if len(time) < 2 or bool(np.all(time[1:] >= time[:-1])):
            return self
        return self.take(np.argsort(time, kind="stable"))

    @classmethod
    def from_pandas(
        cls, frame: pd.DataFrame, *, kind: Kind | None = None, columns: Mapping[str, str] | None = None
    ) -> Trace:
        """The packets or flow records of a data frame, in its order.

        Args:
            frame: one row a record. Columns have the names that `to_pandas` gives, those of the canonical columns, or of
                a known layout of flow records (what `pandas.read_csv` makes of a file that `read_trace` reads). Times are
                datetimes of any zone, texts or numbers; addresses texts or integers; protocols numbers or names.
            kind: what the rows are; by default packets where there is a column `length`, else flow records.
            columns: which column is which, of those that are called otherwise; keys and units as for
                `netshare.preprocess.tables.flow_mapping`.

        Returns:
            A trace whose `sources` have notes on every column that is left out or taken as 0, and on times without a
            zone (taken as UTC) or unit.

        Raises:
            InputError: what every trace needs is missing, or a value cannot be read (the first such row is named).

        >>> import pandas as pd
        >>> frame = pd.DataFrame({
        ...     "when": [1700000000123, 1700000000456], "from": "10.0.0.1", "to": ["10.0.0.2", "10.0.0.3"],
        ...     "protocol": ["TCP", "udp"], "packets": [10, 1], "bytes": [8400, 60],
        ... })
        >>> trace = Trace.from_pandas(frame, columns={"time": "when:ms", "src": "from", "dst": "to"})
        >>> trace.kind, trace["protocol"].tolist(), trace["time"][0].item()
        ('flow', [6, 17], 1700000000123000000)
        >>> trace.sources[0].notes
        ('not in the table, taken as 0: duration, src_port, dst_port',)
        """
        return _trace_of(records_of_frame(frame, kind=kind, columns=columns))

    def to_pandas(self, *, protocol_names: bool = False) -> pd.DataFrame:
        """A data frame with one row a record; `from_pandas` reads it back to the same columns.

        Args:
            protocol_names: `protocol` as names (`TCP`) instead of IANA numbers.

        Returns:
            The canonical columns with their types, but `time` as datetime64[ns, UTC], `duration` as timedelta64[ns],
            addresses as texts (`src_ip`, `dst_ip`), `label` and `attack_type` as categoricals. `sources` are not kept.

        >>> trace = make_trace("packet", {"time": [0], "ip_version": [4], "src_lo": [167772161], "protocol": [17]})
        >>> frame = trace.to_pandas(protocol_names=True)
        >>> frame.loc[0, "src_ip"], frame.loc[0, "protocol"], frame["time"].dt.year.tolist()
        ('10.0.0.1', 'UDP', [1970])
        """
        return frame_of(self.columns, self.categories, protocol_names=protocol_names)

    @classmethod
    def from_arrow(
        cls, table: pa.Table | ArrowStream, *, kind: Kind | None = None, columns: Mapping[str, str] | None = None
    ) -> Trace:
        """The packets or flow records of an Arrow table, in its order.

        Args:
            table: a pyarrow table, or any object that exports one (a polars data frame, a DuckDB result). Its columns are
                as for `from_pandas`. Those of `to_arrow` are not copied where they lie in one piece.
            kind, columns: as for `from_pandas`.

        Raises:
            InputError: as for `from_pandas`.

        >>> trace = make_trace("packet", {"time": [5, 7], "length": [40, 1500]})
        >>> Trace.from_arrow(trace.to_arrow())["length"].tolist()
        [40, 1500]
        """
        whole = table if isinstance(table, pa.Table) else pa.table(table)
        return _trace_of(records_of_table(whole, kind=kind, columns=columns))

    def to_arrow(self, *, texts: bool = False) -> pa.Table:
        """An Arrow table with one row a record, whose columns of numbers and times are the memory of this trace's.

        Args:
            texts: addresses as texts (`src_ip`, `dst_ip`) instead of two numbers each, and labels as texts instead of
                dictionaries. These columns are then made anew.

        Returns:
            The canonical columns with their types, but `time` as timestamp[ns, UTC], `duration` as duration[ns], `label`
            and `attack_type` as dictionaries. Kind, categories and sources are in the schema's metadata.

        >>> trace = make_trace("packet", {"time": [0], "ip_version": [4], "src_lo": [167772161], "length": [40]})
        >>> trace.to_arrow(texts=True).select(["time", "src_ip", "length"]).schema.types
        [TimestampType(timestamp[ns, tz=UTC]), DataType(string), DataType(uint32)]
        """
        return table_of(Records(self.kind, self.columns, self.categories, self.sources), texts=texts)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """`to_arrow` for libraries that ask for it themselves: `pyarrow.table(trace)`, `polars.DataFrame(trace)`."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)


def make_trace(
    kind: Kind,
    columns: Mapping[str, np.ndarray],
    *,
    categories: Mapping[str, Sequence[str]] | None = None,
    sources: Sequence[Source] = (),
) -> Trace:
    """A trace from arrays of any numeric type: each known column is cast to its canonical type, a required column
    that is missing becomes zeros (`time` may not be missing).

    Raises:
        FieldError: `time` is missing, or columns differ in length.
    """
    if "time" not in columns:
        raise FieldError("a trace needs the column time")
    types = known_columns(kind)
    rows = len(columns["time"])
    full = {name: np.zeros(rows, dtype) for name, dtype in required_columns(kind).items() if name not in columns}
    cast = {name: np.asarray(values, dtype=types.get(name)) for name, values in columns.items()}
    ordered = [*types, *(name for name in cast if name not in types)]
    merged = {**full, **cast}
    return Trace(
        kind=kind,
        columns={name: merged[name] for name in ordered if name in merged},
        categories={name: tuple(values) for name, values in (categories or {}).items()},
        sources=tuple(sources),
    )


def _trace_of(records: Records) -> Trace:
    return make_trace(records.kind, records.columns, categories=records.categories, sources=records.sources)
