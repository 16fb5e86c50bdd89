"""Reading and writing captures, against dpkt, scapy and tshark on the same file in the same run.

    python -m benchmarks.io.run [--packets 2000000] [-o benchmarks/io]

The capture is the shipped sample, repeated with shifted times and addresses, headers only as the sample has them. Each
task runs in a process of its own, once to warm the file cache and once to be measured: CPU seconds (user and system,
imports left out) and peak memory. Slow tools get the first packets of the file only; rates are packets a CPU second.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from postprocess import repair, write_trace
from preprocess import Trace, make_trace, read_trace
from preprocess.parquet import load_parquet, save_parquet

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "examples" / "sample" / "sample.pcap.gz"
HEADERS = 128  # snap length


@dataclass(frozen=True)
class Task:
    """What is measured, by whom, on how many packets at most; `work` takes the input and a scratch file."""

    what: str
    tool: str
    most: int
    work: Callable[[Path, Path], int]
    input: str = "capture"


def main() -> None:
    """Measure all tasks and write results.json and README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--task", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task is not None:
        print(json.dumps(_measure(TASKS[options.task], *options.files)))
        return
    with tempfile.TemporaryDirectory(prefix="netshare-io-") as folder:
        results = _run_all(options.packets, Path(folder))
    from benchmarks.machine import provenance  # loads all of netshare, which the tasks should not

    report = {**provenance(), "packets": options.packets, "results": results}
    (options.output / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.output / "README.md").write_text(_readme(report))


def _run_all(packets: int, folder: Path) -> list[dict[str, Any]]:
    trace = _repeated(packets)
    results = []
    for number, task in enumerate(TASKS):
        if task.tool == "tshark" and shutil.which("tshark") is None:
            continue
        rows = min(packets, task.most)
        suffix = "pcap" if task.input == "capture" else "parquet"
        source = folder / f"{rows}.{suffix}"
        if not source.exists():
            some = trace.take(np.arange(rows))
            if suffix == "pcap":
                write_trace(some, source, snaplen=HEADERS, nanoseconds=False)
            else:
                save_parquet(some, source)
        command = [sys.executable, "-m", "benchmarks.io.run", "--task", str(number), "--files"]
        done = subprocess.run(
            [*command, str(source), str(folder / "out.pcap")], capture_output=True, text=True, check=True
        )
        said = json.loads(done.stdout)
        assert said["packets"] == rows, (task, said)
        results.append({"what": task.what, "tool": task.tool, **said})
        print(results[-1], file=sys.stderr)
    return results


def _repeated(packets: int) -> Trace:
    """The sample as often as needed, each time later and between other hosts."""
    sample, _ = repair(read_trace(SAMPLE), assign_ip_id=False)
    times = -(-packets // len(sample))
    span = int(sample["time"][-1] - sample["time"][0]) + 1_000_000
    copy = np.repeat(np.arange(times), len(sample))
    columns = {name: np.tile(values, times) for name, values in sample.columns.items()}
    columns["time"] = columns["time"] + copy * span
    for side in ("src_lo", "dst_lo"):
        columns[side] = columns[side] ^ (copy.astype(np.uint64) << np.uint64(8))
    return make_trace("packet", {name: values[:packets] for name, values in columns.items()})


def _measure(task: Task, source: Path, scratch: Path) -> dict[str, Any]:
    if task.input == "capture":
        source.read_bytes()
    before, begun = _cpu(), time.perf_counter()
    packets = task.work(source, scratch)
    cpu, wall = _cpu() - before, time.perf_counter() - begun
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    peak = children if task.tool == "tshark" else _peak_mib()
    rate = round(packets / cpu)
    return {"packets": packets, "cpu_s": round(cpu, 3), "wall_s": round(wall, 3), "rate": rate, "peak_mib": peak}


def _peak_mib() -> int:
    """Of this process; `ru_maxrss` would tell that of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _read_netshare(source: Path, scratch: Path) -> int:
    return len(read_trace(source))


def _read_dpkt(source: Path, scratch: Path) -> int:
    """The fields that our reader gives of TCP and UDP over IPv4 and IPv6."""
    import dpkt

    rows = []
    with source.open("rb") as stream:
        for stamp, frame in dpkt.pcap.Reader(stream):
            ip = dpkt.ethernet.Ethernet(frame).data
            if isinstance(ip, dpkt.ip.IP):
                head = (stamp, ip.src, ip.dst, ip.p, ip.len, ip.tos, ip.id, ip.off, ip.ttl)
            elif isinstance(ip, dpkt.ip6.IP6):
                head = (stamp, ip.src, ip.dst, ip.p, ip.plen + 40, ip.fc, 0, 0, ip.hlim)
            else:
                head = (stamp,)
            inner = getattr(ip, "data", None)
            if isinstance(inner, dpkt.tcp.TCP):
                rows.append((*head, inner.sport, inner.dport, inner.flags, inner.win, inner.off))
            elif isinstance(inner, dpkt.udp.UDP):
                rows.append((*head, inner.sport, inner.dport))
            else:
                rows.append(head)
    return len(rows)


def _read_scapy(source: Path, scratch: Path) -> int:
    from scapy.layers import inet6, l2  # noqa: F401  (dissectors register themselves)
    from scapy.layers.inet import IP, TCP
    from scapy.utils import PcapReader

    rows = []
    with PcapReader(str(source)) as reader:
        for packet in reader:
            head = (packet.time, packet[IP].src, packet[IP].len, packet[IP].ttl) if IP in packet else (packet.time,)
            rows.append((*head, packet[TCP].sport, int(packet[TCP].flags)) if TCP in packet else head)
    return len(rows)


def _read_tshark(source: Path, scratch: Path) -> int:
    fields = "frame.time_epoch ip.src ip.dst ipv6.src ipv6.dst ip.proto ip.len ip.ttl tcp.srcport tcp.dstport tcp.flags"
    fields += " tcp.window_size_value udp.srcport udp.dstport icmp.type"
    command = ["tshark", "-r", str(source), "-n", "-T", "fields"]
    command += [word for field in fields.split() for word in ("-e", field)]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.count(b"\n")


def _write_headers(source: Path, scratch: Path) -> int:
    return _write_netshare(source, scratch, HEADERS)


def _write_whole(source: Path, scratch: Path) -> int:
    return _write_netshare(source, scratch, None)


def _write_netshare(source: Path, scratch: Path, snaplen: int | None) -> int:
    return write_trace(load_parquet(source), scratch, snaplen=snaplen).records


def _write_dpkt(source: Path, scratch: Path) -> int:
    """Whole TCP packets over IPv4 (all that differs is in the columns), with both checksums."""
    import dpkt

    trace = load_parquet(source)
    columns = [trace[name].tolist() for name in ("time", "src_lo", "dst_lo", "src_port", "dst_port", "length", "ttl")]
    with scratch.open("wb") as stream:
        writer = dpkt.pcap.Writer(stream)
        for when, src, dst, sport, dport, length, ttl in zip(*columns, strict=True):
            tcp = dpkt.tcp.TCP(sport=sport, dport=dport, data=bytes(max(length - 40, 0)))
            ends = {"src": (src & 0xFFFFFFFF).to_bytes(4), "dst": (dst & 0xFFFFFFFF).to_bytes(4)}
            ip = dpkt.ip.IP(p=6, ttl=ttl, data=tcp, **ends)
            ip.len = len(ip)
            writer.writepkt(bytes(dpkt.ethernet.Ethernet(data=ip)), ts=when / 1e9)
    return len(trace)


ALL = 10**9
TASKS = (
    Task("read", "netshare", ALL, _read_netshare),
    Task("read", "dpkt", 200_000, _read_dpkt),
    Task("read", "scapy", 10_000, _read_scapy),
    Task("read", "tshark", 100_000, _read_tshark),
    Task("write headers", "netshare", ALL, _write_headers, "table"),
    Task("write whole packets", "netshare", 200_000, _write_whole, "table"),
    Task("write whole packets", "dpkt", 50_000, _write_dpkt, "table"),
)


def _readme(report: dict[str, Any]) -> str:
    ours = {row["what"]: row["rate"] for row in report["results"] if row["tool"] == "netshare"}
    lines = [
        "# Reading and writing captures",
        "",
        "The shipped sample repeated with shifted times and addresses, headers only; `python -m benchmarks.io.run`.",
        "Rates are packets a CPU second; slow tools got the first packets of the same file. Writing computes all",
        "checksums; our times include loading the table from Parquet.",
        "",
        f"{report['date']}, commit {report['commit']}, {report['processor']}, {report['cores']} shared cores.",
        "",
        "| what | tool | packets | CPU s | packets a CPU s | ours is faster by | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["results"]:
        ratio = "" if row["tool"] == "netshare" else f"{ours[row['what']] / row['rate']:,.0f}"
        lines.append(
            f"| {row['what']} | {row['tool']} | {row['packets']:,} | {row['cpu_s']:.2f} | {row['rate']:,} | {ratio} | "
            f"{row['peak_mib']:,} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
