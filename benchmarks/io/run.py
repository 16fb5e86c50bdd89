"""Reading and writing captures and flow records, against dpkt, scapy, tshark and pyarrow on the same file in the same run.

    python -m benchmarks.io.run [--packets 2000000] [--repeat 5] [-o benchmarks/io]

The capture is the shipped sample, repeated with shifted times and addresses, headers only as the sample has them; flow
records are the sample's, repeated. Each measurement runs in a process of its own, with the input in the file cache, and
counts CPU seconds (user and system, imports left out) and peak memory; of several, the fastest counts, since other
programs slow a shared machine down and nothing makes it faster. Slow tools get the first packets of the file only; rates
are records a CPU second. dpkt, scapy and tshark give the fields that our reader gives.
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

from netshare.postprocess import repair, write_trace
from netshare.postprocess.headers import build_packets
from netshare.postprocess.packet_plan import PacketPlan, plan_packets
from netshare.postprocess.writers.capture import write_frames
from netshare.postprocess.writers.flow_csv import FLOW_TEXTS
from netshare.postprocess.writers.pcap import Pcap
from netshare.preprocess import Trace, make_trace, read_trace
from netshare.preprocess.parquet import load_parquet, save_parquet

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "examples" / "sample" / "sample.pcap.gz"
FLOW_SAMPLE = REPOSITORY / "examples" / "sample" / "sample-netflow.csv.gz"
FLOWS = 500_000
HEADERS = 128  # snap length


@dataclass(frozen=True)
class Task:
    """What is measured, by whom, on how many records at most: `work` on what `prepare` makes of the input, and with a
    scratch file; it returns the number of records. `input`: a capture, its table, or flow records in a layout."""

    what: str
    tool: str
    most: int
    work: Callable[[Any, Path], int]
    input: str = "capture"
    prepare: Callable[[Path], Any] = lambda source: source
    warm: Path | None = None  # a small input that loads what the first use loads


def main() -> None:
    """Measure all tasks and write results.json and README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--task", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task is not None:
        print(json.dumps(_measure(TASKS[options.task], *options.files)))
        return
    with tempfile.TemporaryDirectory(prefix="netshare-io-") as folder:
        results = _run_all(options.packets, options.repeat, Path(folder))
    from benchmarks.machine import provenance  # loads all of netshare, which the tasks should not

    report = {**provenance(), "packets": options.packets, "repeat": options.repeat, "results": results}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    memory, fuzzing = (_read_json(Path(__file__).with_name(name)) for name in ("memory.json", "fuzzing.json"))
    (options.output / "README.md").write_text(_readme(report, memory, fuzzing))


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _run_all(packets: int, repeat: int, folder: Path) -> list[dict[str, Any]]:
    trace, flows = _repeated(packets), _repeated_flows()
    results = []
    for number, task in enumerate(TASKS):
        if task.tool == "tshark" and shutil.which("tshark") is None:
            continue
        source, rows = _input(task, trace, flows, folder)
        command = [sys.executable, "-m", "benchmarks.io.run", "--task", str(number), "--files"]
        measured = []
        for _ in range(repeat):
            done = subprocess.run(
                [*command, str(source), str(folder / "out.pcap")], capture_output=True, text=True, check=True
            )
            measured.append(json.loads(done.stdout))
        fastest = min(measured, key=lambda one: one["cpu_s"])
        assert rows * 0.99 < fastest["records"] <= rows, (task, fastest)  # Zeek's log holds no protocols but three
        results.append({"what": task.what, "tool": task.tool, **fastest})
        print(results[-1], file=sys.stderr)
    return results


def _input(task: Task, trace: Trace, flows: Trace, folder: Path) -> tuple[Path, int]:
    """The task's input, written where it is not there yet, and its number of records."""
    if task.input in FLOW_TEXTS:
        source = folder / task.input
        if not source.exists():
            write_trace(flows, source, format=task.input)
        return source, len(flows)
    rows = min(len(trace), task.most)
    source = folder / f"{rows}.{'pcap' if task.input == 'capture' else 'parquet'}"
    if not source.exists():
        some = trace.take(np.arange(rows))
        if task.input == "capture":
            write_trace(some, source, snaplen=HEADERS, nanoseconds=False)
        else:
            save_parquet(some, source)
    return source, rows


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


def _repeated_flows() -> Trace:
    """The sample's flow records as often as needed, each time later."""
    sample = read_trace(FLOW_SAMPLE)
    times = -(-FLOWS // len(sample))
    columns = {name: np.tile(values, times)[:FLOWS] for name, values in sample.columns.items()}
    columns["time"] = columns["time"] + (np.repeat(np.arange(times), len(sample)) * 10**12)[:FLOWS]
    return make_trace("flow", columns, categories=sample.categories)


def _measure(task: Task, source: Path, scratch: Path) -> dict[str, Any]:
    source.read_bytes()
    prepared = task.prepare(source)
    if task.warm is not None:
        task.work(task.warm, scratch)
    scratch.unlink(missing_ok=True)  # to free what the run before wrote takes time
    before, begun = _cpu(), time.perf_counter()
    records = task.work(prepared, scratch)
    cpu, wall = _cpu() - before, time.perf_counter() - begun
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    peak = children if task.tool == "tshark" else _peak_mib()
    rate = round(records / cpu)
    return {"records": records, "cpu_s": round(cpu, 3), "wall_s": round(wall, 3), "rate": rate, "peak_mib": peak}


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
    """Our fields: time, addresses, ports, protocol, length, TTL, TOS, identification, flags, offset, VLAN; TCP's flags,
    window and header length; ICMP's type and code."""
    import dpkt

    dpkt_ip, dpkt_ip6, dpkt_tcp, dpkt_udp = dpkt.ip.IP, dpkt.ip6.IP6, dpkt.tcp.TCP, dpkt.udp.UDP
    messages = (dpkt.icmp.ICMP, dpkt.icmp6.ICMP6)
    rows = []
    with source.open("rb") as stream:
        for stamp, content in dpkt.pcap.Reader(stream):
            frame = dpkt.ethernet.Ethernet(content)
            ip = frame.data
            tags = getattr(frame, "vlan_tags", None)
            vlan = tags[0].id if tags else 0
            if isinstance(ip, dpkt_ip):
                off = ip.off
                head = (stamp, 4, ip.src, ip.dst, ip.p, ip.len, ip.tos, ip.id, off >> 13, off & 0x1FFF, ip.ttl, vlan)
            elif isinstance(ip, dpkt_ip6):
                cut = ip.extension_hdrs.get(44) if hasattr(ip, "extension_hdrs") else None
                more, offset = (cut.m_flag, cut.frag_off) if cut is not None else (0, 0)
                head = (stamp, 6, ip.src, ip.dst, ip.p, ip.plen + 40, ip.fc, 0, more, offset, ip.hlim, vlan)
            else:
                rows.append((stamp, 0, b"", b"", 0, 0, 0, 0, 0, 0, 0, vlan))
                continue
            inner = ip.data
            if isinstance(inner, dpkt_tcp):
                rows.append((*head, inner.sport, inner.dport, inner.flags, inner.win, inner.off * 4, 0, 0))
            elif isinstance(inner, dpkt_udp):
                rows.append((*head, inner.sport, inner.dport, 0, 0, 0, 0, 0))
            elif isinstance(inner, messages):
                rows.append((*head, 0, 0, 0, 0, 0, inner.type, inner.code))
            else:
                rows.append((*head, 0, 0, 0, 0, 0, 0, 0))
    return len(rows)


def _read_scapy(source: Path, scratch: Path) -> int:
    """The same fields."""
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
    from scapy.layers.l2 import Dot1Q
    from scapy.utils import PcapReader

    rows = []
    with PcapReader(str(source)) as reader:
        for packet in reader:
            vlan = packet[Dot1Q].vlan if Dot1Q in packet else 0
            if IP in packet:
                ip = packet[IP]
                head = (packet.time, 4, ip.src, ip.dst, ip.proto, ip.len, ip.tos, ip.id, int(ip.flags), ip.frag, ip.ttl,
                        vlan)  # fmt: skip
            elif IPv6 in packet:
                ip = packet[IPv6]
                cut = packet.getlayer(IPv6ExtHdrFragment)
                more, offset = (cut.m, cut.offset) if cut is not None else (0, 0)
                head = (packet.time, 6, ip.src, ip.dst, ip.nh, ip.plen + 40, ip.tc, 0, more, offset, ip.hlim, vlan)
            else:
                rows.append((packet.time, 0, "", "", 0, 0, 0, 0, 0, 0, 0, vlan))
                continue
            if TCP in ip:
                inner = ip[TCP]
                rows.append((*head, inner.sport, inner.dport, int(inner.flags), inner.window, inner.dataofs * 4, 0, 0))
            elif UDP in ip:
                rows.append((*head, ip[UDP].sport, ip[UDP].dport, 0, 0, 0, 0, 0))
            else:
                kind = ip.getlayer(ICMP) or ip.payload
                rows.append((*head, 0, 0, 0, 0, 0, getattr(kind, "type", 0), getattr(kind, "code", 0)))
    return len(rows)


def _read_tshark(source: Path, scratch: Path) -> int:
    """The same fields, as text."""
    fields = "frame.time_epoch ip.src ip.dst ipv6.src ipv6.dst ip.proto ipv6.nxt ip.len ipv6.plen ip.ttl ipv6.hlim "
    fields += "ip.dsfield ipv6.tclass ip.id ip.flags ip.frag_offset tcp.srcport tcp.dstport tcp.flags tcp.hdr_len "
    fields += "tcp.window_size_value udp.srcport udp.dstport icmp.type icmp.code icmpv6.type icmpv6.code vlan.id"
    command = ["tshark", "-r", str(source), "-n", "-T", "fields"]
    command += [word for field in fields.split() for word in ("-e", field)]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.count(b"\n")


def _read_pyarrow(source: Path, scratch: Path) -> int:
    """All columns, their types as pyarrow finds them, with one thread; addresses stay texts."""
    import pyarrow.csv as csv

    tabs = source.name == "zeek-tsv"
    read = csv.ReadOptions(use_threads=False, skip_rows=8 if tabs else 0, autogenerate_column_names=tabs)
    parse = csv.ParseOptions(delimiter="\t" if tabs else ",", invalid_row_handler=lambda row: "skip")
    return csv.read_csv(source, read_options=read, parse_options=parse).num_rows


def _plan(trace: Trace, scratch: Path) -> int:
    return len(plan_packets(trace).sequence)


def _planned(source: Path) -> tuple[Trace, PacketPlan]:
    trace = load_parquet(source)
    return trace, plan_packets(trace)


def _write_planned(prepared: tuple[Trace, PacketPlan], scratch: Path) -> int:
    """Frames with all checksums, of numbers and options that are there already."""
    trace, plan = prepared

    def build(start: int, stop: int, lead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return build_packets(trace, plan, start=start, stop=stop, lead=lead, snaplen=HEADERS)

    write_frames(trace, scratch, Pcap(nanoseconds=False), build, link_type="ethernet", snaplen=HEADERS)
    return len(trace)


def _write_headers(trace: Trace, scratch: Path) -> int:
    return write_trace(trace, scratch, snaplen=HEADERS).records


def _write_whole(trace: Trace, scratch: Path) -> int:
    return write_trace(trace, scratch).records


def _write_dpkt(trace: Trace, scratch: Path) -> int:
    """Whole TCP packets over IPv4 (all that differs is in the columns), with both checksums."""
    import dpkt

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
CSV_LAYOUTS = ("netshare-csv", "nfdump-csv", "zeek-tsv")
TASKS = (
    Task("read packets", "netshare", ALL, _read_netshare, warm=SAMPLE),
    Task("read packets", "dpkt", 100_000, _read_dpkt),
    Task("read packets", "scapy", 10_000, _read_scapy),
    Task("read packets", "tshark", 100_000, _read_tshark),
    Task("write headers", "netshare", ALL, _write_headers, "table", load_parquet),
    Task("of which TCP numbers and options", "netshare", ALL, _plan, "table", load_parquet),
    Task("of which packets, checksums, file", "netshare", ALL, _write_planned, "table", _planned),
    Task("write whole packets", "netshare", 400_000, _write_whole, "table", load_parquet),
    Task("write whole packets", "dpkt", 50_000, _write_dpkt, "table", load_parquet),
    *(
        Task(f"read {layout}", tool, ALL, work, layout, warm=FLOW_SAMPLE)
        for layout in CSV_LAYOUTS
        for tool, work in (("netshare", _read_netshare), ("pyarrow.csv", _read_pyarrow))
    ),
)


def _readme(report: dict[str, Any], memory: dict[str, Any], fuzzing: dict[str, Any]) -> str:
    ours = {row["what"]: row["rate"] for row in report["results"] if row["tool"] == "netshare"}
    lines = [
        "# Reading and writing captures and flow records",
        "",
        "`python -m benchmarks.io.run`; its docstring tells what is measured. Writing takes a table that is in memory, and",
        "computes all checksums, sequence numbers and options; the share of what spans packets is told apart. `pyarrow.csv`",
        "finds the columns' types and leaves addresses and dates of other layouts as texts.",
        "",
        f"{report['date']}, commit {report['commit']}, {report['processor']}, {report['cores']} shared cores, the fastest "
        f"of {report['repeat']} runs.",
        "",
        "| what | tool | records | CPU s | records a CPU s | ours is faster by | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["results"]:
        ratio = "" if row["tool"] == "netshare" else f"{ours[row['what']] / row['rate']:,.3g}"
        lines.append(
            f"| {row['what']} | {row['tool']} | {row['records']:,} | {row['cpu_s']:.2f} | {row['rate']:,} | {ratio} | "
            f"{row['peak_mib']:,} |"
        )
    if memory:
        lines += [
            "",
            "## Memory",
            "",
            "A capture made on the way, through a pipe into `netshare inspect` (`python -m benchmarks.io.memory`; "
            f"{memory['date']}, commit {memory['commit']}):",
            f"{memory['bytes'] / 1e9:.1f} GB, {memory['packets']:,} packets, {memory['flows']:,} flows: at most "
            f"{memory['peak_mib']:,} MiB, {memory['wall_s']:,.0f} s.",
        ]
    if fuzzing:
        lines += [
            "",
            "## Fuzzing",
            "",
            "Coverage-guided, a target for each reader (`python -m benchmarks.io.fuzz READER CORPUS`); each finding has a",
            f"regression test. {fuzzing['date']}, {fuzzing['note']}",
            "",
            "| reader | inputs tried | minutes | findings |",
            "|---|---|---|---|",
            *(
                f"| {name} | {row['inputs']:,} | {row['minutes']:g} | {row['findings']} |"
                for name, row in fuzzing["readers"].items()
            ),
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
