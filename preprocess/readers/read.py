"""One call for every input: files, lists, patterns and folders to one trace, sorted by time."""

from __future__ import annotations

import glob
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from netshare.preprocess.errors import InputError
from netshare.preprocess.merge import merge_traces
from netshare.preprocess.readers.capture import capture_batches
from netshare.preprocess.readers.contents import (
    MAXIMUM_BYTES,
    READABLE,
    STANDARD_INPUT,
    NotATraceError,
    Stream,
    display_name,
    open_stream,
)
from netshare.preprocess.readers.export_messages import KnownTemplates, LateTemplates, NetflowExports
from netshare.preprocess.readers.exports import holds_exports, read_exports
from netshare.preprocess.readers.in_memory import TraceLike, first_records, is_in_memory, trace_in_memory
from netshare.preprocess.readers.reader import Reader, ReadOptions, ScanFrames
from netshare.preprocess.readers.registry import recognise
from netshare.preprocess.trace import Kind, Source, Trace, make_trace, skipped_of

_PATTERN_CHARACTERS = frozenset("*?[")
_MESSAGE_REASONS = 4
_NO_RECORDS = "the file holds no usable records"


def read_trace(
    source: TraceLike,
    *,
    limit: int | None = None,
    columns: Mapping[str, str] | None = None,
    netflow_exports: NetflowExports = "auto",
    late_templates: LateTemplates = "auto",
    decapsulate: bool = False,
    max_bytes: int = MAXIMUM_BYTES,
) -> Trace:
    """Read a packet or flow trace.

    Args:
        source: a file, a pattern (`"captures/*.pcap"`, `**` for any depth), a folder (its files, not those of folders
            within it), or a list of any of these. Several files are measurement epochs: they are merged, in order of
            name within a pattern or folder, in the order given in a list. `-` is standard input. Formats are known by
            content, and gzip, bzip2, xz and zstd are opened; docs/formats.md lists them. Or what is in memory already: a
            `Trace`, a pandas data frame, an Arrow table, any table that exports Arrow.
        limit: read no more than this many records: the first in the order of the files and of the records in them.
        columns: for tables, CSV, JSON lines or Parquet of any other layout: which of their columns is which, such as
            `{"time": "when:ms", "src": "from", "dst": "to", "bytes": "octets"}`; see `preprocess.tables.flow_mapping`.
        netflow_exports: what a capture of NetFlow or IPFIX export packets gives: the flow records in them (True), the
            packets themselves (False), or the records where most of its packets are export packets ("auto").
        late_templates: whether a NetFlow v9 or IPFIX template also serves data that were sent before it: always (True),
            never (False), or where the exporter's stream began within the capture ("auto"). Between files it always
            does.
        decapsulate: whether a tunnel (IP in IP, 6in4, GRE, VXLAN, Geneve, GTP-U, Teredo ...) gives the packet in it
            instead of its own.
        max_bytes: how many bytes compressed data, or standard input, may hold; more is an error.

    Returns:
        The records sorted by time (stably). Its `sources` list, file by file, what was left out by reason, and notes
        such as a truncated end. In a folder, files that are no traces are left out, which is noted.

    Raises:
        InputError: a file is missing, unreadable, empty or no trace; nothing in it is usable; or packets and flow
            records are mixed.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}, it must be at least 1 record")
    if is_in_memory(source):
        if decapsulate or netflow_exports is True:
            raise InputError(
                "decapsulate and netflow_exports need the bytes of a capture, a table has none: leave them out"
            )
        return trace_in_memory(source, limit=limit, columns=columns)
    files = _expand_all(source)
    options = ReadOptions(limit, columns, netflow_exports, decapsulate, max_bytes, KnownTemplates(late_templates))
    traces: list[Trace] = []
    left_out: list[str] = []
    read = 0
    for path, in_folder in files:
        if limit is not None and read >= limit:
            break
        try:
            trace = _read_file(path, replace(options, limit=None if limit is None else limit - read))
        except NotATraceError as error:
            if not in_folder:
                raise
            left_out.append(_why_left_out(path, error))
            continue
        read += len(trace)
        traces.append(trace)
    if len(traces) > 1:
        read += _read_again(traces, replace(options, limit=None if limit is None else limit - read))
    if not traces:
        raise InputError(_no_traces(files))
    if read == 0:
        raise InputError(_nothing_usable([source for trace in traces for source in trace.sources], traces[0].kind))
    if left_out:
        traces[0] = replace(traces[0], sources=_noted(traces[0].sources, left_out))
    return merge_traces(traces)


def read_parts(
    source: str | Path | Sequence[str | Path], *, max_bytes: int = MAXIMUM_BYTES
) -> Generator[Trace, None, tuple[Source, ...]]:
    """The records of `read_trace(source)` in parts, of captures some thousands of packets each, as they stand in the
    files, one after the other; returns the sources in the end. Captures are not in memory as a whole.

    Args:
        source: as `read_trace` takes it.
        max_bytes: how many bytes compressed data may hold: more is an error. So is more of a standard input that is no
            capture.

    Raises:
        InputError: as `read_trace` does.
    """
    files = _expand_all(source)
    options = ReadOptions(max_bytes=max_bytes)
    sources: list[tuple[Source, ...]] = []
    left_out: list[str] = []
    early: dict[int, Trace] = {}  # by place in `sources`: records whose templates may come in a file after them
    named: dict[Kind, str] = {}
    for path, in_folder in files:
        try:
            with open_stream(path, max_bytes, bounded_input=False) as stream:
                reader = recognise(stream.name, stream.head)
                if reader.scan is not None and not _holds_records(stream, reader.scan, options):
                    named.setdefault("packet", stream.name)
                    sources.append((yield from _parts_of_capture(reader.name, reader.scan, stream, options)))
                    continue
                trace = _read_stream(stream, reader, options)
        except NotATraceError as error:
            if not in_folder:
                raise
            left_out.append(_why_left_out(path, error))
            continue
        named.setdefault(trace.kind, display_name(path))
        if len(named) > 1:
            raise InputError(
                f"{named['packet']} holds packets and {named['flow']} holds flow records, which cannot be one trace: "
                "read them apart"
            )
        if display_name(path) in options.templates.incomplete:
            early[len(sources)] = trace
        else:
            yield trace
        sources.append(trace.sources)
    late = list(early.values())
    if len(sources) > 1:
        _read_again(late, options)
    for at, trace in zip(early, late, strict=True):
        sources[at] = trace.sources
        yield trace
    if not sources:
        raise InputError(_no_traces(files))
    found = tuple(one for some in sources for one in some)
    if sum(one.records for one in found) == 0:
        raise InputError(_nothing_usable(found, "packet" if "packet" in named else "flow"))
    return _noted(found, left_out)


def list_files(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that `read_trace` would read, in its order.

    Raises:
        InputError: a file is missing, a pattern matches nothing, or a folder holds no files.
    """
    files = [path for path, _ in _expand_all(source)]
    for path in files:
        if not path.exists() and path != STANDARD_INPUT:
            raise InputError(f"{path}: no such file")
    return files


def _expand_all(source: str | Path | Sequence[str | Path]) -> list[tuple[Path, bool]]:
    """The files that are meant, each with whether it was found in a folder."""
    try:
        entries = [source] if isinstance(source, (str, Path)) else list(source)
    except TypeError:
        raise InputError(f"cannot read a {type(source).__name__}, give names of files or one table") from None
    other = next((entry for entry in entries if not isinstance(entry, (str, Path))), None)
    if other is not None:
        raise InputError(f"cannot read a list with a {type(other).__name__} in it, give names of files or one table")
    if not entries:
        raise InputError("no input given, name at least one file, pattern or folder")
    return [found for entry in entries for found in _expand(entry)]


def _expand(entry: str | Path) -> list[tuple[Path, bool]]:
    """The files that an entry stands for, each with whether it was found in a folder."""
    path = Path(entry).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if not files:
            raise InputError(f"{path}: the folder holds no files, expected {READABLE}")
        return [(file, True) for file in files]
    if path.exists() or not _PATTERN_CHARACTERS & set(str(entry)):
        return [(path, False)]
    matches = sorted(Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207 (absolute patterns)
    found = [(match, False) for match in matches if match.is_file()]
    if not found:
        raise InputError(f"{entry}: no file matches this pattern")
    return found


def _read_file(path: Path, options: ReadOptions) -> Trace:
    with open_stream(path, options.max_bytes) as stream:
        reader = recognise(stream.name, stream.head, as_table=options.columns is not None)
        return _read_stream(stream, reader, options)


def _read_stream(stream: Stream, reader: Reader, options: ReadOptions) -> Trace:
    """The records of an open file, no more than the limit, with notes as `_note_oddities` makes them."""
    if reader.scan is not None and _holds_records(stream, reader.scan, options):
        trace = read_exports(stream, options, reader.scan)
    else:
        trace = reader.read(stream, options)
        if reader.kind not in (None, trace.kind):
            raise InputError(
                f"{stream.name}: the reader {reader.name!r} is declared to give a {reader.kind} trace and gave a "
                f"{trace.kind} trace, update the distribution that it came with"
            )
    if options.limit is not None and len(trace) > options.limit:
        trace = first_records(trace, options.limit)
    return _note_oddities(trace)


def _holds_records(stream: Stream, scan: ScanFrames, options: ReadOptions) -> bool:
    """Whether the flow records in a capture's NetFlow exports shall be read, rather than its packets."""
    if options.netflow_exports == "auto":
        return holds_exports(stream.head, scan)
    return options.netflow_exports


def _read_again(traces: list[Trace], options: ReadOptions) -> int:
    """Read the files of export packets again whose templates came in files after them, in place; returns the records
    gained, no more than the limit."""
    gained = 0
    incomplete = options.templates.incomplete
    for at, trace in enumerate(traces):
        path = trace.sources[0].path if trace.sources else ""
        if path not in incomplete or Path(path) == STANDARD_INPUT:
            continue
        limit = None if options.limit is None else options.limit - gained + len(trace)
        with open_stream(Path(path), options.max_bytes) as stream:
            scan = recognise(stream.name, stream.head).scan
            traces[at] = _note_oddities(read_exports(stream, replace(options, limit=limit), scan, again=True))
        gained += len(traces[at]) - len(trace)
    return gained


def _parts_of_capture(
    name: str, scan: ScanFrames, stream: Stream, options: ReadOptions
) -> Generator[Trace, None, tuple[Source, ...]]:
    """The packets of a capture in parts; returns its source, with notes as `_note_oddities` makes them."""
    batches = capture_batches(name, scan, stream, options)
    backwards, last = 0, -(2**63)
    while True:
        try:
            columns, _ = next(batches)
        except StopIteration as end:
            return (_with_oddities(end.value, backwards),)
        time = columns["time"]
        backwards += int(np.count_nonzero(np.diff(time) < 0)) + int(time[0] < last)
        last = int(time[-1])
        yield make_trace("packet", columns)


def _note_oddities(trace: Trace) -> Trace:
    """The trace of one file, with a note where it has no records or they go back in time."""
    if len(trace.sources) != 1:
        return trace
    backwards = int(np.count_nonzero(np.diff(trace["time"]) < 0))
    return replace(trace, sources=(_with_oddities(trace.sources[0], backwards),))


def _with_oddities(source: Source, backwards: int) -> Source:
    if backwards:
        note = f"{backwards} records are earlier than the record before them, sorted by time"
    elif not source.records:
        note = _NO_RECORDS
    else:
        return source
    return replace(source, notes=(*source.notes, note))


def _noted(sources: Sequence[Source], notes: Sequence[str]) -> tuple[Source, ...]:
    """The sources, with notes on what was left out at the first."""
    return (replace(sources[0], notes=(*sources[0].notes, *notes)), *sources[1:])


def _why_left_out(path: Path, error: NotATraceError) -> str:
    return f"{path.name} is left out of the folder: {str(error).partition(': ')[2]}"


def _no_traces(files: Sequence[tuple[Path, bool]]) -> str:
    return f"{files[0][0].parent}: none of the {len(files)} files in this folder is a trace, expected {READABLE}"


def _nothing_usable(sources: Sequence[Source], kind: Kind) -> str:
    """One line on why no file gave a record."""
    where = sources[0].path if len(sources) == 1 else f"{sources[0].path} and {len(sources) - 1} more files"
    what = "packets" if kind == "packet" else "flow records"
    reasons = skipped_of(sources)
    notes = [note for source in sources for note in source.notes if note != _NO_RECORDS]
    most = sorted(reasons.items(), key=lambda item: -item[1])
    shown = [f"{count} skipped: {reason}" for reason, count in most[:_MESSAGE_REASONS]]
    if len(most) > _MESSAGE_REASONS:
        shown.append(f"{sum(count for _, count in most[_MESSAGE_REASONS:])} skipped for other reasons")
    shown += notes[:1]
    return f"{where}: no usable {what} ({'; '.join(shown) or _NO_RECORDS}), give a trace that holds IP {what}"
