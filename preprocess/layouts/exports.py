"""Messages of NetFlow v5 (Cisco's table), v9 (RFC 3954) and IPFIX (RFC 7011), and the fields of their records.

Numbers are those of IANA's IPFIX registry, which keeps NetFlow v9's (RFC 3954, 8; RFC 7012). A field is known by
(enterprise, number); enterprise 0 is the registry itself, 29305 the reverse direction of RFC 5103. Everything that is
not here is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

V5, V9, IPFIX = 5, 9, 10  # what a message's header begins with
FORMAT_NAMES = {V5: "netflow-v5", V9: "netflow-v9", IPFIX: "ipfix"}
MESSAGE_HEADERS = {
    V5: np.dtype([
        ("version", ">u2"), ("count", ">u2"), ("uptime", ">u4"), ("seconds", ">u4"), ("nanoseconds", ">u4"),
        ("sequence", ">u4"), ("engine", ">u2"), ("sampling", ">u2"),
    ]),
    V9: np.dtype([
        ("version", ">u2"), ("count", ">u2"), ("uptime", ">u4"), ("seconds", ">u4"), ("sequence", ">u4"),
        ("domain", ">u4"),
    ]),
    IPFIX: np.dtype([
        ("version", ">u2"), ("length", ">u2"), ("seconds", ">u4"), ("sequence", ">u4"), ("domain", ">u4"),
    ]),
}  # fmt: skip  # times: seconds since 1970, milliseconds since the exporter started
HEADER_LENGTH = {version: layout.itemsize for version, layout in MESSAGE_HEADERS.items()}
SET_HEADER = np.dtype([("number", ">u2"), ("length", ">u2")])  # of v9 and IPFIX; the length counts it
TEMPLATE_SET = {V9: 0, IPFIX: 2}  # the number of sets of templates; the next one is that of option templates
FIRST_DATA_SET = 256  # set numbers from here on are those of templates
ENTERPRISE_BIT = 0x8000  # of an element's number in an IPFIX template: an enterprise number follows
Element = tuple[int, int]  # enterprise, number
VARIABLE_LENGTH = 0xFFFF  # RFC 7011, 7
REVERSE = 29305  # RFC 5103, 6.1


@dataclass(frozen=True)
class Field:
    """One field of a template: which element, and how many bytes (VARIABLE_LENGTH: the record says)."""

    enterprise: int
    number: int
    length: int


@dataclass(frozen=True)
class Template:
    """The layout of data records. `options`: the records describe the exporter, not flows."""

    fields: tuple[Field, ...]
    options: bool = False

    @property
    def variable(self) -> bool:
        """Whether records of this template differ in length."""
        return any(field.length == VARIABLE_LENGTH for field in self.fields)

    @property
    def width(self) -> int:
        """Bytes of a record, at least; a field of variable length takes one byte or more."""
        return sum(1 if field.length == VARIABLE_LENGTH else field.length for field in self.fields)


# The elements, as (enterprise, number), that hold each quantity, the best first: readers take the first that is there,
# writers write the first.
QUANTITIES: dict[str, tuple[Element, ...]] = {
    "src4": ((0, 8),),
    "dst4": ((0, 12),),
    "src6": ((0, 27),),
    "dst6": ((0, 28),),
    "src_port": ((0, 7), (0, 180), (0, 182)),
    "dst_port": ((0, 11), (0, 181), (0, 183)),
    "protocol": ((0, 4),),
    "icmp": ((0, 32), (0, 139)),  # type * 256 + code
    "icmp_type": ((0, 176), (0, 178)),
    "icmp_code": ((0, 177), (0, 179)),
    "tos": ((0, 5),),
    "tcp_flags": ((0, 6),),
    "bytes": ((0, 1), (0, 85), (0, 231), (0, 352)),
    "packets": ((0, 2), (0, 86), (0, 298)),
    "bytes_out": ((0, 23), (0, 171)),
    "packets_out": ((0, 24), (0, 172)),
    "bytes_rev": ((REVERSE, 1), (REVERSE, 85), (0, 232)),
    "packets_rev": ((REVERSE, 2), (REVERSE, 86), (0, 299)),
    "start_ms": ((0, 152),),
    "end_ms": ((0, 153),),
    "start_ntp": ((0, 154), (0, 156)),
    "end_ntp": ((0, 155), (0, 157)),
    "start_s": ((0, 150),),
    "end_s": ((0, 151),),
    "start_uptime": ((0, 22),),  # ms since the exporter started
    "end_uptime": ((0, 21),),
    "start_before": ((0, 158),),  # us before the export
    "end_before": ((0, 159),),
    "duration_ms": ((0, 161),),
    "duration_us": ((0, 162),),
    "event_ms": ((0, 323), (0, 258)),
    "event_s": ((0, 322),),
    "event_ntp": ((0, 324), (0, 325)),
    "boot_ms": ((0, 160),),
}
SAMPLING = ((0, 34), (0, 50), (0, 305))  # one packet in so many is counted
SAMPLING_SPACE = (0, 306)  # packets passed over after each run of element 305 (RFC 5477, 8.2)
BOOT_TIME = (0, 160)

# The one layout of v5 records: name, element, bytes. The elements 210 are padding.
_V5_FIELDS = (
    ("src4", 8, 4), ("dst4", 12, 4), ("next_hop", 15, 4), ("input", 10, 2), ("output", 14, 2), ("packets", 2, 4),
    ("bytes", 1, 4), ("start", 22, 4), ("end", 21, 4), ("src_port", 7, 2), ("dst_port", 11, 2), ("padding", 210, 1),
    ("tcp_flags", 6, 1), ("protocol", 4, 1), ("tos", 5, 1), ("src_system", 16, 2), ("dst_system", 17, 2),
    ("src_mask", 9, 1), ("dst_mask", 13, 1), ("more_padding", 210, 2),
)  # fmt: skip
V5_TEMPLATE = Template(tuple(Field(0, number, length) for _, number, length in _V5_FIELDS))
V5_RECORD = np.dtype([(name, f">u{length}") for name, _, length in _V5_FIELDS])
