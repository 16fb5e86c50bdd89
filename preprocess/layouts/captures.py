"""Headers of capture files: pcap (draft-ietf-opsawg-pcap), pcapng (draft-ietf-opsawg-pcapng), ERF (Endace).

Files of pcap and pcapng are in the byte order of the machine that wrote them: `<` or `>` as numpy writes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAXIMUM_SNAP_LENGTH = 262_144  # bytes kept of a packet at most, libpcap's MAXIMUM_SNAPLEN


@dataclass(frozen=True)
class PcapVariant:
    """A kind of pcap file, known by its magic number.

    Attributes:
        order: byte order of all numbers.
        fraction_ns: nanoseconds that a unit of a time's fraction stands for.
        record_header: bytes of a record's header, of which all variants have the first 16.
    """

    order: str
    fraction_ns: int
    record_header: int


PCAP_VARIANTS: dict[bytes, PcapVariant] = {
    b"\xd4\xc3\xb2\xa1": PcapVariant("<", 1000, 16),
    b"\xa1\xb2\xc3\xd4": PcapVariant(">", 1000, 16),
    b"\x4d\x3c\xb2\xa1": PcapVariant("<", 1, 16),
    b"\xa1\xb2\x3c\x4d": PcapVariant(">", 1, 16),
    b"\x34\xcd\xb2\xa1": PcapVariant("<", 1000, 24),  # Alexey Kuznetsov's variant of old Linux distributions
    b"\xa1\xb2\xcd\x34": PcapVariant(">", 1000, 24),
}
PCAP_VERSION = (2, 4)


def pcap_file_header(order: str) -> np.dtype:
    """The header of a pcap file. The upper 16 bits of `link_type` are about frame check sequences."""
    words = ("magic", "u4"), ("major", "u2"), ("minor", "u2"), ("zone", "u4"), ("accuracy", "u4")
    return np.dtype([(name, order + kind) for name, kind in (*words, ("snap_length", "u4"), ("link_type", "u4"))])


def pcap_record_header(order: str) -> np.dtype:
    """The header of a pcap record: its time, and the bytes of its packet in the file and on the wire."""
    return np.dtype([(name, order + "u4") for name in ("seconds", "fraction", "captured", "wire")])


PCAPNG_BYTE_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}  # how the byte-order magic reads
PCAPNG_BYTE_ORDER_MAGIC = 0x1A2B3C4D
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"  # a section header's block type, the same in both byte orders
# Block types.
SECTION_BLOCK, INTERFACE_BLOCK, OBSOLETE_PACKET_BLOCK, SIMPLE_PACKET_BLOCK, ENHANCED_PACKET_BLOCK = (
    0x0A0D0D0A,
    1,
    2,
    3,
    6,
)
BLOCK_TRAILER = 4  # bytes of a block's length, which stands once more at its end
# Options: of any block, of a section, of an interface.
END_OF_OPTIONS, SECTION_APPLICATION, TIME_RESOLUTION, TIME_OFFSET = 0, 4, 9, 14


def enhanced_packet_header(order: str) -> np.dtype:
    """An enhanced packet block up to its packet: times are 64-bit counts of the interface's units. In a simple packet
    block, `interface` is the packet's length on the wire, and the packet follows."""
    names = ("type", "length", "interface", "time_hi", "time_lo", "captured", "wire")
    return np.dtype([(name, order + "u4") for name in names])


# A record of an ERF file: its time in seconds and 2^-32 seconds, little-endian, its length with this header.
ERF_HEADER = np.dtype([("fraction", "<u4"), ("seconds", "<u4"), ("type", "u1"), ("flags", "u1"), ("length", ">u2"),
                       ("lost", ">u2"), ("wire", ">u2")])  # fmt: skip
