"""The public facts beside this file: services with their ports, protocols with their numbers; see `build`."""

from __future__ import annotations

import csv
from pathlib import Path

TABLES = Path(__file__).parent


def read_table(name: str) -> list[dict[str, str]]:
    """Rows of `services.csv` (port, protocols, service, class, source) or `protocols.csv` (protocol, name, class)."""
    with (TABLES / name).open(newline="") as file:
        return list(csv.DictReader(file))


def named_ports() -> list[int]:
    """Ports of public knowledge, sorted: those that a service is known for, and 0 where there are no ports."""
    return sorted({int(row["port"]) for row in read_table("services.csv")})
