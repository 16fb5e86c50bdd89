"""The public trace: what a private run may look at, measure and pre-train on as it likes.

It must be somebody else's: a trace that shares its file with the private input is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np

from netshare.config.privacy import SAMPLE
from netshare.fingerprints import file_fingerprint
from netshare.preprocess import Trace, read_trace
from netshare.preprocess.chunks import ChunkPlan, cut_series
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.flows import FlowKey, group_flows
from netshare.preprocess.readers import list_files
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import CATEGORY_COLUMNS, Kind

SAMPLES: dict[Kind, str] = {"packet": "sample.pcap.gz", "flow": "sample-netflow.csv.gz"}


def public_files(public: str | Sequence[str] | None, kind: Kind) -> list[Path]:
    """The files that `privacy.public` names; the shipped sample where it names none (a template of columns at least).

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

    Raises:
        ConfigError: it is the private one, or of another kind.
    """
    check_other_files(files, private)
    hidden = {file_fingerprint(path) for path in private}
    for path in files:
        if file_fingerprint(path) in hidden:
            raise _also_input(path)
    trace = read_trace([str(path) for path in files])
    if trace.kind != kind:
        raise ConfigError(
            f"privacy.public: {files[0]} is a {trace.kind} trace, the input a {kind} trace; give one alike"
        )
    return trace


def check_other_files(files: Sequence[Path], private: Sequence[Path]) -> None:
    """Refuse a public trace that is the private one, by their names alone.

    Raises:
        ConfigError: it is.
    """
    for path in files:
        if path.resolve() in {other.resolve() for other in private}:
            raise _also_input(path)


def check_different(public: Trace, private: Trace) -> None:
    """Refuse a public trace with the records of the private one (re-compressed, say).

    Raises:
        ConfigError: they are the same.
    """
    if len(public) == len(private) and all(
        np.array_equal(public[name], private[name]) for name in ("time", "src_lo", "dst_lo")
    ):
        raise ConfigError(
            "privacy.public holds the very records of the input; public data must be public, name another"
        )


def without_labels(trace: Trace, columns: Sequence[str] | None = None) -> Trace:
    """The trace without labels (their names would have to be public), or with the given columns alone."""
    names = [name for name in (columns or list(trace)) if name not in CATEGORY_COLUMNS]
    return Trace(trace.kind, {name: trace[name] for name in names}, {}, trace.sources)


def public_series(trace: Trace, plan: ChunkPlan, *, flow_key: FlowKey, max_records: int) -> list[SeriesTable]:
    """The public trace's series, cut into chunks as wide as the private ones; each looks as if it were the first of as
    many chunks as there are. Where the trace is much shorter than a chunk, starts are spread over the whole of it: when
    somebody else's capture began and ended says nothing about this one."""
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
