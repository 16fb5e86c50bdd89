"""How netml.json was made: features of a drawn trace by netml 0.7.1, in an environment of its own.

    python -m venv netml-env && netml-env/bin/pip install netml==0.7.1
    netml-env/bin/python make_netml.py netml.json     (netml 0.7.1, scapy 2.5.0, numpy 2.0.2)

Packets are written as raw IP, so that netml's packet sizes are those of the IP packets. Times are small and of whole
microseconds, which a capture keeps exactly.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from netml.pparser.parser import PCAP
from scapy.all import IP, TCP, UDP, Raw, wrpcap

rng = np.random.default_rng(11)
FLOWS = 60
rows = []
for flow in range(FLOWS):
    packets = int(rng.geometric(0.2))
    start = rng.uniform(0, 50)
    gaps = rng.exponential(rng.choice([0.01, 0.5, 3.0]), packets) * rng.choice([1, 1, 1, 20], packets)
    if flow % 13 == 0 and packets > 3:
        gaps[packets // 2] = 700.0
    protocol = 6 if flow % 3 else 17
    for time in start + np.cumsum(gaps):
        header = 40 if protocol == 6 else 28
        rows.append((round(time * 1e6), flow, protocol, header + int(rng.choice([0, 12, 500, 1400]))))
rows.sort()
columns = {n: [row[i] for row in rows] for i, n in enumerate(("time_us", "flow", "protocol", "length"))}

frames = []
for time, flow, protocol, length in rows:
    ports = {"sport": 10_000 + flow, "dport": 443}
    body = TCP(**ports) if protocol == 6 else UDP(**ports)
    header = 40 if protocol == 6 else 28
    frame = IP(src="10.0.0.1", dst="10.0.0.2") / body / Raw(b"\0" * (length - header))
    frame.time = time / 1e6
    frames.append(frame)

with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
    wrpcap(file.name, frames, linktype=101)
    capture = PCAP(file.name, flow_ptks_thres=2)
    capture.pcap2flows(q_interval=0.9)
    expected = {}
    for mode in ("IAT", "SIZE", "IAT_SIZE", "STATS", "SAMP_NUM", "SAMP_SIZE"):
        capture.flow2features(mode)
        expected[mode] = [[float(f"{value:.9g}") for value in row] for row in capture.features]
    fids = [int(fid[2]) - 10_000 for fid, _ in capture.flows]

made = {"trace": columns, "flow": fids, "features": expected}
Path(sys.argv[1]).write_text(json.dumps(made, separators=(",", ":")))
print({mode: np.shape(values) for mode, values in expected.items()}, len(fids))
