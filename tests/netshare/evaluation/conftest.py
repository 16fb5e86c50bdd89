import gzip
from pathlib import Path

import numpy as np
import pytest

from preprocess.trace import Trace, make_trace

NANOSECONDS = 1000  # in the microsecond that both files count in


@pytest.fixture(scope="session")
def isp_packets(development_traces: Path) -> Trace:
    """p1: 10,000 packets of an ISP; its IPv4 packets read plainly, one by one."""
    import dpkt

    rows = []
    with gzip.open(development_traces / "p1_isp-2007.pcap.gz") as file:
        for time, frame in dpkt.pcap.Reader(file):
            if len(frame) < 34 or frame[12:14] != b"\x08\x00":
                continue
            ip = frame[14:]
            transport = ip[4 * (ip[0] & 15) :]
            has_ports = ip[9] in (6, 17) and len(transport) >= 4
            rows.append(
                (
                    round(float(time) * 1e6) * NANOSECONDS,
                    int.from_bytes(ip[12:16], "big"),
                    int.from_bytes(ip[16:20], "big"),
                    int.from_bytes(transport[:2], "big") if has_ports else 0,
                    int.from_bytes(transport[2:4], "big") if has_ports else 0,
                    ip[9],
                    int.from_bytes(ip[2:4], "big"),
                    ip[8],
                    transport[13] if ip[9] == 6 and len(transport) > 13 else 0,
                )
            )
    names = ("time", "src_lo", "dst_lo", "src_port", "dst_port", "protocol", "length", "ttl", "tcp_flags")
    columns = {name: np.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
    return make_trace("packet", {**columns, "ip_version": np.full(len(rows), 4)}).sorted_by_time()


@pytest.fixture(scope="session")
def netflow_records(development_traces: Path) -> Trace:
    """n3: NetFlow v9 records of an enterprise's edge, from nfdump's CSV."""
    import pandas as pd

    table = pd.read_csv(development_traces / "n3_enterprise-v9.csv.gz", usecols=range(13), dtype=str)
    table = table[table["ts"].str.startswith("20", na=False)]

    def address(column: str) -> np.ndarray:
        octets = table[column].str.split(".", expand=True).to_numpy(np.int64)
        return octets @ np.array([1 << 24, 1 << 16, 1 << 8, 1])

    columns = {
        "time": pd.to_datetime(table["ts"]).to_numpy("datetime64[ns]").astype(np.int64),
        "duration": table["td"].to_numpy(np.float64) * 1e9,
        "ip_version": np.full(len(table), 4),
        "src_lo": address("sa"),
        "dst_lo": address("da"),
        "src_port": table["sp"].to_numpy(np.float64),
        "dst_port": table["dp"].to_numpy(np.float64),
        "protocol": table["pr"].map({"TCP": 6, "UDP": 17, "ICMP": 1, "PIM": 103}).to_numpy(np.uint8),
        "packets": table["ipkt"].to_numpy(np.int64),
        "bytes": table["ibyt"].to_numpy(np.int64),
    }
    return make_trace("flow", columns).sorted_by_time()
