"""Split a trace into fixed-time chunks and cut its flows into series (NetShare, section 4.3, insight 3).

Chunks have equal *duration*, never equal record counts: with counts, one record more or less would shift every chunk
border. A flow that crosses borders has one series in each chunk it touches and carries *flow tags* that say so: "this
flow starts here", and one bit for each chunk in which it has records. Within a chunk, a flow longer than
`max_records_per_segment` becomes several series marked `continues` / `continued`, so that nothing is truncated.

    plan = plan_chunks(trace["time"], count=8)
    tables = cut_series(trace, group_flows(trace), plan, max_records_per_segment=1024)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.flows import Flows
from netshare.preprocess.ragged import run_starts
from netshare.preprocess.series import FLOW_MEASUREMENTS, METADATA_OF_FLOW, PACKET_MEASUREMENTS, SeriesTable
from netshare.preprocess.trace import CATEGORY_COLUMNS, Trace

NANOSECONDS = 1_000_000_000
RECORDS_PER_CHUNK = 50_000  # what chunks hold on average where neither their number nor their duration is given ...
MAX_AUTOMATIC_CHUNKS = 10  # ... up to this number of chunks, which the paper uses for a million records


@dataclass(frozen=True)
class ChunkPlan:
    """`count` half-open slices of `width` ns each, from `start` (ns since the Unix epoch)."""

    start: int
    width: int
    count: int

    def index_of(self, time: np.ndarray) -> np.ndarray:
        """int64[n]: the chunk of each time (ns since the Unix epoch)."""
        return (time - self.start) // self.width

    def start_of(self, chunk: int) -> int:
        """When the chunk begins, ns since the Unix epoch."""
        return self.start + chunk * self.width

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


def plan_chunks(time: np.ndarray, *, count: int | None = None, seconds: float | None = None) -> ChunkPlan:
    """A plan that covers the given times, by number of chunks or by their duration.

    With neither there is one chunk for every 50,000 records, but at most 10, and at most one for each whole second.

    Args:
        time: int64[n], ns since the Unix epoch, ascending.
        count: number of chunks.
        seconds: duration of a chunk.

    Raises:
        InputError: there is no record.
        ConfigError: both are given, one is not positive, or there would be more chunks than seconds in the trace.
    """
    if len(time) == 0:
        raise InputError("the trace has no records to split into chunks")
    if count is not None and seconds is not None:
        raise ConfigError("chunks.count and chunks.seconds are both set; give one of them")
    first, duration = int(time[0]), int(time[-1] - time[0]) + 1
    whole_seconds = duration // NANOSECONDS
    if seconds is not None:
        if not seconds > 0:
            raise ConfigError(f"chunks.seconds is {seconds}; it must be greater than 0")
        width = max(1, round(seconds * NANOSECONDS))
        return ChunkPlan(first, width, -(-duration // width))
    if count is None:
        count = max(1, min(-(-len(time) // RECORDS_PER_CHUNK), MAX_AUTOMATIC_CHUNKS, whole_seconds))
    if count < 1:
        raise ConfigError(f"chunks.count is {count}; it must be at least 1")
    if count > max(1, whole_seconds):
        raise ConfigError(
            f"chunks.count is {count}, but the trace lasts only {duration / NANOSECONDS:.3f} s; "
            f"ask for at most {max(1, whole_seconds)}, or set chunks.seconds"
        )
    return ChunkPlan(first, _round_up(-(-duration // count)), count)


def cut_series(
    trace: Trace, flows: Flows, plan: ChunkPlan, *, max_records_per_segment: int = 1024
) -> dict[int, SeriesTable]:
    """The series of every non-empty chunk, by chunk number.

    Args:
        trace: sorted by time.
        flows: its flows.
        plan: must cover all times of the trace.
        max_records_per_segment: longest series; longer ones are cut and tagged.

    Raises:
        ConfigError: `max_records_per_segment` is below 1.
    """
    if max_records_per_segment < 1:
        raise ConfigError(f"max_records_per_segment is {max_records_per_segment}; it must be at least 1")
    time = trace["time"][flows.order]
    flow_of_record = np.repeat(np.arange(len(flows)), flows.lengths)
    chunk_of_record = plan.index_of(time)
    begins = _series_starts(flow_of_record, chunk_of_record, max_records_per_segment)
    offsets = np.append(begins, len(time)).astype(np.int64)
    flow, chunk = flow_of_record[begins], chunk_of_record[begins]
    tags = np.zeros((len(flows), plan.count), dtype=np.uint8)
    tags[flow, chunk] = 1
    same_as_previous = np.zeros(len(begins) + 1, dtype=bool)
    same_as_previous[1:-1] = (flow[1:] == flow[:-1]) & (chunk[1:] == chunk[:-1])

    first_record = flows.order[flows.offsets[:-1]][flow]
    metadata = {name: trace[name][first_record] for name in METADATA_OF_FLOW}
    metadata["start"] = time[begins] - plan.start - chunk * plan.width
    metadata["span"] = time[offsets[1:] - 1] - time[begins]
    metadata["starts_here"] = (begins == flows.offsets[flow]).astype(np.uint8)
    metadata["chunk_tags"] = tags[flow]
    metadata["continues"] = same_as_previous[:-1].astype(np.uint8)
    metadata["continued"] = same_as_previous[1:].astype(np.uint8)
    metadata |= {name: trace[name][first_record] for name in CATEGORY_COLUMNS if name in trace}

    interarrival = np.diff(time, prepend=time[:1])
    interarrival[begins] = 0
    names = PACKET_MEASUREMENTS if trace.kind == "packet" else FLOW_MEASUREMENTS
    measurements = {"interarrival": interarrival}
    measurements |= {name: trace[name][flows.order] for name in names if name in trace}
    if flows.direction is not None:
        measurements["direction"] = flows.direction

    whole = SeriesTable(metadata, measurements, offsets, trace.kind, plan.width, dict(trace.categories))
    return {int(k): whole.take(np.flatnonzero(chunk == k)) for k in np.unique(chunk)}


def _round_up(width: int) -> int:
    """The width rounded up to whole milliseconds (from 1 s on) or microseconds (from 1 ms on).

    Times from the start of a chunk then have the resolution of the capture's times.
    """
    for shortest, unit in ((NANOSECONDS, 1_000_000), (1_000_000, 1_000)):
        if width >= shortest:
            return -(-width // unit) * unit
    return width


def _series_starts(flow: np.ndarray, chunk: np.ndarray, longest: int) -> np.ndarray:
    """int64[n_series]: positions of the records with which a series begins, records being in the order of flows."""
    if len(flow) == 0:
        return np.zeros(0, np.int64)
    begins = np.ones(len(flow), dtype=bool)
    begins[1:] = (flow[1:] != flow[:-1]) | (chunk[1:] != chunk[:-1])
    within = np.arange(len(flow)) - run_starts(begins)
    return np.flatnonzero(within % longest == 0)
