"""Packet and flow traces with every column drawn at random, as no network would make them."""

import numpy as np

from netshare.postprocess.payload_tables import TCP_BODIES, UDP_BODIES
from netshare.preprocess.trace import FLOW_COLUMNS, FLOW_OPTIONAL_COLUMNS, PACKET_COLUMNS, Trace, make_trace

WELL_KNOWN = np.array(sorted({*range(1, 1024), *UDP_BODIES, *TCP_BODIES, 1883, 5060, 6379, 8080, 8443, 27017}))


def random_packets(rows: int, seed: int) -> Trace:
    """Any protocol, any flags and fragments; lengths up to a full Ethernet frame."""
    rng = np.random.default_rng(seed)
    columns = _anything(PACKET_COLUMNS, rows, rng)
    usual = rng.random(rows) < 0.6
    columns["protocol"] = np.where(usual, rng.choice([6, 17, 1, 58], rows), columns["protocol"])
    columns["length"] = rng.integers(0, 1500, rows)
    whole = rng.random(rows) < 0.9
    columns["ip_flags"] = np.where(whole, columns["ip_flags"] & 2, columns["ip_flags"])
    columns["fragment_offset"] = np.where(whole, 0, columns["fragment_offset"])
    columns["vlan"] = np.where(rng.random(rows) < 0.9, 0, columns["vlan"])
    return make_trace("packet", columns)


def random_flows(rows: int, seed: int) -> Trace:
    """Counters that contradict each other, negative ones included."""
    rng = np.random.default_rng(seed)
    columns = _anything({**FLOW_COLUMNS, **FLOW_OPTIONAL_COLUMNS}, rows, rng)
    columns["protocol"] = np.where(rng.random(rows) < 0.7, rng.choice([6, 17, 1, 58], rows), columns["protocol"])
    for name, most in (("packets", 9), ("bytes", 9000), ("packets_rev", 9), ("bytes_rev", 9000), ("duration", 10**9)):
        columns[name] = rng.integers(-most // 3, most, rows)
    columns["label"] = columns["attack_type"] = np.full(rows, -1)
    return make_trace("flow", columns)


def disorderly_streams(services: np.ndarray, *, segments: int, seed: int) -> Trace:
    """A conversation of TCP with each service, in which both sides send any flags in any order."""
    rng = np.random.default_rng(seed)
    port, client = np.repeat(services, segments), np.repeat(40_000 + np.arange(len(services)) % 20_000, segments)
    rows = len(port)
    answer, header = rng.random(rows) < 0.5, rng.choice([20, 24, 32], rows)
    payload = np.select([rng.random(rows) < 0.3, rng.random(rows) < 0.3], [0, rng.integers(1, 30, rows)], 1400)
    columns = {
        "time": np.arange(rows) * 1000,
        "ip_version": np.full(rows, 4),
        "src_lo": np.where(answer, 0x0A000001, 0x0A000002),
        "dst_lo": np.where(answer, 0x0A000002, 0x0A000001),
        "src_port": np.where(answer, port, client),
        "dst_port": np.where(answer, client, port),
        "protocol": np.full(rows, 6),
        "length": 20 + header + payload,
        "ttl": np.full(rows, 64),
        "tcp_flags": rng.choice([2, 18, 16, 24, 17, 25, 4, 20, 1, 16, 24], rows),
        "tcp_header_length": header,
        "tcp_window": rng.choice([0, 1000, 8192, 65_535], rows),
    }
    return make_trace("packet", columns)


def _anything(types: dict[str, np.dtype], rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    columns = {
        name: rng.integers(0, np.iinfo(dtype).max, rows, dtype=dtype, endpoint=True)
        if dtype.kind == "u"
        else rng.integers(0, 10**18, rows)
        for name, dtype in types.items()
    }
    columns["time"].sort()
    columns["epoch"][:] = 0
    columns["ip_version"] = rng.choice([4, 6], rows)
    four = columns["ip_version"] == 4
    for side in ("src", "dst"):
        columns[f"{side}_hi"][four] = 0
        columns[f"{side}_lo"][four] &= np.uint64(0xFFFFFFFF)
    # One end is a client: two services rarely talk to each other, and tshark then guesses between two dissectors.
    service = rng.choice(WELL_KNOWN, rows)
    client = rng.integers(49_152, 65_535, rows)
    outward = rng.random(rows) < 0.5
    columns["src_port"], columns["dst_port"] = np.where(outward, client, service), np.where(outward, service, client)
    return columns
