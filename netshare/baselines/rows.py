"""Methods that model single records: the adapter between them and series, shared by all of them.

A row is one record with the metadata of its flow beside its own columns; rows are independent, and a flow is whatever
rows happen to share a five-tuple. For a fair comparison a trace is cut so that every record is a series of its own
(`cut_rows`): its metadata then says when in the trace it comes (`start`), and a sampled row is a series of one record.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np
import torch

from netshare.baselines.base import Baseline, as_array, seeded
from netshare.generators.doppelganger.layout import ColumnLayout
from netshare.preprocess.chunks import ChunkPlan, cut_series
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.flows import group_flows
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import Trace

POOL = 4096  # rows drawn, to find measurements that go with given metadata
BLOCK = 512  # metadata rows looked up in them at a time


def cut_rows(trace: Trace, plan: ChunkPlan) -> SeriesTable:
    """Every record of `trace` (sorted by time, within the one chunk of `plan`) as a series of its own, in the order of
    time."""
    table = cut_series(trace, group_flows(trace), plan, max_records_per_segment=1)[0]
    ones, zeros = np.ones(len(table), np.uint8), np.zeros(len(table), np.uint8)
    metadata = {**table.metadata, "starts_here": ones, "continues": zeros, "continued": zeros}
    interarrival = np.zeros_like(table.measurements["interarrival"])
    alone = replace(table, metadata=metadata, measurements={**table.measurements, "interarrival": interarrival})
    return alone.take(np.argsort(alone.metadata["start"], kind="stable"))


def rows_of(data: Encoded) -> torch.Tensor:
    """float32[n_records, A + F]: each record behind the metadata of its series."""
    series = np.repeat(np.arange(len(data)), data.lengths)
    return torch.from_numpy(np.hstack([data.metadata[series], data.measurements]).astype(np.float32))


class RowBaseline(Baseline):
    """A model of rows [metadata, measurements]; subclasses draw them in `sample_rows`."""

    def __init__(self, schema: Schema, device: str = "cpu") -> None:
        super().__init__(schema, device)
        self.columns = (*schema.metadata, *schema.measurements)
        self.layout = ColumnLayout(self.columns, self.device)

    @abstractmethod
    def sample_rows(self, n: int, random: torch.Generator) -> torch.Tensor:
        """float32[n, A + F]."""

    def sample_metadata(self, n: int, *, seed: int) -> np.ndarray:
        """The metadata of `n` rows."""
        return self._rows(n, seed)[:, : len(self.schema.metadata)]

    def measurements_for(self, metadata: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """One record for each row of metadata: that of the nearest of freshly drawn rows."""
        width, pool = len(self.schema.metadata), self._rows(POOL, seed)
        known = torch.from_numpy(pool[:, :width].copy())
        given = torch.from_numpy(np.asarray(metadata, np.float32))
        nearest = [torch.cdist(block, known, p=1).argmin(1) for block in given.split(BLOCK) if len(block)]
        chosen = torch.cat(nearest).numpy() if nearest else np.zeros(0, np.int64)
        return pool[chosen, width:], np.arange(len(metadata) + 1, dtype=np.int64)

    def sample(self, n: int, *, seed: int) -> Encoded:
        """`n` rows, each a series of one record."""
        rows, width = self._rows(n, seed), len(self.schema.metadata)
        offsets = np.arange(n + 1, dtype=np.int64)
        return Encoded(
            np.ascontiguousarray(rows[:, :width]), np.ascontiguousarray(rows[:, width:]), offsets, self.schema
        )

    def _rows(self, n: int, seed: int) -> np.ndarray:
        if n == 0:
            return np.zeros((0, len(self.columns)), np.float32)
        with torch.inference_mode():
            return as_array(self.sample_rows(n, seeded(seed)))
