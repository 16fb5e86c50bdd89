"""What tshark finds wrong with a capture."""

import subprocess
from pathlib import Path

_CHECKS = ("ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE")
_STATUSES = ("ip", "tcp", "udp", "icmp", "icmpv6", "igmp", "pim", "ospf", "vrrp")


def complaints(capture: Path) -> list[str]:
    """One line a packet that is malformed or has a bad checksum."""
    fields = subprocess.run(["tshark", "-G", "fields"], capture_output=True, text=True, check=True).stdout
    names = [f"{protocol}.checksum.status" for protocol in _STATUSES]
    wrong = " || ".join(["_ws.malformed", *(f"{name} == 0" for name in names if f"\t{name}\t" in fields)])
    options = [word for check in _CHECKS for word in ("-o", check)]
    command = ["tshark", "-r", str(capture), *options, "-Y", wrong, "-T", "fields"]
    command += [word for name in ("frame.number", "frame.protocols", "frame.len") for word in ("-e", name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
