"""Checksums: the RFC's own example, and scapy as a second opinion."""

import io

import numpy as np
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from netshare.postprocess import repair
from netshare.postprocess.checksums import crc32c, fill_sums, fold, internet_checksum, word_sums
from netshare.postprocess.headers import build_packets, plan_packets
from tests.postprocess.random_traces import random_packets


def test_the_example_of_rfc_1071():
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


def test_a_known_ipv4_header():
    header = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")
    assert internet_checksum(header) == 0
    assert internet_checksum(header[:10] + b"\0\0" + header[12:]) == 0xB861


def test_a_payload_of_one_byte_value_needs_no_bytes():
    for fill in (0, 1, 0x41, 255):
        for length in (0, 1, 2, 3, 1459, 65_535):
            expected = internet_checksum(bytes([fill]) * length)
            assert fold(fill_sums(np.array([fill]), np.array([length])))[0] == expected


def test_columns_equal_single_headers():
    rows = np.random.default_rng(0).integers(0, 256, (50, 20), dtype=np.uint8)
    assert [internet_checksum(bytes(row)) for row in rows] == fold(word_sums(rows)).tolist()


def test_crc32c_of_the_check_string():
    rows = np.frombuffer(b"123456789\0", dtype=np.uint8).reshape(1, -1)
    assert crc32c(rows, np.array([9]))[0] == 0xE3069283


def test_scapy_computes_the_same_checksums():
    trace, _ = repair(random_packets(3000, seed=5))
    whole = (trace["fragment_offset"] == 0) & ((trace["ip_flags"] & 1) == 0)
    trace = trace.take(whole & np.isin(trace["protocol"], (6, 17)))
    buffer, offsets = build_packets(trace, plan_packets(trace), link_type="raw")
    for i in range(300):
        frame = bytes(buffer[offsets[i] : offsets[i + 1]])
        packet = (IP if trace["ip_version"][i] == 4 else IPv6)(frame)
        layer = packet[TCP if trace["protocol"][i] == 6 else UDP]
        ours = layer.chksum
        body = layer.payload.original  # bytes, lest a dissector that some import has loaded writes them otherwise
        layer.remove_payload()
        layer.add_payload(body)
        del layer.chksum
        if IP in packet:
            del packet[IP].chksum
        again = bytes(packet)
        assert again == frame, (i, ours, io.BytesIO(again).read(80).hex(), frame[:80].hex())
