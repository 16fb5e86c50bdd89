"""A capture of any length through `netshare inspect` by a pipe: what memory does it take?

    python -m benchmarks.io.memory [--gigabytes 10] [-o benchmarks/io/memory.json]

The capture is made while it is read, and never lies on a disk: the shipped sample as whole packets, again and again, each
time later and between other hosts. Memory is the highest resident set of the reading process (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "examples" / "sample" / "sample.pcap.gz"
INSPECT = "from netshare.commands.main import main; main(['inspect', '-', '--json'])"


def main() -> None:
    """Run and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_name("memory.json"))
    options = parser.parse_args()
    measured = measure(int(options.gigabytes * 1e9))
    from benchmarks.machine import provenance

    options.output.write_text(json.dumps({**provenance(), **measured}, indent=1) + "\n")
    print(json.dumps(measured, indent=1), file=sys.stderr)


def measure(size: int) -> dict[str, float]:
    """Pipe a capture of about so many bytes through `netshare inspect`."""
    begun, sent, peak = time.perf_counter(), 0, 0
    with subprocess.Popen(
        [sys.executable, "-c", INSPECT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as reader:
        assert reader.stdin is not None and reader.stdout is not None
        for block in blocks():
            reader.stdin.write(block)
            sent += len(block)
            peak = max(peak, _high_water(reader.pid))
            if sent >= size:
                break
        reader.stdin.flush()
        reader.stdin.close()
        while reader.poll() is None:
            peak = max(peak, _high_water(reader.pid))
            time.sleep(0.01)
        counted = json.loads(reader.stdout.read())
    return {"bytes": sent, "packets": counted["records"], "flows": counted["flows"], "peak_mib": peak,
            "wall_s": round(time.perf_counter() - begun, 1)}  # fmt: skip


def blocks() -> Iterator[bytes]:
    """A pcap file without end: its header, then the sample's packets again and again."""
    from netshare.postprocess import repair, write_trace
    from netshare.preprocess import read_trace

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.pcap"
        sample, _ = repair(read_trace(SAMPLE), assign_ip_id=False)
        write_trace(sample, path, link_type="ethernet", nanoseconds=False)
        content = np.fromfile(path, np.uint8)
    yield content[:24].tobytes()
    block = content[24:].copy()
    length = np.where(sample["vlan"] > 0, 18, 14) + sample["length"].astype(np.int64) + 16
    starts = np.cumsum(length) - length
    seconds = np.ndarray(len(block) - 3, dtype="<u4", buffer=block.data, strides=(1,))
    four = sample["ip_version"] == 4
    ip = starts + np.where(sample["vlan"] > 0, 34, 30)
    middle = np.concatenate([(ip + np.where(four, 14, 22)), ip + np.where(four, 18, 38)])  # a byte of each address
    span = int(sample["time"][-1] - sample["time"][0]) // 1_000_000_000 + 1
    for number in range(1 << 30):
        yield block.tobytes()
        seconds[starts] += np.uint32(span)
        block[middle] ^= np.uint8((number ^ (number + 1)) & 0xFF)
        block[middle + 1] ^= np.uint8(((number ^ (number + 1)) >> 8) & 0xFF)


def _high_water(process: int) -> int:
    """MiB; 0 where the process has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return max((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), default=0) // 1024


if __name__ == "__main__":
    main()
