"""What is in a trace, at a glance: counts, shares, spans, what was left out and why.

describe_trace(read_trace("campus.pcap"))["records_per_flow"]["p99"]
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from preprocess.addresses import format_addresses
from preprocess.protocols import protocol_name
from preprocess.trace import FIVE_TUPLE, Trace

_TOP = 10


def describe_trace(trace: Trace) -> dict[str, Any]:
    """Facts of a trace, all of them JSON-able.

    Times are ISO 8601 in UTC, durations seconds, shares between 0 and 1 of the records. A flow is all records of a
    five-tuple.
    """
    records = len(trace)
    described: dict[str, Any] = {"kind": trace.kind, "records": records}
    per_flow = _group_sizes([trace[name] for name in FIVE_TUPLE])
    described["flows"] = len(per_flow)
    if records:
        start, end = int(trace["time"].min()), int(trace["time"].max())
        described |= {"start": _iso_time(start), "end": _iso_time(end), "duration_seconds": (end - start) / 1e9}
        described["records_per_flow"] = {
            "median": float(np.median(per_flow)),
            "p99": float(np.percentile(per_flow, 99)),
            "max": int(per_flow.max()),
            "share_of_flows_with_more_than_one": float(np.mean(per_flow > 1)),
        }
    described["bytes"] = int(trace["length" if trace.kind == "packet" else "bytes"].sum(dtype=np.int64))
    if trace.kind == "flow":
        described["packets"] = int(trace["packets"].sum())
    described["protocols"] = _shares(trace["protocol"], lambda values: protocol_name(values).tolist())
    described["ip_versions"] = _shares(trace["ip_version"], lambda values: [f"IPv{value}" for value in values])
    for end_name, title in (("src", "distinct_source_addresses"), ("dst", "distinct_destination_addresses")):
        described[title] = len(_group_sizes([trace["ip_version"], trace[f"{end_name}_hi"], trace[f"{end_name}_lo"]]))
    described["top_source_addresses"] = _top_addresses(trace, "src")
    described["top_destination_ports"] = _top_ports(trace)
    for name, texts in trace.categories.items():
        if name in trace:
            described.setdefault("categories", {})[name] = _shares(
                trace[name], lambda codes, texts=texts: ["(unset)" if code < 0 else texts[code] for code in codes]
            )
    described["link_types"] = sorted({source.link_type for source in trace.sources if source.link_type})
    described["skipped"] = trace.skipped
    described["notes"] = [f"{source.path}: {note}" for source in trace.sources for note in source.notes]
    described["sources"] = [
        {
            "path": source.path,
            "format": source.format,
            "records": source.records,
            "link_type": source.link_type,
            "skipped": dict(source.skipped),
            "notes": list(source.notes),
        }
        for source in trace.sources
    ]
    return described


def _group_sizes(columns: list[np.ndarray]) -> np.ndarray:
    """int64: how many rows each distinct combination of the columns has."""
    combined = np.zeros(len(columns[0]), dtype=np.int64)
    for values in columns:
        codes, distinct = pd.factorize(values)
        combined, _ = pd.factorize(combined * max(len(distinct), 1) + codes)
    return np.bincount(combined)


def _iso_time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}Z"


def _shares(values: np.ndarray, names: Any) -> dict[str, dict[str, float]]:
    """Records and share of each distinct value, the most frequent first."""
    distinct, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows = zip(names(distinct[order]), counts[order].tolist(), strict=True)
    return {str(name): {"records": count, "share": count / len(values)} for name, count in rows}


def _top_addresses(trace: Trace, end: str) -> list[dict[str, Any]]:
    columns = {name: trace[name] for name in ("ip_version", f"{end}_hi", f"{end}_lo")}
    sizes = pd.DataFrame(columns).value_counts(sort=True).head(_TOP).reset_index()
    texts = format_addresses(*(sizes[name].to_numpy() for name in columns))
    return [
        {"address": text, "records": int(count)} for text, count in zip(texts, sizes["count"].tolist(), strict=True)
    ]


def _top_ports(trace: Trace) -> list[dict[str, Any]]:
    ports = trace["dst_port"]
    protocols = trace["protocol"]
    pairs, counts = np.unique((protocols.astype(np.int64) << 16 | ports)[ports > 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_TOP]
    names = protocol_name(pairs[order] >> 16)
    return [
        {"protocol": str(name), "port": int(pair & 0xFFFF), "records": int(count), "share": int(count) / len(trace)}
        for name, pair, count in zip(names, pairs[order], counts[order], strict=True)
    ]
