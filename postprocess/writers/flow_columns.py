"""Columns of a flow trace as columns of text: each in the form that its layout declares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.layouts.flow_forms import UNIT_NS, FlowTable, Form
from netshare.preprocess.layouts.flow_tables import ZEEK_PROTOCOLS
from netshare.preprocess.protocols import ICMP, ICMPV6, protocol_name
from netshare.preprocess.trace import CATEGORY_COLUMNS, Trace

Columns = dict[str, pa.Array]

_FLAG_LETTERS = "CEUAPRSF"  # CWR, ECE, URG, ACK, PSH, RST, SYN, FIN, as nfdump writes them
_ZEEK_NAMES = np.array([ZEEK_PROTOCOLS.get(number, "unknown_transport") for number in range(256)], dtype=object)


def write_columns(table: FlowTable, trace: Trace, made: Columns) -> Columns:
    """The columns of a layout that hold something of a trace, by their names in lower case, with those already `made`.

    What a trace does not have is written as 0, no label as the layout's `no_label`. A reverse direction that was not
    counted is left out where the layout may leave it unset.
    """
    made = dict(made)
    for column in table.columns:
        optional = column.may_be_unset and not column.required and column.holds.endswith("_rev")
        if column.keys[0] in made or (optional and column.holds not in trace):
            continue
        if column.holds in CATEGORY_COLUMNS:
            made[column.keys[0]] = category_texts(trace, column.holds, table.no_label)
        elif column.holds in ("src", "dst"):
            made[column.keys[0]] = pa.array(addresses(trace, column.holds))
        elif column.form is Form.DOTTED_ICMP_PORT:
            made[column.keys[0]] = _dotted_icmp(trace)
        else:
            made[column.keys[0]] = _FORMATTERS[column.form](_values(trace, column.holds))
    return made


def addresses(trace: Trace, side: str) -> np.ndarray:
    """object[n]: texts of the addresses of a side, `src` or `dst`."""
    return format_addresses(trace["ip_version"], trace[f"{side}_hi"], trace[f"{side}_lo"])


def category_texts(trace: Trace, name: str, unset: str) -> pa.Array:
    """Texts of a column of codes, `unset` where there is none."""
    if name not in trace:
        return pa.repeat(unset, len(trace))
    values = np.array([*trace.categories.get(name, ()), unset], dtype=object)
    return pa.array(values[trace[name]])  # the code -1 is the last entry


def seconds_text(nanoseconds: np.ndarray, digits: int) -> pa.Array:
    """Exact decimal seconds: a float would lose nanoseconds of today's epoch."""
    seconds, rest = np.divmod(nanoseconds, UNIT_NS["s"])
    fraction = pc.utf8_lpad(pa.array(rest // 10 ** (9 - digits)).cast(pa.string()), digits, "0")
    return pc.binary_join_element_wise(pa.array(seconds).cast(pa.string()), fraction, ".")


def date_times(time: np.ndarray) -> pa.Array:
    """Texts such as `2015-09-08 14:49:59.123` of int64 ns."""
    return pc.replace_substring(_iso(time, "ms"), "T", " ")


def values_or_zeros(trace: Trace, name: str) -> np.ndarray:
    """int64[n]: a column, 0 where the trace does not have it."""
    return trace[name].astype(np.int64) if name in trace else np.zeros(len(trace), dtype=np.int64)


def _values(trace: Trace, holds: str) -> np.ndarray:
    if holds == "end":
        return trace["time"] + trace["duration"]
    if holds.endswith("_both"):
        name = holds.removesuffix("_both")
        return trace[name] + values_or_zeros(trace, f"{name}_rev")
    return trace[holds] if holds in trace else np.zeros(len(trace), dtype=np.int64)


def _iso(time: np.ndarray, unit: str) -> pa.Array:
    """Texts such as `2015-09-08T14:49:59` of int64 ns, to this unit."""
    return pa.array(np.datetime_as_string((time // UNIT_NS[unit]).astype(f"datetime64[{unit}]")))


def _day_first(time: np.ndarray) -> pa.Array:
    return pc.replace_substring_regex(_iso(time, "s"), r"^(\d+)-(\d\d)-(\d\d)T", r"\3/\2/\1 ")


def _slashed(time: np.ndarray) -> pa.Array:
    return pc.replace_substring_regex(_iso(time, "us"), r"^(\d+)-(\d\d)-(\d\d)T", r"\1/\2/\3 ")


def _flag_letters(flags: np.ndarray, letters: int) -> pa.Array:
    table = [
        "".join(letter if number >> (7 - bit) & 1 else "." for bit, letter in enumerate(_FLAG_LETTERS))[-letters:]
        for number in range(256)
    ]
    return pa.array(np.array(table, dtype=object)[flags.astype(np.int64) & 0xFF])


def _names(protocol: np.ndarray) -> pa.Array:
    return pa.array(protocol_name(protocol))


def _dotted_icmp(trace: Trace) -> pa.Array:
    """Destination ports; of ICMP as `type.code`."""
    port = pa.array(trace["dst_port"]).cast(pa.string())
    icmp = np.isin(trace["protocol"], (ICMP, ICMPV6))
    if not icmp.any():
        return port
    kind, code = (pa.array(values).cast(pa.string()) for values in np.divmod(trace["dst_port"], 256))
    return pc.if_else(pa.array(icmp), pc.binary_join_element_wise(kind, code, "."), port)


_FORMATTERS: dict[Form, Callable[[np.ndarray], pa.Array]] = {
    Form.PORT: pa.array,
    Form.PORT_OR_ICMP: pa.array,
    Form.LOOSE_PORT: pa.array,
    Form.PROTOCOL: _names,
    Form.LOWER_PROTOCOL: lambda protocol: pc.utf8_lower(_names(protocol)),
    Form.PADDED_PROTOCOL: lambda protocol: pc.utf8_rpad(_names(protocol), 5, " "),
    Form.PROTOCOL_NUMBER: pa.array,
    Form.ZEEK_PROTOCOL: lambda protocol: pa.array(_ZEEK_NAMES[protocol]),
    Form.UTC_TEXT: date_times,
    Form.UTC_SECONDS_TEXT: lambda time: pc.replace_substring(_iso(time, "s"), "T", " "),
    Form.SLASHED_TEXT: _slashed,
    Form.DAY_FIRST_TEXT: _day_first,
    Form.EPOCH_SECONDS: lambda time: seconds_text(time, 9),
    Form.WHOLE_EPOCH_SECONDS: lambda time: pa.array(time // UNIT_NS["s"]),
    Form.EPOCH_NUMBER: lambda time: pa.array(time // UNIT_NS["us"]),
    Form.SECONDS: lambda duration: seconds_text(duration, 9),
    Form.MILLI_SECONDS: lambda duration: seconds_text(duration, 3),
    Form.MICRO_SECONDS: lambda duration: seconds_text(duration, 6),
    Form.WHOLE_MICROSECONDS: lambda duration: pa.array(duration // UNIT_NS["us"]),
    Form.COUNT: pa.array,
    Form.ABBREVIATED_COUNT: pa.array,
    Form.FLAG_LETTERS: lambda flags: _flag_letters(flags, 8),
    Form.SIX_FLAG_LETTERS: lambda flags: _flag_letters(flags, 6),
    Form.FLAG_NUMBER: lambda flags: pa.array(flags.astype(np.int64) & 0x1FF),
    Form.BYTE: pa.array,
}
