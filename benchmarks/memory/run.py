"""Memory of a whole run on a trace with one flow of 1,000,000 packets in it, whose padding would take terabytes.

    python -m benchmarks.memory.run [--trace examples/sample/sample.pcap.gz] [--packets 1000000] [--set KEY=VALUE]
                                    [-o benchmarks/memory]

The trace is a real one and, over its whole duration, a TCP download whose packets come in bursts. `netshare run` goes
through all stages in a process of its own; of it and all its children together, the proportional set size is read once
a second. Seconds and peak of each stage, and of the whole run, go to `results.json` and `README.md`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from netshare.postprocess import write_trace
from netshare.preprocess import Trace, make_trace, read_trace

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parents[1] / "examples" / "sample" / "sample.pcap.gz"
SEED = 0
BAR_GB = 3.0
RAY_DAEMONS = ("gcs_server", "raylet/raylet", "log_monitor", "monitor.py", "ray::IDLE", "agent.py", "runtime_env")


def main() -> None:
    """Run what is asked for and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", type=Path, default=SAMPLE)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="netshare-memory-") as folder:
        capture = Path(folder) / "elephant.pcap"
        trace = with_elephant(read_trace(options.trace), options.packets)
        write_trace(trace, capture, snaplen=128)
        row = {**_provenance(), "trace": options.trace.name, "elephant": options.packets, "records": len(trace)}
        del trace
        row |= {"overrides": options.overrides, **measure(capture, Path(folder) / "run", options.overrides)}
    (options.output / "results.json").write_text(json.dumps(row, indent=1) + "\n")
    (options.output / "README.md").write_text(markdown(row))
    print(markdown(row))


def _provenance() -> dict[str, Any]:
    from benchmarks.machine import provenance  # loads all of netshare

    return provenance()


def with_elephant(trace: Trace, packets: int) -> Trace:
    """The trace and one more conversation of so many packets, which is not among those that a run holds back."""
    from netshare.evaluation import split_by_flow

    for port in range(40_000, 40_100):
        few = _merged(trace, _elephant(trace, 3, port))
        kept, _ = split_by_flow(few, 0.8, SEED)
        if bool((kept["src_port"] == port).any() or (kept["dst_port"] == port).any()):
            return _merged(trace, _elephant(trace, packets, port))
    raise SystemExit("no port was found whose flow is trained on")


def _elephant(trace: Trace, packets: int, port: int) -> dict[str, np.ndarray]:
    """Columns of the conversation: two full segments down, an acknowledgement up, in bursts over the trace's time."""
    rng = np.random.default_rng(SEED)
    down = np.arange(packets) % 3 != 2
    gaps = np.where(rng.random(packets) < 0.02, rng.exponential(1.0, packets), rng.exponential(0.002, packets))
    begin, end = int(trace["time"].min()), int(trace["time"].max())
    position = np.cumsum(gaps) / gaps.sum()
    client, server = 0xC0000201, 0xC6336407  # 192.0.2.1, 198.51.100.7
    return {
        "time": begin + (position * (end - begin)).astype(np.int64) // 1000 * 1000,
        "ip_version": np.full(packets, 4),
        "src_lo": np.where(down, server, client),
        "dst_lo": np.where(down, client, server),
        "src_port": np.where(down, 443, port),
        "dst_port": np.where(down, port, 443),
        "protocol": np.full(packets, 6),
        "length": np.where(down, np.where(rng.random(packets) < 0.1, rng.integers(100, 1500, packets), 1500), 52),
        "ttl": np.where(down, 55, 64),
        "tcp_flags": np.where(rng.random(packets) < 0.05, 24, 16),
        "tcp_window": np.where(down, 501, rng.integers(1000, 4000, packets)),
        "tcp_header_length": np.full(packets, 32),
        "ip_flags": np.full(packets, 2),
    }


def _merged(trace: Trace, more: dict[str, np.ndarray]) -> Trace:
    other = make_trace("packet", more)
    joined = {name: np.concatenate([trace[name], other[name]]) for name in other if name in trace}
    return make_trace("packet", joined, sources=trace.sources).sorted_by_time()


def measure(capture: Path, folder: Path, overrides: list[str]) -> dict[str, Any]:
    """Seconds, and peak memory in MiB, of a run and of each of its stages."""
    config = capture.with_suffix(".json")
    config.write_text(json.dumps({"input": str(capture), "seed": SEED}))
    command = [sys.executable, "-m", "netshare.commands.main", "run", str(config), "--work-dir", str(folder)]
    for override in overrides:
        command += ["--set", override]
    log = capture.with_suffix(".log")
    stage, stages, peak, daemons = "start", defaultdict(lambda: [0.0, 0.0]), 0.0, 0.0
    begun = last = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
        while process.poll() is None:
            own, ray = memory_of(process.pid)
            now = time.monotonic()
            stage = _stage(log) or stage
            stages[stage][0] += now - last
            stages[stage][1] = max(stages[stage][1], own)
            peak, daemons, last = max(peak, own), max(daemons, ray), now
            time.sleep(1)
    if process.returncode:
        raise SystemExit(log.read_text())
    generation = json.loads((folder / "generated" / "generation.json").read_text())
    return {
        "peak_mib": round(peak),
        "ray_daemons_mib": round(daemons),
        "seconds": round(time.monotonic() - begun, 1),
        "stages": {name: {"seconds": round(s, 1), "peak_mib": round(m)} for name, (s, m) in stages.items()},
        "synthetic_records": generation["records"],
    }


def memory_of(root: int) -> tuple[float, float]:
    """MiB of a process and its descendants (proportional set size), and apart from them of Ray's daemons."""
    own = daemons = 0.0
    for pid in _descendants(root):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        mib = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
        if any(name in command for name in RAY_DAEMONS):
            daemons += mib
        else:
            own += mib
    return own, daemons


def _descendants(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children[parent].append(int(path.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children[pid]


def _stage(log: Path) -> str | None:
    """The last stage that the run's progress names."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line.removesuffix(" ...") for line in reversed(lines) if line.endswith(" ...")), None)


def markdown(row: dict[str, Any]) -> str:
    """The figures as a page."""
    options = "".join(f" --set {value}" for value in row["overrides"])
    gigabytes = row["peak_mib"] * 2**20 / 1e9
    lines = [
        "# Memory",
        "",
        f"A whole run with the default preset on {row['trace']} with one flow of {row['elephant']:,} packets in it",
        f"({row['records']:,} in all); `python -m benchmarks.memory.run{options}`.",
        "Peak of all its processes together (proportional set size):",
        f"**{gigabytes:.2f} GB** (bar: less than {BAR_GB:.0f} GB). Padded to its longest flow the trace would take terabytes.",
        "With `epochs=1` one pass is trained; weights, moments and batches are as large in every other. Generation is bound",
        "by its longest series, one record after another: 65,536 in each chunk, 0.4 ms each on an idle core.",
        "",
        "| stage | seconds | peak MiB |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {own['seconds']:.0f} | {own['peak_mib']:,} |" for name, own in row["stages"].items()]
    lines += [
        f"| all | {row['seconds']:.0f} | {row['peak_mib']:,} |",
        "",
        f"{row['synthetic_records']:,} synthetic packets. Daemons of Ray, apart: {row['ray_daemons_mib']:,} MiB.",
        "Seconds are upper bounds where the machine does other work meanwhile, as it did here.",
        "",
        f"{row['date']}, commit {row['commit']}, {row['processor']}, {row['cores']} cores, {row['memory_gib']} GiB.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
