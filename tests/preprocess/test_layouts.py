"""Layouts: sizes as their standards give them, and flow tables that readers and writers can both use."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from netshare.postprocess.writers.flow_layouts import FLOW_LAYOUTS
from netshare.preprocess.layouts import captures, ethernet, exports, ip, transport
from netshare.preprocess.layouts.fields import as_bytes, as_struct, up_to
from netshare.preprocess.tables.flow_dialects import DIALECTS


@pytest.mark.parametrize(
    ("layout", "size"),
    [
        (ethernet.ETHERNET, 14),
        (ethernet.TAGGED_ETHERNET, 18),
        (ethernet.VLAN_TAG, 4),
        (ip.IPV4, 20),
        (ip.IPV6, 40),
        (ip.IPV6_EXTENSION, 8),
        (transport.TCP_HEADER, 20),
        (transport.UDP_HEADER, 8),
        (transport.ICMP_HEADER, 8),
        (captures.pcap_file_header("<"), 24),
        (captures.pcap_record_header(">"), 16),
        (captures.enhanced_packet_header("<"), 28),
        (captures.ERF_HEADER, 16),
        (exports.MESSAGE_HEADERS[5], 24),
        (exports.MESSAGE_HEADERS[9], 20),
        (exports.MESSAGE_HEADERS[10], 16),
        (exports.V5_RECORD, 48),
    ],
)
def test_headers_are_as_long_as_their_standards_say(layout: np.dtype, size: int) -> None:
    assert layout.itemsize == size


def test_a_template_of_v5_is_its_record() -> None:
    assert exports.V5_TEMPLATE.width == exports.V5_RECORD.itemsize
    assert [field.length for field in exports.V5_TEMPLATE.fields] == [
        exports.V5_RECORD[name].itemsize for name in exports.V5_RECORD.names or ()
    ]


def test_the_beginning_of_a_layout_reads_the_same_fields() -> None:
    header = np.zeros(1, transport.TCP_HEADER)
    header["src_port"], header["window"] = 443, 1024
    beginning = up_to(transport.TCP_HEADER, "window")
    assert beginning.itemsize == 16
    read = as_bytes(header)[0, :16].copy().view(beginning)
    assert (int(read["src_port"][0]), int(read["window"][0])) == (443, 1024)
    assert up_to(ethernet.ETHERNET, "source")["source"].shape == (6,)


def test_a_struct_takes_apart_what_its_layout_holds() -> None:
    packed = struct.pack(">HHIIII", 9, 3, 1000, 1_600_000_000, 7, 42)
    assert as_struct(exports.MESSAGE_HEADERS[9]).unpack(packed) == (9, 3, 1000, 1_600_000_000, 7, 42)
    assert np.frombuffer(packed, exports.MESSAGE_HEADERS[9])["domain"][0] == 42


def test_what_a_flow_layout_requires_is_what_it_writes() -> None:
    for layout in FLOW_LAYOUTS.values():
        written = [name.lower() for name in (*layout.table.header, *layout.extra)]
        assert len(set(written)) == len(written)
        assert set(layout.table.required) <= set(written), layout.table.name


def test_every_dialect_is_known_by_its_own_columns_first() -> None:
    for dialect in DIALECTS:
        for known in dialect.table.known_by:
            first = next(d for d in DIALECTS if any(set(names) <= set(known) for names in d.table.known_by))
            assert first is dialect
