"""What a layout of flow records in text is: which column holds what, and in which form it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class Form(Enum):
    """How the values of a column are written."""

    ADDRESS = auto()  # text; an integer is read as an IPv4 address
    PORT = auto()
    PORT_OR_ICMP = auto()  # a port; of ICMP, `type.code` is read and type * 256 + code is written
    DOTTED_ICMP_PORT = auto()  # a port; of ICMP, `type.code`
    LOOSE_PORT = auto()  # a port; hexadecimal or nothing are read as well
    PROTOCOL = auto()  # its name; any name or number is read, as of the next three
    LOWER_PROTOCOL = auto()
    PADDED_PROTOCOL = auto()  # its name, at least five characters wide
    PROTOCOL_NUMBER = auto()
    ZEEK_PROTOCOL = auto()  # `ZEEK_PROTOCOLS`
    UTC_TEXT = auto()  # `2015-09-08 14:49:59.123`; a number is read with its unit by magnitude
    UTC_SECONDS_TEXT = auto()  # `2015-09-08 14:49:59`
    SLASHED_TEXT = auto()  # `2015/09/08 14:49:59.123456`
    DAY_FIRST_TEXT = auto()  # `08/09/2015 14:49:59`
    EPOCH_SECONDS = auto()  # since 1970, with nine decimals; as UTC_TEXT when read
    WHOLE_EPOCH_SECONDS = auto()
    EPOCH_NUMBER = auto()  # since 1970 in the unit that the magnitude shows
    SECONDS = auto()  # durations, with nine decimals
    MILLI_SECONDS = auto()  # seconds with three decimals
    MICRO_SECONDS = auto()  # seconds with six decimals
    WHOLE_MICROSECONDS = auto()
    COUNT = auto()
    ABBREVIATED_COUNT = auto()  # `1.2 M` is read as well
    FLAG_LETTERS = auto()  # `..UAPRSF`, nfdump's eight; numbers are read as well, as of the next two
    SIX_FLAG_LETTERS = auto()
    FLAG_NUMBER = auto()
    BYTE = auto()
    LABEL = auto()


@dataclass(frozen=True)
class Column:
    """One column of a layout that holds something of a trace.

    Attributes:
        names: as files write it: the first is what writers write; what other versions write is also read.
        holds: the trace's column; `src` and `dst` for the columns of an address, `end` for the time of a flow's end,
            `packets_both` and `bytes_both` for the sums of both directions.
        required: whether a file must have it.
        integer: whether the column of the first name holds nothing but integers in most files, and is parsed as such.
        may_be_unset: whether `-` and nothing are read as 0.
    """

    names: tuple[str, ...]
    holds: str
    form: Form
    required: bool = True
    integer: bool = False
    may_be_unset: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The names in lower case, as columns are looked up."""
        return tuple(name.lower() for name in self.names)


@dataclass(frozen=True)
class FlowTable:
    """A layout of flow records in text.

    Attributes:
        name: of the format.
        known_by: columns, in lower case; a file that has all of one tuple is of this layout.
        columns: those that hold something of a trace.
        header: the names of all columns that are written, in order; none where the layout is only read.
        unset: what is written in columns that a trace does not know, by column in lower case; else `unset_else`.
        no_label: what is written where a record has no label.
        unset_labels: what is read as no label.
        reads_all: whether all columns of a file are parsed, rather than only `columns`.
        time_step, duration_step: nanoseconds, of which times and durations are written as multiples.
        has_header: whether files begin with the header.
        delimiter: between two values.
    """

    name: str
    known_by: tuple[tuple[str, ...], ...]
    columns: tuple[Column, ...]
    header: tuple[str, ...] = ()
    unset: dict[str, str] = field(default_factory=dict)
    unset_else: str = ""
    no_label: str = "-"
    unset_labels: frozenset[str] = frozenset({"", "-", "(empty)"})
    reads_all: bool = True
    time_step: int = 1
    duration_step: int = 1
    has_header: bool = True
    delimiter: str = ","

    @property
    def required(self) -> list[str]:
        """The columns that a file must have, in lower case, each by its first name."""
        return [column.keys[0] for column in self.columns if column.required]

    def column(self, holds: str) -> Column | None:
        """The column that holds something."""
        return next((column for column in self.columns if column.holds == holds), None)
