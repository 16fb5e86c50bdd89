"""What a private run may look at, measure and pre-train on as it likes: the public trace, and a public IP2Vec model.

Private: the input, which is looked at only to refuse a public trace that is the same. Public: everything else. A public
trace must be somebody else's; that it was recorded among the same users cannot be noticed.
"""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np

from netshare.config.privacy import SAMPLE
from netshare.preprocess import Trace, read_trace
from netshare.preprocess.chunks import ChunkPlan, cut_series
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.flows import FlowKey, group_flows
from netshare.preprocess.readers import list_files
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import CATEGORY_COLUMNS, Kind

SAMPLES: dict[Kind, str] = {"packet": "sample.pcap.gz", "flow": "sample-netflow.csv.gz"}


def public_files(public: str | Sequence[str] | None, kind: Kind) -> list[Path]:
    """The files that `privacy.public` names, or the shipped sample where it names none: a run needs at least its columns.

    Raises:
        ConfigError: the shipped sample is not installed.
        InputError: a file is missing.
    """
    if public is not None and public != SAMPLE:
        return list_files([public] if isinstance(public, str) else list(public))
    shipped = Path(str(resources.files("netshare"))) / "sample" / SAMPLES[kind]
    if shipped.is_file():
        return [shipped]
    raise ConfigError("privacy.public is the shipped sample, which this installation lacks; name a public trace")


def read_public(files: Sequence[Path], private: Sequence[Path], kind: Kind) -> Trace:
    """The public trace.

    Args:
        files: of the public trace.
        private: files of the input.

    Raises:
        ConfigError: a file is one of the input's, or a copy of one, or the trace is of another kind.
    """
    check_other_files(files, private)
    for path in files:
        if any(filecmp.cmp(path, other, shallow=False) for other in private):
            raise _also_input(path)
    trace = read_trace([str(path) for path in files])
    if trace.kind != kind:
        raise ConfigError(
            f"privacy.public: {files[0]} is a {trace.kind} trace, the input a {kind} trace; give one alike"
        )
    return trace


def check_other_files(files: Sequence[Path], private: Sequence[Path]) -> None:
    """Refuse a public trace that is the input, by the names of their files alone.

    Raises:
        ConfigError: a file is in both.
    """
    for path in files:
        if path.resolve() in {other.resolve() for other in private}:
            raise _also_input(path)


def check_different(public: Trace, private: Trace) -> None:
    """Refuse a public trace that has the very records of the input, in another file format or compression.

    Raises:
        ConfigError: it has.
    """
    if len(public) == len(private) and all(
        np.array_equal(public[name], private[name]) for name in ("time", "src_lo", "dst_lo")
    ):
        raise ConfigError(
            "privacy.public holds the very records of the input; public data must be public, name another"
        )


def without_labels(trace: Trace, columns: Sequence[str] | None = None) -> Trace:
    """The trace without labels, whose names would have to be public, and with the given columns alone if any are given."""
    names = [name for name in (columns or list(trace)) if name not in CATEGORY_COLUMNS]
    return Trace(trace.kind, {name: trace[name] for name in names}, {}, trace.sources)


def public_series(trace: Trace, plan: ChunkPlan, *, flow_key: FlowKey, max_records: int) -> list[SeriesTable]:
    """The public trace's series, cut into chunks as wide as the private ones, one table a chunk.

    Chunk tags are cut or padded to the number of private chunks, as if each table were of the first chunk. Where the
    public trace is shorter than half a chunk, its starts are spread over the whole chunk at random, since when somebody
    else's capture began and ended says nothing about this one.

    Args:
        plan: the declared window, cut into chunks.
        max_records: of a series.
    """
    first, last = int(trace["time"][0]), int(trace["time"][-1])
    own = ChunkPlan(first, plan.width, (last - first) // plan.width + 1)
    flows = group_flows(trace, flow_key)
    tables = cut_series(trace, flows, own, max_records_per_segment=max_records)
    found = [_with_tags(table, chunk, plan.count) for chunk, table in tables.items()]
    if last - first < plan.width // 2:
        rng = np.random.default_rng(0)
        for table in found:
            table.metadata["start"] = rng.integers(0, plan.width - table.metadata["span"])
    return found


def _with_tags(table: SeriesTable, chunk: int, count: int) -> SeriesTable:
    tags = table.metadata["chunk_tags"][:, chunk : chunk + count]
    padded = np.zeros((len(table), count), np.uint8)
    padded[:, : tags.shape[1]] = tags
    metadata = {**table.metadata, "chunk_tags": padded}
    return replace(table, metadata=metadata)


def _also_input(path: Path) -> ConfigError:
    return ConfigError(f"privacy.public: {path} is also the input; public data must be public, name another trace")
