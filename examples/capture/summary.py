"""Print the tables of the sample's README: what a capture and its NetFlow records hold.

python summary.py ../sample
"""

from __future__ import annotations

import csv
import gzip
import ipaddress
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import dpkt
from network import LANS, Host, Lan

PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 44: "IPv6 fragment", 58: "ICMPv6"}
TOP = 12


def main() -> None:
    """Print all tables."""
    folder = Path(sys.argv[1])
    packets = list(read_packets(folder / "sample.pcap.gz"))
    ip = [packet for packet in packets if packet["version"]]
    times = [packet["time"] for packet in packets]
    flows = Counter((p["src"], p["dst"], p["sport"], p["dport"], p["protocol"]) for p in ip)
    octets = sum(packet["length"] for packet in ip)
    print(f"{len(packets)} packets, {len(ip)} of IP, {octets} IP bytes, {times[-1] - times[0]:.1f} s")
    print(f"from {datetime.fromtimestamp(times[0], UTC):%Y-%m-%d %H:%M:%S} UTC")
    print(f"captured bytes a packet: {sum(p['captured'] for p in packets) / len(packets):.1f}")
    describe_flows(list(flows.values()))
    names = {address: host for lan in LANS for host in lan.hosts for address in addresses(lan, host)}
    show("IP version", (p["version"] or "not IP (ARP)" for p in packets), len(packets))
    show("protocol", (PROTOCOLS.get(p["protocol"], p["protocol"]) for p in ip), len(ip))
    show("service (TCP, UDP)", (service(p) for p in ip if p["sport"]), len(ip))
    show("host (packets sent)", (names.get(p["src"], p["src"]) for p in ip), len(ip), 30)
    show("IP length", (p["length"] for p in ip), len(ip))
    show("TTL, hop limit", (p["ttl"] for p in ip), len(ip))
    show("ICMP, ICMPv6 type/code", (p["icmp"] for p in ip if p["icmp"]), len(ip))
    describe_netflow(folder / "sample-netflow.csv.gz")


def read_packets(path: Path) -> Iterator[dict]:
    """A dictionary a packet; `version` is 0 for what is not IP."""
    with gzip.open(path) as file:
        reader = dpkt.pcap.UniversalReader(file)
        for time, frame in reader:
            packet = {"time": float(time), "captured": len(frame), "version": 0, "sport": 0, "dport": 0, "icmp": ""}
            ethertype = int.from_bytes(frame[12:14], "big")
            if ethertype in (0x0800, 0x86DD):
                packet |= ipv4(frame[14:]) if ethertype == 0x0800 else ipv6(frame[14:])
                start = packet.pop("rest")
                if packet["protocol"] in (6, 17) and len(start) >= 4:
                    packet["sport"], packet["dport"] = (
                        int.from_bytes(start[:2], "big"),
                        int.from_bytes(start[2:4], "big"),
                    )
                elif packet["protocol"] in (1, 58) and len(start) >= 2:
                    packet["icmp"] = f"{PROTOCOLS[packet['protocol']]} {start[0]}/{start[1]}"
            yield packet


def ipv4(data: bytes) -> dict:
    """Fields of an IPv4 header; `rest` is empty for a later fragment."""
    later = int.from_bytes(data[6:8], "big") & 0x1FFF
    return {"version": 4, "length": int.from_bytes(data[2:4], "big"), "ttl": data[8], "protocol": data[9],
            "src": data[12:16], "dst": data[16:20], "rest": b"" if later else data[4 * (data[0] & 15) :]}  # fmt: skip


def ipv6(data: bytes) -> dict:
    """Fields of an IPv6 header; extension headers are not followed."""
    return {"version": 6, "length": 40 + int.from_bytes(data[4:6], "big"), "ttl": data[7], "protocol": data[6],
            "src": data[8:24], "dst": data[24:40], "rest": data[40:]}  # fmt: skip


def addresses(lan: Lan, host: Host) -> tuple[bytes, bytes]:
    """A host's addresses as bytes."""
    return ipaddress.ip_address(lan.address4(host)).packed, ipaddress.ip_address(lan.address6(host)).packed


def service(packet: dict) -> str:
    """The lower port with its protocol."""
    port = min(packet["sport"], packet["dport"])
    return f"{PROTOCOLS[packet['protocol']]} {port}"


def describe_flows(sizes: list[int]) -> None:
    """Packets a flow (one direction)."""
    sizes = sorted(sizes)
    several = sum(size > 1 for size in sizes) / len(sizes)
    print(f"{len(sizes)} flows of one direction; packets a flow: median {sizes[len(sizes) // 2]}, "
          f"99% {sizes[int(0.99 * len(sizes))]}, most {sizes[-1]}; {several:.0%} have more than one")  # fmt: skip


def describe_netflow(path: Path) -> None:
    """Sums of the NetFlow records."""
    with gzip.open(path, "rt", newline="") as file:
        records = list(csv.DictReader(file))
    keys = Counter(tuple(r[name] for name in ("sa", "da", "sp", "dp", "pr")) for r in records)
    packets, octets = (sum(int(r[name]) for r in records) for name in ("ipkt", "ibyt"))
    print(f"\nNetFlow: {len(records)} records, {packets} packets, {octets} bytes; {len(keys)} five-tuples, "
          f"{sum(count > 1 for count in keys.values())} with several records (most: {max(keys.values())})")  # fmt: skip
    show("NetFlow protocol", (r["pr"] for r in records), len(records))
    show("NetFlow IP version", (6 if ":" in r["sa"] else 4 for r in records), len(records))


def show(title: str, values: Iterable[object], total: int, top: int = TOP) -> None:
    """A table of the most common values."""
    counts = Counter(value.name if isinstance(value, Host) else value for value in values)
    print(f"\n| {title} ({len(counts)} different) | number | share |\n|---|---|---|")
    for value, count in counts.most_common(top):
        print(f"| {value if not isinstance(value, bytes) else value.hex()} | {count:,} | {count / total:.1%} |")


if __name__ == "__main__":
    main()
