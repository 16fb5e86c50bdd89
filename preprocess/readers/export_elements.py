"""Fields of NetFlow v5, v9 and IPFIX records, and what each says about a flow.

Numbers are those of IANA's IPFIX registry, which keeps NetFlow v9's (RFC 3954, 8; RFC 7012). A field is known by
(enterprise, number); enterprise 0 is the registry itself, 29305 the reverse direction of RFC 5103. Everything that is
not here is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    """The layout of data records. `options`: they tell of the exporter, not of flows."""

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


# For each quantity the elements that tell it, the best first.
QUANTITIES: dict[str, tuple[tuple[int, int], ...]] = {
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

V5_RECORD = Template(
    (
        Field(0, 8, 4), Field(0, 12, 4), Field(0, 15, 4), Field(0, 10, 2), Field(0, 14, 2), Field(0, 2, 4),
        Field(0, 1, 4), Field(0, 22, 4), Field(0, 21, 4), Field(0, 7, 2), Field(0, 11, 2), Field(0, 210, 1),
        Field(0, 6, 1), Field(0, 4, 1), Field(0, 5, 1), Field(0, 16, 2), Field(0, 17, 2), Field(0, 9, 1),
        Field(0, 13, 1), Field(0, 210, 2),
    )
)  # fmt: skip
