"""What is in a trace, at a glance: counts, shares, spans, what was left out and why.

describe_trace(read_trace("campus.pcap"))["records_per_flow"]["p99"]
describe_files("backbone/*.pcap")        # the same, of captures of any size: they are read in passing
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.errors import InputError
from netshare.preprocess.hashing import hash_columns
from netshare.preprocess.protocols import protocol_name
from netshare.preprocess.readers.contents import MAXIMUM_BYTES
from netshare.preprocess.readers.read import read_parts
from netshare.preprocess.tally import Tally
from netshare.preprocess.trace import FIVE_TUPLE, Source, Trace, skipped_of

_TOP = 10
_ADDRESS = ("ip_version", "hi", "lo")


def describe_trace(trace: Trace) -> dict[str, Any]:
    """Facts of a trace, all of them JSON-able.

    Times are ISO 8601 in UTC, durations seconds, shares between 0 and 1 of the records. A flow is all records of a
    five-tuple.
    """
    facts = _Facts()
    facts.add(trace)
    return facts.described(trace.sources)


def describe_files(source: str | Path | Sequence[str | Path], *, max_bytes: int = MAXIMUM_BYTES) -> dict[str, Any]:
    """The facts of files, as `describe_trace` tells them of the trace that `read_trace` makes of them.

    Captures are read in passing, some thousands of packets at a time, from files, pipes (`-`) and compressed data: what
    is kept in memory grows with the number of distinct flows and addresses, not with that of packets.

    Args:
        source: as `read_trace` takes it.
        max_bytes: how many bytes compressed data may hold: more is an error. Standard input is not bounded.

    Raises:
        InputError: as `read_trace` does.
    """
    facts = _Facts()
    parts = read_parts(source, max_bytes=max_bytes)
    while True:
        try:
            facts.add(next(parts))
        except StopIteration as end:
            return facts.described(end.value)


class _Facts:
    """What is counted of records that come part by part."""

    def __init__(self) -> None:
        self._kind = ""
        self._start, self._end = 2**63 - 1, -(2**63)
        self._bytes = self._packets = 0
        self._flows, self._ports, self._kinds = Tally(), Tally(), Tally()
        self._ends = {"src": Tally(keep=_ADDRESS), "dst": Tally(keep=_ADDRESS)}
        self._texts: dict[str, dict[str, int]] = {}

    def add(self, trace: Trace) -> None:
        """Count the records of a trace; all must be of one kind."""
        if self._kind and trace.kind != self._kind:
            raise InputError("packets and flow records cannot be one trace: inspect them apart")
        self._kind = trace.kind
        for name, texts in trace.categories.items():
            if name in trace:
                self._add_texts(name, trace[name], texts)
        if not len(trace):
            return
        self._start = min(self._start, int(trace["time"].min()))
        self._end = max(self._end, int(trace["time"].max()))
        self._bytes += int(trace["length" if trace.kind == "packet" else "bytes"].sum(dtype=np.int64))
        if trace.kind == "flow":
            self._packets += int(trace["packets"].sum())
        self._flows.add(hash_columns([trace[name] for name in FIVE_TUPLE]))
        for end, tally in self._ends.items():
            columns = [trace["ip_version"], trace[f"{end}_hi"], trace[f"{end}_lo"]]
            tally.add(hash_columns(columns), dict(zip(_ADDRESS, columns, strict=True)))
        protocol = trace["protocol"].astype(np.uint64)
        used = trace["dst_port"] > 0
        self._ports.add((protocol << np.uint64(16) | trace["dst_port"])[used])
        self._kinds.add(protocol << np.uint64(8) | trace["ip_version"])

    def described(self, sources: Sequence[Source]) -> dict[str, Any]:
        """All facts, of records that came from these sources."""
        per_flow, (kinds, of_kind) = self._flows.counts(), self._kinds.sorted()
        records = int(of_kind.sum())
        described: dict[str, Any] = {"kind": self._kind, "records": records, "flows": len(per_flow)}
        if records:
            seconds = (self._end - self._start) / 1e9
            described |= {
                "start": _iso_time(self._start),
                "end": _iso_time(self._end),
                "duration_seconds": seconds,
                "records_per_flow": {
                    "median": float(np.median(per_flow)),
                    "p99": float(np.percentile(per_flow, 99)),
                    "max": int(per_flow.max()),
                    "share_of_flows_with_more_than_one": float(np.mean(per_flow > 1)),
                },
            }
        described["bytes"] = self._bytes
        if self._kind == "flow":
            described["packets"] = self._packets
        described["protocols"] = _shares(kinds >> np.uint64(8), of_kind, lambda some: protocol_name(some).tolist())
        described["ip_versions"] = _shares(
            kinds & np.uint64(255), of_kind, lambda some: [f"IPv{value}" for value in some]
        )
        for end, title in (("src", "distinct_source_addresses"), ("dst", "distinct_destination_addresses")):
            described[title] = len(self._ends[end].counts())
        described["top_source_addresses"] = self._top_addresses("src")
        described["top_destination_ports"] = self._top_ports(records)
        for name, counts in self._texts.items():
            if missing := records - sum(counts.values()):  # in files that have no such column
                counts = {**counts, "(unset)": counts.get("(unset)", 0) + missing}
            most = sorted(counts.items(), key=lambda item: -item[1])
            shares = {text: {"records": count, "share": count / records} for text, count in most}
            described.setdefault("categories", {})[name] = shares
        described["link_types"] = sorted({source.link_type for source in sources if source.link_type})
        described["skipped"] = skipped_of(sources)
        described["notes"] = [f"{source.path}: {note}" for source in sources for note in source.notes]
        described["sources"] = [
            {
                "path": source.path,
                "format": source.format,
                "records": source.records,
                "link_type": source.link_type,
                "skipped": dict(source.skipped),
                "notes": list(source.notes),
            }
            for source in sources
        ]
        return described

    def _add_texts(self, name: str, codes: np.ndarray, texts: Sequence[str]) -> None:
        counts = self._texts.setdefault(name, {})
        for code, count in zip(*(part.tolist() for part in np.unique(codes, return_counts=True)), strict=True):
            text = "(unset)" if code < 0 else texts[code]
            counts[text] = counts.get(text, 0) + count

    def _top_addresses(self, end: str) -> list[dict[str, Any]]:
        _, counts, kept = self._ends[end].most_frequent(_TOP)
        texts: list[str] = format_addresses(*(kept[name] for name in _ADDRESS)).tolist() if len(counts) else []
        return [{"address": text, "records": count} for text, count in zip(texts, counts.tolist(), strict=True)]

    def _top_ports(self, records: int) -> list[dict[str, Any]]:
        pairs, counts, _ = self._ports.most_frequent(_TOP)
        names = protocol_name((pairs >> np.uint64(16)).astype(np.uint8))
        return [
            {"protocol": str(name), "port": pair & 0xFFFF, "records": count, "share": count / records}
            for name, pair, count in zip(names, pairs.tolist(), counts.tolist(), strict=True)
        ]


def _iso_time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}Z"


def _shares(
    keys: np.ndarray, counts: np.ndarray, names: Callable[[np.ndarray], Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Records and share of each distinct key, the most frequent first; a key may stand there several times."""
    distinct, which = np.unique(keys, return_inverse=True)
    total = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(total, which, counts)
    order = np.argsort(-total, kind="stable")
    rows = zip(names(distinct[order].astype(np.uint8)), total[order].tolist(), strict=True)
    return {str(name): {"records": count, "share": count / int(total.sum())} for name, count in rows}
