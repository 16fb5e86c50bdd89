"""Data made ready for learning: what it holds, the codec, and the encoded series of every chunk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from netshare.config.schema import Config
from netshare.preprocess.atomic import write_text
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import ConfigError, InputError, NetshareError, RunFolderError
from netshare.preprocess.fields import Constant, Tags
from netshare.preprocess.flows import FlowKey, group_flows
from netshare.preprocess.ip2vec import IP2Vec
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.stored import GET_AGAIN, read_json, shown
from netshare.preprocess.timeseries import SeriesCodec
from netshare.preprocess.trace import Kind, Trace
from netshare.recipe.contents import CONTENTS_FILE, ChunkContents, Contents
from netshare.recipe.reference import REFERENCE_FILE, Reference

CODEC_FILE = "codec.json"
IP2VEC = "ip2vec"  # folder of the embedding, where it is not the one that ships
MIN_FLOWS = 10  # a model of fewer could only recite them
DEFAULT_FLOW_KEY: dict[Kind, FlowKey] = {"packet": "bidirectional", "flow": "unidirectional"}

Data = TypeVar("Data")
AnyCodec = TypeVar("AnyCodec", Codec, SeriesCodec)


@dataclass(frozen=True)
class Split(Generic[Data]):
    """Data as a run uses them: all, those that are trained on, and those held back (None where there are none)."""

    full: Data
    train: Data
    holdout: Data | None = None


@dataclass(frozen=True)
class Prepared(Generic[AnyCodec]):
    """Data made ready.

    contents: what each chunk holds; the models follow its order of chunks
    codec: encodes and decodes; of traces, `codec.at(chunk)`
    encoded: the encoded training series of a chunk, by chunk number
    reference: what a synthetic trace follows and avoids; None for time series that are no traces
    address_key: of the map of addresses (`netshare.recipe.address_key`); secret, and not written by `save`
    """

    contents: Contents
    codec: AnyCodec
    encoded: Callable[[int], Encoded]
    reference: Reference | None = None
    address_key: bytes | None = field(default=None, repr=False)

    @property
    def schema(self) -> Schema:
        """Columns of the encoded arrays."""
        return self.codec.schema

    @property
    def known(self) -> Reference:
        """The reference of a trace."""
        assert self.reference is not None, "time series that are no traces have no reference"
        return self.reference

    def save(self, folder: Path) -> None:
        """Write all of it into `folder`, chunk by chunk."""
        for chunk in self.contents.chunks:
            place = chunk_folder(folder, chunk)
            place.mkdir(exist_ok=True)
            self.encoded(chunk).save(place)
        self.save_facts(folder)

    def save_facts(self, folder: Path) -> None:
        """Write what sampling needs, which is all but the encoded series."""
        write_text(folder / CODEC_FILE, json.dumps(self.codec.to_json()))
        self.contents.save(folder)
        if self.reference is not None:
            self.reference.save(folder)
        own = self.codec.ip2vec if isinstance(self.codec, Codec) else None
        if own is not None and own.sha256 != IP2Vec.load_default().sha256:
            own.save(folder / IP2VEC)


def chunk_folder(folder: Path, chunk: int) -> Path:
    """Where what belongs to one chunk lies."""
    return folder / f"{chunk:03d}"


def load_prepared(folder: Path) -> Prepared[Codec]:
    """What `Prepared.save` wrote of a trace; encoded series are memory-mapped when asked for.

    The folder may be a stranger's (`netshare.preprocess.stored`); no file outside it is read.

    Raises:
        RunFolderError: a file is missing or is not what it should be.
    """
    value = read_json(folder / CODEC_FILE)
    ip2vec = IP2Vec.load(folder / IP2VEC) if (folder / IP2VEC).exists() else None
    codec = _checked(lambda: Codec.from_json(value, ip2vec=ip2vec), folder)
    prepared = Prepared(Contents.load(folder), codec, _encoded_in(folder), Reference.load(folder))
    _check_together(prepared, folder)
    return prepared


def load_prepared_series(folder: Path) -> Prepared[SeriesCodec]:
    """The same of time series that are no traces."""
    value = read_json(folder / CODEC_FILE)
    codec = _checked(lambda: SeriesCodec.from_json(value), folder)
    contents = Contents.load(folder)
    if contents.plan is not None:
        raise RunFolderError(f"{folder / CODEC_FILE}: is of time series, but there are chunks of a trace; {GET_AGAIN}")
    return Prepared(contents, codec, _encoded_in(folder))


def check_trace(trace: Trace, config: Config) -> None:
    """Refuse a trace that is not what the preset says, or too small.

    Raises:
        ConfigError, InputError: what is wrong with it.
    """
    if trace.kind != config.trace_kind:
        raise ConfigError(f"preset is {config.preset}, but the input is a {trace.kind} trace; drop preset or fix input")
    flows = len(group_flows(trace))
    if flows < MIN_FLOWS:
        where = trace.sources[0].path if trace.sources else "the trace"
        raise InputError(
            f"{where}: {len(trace)} record(s) of {flows} flow(s) are too few to learn from without copying them; "
            f"give a trace of at least {MIN_FLOWS} flows"
        )


def flow_key(config: Config, kind: Kind) -> FlowKey:
    """What one flow is: a five-tuple, or the conversation of both directions."""
    return config.fields.flow_key or DEFAULT_FLOW_KEY[kind]


def segment_records(config: Config) -> int:
    """Records of the longest series; longer flows are cut into segments."""
    return config.chunks.max_records_per_segment or config.generator.choice().spec.segment_records


def read_ip2vec(config: Config) -> IP2Vec | None:
    """The embedding that the config names; None is the one that ships."""
    return IP2Vec.load(Path(config.ip2vec.model)) if config.ip2vec.model is not None else None


def prepare_trace(data: Split[Trace], config: Config, reference: Reference | None = None) -> Prepared[Codec]:
    """Cut the training records into chunks and series, and fit a codec on them (NetShare, section 4).

    Args:
        data: sorted by time; the plan of chunks covers `data.full`.
        config: its sections fields, chunks, ip2vec and generator.
        reference: what synthetic traces follow, where it is not this trace.

    Raises:
        ConfigError, FieldError: the data cannot be cut or encoded as asked.
    """
    trace = data.train
    plan = plan_chunks(data.full["time"], count=config.chunks.count, seconds=config.chunks.seconds)
    key = flow_key(config, trace.kind)
    tables = cut_series(trace, group_flows(trace, key), plan, max_records_per_segment=segment_records(config))
    codec = Codec.fit_chunks(
        tables,
        encodings=config.fields.encodings,
        style=config.generator.choice().spec.style,
        ip2vec=read_ip2vec(config),
    )
    contents = Contents(
        flows=len(group_flows(data.full, key)),
        chunks={chunk: ChunkContents.of(table) for chunk, table in tables.items()},
        plan=plan,
    )
    if reference is None:
        reference = Reference.of(trace, data.full)
    return Prepared(contents, codec, _encoding(tables, codec), reference)


def _encoding(tables: dict[int, SeriesTable], codec: Codec) -> Callable[[int], Encoded]:
    return lambda chunk: codec.at(chunk).encode(tables[chunk])


def _encoded_in(folder: Path) -> Callable[[int], Encoded]:
    return lambda chunk: Encoded.load(chunk_folder(folder, chunk))


def _checked(make: Callable[[], AnyCodec], folder: Path) -> AnyCodec:
    try:
        return make()
    except (NetshareError, KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        what = f"no field {error}" if isinstance(error, KeyError) else error
        raise RunFolderError(f"{folder / CODEC_FILE}: no codec of this version ({shown(what)}); {GET_AGAIN}") from None


def _check_together(prepared: Prepared[Codec], folder: Path) -> None:
    """Whether codec, chunks and reference are of one trace.

    Raises:
        RunFolderError: which one does not fit the others.
    """
    codec, plan, reference = prepared.codec, prepared.contents.plan, prepared.known
    tags = next(part for part in codec.metadata if part.name == "chunk_tags")
    if plan is None or plan.width != codec.chunk_width:
        raise RunFolderError(f"{folder / CONTENTS_FILE}: its chunks are not those of {CODEC_FILE}; {GET_AGAIN}")
    count = tags.count if isinstance(tags, Tags) else len(tags.value) if isinstance(tags, Constant) else 0  # type: ignore[arg-type]
    if count != plan.count or not set(codec.clocks) <= set(range(plan.count)):
        raise RunFolderError(f"{folder / CODEC_FILE}: knows {count} chunks, where there are {plan.count}; {GET_AGAIN}")
    if reference.kind != codec.kind:
        raise RunFolderError(
            f"{folder / REFERENCE_FILE}: is of {reference.kind}s, but {CODEC_FILE} of {codec.kind}s; {GET_AGAIN}"
        )
