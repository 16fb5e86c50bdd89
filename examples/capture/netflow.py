"""NetFlow at the capture point: softflowd exports IPFIX over the router's loopback, nfcapd collects, nfdump writes CSV.

The timeouts are those of a router: a record ends 8 to 15 seconds after its last packet, 5 after a TCP FIN or RST, and
no record is much longer than 30 seconds, so that long flows give several records with the same five-tuple.

softflowd sees packets only when libpcap's buffer block is full. `push` fills it at the end with frames of an
experimental EtherType, which softflowd does not count, so that the last real packets reach it:

    python3 netflow.py INTERFACE
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from network import CAPTURE_POINT, inside

TIMEOUTS = ("tcp=15", "udp=10", "icmp=8", "general=15", "tcp.fin=5", "tcp.rst=5", "maxlife=30", "expint=1")
COLLECTOR = ("127.0.0.1", "9995")
DRAIN_SECONDS = 1.5
EXPERIMENTAL_ETHERTYPE = bytes.fromhex("88b5")  # IEEE Std 802, local experimental
LOCAL_ADDRESS = bytes.fromhex("020000000001")
FILLING_FRAMES = 4000


class NetFlow:
    """Exporter and collector of one capture."""

    def __init__(self, folder: Path) -> None:
        self.flows = folder / "nfcapd"
        self.flows.mkdir()
        self.folder = folder
        node, interface = CAPTURE_POINT
        host, port = COLLECTOR
        self.collector = self._spawn(
            node, "nfcapd", "-w", str(self.flows), "-b", host, "-p", port, "-t", "3600", "-B", "4000000"
        )
        time.sleep(0.5)
        timeouts = [word for timeout in TIMEOUTS for word in ("-t", timeout)]
        self.exporter = self._spawn(
            node, "softflowd", "-d", "-N", "-i", interface, "-v", "10", "-A", "milli", "-m", "65536", *timeouts,
            "-n", f"{host}:{port}", "-p", str(folder / "softflowd.pid"), "-c", str(folder / "softflowd.ctl"),
        )  # fmt: skip

    def stop(self) -> None:
        """End both; the exporter sends what it still holds first."""
        node, interface = CAPTURE_POINT
        subprocess.run(inside(node, [sys.executable, str(Path(__file__).resolve()), interface]), check=True)
        time.sleep(DRAIN_SECONDS)
        control = ["softflowctl", "-c", str(self.folder / "softflowd.ctl"), "expire-all"]
        subprocess.run(control, check=True, stdout=subprocess.DEVNULL)
        time.sleep(DRAIN_SECONDS)
        for process in (self.exporter, self.collector):
            process.terminate()
            process.wait(timeout=10)
            time.sleep(DRAIN_SECONDS)

    def csv(self) -> bytes:
        """All records in nfdump's CSV layout, by start time (UTC), with its header, without its closing summary."""
        command = ["nfdump", "-R", str(self.flows), "-O", "tstart", "-o", "csv"]
        text = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "TZ": "UTC"}).stdout
        return text.partition(b"Summary\n")[0]

    def _spawn(self, node: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            return subprocess.Popen(inside(node, command), stdout=log, stderr=subprocess.STDOUT)


def push(interface: str) -> None:
    """Send frames that nobody takes, enough to fill a block of a packet ring."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        for _ in range(FILLING_FRAMES):
            raw.send(LOCAL_ADDRESS * 2 + EXPERIMENTAL_ETHERTYPE + bytes(114))


if __name__ == "__main__":
    push(sys.argv[1])
