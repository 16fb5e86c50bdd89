"""Flows whose metadata the user gives: the models only say what happens within them.

    netshare generate RUN_DIR --metadata flows.csv -o out.pcap

The file is a CSV (with a header; .gz is opened) or Parquet with one row a flow:

    src_ip, dst_ip, src_port, dst_port, protocol    the five-tuple; protocols by name or number
    start      seconds since the start of the trace, optional
    records    packets or flow records of the flow, optional
    label, attack_type    where the run's input has them, optional

What is not given is taken from *donors*: draws of the same chunk's model that start there, of the same protocol and
destination port where there are any, else of the same protocol. Without `start`, flows are spread over the chunks as the
real ones are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from netshare.preprocess.addresses import parse_addresses
from netshare.preprocess.chunks import NANOSECONDS, ChunkPlan
from netshare.preprocess.errors import InputError
from netshare.preprocess.protocols import protocol_number
from netshare.preprocess.trace import CATEGORY_COLUMNS, FIVE_TUPLE
from netshare.recipe.metadata import Metadata

FIVE = ("src_ip", "dst_ip", "src_port", "dst_port", "protocol")
OPTIONAL = ("start", "records", *CATEGORY_COLUMNS)
DONORS_EACH = 4  # draws for each given flow, to choose donors from ...
MIN_DONORS, MAX_DONORS = 512, 20_000  # ... within these bounds
LARGEST_PORT = 65535


@dataclass(frozen=True)
class GivenFlows:
    """Flows to generate records for.

    metadata: the five-tuple (columns as in `netshare.preprocess.series`), and labels as codes
    start: int64[n], ns since the start of the trace, or None
    records: int64[n], at least 1, or None
    """

    metadata: Metadata
    start: np.ndarray | None = None
    records: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.metadata)


def read_given_flows(
    source: str | Path | pd.DataFrame,
    *,
    versions: set[int],
    duration: int,
    categories: Mapping[str, tuple[str, ...]],
) -> GivenFlows:
    """The flows that a file, or a table in memory, gives.

    Args:
        source: CSV, Parquet or a DataFrame, with columns as in the module's docstring.
        versions: IP versions that the models know.
        duration: ns, of all chunks; every `start` must lie before.
        categories: label columns that the models know, and their texts.

    Raises:
        InputError: the file cannot be read, or a value is none of its column; the first bad row is named.
    """
    if isinstance(source, pd.DataFrame):
        path, table = "metadata", source.reset_index(drop=True)
    else:
        path, table = str(source), _read(Path(source))
    unknown = [name for name in table.columns if name not in (*FIVE, *OPTIONAL)]
    lacking = [name for name in FIVE if name not in table.columns]
    if unknown or lacking or not len(table):
        problem = f"unknown column {unknown[0]}" if unknown else f"no column {lacking[0]}" if lacking else "no rows"
        raise InputError(f"{path}: {problem}; give {', '.join(FIVE)} and, if wanted, {', '.join(OPTIONAL)}")
    metadata: dict[str, np.ndarray] = {}
    version: dict[str, np.ndarray] = {}
    for side in ("src", "dst"):
        version[side], metadata[f"{side}_hi"], metadata[f"{side}_lo"], valid = parse_addresses(table[f"{side}_ip"])
        _refuse(path, table, f"{side}_ip", ~valid, "no IP address")
        metadata[f"{side}_port"] = _numbers(path, table, f"{side}_port", 0, LARGEST_PORT)
    _refuse(path, table, "dst_ip", version["src"] != version["dst"], "not of the IP version of src_ip")
    known = f"not of an IP version that the models have learnt ({', '.join(map(str, sorted(versions)))})"
    _refuse(path, table, "src_ip", ~np.isin(version["src"], sorted(versions)), known)
    metadata["ip_version"] = version["src"]
    metadata["protocol"], valid = protocol_number(table["protocol"])
    _refuse(path, table, "protocol", ~valid, "no protocol name or number")
    metadata = {name: metadata[name].astype(dtype) for name, dtype in FIVE_TUPLE.items()}
    for name in CATEGORY_COLUMNS:
        if name in table.columns:
            texts = categories.get(name)
            if texts is None:
                raise InputError(f"{path}: column {name} is given, but the run's input had none; leave it out")
            codes = pd.Index(texts).get_indexer(table[name])
            _refuse(path, table, name, codes < 0, f"none of the run's values ({', '.join(texts[:5])} ...)")
            metadata[name] = codes.astype(np.int32)
    start = records = None
    if "start" in table.columns:
        last = (duration - 1) / NANOSECONDS
        start = np.round(_numbers(path, table, "start", 0, last, whole=False) * NANOSECONDS).astype(np.int64)
        start = np.minimum(start, duration - 1)
    if "records" in table.columns:
        records = _numbers(path, table, "records", 1, 2**31)
    return GivenFlows(Metadata(metadata), start, records)


def spread_over_chunks(given: GivenFlows, plan: ChunkPlan, weights: Mapping[int, int], seed: int) -> np.ndarray:
    """int64[n]: the chunk that each flow starts in, by its start or by chance.

    Args:
        given: n flows.
        plan: the chunks.
        weights: real flows that start in each chunk that has a model.

    Raises:
        InputError: a flow starts in a chunk that has no model, since nothing was recorded then.
    """
    if given.start is None:
        chunks, shares = np.array(sorted(weights)), np.array([weights[k] for k in sorted(weights)], float)
        return np.random.default_rng(seed).choice(chunks, size=len(given), p=shares / shares.sum())
    chosen = given.start // plan.width
    without = np.flatnonzero(~np.isin(chosen, sorted(weights)))
    if len(without):
        seconds = given.start[without[0]] / NANOSECONDS
        raise InputError(
            f"given flow {without[0] + 1}: starts after {seconds:g} s, when the input has no records; leave start out"
        )
    return chosen


def donors_for(count: int) -> int:
    """Draws of metadata from which donors for `count` flows are chosen."""
    return int(np.clip(DONORS_EACH * count, MIN_DONORS, MAX_DONORS))


def complete_flows(
    given: GivenFlows, chosen: np.ndarray, donors: Metadata, *, chunk: int, plan: ChunkPlan, rng: np.random.Generator
) -> Metadata:
    """All metadata of the given flows numbered `chosen`, which start in this chunk; what is missing comes from `donors`
    (draws that start in the chunk), or is a single moment in the chunk where there are none."""
    n, flows = len(chosen), given.metadata.take(chosen)
    if len(donors):
        several = np.zeros(n, bool), np.zeros(len(donors), bool)
        if given.records is not None:  # one record has no span, several have one
            several = given.records[chosen] > 1, donors["span"] > 0
        wanted, offered = (
            np.stack([part.astype(np.int64) for part in (side["protocol"], flag, side["dst_port"])], 1)
            for side, flag in ((flows, several[0]), (donors, several[1]))
        )
        pick = rng.integers(0, len(donors), n)
        for keys in (1, 2, 3):
            pick = _same_key(wanted[:, :keys], offered[:, :keys], pick, rng)
        rows = donors.take(pick).having(**flows.columns)
    else:
        start = rng.integers(0, plan.width, n)
        rows = flows.having(start=start, span=np.zeros(n, np.int64), chunk_tags=_only(chunk, n, plan), continued=0)
    rows = rows.having(starts_here=1, continues=0)
    if given.start is not None:
        start = given.start[chosen] - chunk * plan.width
        rows = rows.having(start=start, span=np.minimum(rows["span"], plan.width - 1 - start))
    if given.records is not None:  # all of them within this chunk
        rows = rows.having(chunk_tags=_only(chunk, n, plan), continued=0)
    return rows


def cut_to_lengths(flows: Metadata, records: np.ndarray, longest: int) -> tuple[Metadata, np.ndarray]:
    """Series of the given numbers of records, flow after flow, and the records of each: a flow of more than `longest`
    is several series, one after another in time."""
    count = -(-records // longest)
    flow = np.repeat(np.arange(len(records)), count)
    number = np.arange(len(flow)) - np.repeat(np.cumsum(count) - count, count)
    last = number == count[flow] - 1
    series = flows.take(flow)
    share = series["span"] // count[flow]
    series = series.having(
        start=series["start"] + share * number,
        span=share,
        starts_here=(number == 0).astype(np.uint8),
        continues=(number > 0).astype(np.uint8),
        continued=(~last).astype(np.uint8),
    )
    return series, np.where(last, records[flow] - longest * number, longest)


def _only(chunk: int, n: int, plan: ChunkPlan) -> np.ndarray:
    """uint8[n, n_chunks]: tags of flows that have records in this chunk alone."""
    tags = np.zeros((n, plan.count), np.uint8)
    tags[:, chunk] = 1
    return tags


def _same_key(wanted: np.ndarray, offered: np.ndarray, pick: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each row of `wanted` (int64[n, k]) a random row of `offered` equal to it; what `pick` says where none is."""
    both = np.unique(np.concatenate([wanted, offered]), axis=0, return_inverse=True)[1].reshape(-1)
    mine, theirs = both[: len(wanted)], both[len(wanted) :]
    order = np.argsort(theirs, kind="stable")
    low = np.searchsorted(theirs[order], mine, "left")
    high = np.searchsorted(theirs[order], mine, "right")
    found = high > low
    return np.where(found, order[rng.integers(low, np.where(found, high, low + 1)).clip(max=len(order) - 1)], pick)


def _read(path: Path) -> pd.DataFrame:
    try:
        table = (
            pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str, skipinitialspace=True)
        )
    except (OSError, ValueError) as error:  # pandas and Arrow raise kinds of ValueError for what they cannot parse
        raise InputError(f"{path}: cannot be read as CSV or Parquet ({str(error).splitlines()[0]})") from None
    table.columns = [str(name).strip() for name in table.columns]
    return table


def _numbers(
    path: str | Path, table: pd.DataFrame, name: str, low: float, high: float, *, whole: bool = True
) -> np.ndarray:
    values = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
    bad = ~((values >= low) & (values <= high))
    if whole:
        bad |= values != np.floor(values)
    _refuse(path, table, name, bad, f"no {'whole ' if whole else ''}number from {low:g} to {high:g}")
    return values.astype(np.int64) if whole else values


def _refuse(path: str | Path, table: pd.DataFrame, name: str, bad: np.ndarray, why: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"{path}: row {row + 1}: {name} is {table[name].iloc[row]}, {why}")
