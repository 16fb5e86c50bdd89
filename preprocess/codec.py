"""From series in natural units to encoded arrays and back, by one codec for all chunks of a trace.

    codec = Codec.fit_chunks(tables, style="autoregressive", max_length=1000)
    encoded = codec.at(0).encode(tables[0])          # what a generator learns from
    table = codec.at(0).decode(synthetic, seed=1)    # what a generator made, in natural units again

Decoding any encoded arrays of the codec's schema gives a valid table: its columns have the types and ranges of the
trace's columns, IPv4 addresses have 32 bits, and every series ends within its chunk.

Times of a decoded series agree with one another. `span` is at most what is left of the chunk after `start`, and 0 for a
single record. The interarrival times are changed so that they add up to `span` exactly; where all generated ones are 0,
they become equal (`netshare.preprocess.fields.times`). In the style "autoregressive", spans are first redistributed
among the series, so that series with long interarrival times get the long spans (`netshare.preprocess.spans`). All
times are multiples of `resolution`, the greatest common divisor of the times that the codec was fitted on: a capture
with microsecond timestamps gives a synthetic one with microsecond timestamps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from netshare.preprocess.clock import Clock
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields import (
    Address,
    Choice,
    Embedded,
    FieldEncoding,
    Style,
    field_from_json,
)
from netshare.preprocess.fields.choose import public_choice
from netshare.preprocess.fields.fit import FieldFitter, natural_values
from netshare.preprocess.fields.sizes import to_byte_counts, to_mean_sizes
from netshare.preprocess.fields.times import round_to_unit, spread_over_span
from netshare.preprocess.ip2vec import IP2Vec
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.spans import fitting_spans, spans_of_records
from netshare.preprocess.stored_codec import check_codec
from netshare.preprocess.trace import Kind

# Generated left to right by autoregressive models: what decides comes first (who talks which protocol to which service,
# between whom), then what depends on it (when the flow starts, how long it lasts, which chunks it reaches).
METADATA_ORDER = (
    "ip_version", "protocol", "dst_port", "src_port", "dst_ip", "src_ip", "label", "attack_type",
    "starts_here", "continues", "start", "span", "continued", "chunk_tags",
)  # fmt: skip
MEASUREMENT_ORDER = (
    "direction", "interarrival", "length", "tcp_flags", "tcp_header_length", "tcp_window", "ttl", "tos", "ip_flags",
    "fragment_offset", "icmp_type", "icmp_code", "vlan",
    "packets", "bytes", "duration", "packets_rev", "bytes_rev",
)  # fmt: skip
IPV4_MASK = np.uint64(2**32 - 1)


@dataclass(frozen=True)
class Codec:
    """How every field of a trace's series is encoded; made by `fit` or `fit_chunks`, kept as JSON with the models.

    metadata, measurements: the encodings of the fields, in the order of their columns in the encoded arrays
    dtypes: the type of each column of the `SeriesTable`, by name
    categories: the texts of label codes, by column
    chunk_width: ns
    max_length: records of the longest series that a generator may emit
    resolution: ns, of which all times are multiples
    clocks: the clock of each chunk, by chunk number (`netshare.preprocess.clock`)
    clock: the clock of the chunk that `at` chose; None where times are encoded as they are
    """

    kind: Kind
    style: Style
    metadata: tuple[FieldEncoding, ...]
    measurements: tuple[FieldEncoding, ...]
    dtypes: dict[str, str]
    categories: dict[str, tuple[str, ...]]
    chunk_width: int
    max_length: int
    resolution: int = 1
    clocks: Mapping[int, Clock] = field(default_factory=dict)
    clock: Clock | None = None
    schema: Schema = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "schema", Schema(_columns(self.metadata), _columns(self.measurements), self.max_length)
        )

    @classmethod
    def fit_chunks(
        cls,
        tables: Mapping[int, SeriesTable],
        *,
        encodings: Mapping[str, Choice] | None = None,
        style: Style = "gan",
        ip2vec: IP2Vec | None = None,
        max_length: int | None = None,
    ) -> Codec:
        """Fit a clock for every chunk, then the encodings of all fields over all chunks together.

        Args:
            tables: by chunk number; at least one.
            encodings, style, ip2vec, max_length: see `fit`. Where `encodings` names `start`, start times are encoded on
                the clock's busy time, otherwise on its even time.

        Raises:
            FieldError: as `fit` does.
        """
        merged = _whole([*tables.values()])
        resolution, chosen = _resolution(merged), dict(encodings or {})
        even_starts = "start" not in chosen and len(np.unique(merged.metadata["start"])) > 1
        if even_starts:
            chosen["start"] = public_choice("start", style, chunk_width=merged.chunk_width)
        clocks = {
            chunk: Clock.of(table, resolution=resolution, even_starts=even_starts) for chunk, table in tables.items()
        }
        busy = [clocks[chunk].to_busy_table(table) for chunk, table in tables.items()]
        codec = cls.fit(
            busy, encodings=chosen, style=style, ip2vec=ip2vec, max_length=max_length, resolution=resolution
        )
        return replace(codec, clocks=clocks)

    @classmethod
    def fit(
        cls,
        tables: Sequence[SeriesTable],
        *,
        encodings: Mapping[str, Choice] | None = None,
        style: Style = "gan",
        ip2vec: IP2Vec | None = None,
        max_length: int | None = None,
        resolution: int | None = None,
        public: bool = False,
    ) -> Codec:
        """Choose the encoding of every field, and measure its constants over all chunks.

        A field that has one value in all tables takes no column, unless `encodings` names it or `public` is set.

        Args:
            tables: the chunks, which share columns, chunk width and label categories.
            encodings: field -> encoding, for the fields that shall not have their default; addresses are the fields
                `src_ip` and `dst_ip`.
            style: chooses the defaults: `"gan"` (few columns, continuous ones where possible) or `"autoregressive"`
                (categories, in the order in which they are generated).
            ip2vec: the model of the encoding `"ip2vec"`, the shipped one by default.
            max_length: records of the longest series that a generator may emit; the longest in `tables` by default.
            resolution: ns, of which all times are multiples; measured by default.
            public: measure nothing, as differential privacy requires. Defaults then come from RFCs and registries,
                constants must be declared, `resolution` is 1, and `max_length` must be given. Encodings that
                `encodings` asks for may still measure; `describe` reports which do.

        Raises:
            FieldError: no tables or tables that do not go together, an encoding that does not exist or does not fit
                its field, values outside a field's range.
        """
        if public and max_length is None:
            raise FieldError("a codec that measures nothing needs max_length, the records of the longest series")
        merged = _whole(tables)
        merged = replace(merged, measurements=to_mean_sizes(merged.measurements))
        chosen = dict(encodings or {})
        choices = FieldFitter(merged, style, chosen, ip2vec, public)
        metadata = [*_metadata_fields(merged.metadata)]
        measurements = _ordered(merged.measurements, MEASUREMENT_ORDER)
        unknown = sorted(set(chosen) - set(metadata) - set(measurements))
        if unknown:
            raise FieldError(
                f"encodings: no field {unknown[0]!r} in this trace; it has {', '.join([*metadata, *measurements])}"
            )
        columns = {**merged.metadata, **merged.measurements}
        return cls(
            kind=merged.kind,
            style=style,
            metadata=tuple(choices.fit(name) for name in metadata),
            measurements=tuple(choices.fit(name) for name in measurements),
            dtypes={name: values.dtype.str for name, values in columns.items()},
            categories=merged.categories,
            chunk_width=merged.chunk_width,
            max_length=int(max_length or merged.lengths.max(initial=1)),
            resolution=resolution or (1 if public else _resolution(merged)),
        )

    def at(self, chunk: int) -> Codec:
        """This codec for the series of one chunk."""
        return replace(self, clock=self.clocks.get(chunk))

    def encode(self, table: SeriesTable, *, nearest: bool = False) -> Encoded:
        """The encoded arrays of a table with the columns that this codec was fitted on.

        Args:
            nearest: encode a value that the codec has no code for as the nearest value that it has one for, instead of
                raising an error. Values beyond declared bounds are thereby clipped.

        Raises:
            FieldError: a column is missing, or a value is outside its field's range.
        """
        if table.chunk_width != self.chunk_width:
            raise FieldError(f"chunk width is {table.chunk_width} ns, the codec was fitted on {self.chunk_width} ns")
        metadata, measurements = self._on_clock(table.metadata), table.measurements
        if self.clock is not None:
            measurements = self.clock.to_busy_table(table).measurements
        return Encoded(
            self._encode(self.metadata, metadata, len(table), nearest=nearest),
            self._encode(self.measurements, to_mean_sizes(measurements), int(table.offsets[-1]), nearest=nearest),
            np.asarray(table.offsets, np.int64),
            self.schema,
        )

    def decode(self, encoded: Encoded, *, seed: int) -> SeriesTable:
        """The table that these arrays encode. `seed` fixes the random choices: members of an "other" category, spans.

        Raises:
            FieldError: the arrays have not this codec's columns, or numbers that are not finite.
        """
        return self.decode_measurements(self.decode_metadata(encoded.metadata, seed=seed), encoded, seed=seed)

    def encode_metadata(self, metadata: Mapping[str, np.ndarray]) -> np.ndarray:
        """float32[n, A]: metadata (n values a column, natural units) for which measurements are to be generated.

        A value that the codec has no code for, such as a span that was cut at the chunk's end, is encoded as the nearest
        value that it has one for.

        Raises:
            FieldError: a column is missing.
        """
        return self._encode(self.metadata, self._on_clock(metadata), len(metadata["protocol"]), nearest=True)

    def decode_metadata(self, array: np.ndarray, *, seed: int) -> dict[str, np.ndarray]:
        """Generated metadata (float32[n, A]) in natural units.

        A span that reaches beyond the chunk is exchanged with the span of a similar series that fits
        (`netshare.preprocess.spans`). Spans are not adapted to lengths yet, since the series have no records so far.

        Raises:
            FieldError: the array has not this codec's columns, or numbers that are not finite.
        """
        rng = np.random.default_rng(seed)
        metadata = self._decode(self.metadata, array, "metadata", rng)
        _narrow_ipv4(metadata)
        clock = self.clock or Clock(self.chunk_width)
        last = (clock.busy_width - 1) // self.resolution
        start = np.clip(round_to_unit(clock.code_to_busy(metadata["start"]), self.resolution), 0, last)
        span = np.clip(round_to_unit(metadata["span"], self.resolution), 0, last)
        span = fitting_spans(metadata, span, last - start, rng)
        begin, end = clock.to_real(start * self.resolution), clock.to_real((start + span) * self.resolution)
        return {**metadata, "start": begin, "span": end - begin}

    def decode_measurements(self, metadata: Mapping[str, np.ndarray], encoded: Encoded, *, seed: int) -> SeriesTable:
        """The table of generated measurements and the metadata that they were generated for.

        Args:
            metadata: in natural units; times lie within the chunk and are multiples of the resolution.
            encoded: its measurements and offsets are used, its metadata are not.
            seed: fixes the random choices.

        Raises:
            FieldError: the arrays have not this codec's columns, or numbers that are not finite.
        """
        rng = np.random.default_rng([seed, 1])
        measurements = self._decode(self.measurements, encoded.measurements, "measurements", rng)
        offsets = np.asarray(encoded.offsets)
        gaps = round_to_unit(measurements["interarrival"], self.resolution)
        gaps[offsets[:-1]] = 0
        clock = self.clock or Clock(self.chunk_width)
        start = clock.to_busy(metadata["start"])
        span = clock.to_busy(metadata["start"] + metadata["span"]) - start
        room = clock.busy_width - 1 - start
        if self.style == "autoregressive":
            span = spans_of_records(metadata, gaps, offsets, span, room, rng)
        span = np.where(np.diff(offsets) < 2, 0, np.minimum(span, room))
        units = spread_over_span(gaps, span // self.resolution, offsets)
        measurements["interarrival"] = units * self.resolution
        measurements = to_byte_counts(measurements)
        whole = {**metadata, "start": start, "span": span // self.resolution * self.resolution}
        table = SeriesTable(whole, measurements, offsets, self.kind, self.chunk_width, self.categories)
        return clock.to_real_table(table, metadata["start"])

    def describe(self) -> list[dict[str, Any]]:
        """One row a field: `field`, `table`, `encoding`, number of `columns`, `bounds` (public or measured)."""
        return [
            {
                "field": part.name,
                "table": table,
                "encoding": part.encoding,
                "columns": len(part.columns()),
                "bounds": "measured" if part.name == "start" and self.clocks else part.bounds,
            }
            for table, parts in (("metadata", self.metadata), ("measurements", self.measurements))
            for part in parts
        ]

    def to_json(self) -> dict[str, Any]:
        """JSON-able; an IP2Vec model is named by its hash, not included."""
        return {
            "kind": self.kind,
            "style": self.style,
            "metadata": [part.to_json() for part in self.metadata],
            "measurements": [part.to_json() for part in self.measurements],
            "dtypes": self.dtypes,
            "categories": {name: list(values) for name, values in self.categories.items()},
            "chunk_width": self.chunk_width,
            "max_length": self.max_length,
            "resolution": self.resolution,
            "clocks": {str(chunk): clock.to_json() for chunk, clock in self.clocks.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, ip2vec: IP2Vec | None = None) -> Codec:
        """What `to_json` wrote; `ip2vec` is the model it was fitted with, the shipped one by default.

        Raises:
            FieldError: the codec was fitted with another IP2Vec model.
            ValueError, TypeError, KeyError, AttributeError: no fitted codec is like this.
        """
        parts = {
            side: tuple(field_from_json(part, ip2vec) for part in value[side]) for side in ("metadata", "measurements")
        }
        categories = {name: tuple(values) for name, values in value["categories"].items()}
        clocks = {int(chunk): Clock.from_json(clock) for chunk, clock in value["clocks"].items()}
        plain = {name: value[name] for name in ("kind", "style", "dtypes", "chunk_width", "max_length", "resolution")}
        codec = cls(**{**plain, **parts, "categories": categories, "clocks": clocks})
        check_codec(codec)
        return codec

    @property
    def ip2vec(self) -> IP2Vec | None:
        """The model of embedded fields; None where there are none."""
        return next((part.model for part in (*self.metadata, *self.measurements) if isinstance(part, Embedded)), None)

    def _on_clock(self, metadata: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The metadata with `start` and `span` as they are encoded."""
        if (clock := self.clock) is None:
            return metadata
        begin, end = metadata["start"], metadata["start"] + metadata["span"]
        return {**metadata, "start": clock.start_to_code(begin), "span": clock.to_busy(end) - clock.to_busy(begin)}

    def _encode(
        self, parts: tuple[FieldEncoding, ...], columns: Mapping[str, np.ndarray], rows: int, *, nearest: bool = False
    ) -> np.ndarray:
        blocks = [np.zeros((rows, 0), np.float32)]
        for part in parts:
            values = natural_values(part.name, columns)
            blocks.append(part.encode(part.nearest(values) if nearest else values))
        return np.ascontiguousarray(np.hstack(blocks), np.float32)

    def _decode(
        self, parts: tuple[FieldEncoding, ...], array: np.ndarray, table: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        width = sum(len(part.columns()) for part in parts)
        if array.ndim != 2 or array.shape[1] != width:
            raise FieldError(f"encoded {table} have the shape {array.shape}, this codec has {width} columns")
        if not bool(np.isfinite(array).all()):
            raise FieldError(f"encoded {table} hold numbers that are not finite; the generator has diverged")
        columns: dict[str, np.ndarray] = {}
        start = 0
        for part in parts:
            end = start + len(part.columns())
            values = part.decode(array[:, start:end], rng)
            start = end
            if isinstance(part, Address) or part.name in ("src_ip", "dst_ip"):
                side = part.name.removesuffix("_ip")
                columns[f"{side}_hi"], columns[f"{side}_lo"] = values.T.astype(np.uint64)
            else:
                columns[part.name] = values.astype(self.dtypes[part.name])
        return columns


def _columns(parts: tuple[FieldEncoding, ...]) -> tuple[Column, ...]:
    return tuple(column for part in parts for column in part.columns())


def _metadata_fields(columns: Mapping[str, np.ndarray]) -> list[str]:
    """The fields of metadata columns, in the order in which they are encoded; the halves of an address are one field."""
    names = {
        name.replace("_hi", "_ip").replace("_lo", "_ip") if name[3:] in ("_hi", "_lo") else name for name in columns
    }
    return _ordered(names, METADATA_ORDER)


def _ordered(names: Mapping[str, Any] | set[str], order: tuple[str, ...]) -> list[str]:
    """The names that `order` lists, in its order, then the others by name."""
    return [name for name in order if name in names] + sorted(name for name in names if name not in order)


def _whole(tables: Sequence[SeriesTable]) -> SeriesTable:
    """All tables as one, to measure on."""
    if not tables:
        raise FieldError("no series to fit a codec on; the trace holds no usable records")
    return SeriesTable.concatenate(tables)


def _resolution(table: SeriesTable) -> int:
    """ns: the greatest common divisor of all times, 1 if there are none."""
    times = [table.metadata["start"], table.metadata["span"], table.measurements["interarrival"]]
    return int(np.gcd.reduce([np.gcd.reduce(values.astype(np.int64), initial=0) for values in times])) or 1


def _narrow_ipv4(metadata: dict[str, np.ndarray]) -> None:
    """Clear the upper 96 bits of IPv4 addresses."""
    is_v4 = metadata["ip_version"] == 4
    for side in ("src", "dst"):
        metadata[f"{side}_hi"][is_v4] = 0
        metadata[f"{side}_lo"][is_v4] &= IPV4_MASK
