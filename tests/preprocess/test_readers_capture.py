"""Captures made here byte by byte or with scapy: link layers, IPv6 extension headers, block types, damage."""

import bz2
import gzip
import lzma
import struct
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import (
    GRE,
    IP,
    TCP,
    UDP,
    Dot1AD,
    Dot1Q,
    Ether,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Raw,
)
from scapy.layers.vxlan import VXLAN

from netshare.preprocess import read_trace
from netshare.preprocess.errors import InputError

ETHERNET, RAW, SLL, SLL2, NULL, PPP = 1, 101, 113, 276, 0, 9
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # given, or scapy would ask the network
UDP_PACKET = IP(src="10.0.0.1", dst="10.0.0.2", ttl=61, tos=8, id=7) / UDP(sport=5000, dport=53) / Raw(b"x" * 20)


def pcap(frames, *, link_type=ETHERNET, order="<", nanoseconds=False, times=None, wire=None) -> bytes:
    """A pcap file of the given frames."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    for at, frame in enumerate(bytes(frame) for frame in frames):
        seconds, fraction = times[at] if times else (1_600_000_000 + at, 0)
        out += struct.pack(order + "IIII", seconds, fraction, len(frame), wire or len(frame)) + frame
    return out


def block(kind: int, body: bytes, order="<") -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order="<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type=ETHERNET, resolution=None, offset=None, order="<") -> bytes:
    options = b"" if resolution is None else struct.pack(order + "HHB3x", 9, 1, resolution)
    options += b"" if offset is None else struct.pack(order + "HHq", 14, 8, offset)
    return block(1, struct.pack(order + "HHI", link_type, 0, 65535) + options, order)


def enhanced(frame, ticks: int, number=0, order="<") -> bytes:
    frame = bytes(frame)
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame, order)


@pytest.fixture
def read(tmp_path):
    """Reads bytes as if they were a file."""

    def read_bytes(content: bytes, **arguments):
        path = tmp_path / "input"
        path.write_bytes(content)
        return read_trace(path, **arguments)

    return read_bytes


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("nanoseconds", "fraction_ns"), [(False, 1000), (True, 1)])
def test_byte_orders_and_time_resolutions(read, order, nanoseconds, fraction_ns):
    trace = read(pcap([ETHER / UDP_PACKET], order=order, nanoseconds=nanoseconds, times=[(1_700_000_000, 123_456)]))
    assert trace["time"].tolist() == [1_700_000_000 * 10**9 + 123_456 * fraction_ns]
    row = {name: int(trace[name][0]) for name in trace}
    expected = {"ip_version": 4, "src_lo": 0x0A000001, "dst_lo": 0x0A000002, "src_port": 5000, "dst_port": 53,
                "protocol": 17, "length": 48, "ttl": 61, "tos": 8, "ip_id": 7, "vlan": 0}  # fmt: skip
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("link_type", "header"),
    [
        (ETHERNET, bytes(12) + b"\x08\x00"),
        (RAW, b""),
        (12, b""),
        (228, b""),
        (SLL, bytes(14) + b"\x08\x00"),
        (SLL2, b"\x08\x00" + bytes(18)),
        (NULL, struct.pack("<I", 2)),
        (NULL, struct.pack(">I", 2)),
        (108, struct.pack(">I", 2)),
        (PPP, b"\xff\x03\x00\x21"),
        (PPP, b"\x21"),
        (104, b"\x0f\x00\x08\x00"),
        (ETHERNET, bytes(12) + b"\x88\x64" + b"\x11\x00\x00\x01\x00\x32\x00\x21"),
        (ETHERNET, bytes(12) + b"\x88\x47" + b"\x00\x01\x00\x40" + b"\x00\x02\x01\x40"),
        (ETHERNET, bytes(12) + b"\x00\x40" + b"\xaa\xaa\x03\x00\x00\x00\x08\x00"),
    ],
)
def test_link_layers(read, link_type, header):
    trace = read(pcap([header + bytes(UDP_PACKET)], link_type=link_type))
    assert (trace["dst_port"][0], trace["length"][0], trace["src_lo"][0]) == (53, 48, 0x0A000001)


def test_vlan_is_the_outermost_tag(read):
    single = ETHER / Dot1Q(vlan=30) / UDP_PACKET
    double = ETHER / Dot1AD(vlan=100) / Dot1Q(vlan=200) / UDP_PACKET
    trace = read(pcap([ETHER / UDP_PACKET, single, double]))
    assert trace["vlan"].tolist() == [0, 30, 100]
    assert trace["dst_port"].tolist() == [53] * 3


def test_ipv6_extension_headers_are_walked(read):
    ip = IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=55, tc=12)
    chain = IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt()
    first = ip / IPv6ExtHdrFragment(offset=0, m=1, id=9) / UDP(sport=1, dport=2) / Raw(bytes(16))
    later = ip / IPv6ExtHdrFragment(offset=3, m=0, id=9, nh=17) / Raw(bytes(24))
    packets = [
        ip / chain / TCP(sport=1234, dport=443, flags="SEC", window=4321),
        ip / ICMPv6EchoRequest(code=3),
        first,
        later,
    ]
    trace = read(pcap([ETHER / packet for packet in packets]))
    assert trace["protocol"].tolist() == [6, 58, 17, 17]
    assert trace["src_port"].tolist() == [1234, 0, 1, 0]
    assert trace["dst_port"].tolist() == [443, 0, 2, 0]
    assert trace["tcp_flags"].tolist() == [0b011000010, 0, 0, 0]
    assert trace["tcp_window"].tolist() == [4321, 0, 0, 0]
    assert trace["tcp_header_length"].tolist() == [20, 0, 0, 0]
    assert trace["icmp_type"].tolist() == [0, 128, 0, 0] and trace["icmp_code"].tolist() == [0, 3, 0, 0]
    assert trace["ip_flags"].tolist() == [0, 0, 1, 0] and trace["fragment_offset"].tolist() == [0, 0, 0, 3]
    assert trace["length"].tolist() == [len(packet) for packet in packets]
    assert set(trace["ttl"].tolist()) == {55} and set(trace["tos"].tolist()) == {12}
    assert set(trace["src_hi"].tolist()) == {0x20010DB800000000} and set(trace["dst_lo"].tolist()) == {2}


def test_ipv4_options_move_the_transport_header(read):
    packet = IP(options=b"\x94\x04\x00\x00", flags="DF") / TCP(sport=1, dport=2, options=[("MSS", 1460)])
    trace = read(pcap([ETHER / packet]))
    assert (trace["src_port"][0], trace["dst_port"][0], trace["tcp_header_length"][0]) == (1, 2, 24)
    assert trace["ip_flags"][0] == 2


def test_offloaded_packet_takes_its_length_from_the_wire(read):
    packet = bytearray(bytes(UDP_PACKET))
    packet[2:4] = b"\0\0"
    assert read(pcap([bytes(packet)], link_type=RAW, wire=70_000))["length"].tolist() == [70_000]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (bytes(12) + b"\x08\x06" + bytes(28), "not IP (ARP)"),
        (bytes(12) + b"\x88\xcc" + bytes(28), "not IP (LLDP)"),
        (bytes(12) + b"\x12\x34" + bytes(28), "not IP (EtherType 0x1234)"),
        (bytes(12) + b"\x00\x26" + b"\x42\x42\x03" + bytes(35), "not IP (IEEE 802.2 LLC)"),
        (bytes(10), "captured too short for a link-layer header"),
        (bytes(12) + b"\x81\x00\x00", "captured too short for a link-layer header"),
        (bytes(12) + b"\x08\x00" + bytes(UDP_PACKET)[:19], "captured too short for an IP header"),
        (bytes(12) + b"\x08\x00" + b"\x15" + bytes(30), "IP version is neither 4 nor 6"),
        (bytes(12) + b"\x08\x00" + b"\x60" + bytes(50), "IP version contradicts the link layer"),
        (bytes(12) + b"\x08\x00" + b"\x42" + bytes(30), "IPv4 header length below 20 bytes"),
        (bytes(12) + b"\x08\x00" + b"\x45\x00\x00\x0a" + bytes(30), "IPv4 total length below its header length"),
    ],
)
def test_what_is_left_out_is_counted(read, frame, reason):
    trace = read(pcap([frame, ETHER / UDP_PACKET, frame]))
    assert len(trace) == 1
    assert trace.skipped == {reason: 2}
    with pytest.raises(InputError, match="no usable packets") as error:
        read(pcap([frame] * 3))
    assert f"3 skipped: {reason}" in str(error.value) and "\n" not in str(error.value)


def test_cut_transport_headers_are_zero_and_noted(read):
    frame = bytes(ETHER / UDP_PACKET)
    trace = read(pcap([frame[:37], frame[:38]], wire=62))
    assert trace["src_port"].tolist() == [0, 5000]
    assert trace["length"].tolist() == [48, 48]
    assert any(note.startswith("1 packets are captured too short") for note in trace.sources[0].notes)


def test_pcapng_sections_interfaces_and_resolutions(read):
    packet = ETHER / UDP_PACKET
    content = (
        section("<")
        + interface()
        + interface(RAW, resolution=9)
        + interface(resolution=0x80 | 10, offset=1_000_000_000)
        + block(0x0BAD, b"a custom block")
        + enhanced(packet, 1_700_000_000_000_001)
        + enhanced(UDP_PACKET, 1_700_000_001_000_000_002, number=1)
        + enhanced(packet, (700_000_002 << 10) + 512, number=2)
        + enhanced(packet, 1, number=7)
        + section(">")
        + interface(resolution=3, order=">")
        + enhanced(packet, 1_700_000_003_004, order=">")
    )
    trace = read(content)
    assert (trace["time"] - 1_700_000_000 * 10**9).tolist() == [1000, 10**9 + 2, 2 * 10**9 + 10**9 // 2, 3_004_000_000]
    assert trace["dst_port"].tolist() == [53] * 4
    assert trace.skipped == {"captured on an interface that the file does not describe": 1}
    source = trace.sources[0]
    assert source.format == "pcapng" and source.link_type == "ethernet, raw"
    assert (source.details["sections"], source.details["interfaces"]) == (2, 4)


def test_simple_and_obsolete_packet_blocks(read):
    frame = bytes(ETHER / UDP_PACKET)
    simple = block(3, struct.pack("<I", len(frame)) + frame)
    ticks = 1_700_000_000_000_000
    obsolete = block(2, struct.pack("<HHIIII", 0, 5, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)) + frame)
    trace = read(section() + interface() + obsolete + simple)
    assert trace["time"].tolist() == [ticks * 1000] * 2
    assert trace["length"].tolist() == [48, 48]
    assert any("1 packets have no time" in note for note in trace.sources[0].notes)


def test_truncated_files_give_what_is_whole(read):
    content = pcap([ETHER / UDP_PACKET] * 5)
    for cut in (1, 30, 70):
        trace = read(content[:-cut])
        assert len(trace) == 4 and any("truncated" in note for note in trace.sources[0].notes)
    with_blocks = section() + interface() + enhanced(ETHER / UDP_PACKET, 5) * 5
    assert len(read(with_blocks[:-3])) == 4


def test_absurd_record_length_ends_the_file_with_a_note(read):
    content = pcap([ETHER / UDP_PACKET] * 2) + struct.pack("<IIII", 1, 0, 0xFFFFFFF0, 0xFFFFFFF0) + bytes(100)
    trace = read(content)
    assert len(trace) == 2
    assert trace.sources[0].notes == (
        "broken: a record of 4294967280 bytes at offset 180 is too long, 2 whole records read",
    )


def test_limit_counts_kept_packets_and_compression_is_transparent(read, tmp_path):
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    content = pcap([arp, ETHER / UDP_PACKET, arp, ETHER / UDP_PACKET, ETHER / UDP_PACKET])
    limited = read(gzip.compress(content), limit=2)
    assert len(limited) == 2 and limited.skipped == {"not IP (ARP)": 2}
    assert read(content, limit=1).skipped == {"not IP (ARP)": 1}
    assert len(read(gzip.compress(gzip.compress(content)))) == 3
    cut = read(gzip.compress(content)[:-9])
    assert any("gzip data end early" in note for note in cut.sources[0].notes)
    with pytest.raises(InputError, match="damaged gzip"):
        read(b"\x1f\x8b\x08" + bytes(50))


def test_file_without_packets_among_others_is_noted(tmp_path):
    (tmp_path / "a.pcap").write_bytes(pcap([ETHER / UDP_PACKET]))
    (tmp_path / "b.pcap").write_bytes(pcap([]))
    trace = read_trace(tmp_path)
    assert [source.records for source in trace.sources] == [1, 0]
    assert trace.sources[1].notes == ("the file holds no usable records",)


@pytest.mark.slow
def test_every_odd_file_is_a_trace_or_one_line(development_traces):
    read_ones = 0
    for folder in ("odd", "export", "export/dat"):
        for path in sorted((development_traces / folder).iterdir()):
            if not path.is_file():
                continue
            try:
                trace = read_trace(path)
            except InputError as error:
                assert str(path) in str(error) and "\n" not in str(error)
            else:
                read_ones += 1
                assert len(trace) == sum(source.records for source in trace.sources) > 0
                assert np.all(np.diff(trace["time"]) >= 0)
    assert read_ones > 90


SMALL = {
    "pcap": pcap([ETHER / UDP_PACKET, ETHER / IPv6() / IPv6ExtHdrHopByHop() / TCP(), ETHER / Dot1Q() / UDP_PACKET]),
    "pcapng": section() + interface() + enhanced(ETHER / UDP_PACKET, 5) + enhanced(ETHER / IPv6() / TCP(), 6),
}


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    which=st.sampled_from(sorted(SMALL)),
    mutations=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.integers(0, 10**6),
)
def test_mutated_captures_never_raise_anything_else(tmp_path_factory, which, mutations, cut):
    content = bytearray(SMALL[which])
    for position, value in mutations:
        content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content[: cut % len(content) + 1] if cut % 3 == 0 else content)
    try:
        trace = read_trace(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert len(trace) > 0


def packed(content: bytes, kind: str) -> bytes:
    """The bytes, compressed."""
    if kind == "zstd":
        return pa.compress(content, "zstd", asbytes=True)
    return {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}[kind](content)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
def test_compressed_captures_and_their_bound(read, kind):
    content = pcap([ETHER / UDP_PACKET] * 2000)
    compressed = packed(content, kind)
    assert len(read(compressed)) == 2000 and len(read(compressed, max_bytes=len(content))) == 2000
    with pytest.raises(InputError, match=r"holds more than 1000 bytes, raise max_bytes to read it"):
        read(compressed, max_bytes=1000)
    try:
        cut = read(compressed[:-20])
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert any("truncated" in note for note in cut.sources[0].notes)


@pytest.mark.slow
def test_standard_input(tmp_path):
    content = gzip.compress(pcap([ETHER / UDP_PACKET] * 3))
    program = "from netshare.preprocess import read_trace; t = read_trace('-'); print(len(t), t.sources[0].path)"
    done = subprocess.run([sys.executable, "-c", program], input=content, capture_output=True, check=True)
    assert done.stdout.split(maxsplit=1) == [b"3", b"standard input\n"]


def test_inner_packets_of_scapys_tunnels(read):
    inner = IP(src="172.16.0.1", dst="172.16.0.2", ttl=9) / TCP(sport=7, dport=8, flags="SA") / Raw(b"y" * 5)
    outer = IP(src="10.0.0.1", dst="10.0.0.2", ttl=64)
    tagged = ETHER / Dot1Q(vlan=7) / outer
    frames = [
        tagged / inner,
        tagged / GRE(key_present=1, key=3) / inner,
        tagged / GRE(proto=0x6558) / ETHER / Dot1Q(vlan=9) / inner,
        tagged / UDP(sport=4000, dport=4789) / VXLAN(vni=5) / ETHER / inner,
        tagged / outer / outer / inner,
        tagged / UDP(sport=1, dport=2) / Raw(bytes(inner)),
    ]
    content = pcap(frames)
    trace, plain = read(content, decapsulate=True), read(content)
    assert trace["ttl"].tolist() == [9] * 5 + [64] and plain["ttl"].tolist() == [64] * 6
    assert trace["dst_port"].tolist() == [8] * 5 + [2] and trace["length"].tolist()[:5] == [45] * 5
    assert trace["vlan"].tolist() == [7] * 6 and trace["tcp_flags"].tolist() == [0x12] * 5 + [0]
    assert trace.sources[0].notes == ("5 packets are tunnels, what is in them was read",)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_tunnels_and_wrappers_never_crash(tmp_path_factory, data):
    inner = bytes(IP(src="172.16.0.1", dst="172.16.0.2") / TCP() / Raw(b"y" * 5))
    outer = ETHER / IP(src="10.0.0.1", dst="10.0.0.2")
    frames = [outer / GRE() / inner, outer / UDP(dport=2152) / Raw(b"\x34\xff\0\x40\0\0\0\1\0\0\0\x85\1\0\0\0" + inner),
              outer / UDP(dport=3544) / Raw(bytes(8) + inner),
              outer / UDP(dport=6081) / Raw(b"\2\0\x65\x58" + inner)]  # fmt: skip
    link_type = data.draw(st.sampled_from([ETHERNET, 197, 258, 127, 105]))
    damaged = bytearray(pcap(frames, link_type=link_type))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(24, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "capture"
    path.write_bytes(damaged)
    try:
        assert len(read_trace(path, decapsulate=True)) <= 4
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.slow
def test_every_odd_file_gives_records_or_one_line(development_traces):
    records = {}
    for path in sorted((development_traces / "odd").iterdir()):
        for opened in (False, True):
            try:
                trace = read_trace(path, decapsulate=opened)
            except InputError as error:
                assert "\n" not in str(error) and path.name in str(error)
            else:
                records[path.name] = len(trace)
    expected = {"lpi.erf.gz": 9995, "derived-nsec-erf.pcap": 500, "lt-pktap.pcap": 1, "wifi-80211-http.pcap": 26,
                "argus-wannacry-badts.binetflow.gz": 1774, "unsw-nb15-wrong-header.csv.gz": 1989}  # fmt: skip
    assert {name: records[name] for name in expected} == expected
    assert len(records) == 69


def test_erf_is_the_capture_that_was_converted_from_it(development_traces):
    erf = read_trace(development_traces / "odd" / "lpi.erf.gz")
    converted = read_trace(development_traces / "p1_isp-2007.pcap.gz")
    assert np.abs(erf["time"] - converted["time"]).max() <= 1000  # which has microseconds
    for name in ("src_lo", "dst_lo", "src_port", "dst_port", "length", "ttl", "tcp_flags"):
        np.testing.assert_array_equal(erf[name], converted[name])
