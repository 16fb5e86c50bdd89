"""NetFlow at the capture point: softflowd exports IPFIX over the router's loopback, nfcapd collects, nfdump writes CSV.

The timeouts are those of a router: a record ends 15 to 30 seconds after its last packet, 5 after a TCP FIN or RST, and
no record is longer than 60 seconds, so that long flows give several records with the same five-tuple.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from network import CAPTURE_POINT, inside

TIMEOUTS = ("tcp=30", "udp=15", "icmp=15", "general=15", "tcp.fin=5", "tcp.rst=5", "maxlife=60", "expint=1")
COLLECTOR = ("127.0.0.1", "9995")
DRAIN_SECONDS = 1.5


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
        for process in (self.exporter, self.collector):
            process.terminate()
            process.wait(timeout=10)
            time.sleep(DRAIN_SECONDS)

    def csv(self) -> bytes:
        """All records in nfdump's CSV layout, by start time, with its header and without its closing summary."""
        command = ["nfdump", "-R", str(self.flows), "-O", "tstart", "-o", "csv"]
        text = subprocess.run(command, capture_output=True, check=True).stdout
        return text.partition(b"Summary\n")[0]

    def _spawn(self, node: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            return subprocess.Popen(inside(node, command), stdout=log, stderr=subprocess.STDOUT)
