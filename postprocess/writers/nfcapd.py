"""Write flow records as an nfcapd file, the binary store of the nfdump tools, by exporting them to a real `nfcapd`.

Its layouts change between versions and are documented only by that program, so it does the writing: it is started on a
free port of the loopback interface, gets the records as NetFlow v9, and is asked to finish.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from netshare.postprocess.writers.export_packets import Exports, payload_batches, plan_exports
from netshare.postprocess.writers.output import atomic_output
from netshare.preprocess.errors import NetshareError
from netshare.preprocess.protocols import ICMP, ICMPV6
from netshare.preprocess.trace import Trace

_LOOPBACK = "127.0.0.1"
_SOCKET_BUFFER_BYTES = 4_000_000  # bytes of the collector's socket
_PACKETS_AHEAD = 32  # sent before the collector has to have taken them
_TIMEOUT_SECONDS = 30.0  # seconds for the collector to start, to take what was sent, to finish
_ROTATION_SECONDS = 86_400  # seconds
_UDP_TABLE = Path("/proc/net/udp")


def write_nfcapd(trace: Trace, path: Path) -> tuple[str, ...]:
    """Write a flow trace as an nfcapd file; returns what it does not hold, one line each.

    Raises:
        FieldError: records start before 1970 or end after 2106.
        NetshareError: the programs nfcapd and nfdump are missing or fail, or the file cannot be written.
    """
    collector, reader = shutil.which("nfcapd"), shutil.which("nfdump")
    if collector is None or reader is None:
        missing = "nfcapd" if collector is None else "nfdump"
        raise NetshareError(
            f"{path}: an nfcapd file is written by the program {missing}, which is not installed (package nfdump); "
            f"install it, or write netflow-v9 and replay it to a collector"
        )
    exports = plan_exports(trace, 9)
    with tempfile.TemporaryDirectory(prefix="netshare-nfcapd-") as name:
        folder = Path(name)
        _collect(collector, folder, exports, path)
        content = _gather(reader, folder, len(exports.rows), path)
        with atomic_output(path) as out, content.open("rb") as stream:
            shutil.copyfileobj(stream, out)
    return exports.lossy + _losses(trace)


def _losses(trace: Trace) -> tuple[str, ...]:
    """What nfcapd does not keep of the export packets that it gets."""
    icmp = np.isin(trace["protocol"], (ICMP, ICMPV6))
    ported = int(np.count_nonzero(icmp & (trace["src_port"] > 0)))
    return (f"src_port of {ported} ICMP records: nfcapd keeps type and code only",) if ported else ()


def _collect(program: str, folder: Path, exports: Exports, path: Path) -> None:
    """Run the collector until it has taken all messages and closed its files."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((_LOOPBACK, 0))
        port = probe.getsockname()[1]
    command = [
        program,
        "-w",
        str(folder),
        "-p",
        str(port),
        "-b",
        _LOOPBACK,
        "-B",
        str(_SOCKET_BUFFER_BYTES),
        "-t",
        str(_ROTATION_SECONDS),
    ]
    log = folder / ".log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(lambda: _queued(port) is not None or process.poll() is not None)
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines() or ["no reason given"]
            raise NetshareError(f"{path}: nfcapd could not be started ({lines[-1]}); try it in a terminal")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect((_LOOPBACK, port))
            for rows, lengths in payload_batches(exports):
                for number, (row, length) in enumerate(zip(rows, lengths.tolist(), strict=True)):
                    sender.send(row[:length].data)
                    if number % _PACKETS_AHEAD == 0:
                        _wait(lambda: not _queued(port))
        _wait(lambda: not _queued(port))
        process.send_signal(signal.SIGTERM)
        process.wait(_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetshareError(f"{path}: nfcapd could not be fed over the loopback interface ({error})") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _gather(program: str, folder: Path, records: int, path: Path) -> Path:
    """The one file with all records that the collector has left in `folder`."""
    files = sorted(folder.glob("nfcapd.*"))
    found = sum(_count(program, file) for file in files)
    if found != records:
        raise NetshareError(f"{path}: nfcapd has kept {found} of {records} records; is the machine short of memory?")
    if len(files) == 1:
        return files[0]
    joined = folder / "joined"  # its day ended in between
    subprocess.run([program, "-R", str(folder), "-w", str(joined)], check=True, capture_output=True)
    return joined


def _count(program: str, file: Path) -> int:
    done = subprocess.run([program, "-r", str(file), "-I"], capture_output=True, text=True, check=False)
    flows = (line.split()[-1] for line in done.stdout.splitlines() if line.startswith("Flows:"))
    return int(next(flows, "0"))


def _queued(port: int) -> int | None:
    """Bytes that wait in the receive queue of the loopback socket at `port`; None while there is none."""
    local = f"0100007F:{port:04X}"
    for line in _UDP_TABLE.read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == local:
            return int(words[4].partition(":")[2], 16)
    return None


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
