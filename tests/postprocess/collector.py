"""Replay a capture of export packets into a real collector, and what the collector then holds."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import dpkt

FIELDS = "%tsr,%td,%pr,%sa,%da,%sp,%dp,%flg,%stos,%ipkt,%ibyt,%opkt,%obyt"


def replay(capture: Path, folder: Path) -> Path:
    """Send the UDP payloads of a capture to nfcapd over loopback; returns the file that it writes."""
    folder.mkdir()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["nfcapd", "-w", str(folder), "-p", str(port), "-b", "127.0.0.1", "-t", "86400", "-B", "4000000"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while f":{port:04X} " not in Path("/proc/net/udp").read_text():
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.005)
        with capture.open("rb") as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number, (_, frame) in enumerate(dpkt.pcap.UniversalReader(stream)):
                sender.sendto(bytes(dpkt.ethernet.Ethernet(frame).data.data.data), ("127.0.0.1", port))
                if number % 20 == 0:
                    time.sleep(0.002)
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    (file,) = folder.glob("nfcapd.*")
    assert "Sequence failures: 0" in _nfdump("-r", file, "-I")
    return file


def records(file: Path) -> list[str]:
    """One text a record, sorted."""
    return sorted(_nfdump("-r", file, "-q", "-N", "-6", "-o", f"fmt:{FIELDS}").replace(" ", "").splitlines())


def _nfdump(*arguments: object) -> str:
    return subprocess.run(["nfdump", *map(str, arguments)], capture_output=True, text=True, check=True).stdout
