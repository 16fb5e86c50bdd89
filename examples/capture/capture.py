"""Make the sample: build the network, start servers, let clients act, capture at one interface, keep headers only.

    sudo python3 capture.py ../sample

writes sample.pcap.gz and, as softflowd saw the same interface, sample-netflow.csv.gz into that folder.

Takes about three minutes, needs root (network namespaces) and the packages of README.md; removes everything it made.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import servers
from clients import Action, Planner
from headers import cut_capture
from netflow import NetFlow
from network import CAPTURE_POINT, Network, find, inside

SNAP_LENGTH = 128  # all headers, IPv6 and quoted packets included; cut to the headers proper afterwards
PARALLEL_CLIENTS = 24
SETTLE_SECONDS = 2.0


def main() -> None:
    """Capture and write; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", type=Path, help="folder to write into")
    parser.add_argument("--seconds", type=float, default=140.0, help="time in which clients start something")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--keep-logs", type=Path, help="copy the servers' logs here")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("capture.py needs root: it makes network namespaces")
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="nscap-") as name:
        folder = Path(name)
        try:
            failures = record(folder, options.seconds, options.seed)
        finally:
            if options.keep_logs:
                keep_logs(folder, options.keep_logs)
        records = cut_capture(folder / "raw.pcap", folder / "cut.pcap")
        write_compressed((folder / "cut.pcap").read_bytes(), options.output / "sample.pcap.gz")
        write_compressed((folder / "flows.csv").read_bytes(), options.output / "sample-netflow.csv.gz")
    print(f"{records} packets")
    for (kind, code), count in sorted(failures.items()):
        print(f"  {kind}: {count} client runs ended with {code}")


def record(folder: Path, seconds: float, seed: int) -> collections.Counter[tuple[str, int | str]]:
    """Run the whole scenario with tcpdump at the capture point; returns failed client runs by kind and status."""
    name_servers = [lan.address4(host) for lan, host in (find("dns1"), find("dns2"))]
    with Network(name_servers):
        running = servers.start(folder, seed)
        try:
            time.sleep(SETTLE_SECONDS)
            early = [process.args for process in running if process.poll() is not None]
            if early:
                raise RuntimeError(f"a server ended at once: {early}")
            node, interface = CAPTURE_POINT
            tcpdump = ["tcpdump", "-i", interface, "-n", "-p", "-s", str(SNAP_LENGTH), "-U", "-Z", "root",
                       "-B", "8192", "-w", str(folder / "raw.pcap")]  # fmt: skip
            with (folder / "tcpdump.log").open("wb") as log:
                dump = subprocess.Popen(inside(node, tcpdump), stderr=log)
            netflow = NetFlow(folder)
            time.sleep(SETTLE_SECONDS)
            failures = act(Planner(folder, seconds, seed).plan())
            time.sleep(SETTLE_SECONDS)
            dump.terminate()
            dump.wait(timeout=10)
            netflow.stop()
            (folder / "flows.csv").write_bytes(netflow.csv())
        finally:
            servers.stop(running)
    print((folder / "tcpdump.log").read_text().strip())
    return failures


def act(plan: list[Action]) -> collections.Counter[tuple[str, int | str]]:
    """Start every action at its time; returns failures, unless they were meant, by kind and exit status."""
    failures: collections.Counter[tuple[str, int | str]] = collections.Counter()
    began = time.monotonic()
    with ThreadPoolExecutor(PARALLEL_CLIENTS) as pool:
        results = []
        for action in plan:
            time.sleep(max(0.0, began + action.start - time.monotonic()))
            results.append((action, pool.submit(perform, action)))
        for action, result in results:
            status = result.result()
            if status != 0 and not action.may_fail:
                failures[action.kind, status] += 1
    return failures


def perform(action: Action) -> int | str:
    """Run one client program to its end or its time limit."""
    limited = ["timeout", "-k", "2", str(action.limit), *action.command]
    command = inside(action.client, limited)
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).returncode


def keep_logs(folder: Path, target: Path) -> None:
    """Copy the programs' logs, for a look at what went wrong."""
    target.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        (target / log.name).write_bytes(log.read_bytes())


def write_compressed(data: bytes, target: Path) -> None:
    """Write a .gz that is there in full or not at all, and is the same for the same data."""
    partial = target.with_name(target.name + ".part")
    with partial.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as file:
        file.write(data)
    partial.replace(target)
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
