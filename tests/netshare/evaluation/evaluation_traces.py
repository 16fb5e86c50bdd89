"""Small traces with a flow structure, drawn at random, for the evaluation's tests."""

from __future__ import annotations

import numpy as np

from netshare.preprocess.trace import Trace, make_trace

HOST_BASE = 0x0A000000  # 10.0.0.0


def packet_trace(flows: int = 300, seed: int = 0, hosts: int = 40) -> Trace:
    """Flows with geometric sizes between a few clients and web or name servers over ten seconds."""
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(0.25, flows)
    flow = np.repeat(np.arange(flows), sizes)
    protocol = np.where(rng.random(flows) < 0.7, 6, 17)
    columns = {
        "src_lo": HOST_BASE + (rng.zipf(1.5, flows) % hosts),
        "dst_lo": HOST_BASE + 0x100 + (rng.zipf(1.8, flows) % hosts),
        "src_port": rng.integers(1024, 65536, flows),
        "dst_port": np.where(protocol == 6, 80, 53),
        "protocol": protocol,
        "ttl": np.where(rng.random(flows) < 0.5, 64, 128),
    }
    start = rng.uniform(0, 9e9, flows)
    packets = len(flow)
    return make_trace(
        "packet",
        {
            **{name: values[flow] for name, values in columns.items()},
            "time": (start[flow] + rng.exponential(1e8, packets)).astype(np.int64),
            "ip_version": np.full(packets, 4),
            "length": rng.choice([60, 200, 1500], packets, p=[0.5, 0.2, 0.3]),
            "tcp_flags": np.where(protocol[flow] == 6, rng.choice([0x10, 0x18], packets), 0),
        },
    ).sorted_by_time()


def flow_trace(records: int = 600, seed: int = 0, labels: tuple[str, ...] = ("benign", "scan")) -> Trace:
    """NetFlow records, some of which share a five-tuple, with a label."""
    rng = np.random.default_rng(seed)
    repeated = np.sort(rng.integers(0, records * 3 // 4, records))
    packets = rng.geometric(0.2, records)
    return make_trace(
        "flow",
        {
            "time": rng.integers(0, 10**11, records),
            "duration": rng.exponential(1e9, records).astype(np.int64) * (packets > 1),
            "ip_version": np.full(records, 4),
            "src_lo": HOST_BASE + repeated % 50,
            "dst_lo": HOST_BASE + 0x100 + repeated % 30,
            "src_port": 1024 + repeated,
            "dst_port": np.where(repeated % 3 == 0, 53, 80),
            "protocol": np.where(repeated % 3 == 0, 17, 6),
            "packets": packets,
            "bytes": packets * rng.integers(40, 1500, records),
            "label": rng.integers(-1, len(labels), records),
        },
        categories={"label": labels},
    ).sorted_by_time()


def shuffled(trace: Trace, seed: int = 0) -> Trace:
    """Each column in an order of its own: every marginal is kept, every flow torn apart."""
    rng = np.random.default_rng(seed)
    return Trace(trace.kind, {n: rng.permutation(v) for n, v in trace.columns.items()}, trace.categories)
