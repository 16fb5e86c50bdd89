"""The sample that ships: what its README promises, found with a reader that shares nothing with the package."""

from __future__ import annotations

import csv
import gzip
import ipaddress
import json
import struct
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ETHERNET = 14
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
LARGEST_TOTAL = 2 << 20  # bytes of examples/sample
LARGEST_CAPTURE = 1_500_000
NETFLOW_TOLERANCE = 0.001  # exporter and capture start and end some milliseconds apart
DOCUMENTATION = [
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]  # RFC 5737, RFC 3849
LOCAL_IPV6 = [ipaddress.ip_network(text) for text in ("fe80::/10", "ff00::/8", "::/128")]
SERVICES = {(TCP, 22), (TCP, 25), (TCP, 53), (TCP, 80), (TCP, 443), (TCP, 587), (TCP, 5201), (TCP, 5432), (TCP, 6379),
            (UDP, 53), (UDP, 123), (UDP, 5203)}  # fmt: skip


@dataclass(frozen=True)
class Packet:
    time: float
    captured: int
    wire: int
    version: int  # 0: not IP
    length: int = 0
    protocol: int = 0
    ttl: int = 0
    addresses: tuple[bytes, bytes] = (b"", b"")
    transport: bytes = b""  # empty for later fragments and extension headers


@pytest.fixture(scope="module")
def packets(sample_capture: Path) -> list[Packet]:
    data = gzip.decompress(sample_capture.read_bytes())
    assert struct.unpack_from("<IHHiIII", data)[0] == 0xA1B2C3D4
    assert struct.unpack_from("<I", data, 20) == (1,), "Ethernet"
    found, position = [], 24
    while position < len(data):
        seconds, micro, captured, wire = struct.unpack_from("<IIII", data, position)
        frame = data[position + 16 : position + 16 + captured]
        assert len(frame) == captured
        found.append(parse(seconds + micro / 1e6, wire, frame))
        position += 16 + captured
    return found


@pytest.fixture(scope="module")
def records(sample_netflow: Path) -> list[dict[str, str]]:
    with gzip.open(sample_netflow, "rt", newline="") as file:
        return list(csv.DictReader(file))


def parse(time: float, wire: int, frame: bytes) -> Packet:
    ethertype = frame[12:14].hex()
    if ethertype == "0800":
        header = 4 * (frame[14] & 15)
        first = not int.from_bytes(frame[20:22], "big") & 0x1FFF
        return Packet(
            time, len(frame), wire, 4, int.from_bytes(frame[16:18], "big"), frame[23], frame[22],
            (frame[26:30], frame[30:34]), frame[ETHERNET + header :] if first else b"",
        )  # fmt: skip
    if ethertype == "86dd":
        plain = frame[20] in (TCP, UDP, ICMPV6)
        return Packet(
            time, len(frame), wire, 6, 40 + int.from_bytes(frame[18:20], "big"), frame[20], frame[21],
            (frame[22:38], frame[38:54]), frame[54:] if plain else b"",
        )  # fmt: skip
    return Packet(time, len(frame), wire, 0)


def ports(packet: Packet) -> tuple[int, int]:
    return struct.unpack(">HH", packet.transport[:4])


def test_sizes_stay_small(sample_capture: Path) -> None:
    total = sum(path.stat().st_size for path in sample_capture.parent.rglob("*") if path.is_file())
    assert total <= LARGEST_TOTAL
    assert sample_capture.stat().st_size <= LARGEST_CAPTURE


def test_number_order_and_span_of_packets(packets: list[Packet]) -> None:
    assert 20_000 <= len(packets) <= 60_000
    times = [packet.time for packet in packets]
    assert times == sorted(times)
    assert 120 < times[-1] - times[0] < 180


def test_both_ip_versions_carry_much(packets: list[Packet]) -> None:
    versions = Counter(packet.version for packet in packets)
    assert versions[4] > 0.3 * len(packets)
    assert versions[6] > 0.3 * len(packets)
    assert 0 < versions[0] < 0.01 * len(packets), "some ARP"


def test_only_documentation_addresses(packets: list[Packet]) -> None:
    seen = {address for packet in packets if packet.version for address in packet.addresses}
    for address in map(ipaddress.ip_address, seen):
        allowed = DOCUMENTATION + (LOCAL_IPV6 if address.version == 6 else [])
        assert any(address in network for network in allowed if network.version == address.version), address


def test_promised_protocols_and_services(packets: list[Packet]) -> None:
    protocols = Counter(packet.protocol for packet in packets if packet.version)
    assert min(protocols[number] for number in (ICMP, TCP, UDP, ICMPV6)) >= 200
    services: Counter[tuple[int, int]] = Counter()
    for packet in packets:
        if packet.protocol in (TCP, UDP) and packet.transport:
            services.update((packet.protocol, port) for port in set(ports(packet)))
    assert {service for service in SERVICES if services[service] >= 50} == SERVICES


def test_resets_unreachables_and_fragments(packets: list[Packet]) -> None:
    resets = sum(p.protocol == TCP and len(p.transport) > 13 and bool(p.transport[13] & 0x04) for p in packets)
    icmp = Counter((p.protocol, p.transport[0], p.transport[1]) for p in packets
                   if p.protocol in (ICMP, ICMPV6) and len(p.transport) > 1)  # fmt: skip
    assert resets >= 100
    assert icmp[ICMP, 3, 3] >= 10, "port unreachable"
    assert icmp[ICMP, 3, 4] >= 5, "fragmentation needed"
    assert icmp[ICMPV6, 2, 0] >= 5, "packet too big"
    assert icmp[ICMP, 11, 0] + icmp[ICMPV6, 3, 0] >= 5, "time exceeded"
    assert sum(p.version == 4 and not p.transport for p in packets) >= 5, "later IPv4 fragments"


def test_ttls_and_lengths_vary(packets: list[Packet]) -> None:
    ttls = Counter(packet.ttl for packet in packets if packet.version)
    assert {ttl for ttl, count in ttls.items() if count >= 100} >= {61, 62, 63, 64, 125, 126, 127, 128}
    lengths = Counter(packet.length for packet in packets if packet.version)
    assert lengths[1500] > 1000
    assert lengths[9000] > 100
    assert len(lengths) > 300


def test_clients_differ_in_popularity(packets: list[Packet]) -> None:
    clients = Counter(packet.addresses[0] for packet in packets
                      if packet.version == 4 and packet.addresses[0][:3] != bytes([192, 0, 2]))  # fmt: skip
    counts = [count for _, count in clients.most_common()]
    assert len(counts) >= 12
    assert counts[0] > 10 * counts[len(counts) // 2]


def test_only_headers_are_captured(packets: list[Packet]) -> None:
    bulk = [packet for packet in packets if packet.length >= 1000]
    assert len(bulk) > 5000
    assert max(packet.captured for packet in bulk) <= 128
    for packet in packets:
        assert packet.captured <= packet.wire
        if packet.protocol == TCP and packet.transport:
            assert len(packet.transport) == 4 * (packet.transport[12] >> 4), "TCP header with options, nothing more"
        if packet.protocol == UDP and packet.transport:
            assert len(packet.transport) == 8


def test_wire_length_covers_the_ip_packet(packets: list[Packet]) -> None:
    assert all(packet.wire >= packet.length + ETHERNET for packet in packets if packet.version)


def test_netflow_has_nfdumps_columns(records: list[dict[str, str]]) -> None:
    assert list(records[0])[:13] == [
        "ts", "te", "td", "sa", "da", "sp", "dp", "pr", "flg", "fwd", "stos", "ipkt", "ibyt",
    ]  # fmt: skip
    assert len(records[0]) == 48
    versions = Counter(ipaddress.ip_address(record["sa"]).version for record in records)
    assert min(versions[4], versions[6]) > 500
    assert {"TCP", "UDP", "ICMP", "ICMP6"} <= {record["pr"] for record in records}


def test_netflow_agrees_with_the_capture(records: list[dict[str, str]], packets: list[Packet]) -> None:
    ip = [packet for packet in packets if packet.version]
    assert sum(int(record["ipkt"]) for record in records) == pytest.approx(len(ip), rel=NETFLOW_TOLERANCE)
    assert sum(int(record["ibyt"]) for record in records) == pytest.approx(
        sum(packet.length for packet in ip), rel=NETFLOW_TOLERANCE
    )
    for name, number in (("TCP", TCP), ("UDP", UDP)):
        counted = sum(int(record["ipkt"]) for record in records if record["pr"] == name)
        assert counted == pytest.approx(sum(packet.protocol == number for packet in ip), rel=0.02)  # fragments differ


def test_netflow_keeps_the_captures_times(records: list[dict[str, str]], packets: list[Packet]) -> None:
    starts = [datetime.fromisoformat(record["ts"]).replace(tzinfo=UTC) for record in records]
    ends = [datetime.fromisoformat(record["te"]).replace(tzinfo=UTC) for record in records]
    second = timedelta(seconds=1)
    assert abs(min(starts) - datetime.fromtimestamp(packets[0].time, UTC)) <= 2 * second
    assert abs(max(ends) - datetime.fromtimestamp(packets[-1].time, UTC)) <= 2 * second
    assert max(float(record["td"]) for record in records) <= 40, "no record is longer than the exporter's limit"


def test_example_configs_name_files_that_exist(sample_capture: Path) -> None:
    examples = sample_capture.parent.parent
    for folder in ("pcap", "netflow"):
        config = json.loads((examples / folder / "config.json").read_text())
        assert (examples / folder / config["input"]).is_file()
        assert config["preset"] == folder
