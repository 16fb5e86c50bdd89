"""Data records of NetFlow and IPFIX to flow columns: all records of a template at once, field by field.

Counters are as the exporter sent them; sampled ones are not scaled. Times come from the record's fields, the most
exact first: absolute times, times since the exporter's start (with the header's uptime, RFC 3954, 5.1), and and where a record
has none the time of its export.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from netshare.preprocess.layouts.exports import (
    BOOT_TIME,
    QUANTITIES,
    SAMPLING,
    SAMPLING_SPACE,
    VARIABLE_LENGTH,
    Template,
)
from netshare.preprocess.protocols import ICMP, ICMPV6
from netshare.preprocess.readers.export_messages import CUT_PACKET, Exports
from netshare.preprocess.readers.frames import gather

OPTIONS_RECORD = "option records, which tell of the exporter"
NO_ADDRESSES = "records without IP addresses"

_NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
_MAX_NUMBER_BYTES = 8
_LATEST_TIME_NS = 9_000_000_000_000_000_000  # ns, in the year 2255
_SECOND_NS = 1_000_000_000
_MAX_COUNTER = 1 << 62


def decode_records(buffer: np.ndarray, exports: Exports, notes: list[str]) -> dict[str, np.ndarray]:
    """Flow columns of all data sets, in the order in which the records lie in the file.

    Option records are counted, their sampling rates kept in `exports.sampling`; records without addresses are counted.
    Optional columns are there where a template has them. `notes` receives a line where times had to be made up.
    """
    by_template: dict[Template, list[tuple[int, int, int]]] = {}
    for start, end, message, template in exports.sets:
        by_template.setdefault(template, []).append((start, end, message))
    boot: dict[tuple[str, int], int] = {}
    for template, places in by_template.items():
        if template.options:
            _decode_options(buffer, exports, template, places, boot)
    messages = _Messages(exports, boot)
    parts = [
        _decode_flows(buffer, exports, template, places, messages, notes)
        for template, places in by_template.items()
        if not template.options
    ]
    parts = [part for part in parts if len(part["at"])]
    if not parts:
        return {"time": np.empty(0, np.int64)}
    names = dict.fromkeys(name for part in parts for name in part)
    joined = {
        name: np.concatenate([part[name] if name in part else np.zeros(len(part["at"]), np.int64) for part in parts])
        for name in names
    }
    order = np.argsort(joined.pop("at"), kind="stable")
    return {name: values[order] for name, values in joined.items()}


class _Messages:
    """Columns of all messages: export time, and start of the exporter in ns (0 where no record has it)."""

    def __init__(self, exports: Exports, boot: dict[tuple[str, int], int]) -> None:
        self.export_time = np.array(exports.export_time, dtype=np.int64)
        self.uptime = np.array(exports.uptime, dtype=np.int64)
        starts = [boot.get(key, 0) for key in zip(exports.exporter, exports.domain, strict=True)]
        self.boot = np.array(starts, dtype=np.int64)


def _decode_flows(
    buffer: np.ndarray,
    exports: Exports,
    template: Template,
    places: list[tuple[int, int, int]],
    messages: _Messages,
    notes: list[str],
) -> dict[str, np.ndarray]:
    """Columns of a template's records, with `at`, where each lies in the buffer."""
    at, message, fields = _lay_out(buffer, exports, template, places)
    quantities = {name: values for name in QUANTITIES if (values := _quantity(buffer, fields, name)) is not None}
    columns: dict[str, np.ndarray] = {"at": at}
    version = _put_addresses(columns, buffer, fields)
    for name in ("src_port", "dst_port", "protocol"):
        columns[name] = quantities.get(name, np.zeros(len(at), np.uint64))
    columns["protocol"] = np.minimum(columns["protocol"], 255)
    _put_icmp(columns, quantities)
    _put_counters(columns, quantities)
    for name, mask in (("tcp_flags", 0x1FF), ("tos", 0xFF)):
        if name in quantities:
            columns[name] = quantities[name] & np.uint64(mask)
    _put_times(columns, quantities, messages, message, notes)
    has_addresses = version != 0
    if missing := int(np.count_nonzero(~has_addresses)):
        exports.leave_out(NO_ADDRESSES, missing)
    return {name: values[has_addresses] for name, values in columns.items()}


Places = dict[tuple[int, int], tuple[np.ndarray, int]]  # of each element: where it lies in each record, its length


def _lay_out(
    buffer: np.ndarray, exports: Exports, template: Template, places: list[tuple[int, int, int]]
) -> tuple[np.ndarray, np.ndarray, Places]:
    """Where each record lies (int64[n]), its message (int64[n]), and where its fields lie."""
    if template.variable:
        return _lay_out_variable(buffer, exports, template, places)
    table = np.array(places, dtype=np.int64).reshape(-1, 3)
    count = (table[:, 1] - table[:, 0]) // template.width
    first = np.repeat(np.cumsum(count) - count, count)
    at = np.repeat(table[:, 0], count) + (np.arange(len(first)) - first) * template.width
    fields: Places = {}
    offset = 0
    for element in template.fields:
        fields.setdefault((element.enterprise, element.number), (at + offset, element.length))
        offset += element.length
    return at, np.repeat(table[:, 2], count), fields


def _lay_out_variable(
    buffer: np.ndarray, exports: Exports, template: Template, places: list[tuple[int, int, int]]
) -> tuple[np.ndarray, np.ndarray, Places]:
    """The same where records hold the lengths of their fields (RFC 7011, 7): these are walked one by one."""
    data = buffer.data
    rows: list[list[int]] = []
    message_of: list[int] = []
    for start, end, message in places:
        at = start
        while end - at >= template.width:
            row = []
            for element in template.fields:
                length = element.length
                if length == VARIABLE_LENGTH and at < end:
                    length = data[at]
                    at += 1
                    if length == 0xFF and end - at >= 2:
                        length = data[at] << 8 | data[at + 1]
                        at += 2
                row.append(at)
                at += length
            if at > end:
                exports.leave_out(CUT_PACKET)
                break
            rows.append(row)
            message_of.append(message)
    table = np.array(rows, dtype=np.int64).reshape(-1, len(template.fields))
    fields: Places = {}
    for position, element in enumerate(template.fields):
        if element.length != VARIABLE_LENGTH:
            fields.setdefault((element.enterprise, element.number), (table[:, position], element.length))
    at_first = table[:, 0] if table.size else np.empty(0, np.int64)
    return at_first, np.array(message_of, dtype=np.int64), fields


def _quantity(buffer: np.ndarray, fields: Places, name: str) -> np.ndarray | None:
    """uint64[n] of a quantity: of the first element that is not 0; None where the template has none of its elements.
    Addresses have their own way."""
    if name in ("src4", "dst4", "src6", "dst6"):
        return None
    found: np.ndarray | None = None
    for element in QUANTITIES[name]:
        if element not in fields or not 1 <= fields[element][1] <= _MAX_NUMBER_BYTES:
            continue
        values = _unsigned(buffer, *fields[element])
        found = values if found is None else np.where(found == 0, values, found)
    return found


def _unsigned(buffer: np.ndarray, at: np.ndarray, length: int) -> np.ndarray:
    """uint64[n] of big-endian fields of 1 to 8 bytes (RFC 7011, 6.2: reduced-size encoding)."""
    if length in (1, 2, 4, 8):
        return gather(buffer, at, np.dtype([("value", f">u{length}")]))["value"].astype(np.uint64)
    octets = gather(buffer, at, np.dtype([("value", "u1", (length,))]))["value"].astype(np.uint64)
    return octets @ (np.uint64(1) << (np.arange(length - 1, -1, -1, dtype=np.uint64) * np.uint64(8)))


def _put_addresses(columns: dict[str, np.ndarray], buffer: np.ndarray, fields: Places) -> np.ndarray:
    """Set addresses and IP version; the version is 0 where a record has no addresses. Where a template has room for
    both versions, the one whose addresses are not 0 counts."""
    rows = len(columns["at"])
    version = np.zeros(rows, dtype=np.uint8)
    for name in ("src_hi", "src_lo", "dst_hi", "dst_lo"):
        columns[name] = np.zeros(rows, dtype=np.uint64)
    if _is_length(fields, "src4", 4) and _is_length(fields, "dst4", 4):
        for end in ("src", "dst"):
            columns[f"{end}_lo"] = _unsigned(buffer, *fields[QUANTITIES[f"{end}4"][0]])
        version[:] = 4
    if _is_length(fields, "src6", 16) and _is_length(fields, "dst6", 16):
        halves = {}
        for end in ("src", "dst"):
            at, _ = fields[QUANTITIES[f"{end}6"][0]]
            halves[f"{end}_hi"], halves[f"{end}_lo"] = _unsigned(buffer, at, 8), _unsigned(buffer, at + 8, 8)
        v4_said = (columns["src_lo"] | columns["dst_lo"]) != 0
        v6_said = np.bitwise_or.reduce(list(halves.values())) != 0
        is_v6 = (v6_said & ~v4_said) if version.any() else np.ones(rows, dtype=bool)
        for name, values in halves.items():
            columns[name] = np.where(is_v6, values, columns[name])
        version[is_v6] = 6
    columns["ip_version"] = version
    return version


def _is_length(fields: Places, name: str, length: int) -> bool:
    element = QUANTITIES[name][0]
    return element in fields and fields[element][1] == length


def _put_icmp(columns: dict[str, np.ndarray], quantities: dict[str, np.ndarray]) -> None:
    """Where ICMP's type and code stand apart and no ports do, the destination port becomes type * 256 + code."""
    if "icmp" in quantities:
        both = quantities["icmp"]
    elif "icmp_type" in quantities:
        both = quantities["icmp_type"] << np.uint64(8) | quantities.get(
            "icmp_code", np.zeros_like(quantities["icmp_type"])
        )
    else:
        return
    is_icmp = np.isin(columns["protocol"], (ICMP, ICMPV6)) & (columns["src_port"] == 0) & (columns["dst_port"] == 0)
    columns["dst_port"] = np.where(is_icmp, both & np.uint64(0xFFFF), columns["dst_port"])


def _put_counters(columns: dict[str, np.ndarray], quantities: dict[str, np.ndarray]) -> None:
    """Packets and bytes, and those of the reverse direction where a template has them."""
    nothing = np.zeros(len(columns["at"]), dtype=np.uint64)
    for name in ("packets", "bytes"):
        columns[name] = np.minimum(quantities.get(name, nothing), np.uint64(_MAX_COUNTER)).astype(np.int64)
        back = quantities.get(f"{name}_rev", quantities.get(f"{name}_out", nothing))
        columns[f"{name}_rev"] = np.minimum(back, np.uint64(_MAX_COUNTER)).astype(np.int64)
    only_out = (columns["packets"] == 0) & (columns["bytes"] == 0) & ("bytes_rev" not in quantities)
    for name in ("packets", "bytes"):
        back = columns[f"{name}_rev"]
        columns[name] = np.where(only_out, back, columns[name])
        columns[f"{name}_rev"] = np.where(only_out, 0, back)
    if not columns["packets_rev"].any() and not columns["bytes_rev"].any():
        del columns["packets_rev"], columns["bytes_rev"]


def _put_times(
    columns: dict[str, np.ndarray],
    quantities: dict[str, np.ndarray],
    messages: _Messages,
    message: np.ndarray,
    notes: list[str],
) -> None:
    """Start and duration of every record, in ns."""
    export_time = messages.export_time[message]
    start, end = (_absolute(quantities, side, export_time, message, messages) for side in ("start", "end"))
    event = _first_set(_scaled(quantities, "event"))
    unset = start == 0
    start = np.where(unset, np.where(end != 0, end, event if event is not None else 0), start)
    if "duration_ms" in quantities or "duration_us" in quantities:
        scale = 1_000_000 if "duration_ms" in quantities else 1_000
        length = quantities.get("duration_ms", quantities.get("duration_us"))
        duration = np.minimum(np.asarray(length), _MAX_COUNTER // scale).astype(np.int64) * scale
        start = np.where(unset & (end != 0), end - duration, start)
    else:
        duration = np.where(end != 0, end - start, 0)
    made_up = start == 0
    if count := int(np.count_nonzero(made_up)):
        start = np.where(made_up, export_time, start)
        notes.append(f"{count} records tell no time and took that of their export packet")
    if count := int(np.count_nonzero(duration < 0)):
        notes.append(f"{count} records end before they start, their duration is taken as 0")
    columns["time"] = start
    columns["duration"] = np.maximum(duration, 0)


def _absolute(
    quantities: dict[str, np.ndarray], side: str, export_time: np.ndarray, message: np.ndarray, messages: _Messages
) -> np.ndarray:
    """int64 ns of a record's start or end, 0 where it has none."""
    ways = _scaled(quantities, side)
    if f"{side}_uptime" in quantities:
        ways.append(_from_uptime(quantities, side, export_time, message, messages))
    if f"{side}_before" in quantities:
        before = np.minimum(quantities[f"{side}_before"], np.uint64(_MAX_COUNTER // 1000)).astype(np.int64)
        ways.append(export_time - before * 1000)
    found = _first_set(ways)
    return np.zeros(len(message), dtype=np.int64) if found is None else found


def _first_set(ways: Iterable[np.ndarray]) -> np.ndarray | None:
    """Of each record the first of its values that is not 0; None without any values."""
    found: np.ndarray | None = None
    for values in ways:
        found = values if found is None else np.where(found == 0, values, found)
    return found


def _scaled(quantities: dict[str, np.ndarray], side: str) -> list[np.ndarray]:
    """Absolute times in ns; what 64 bits do not hold is 0, as if it were not there."""
    ways = []
    for unit, scale in (("ms", 1_000_000), ("s", _SECOND_NS)):
        if f"{side}_{unit}" in quantities:
            values = quantities[f"{side}_{unit}"]
            ways.append(np.where(values < _LATEST_TIME_NS // scale, values, 0).astype(np.int64) * scale)
    if f"{side}_ntp" in quantities:
        values = quantities[f"{side}_ntp"]
        seconds = (values >> np.uint64(32)).astype(np.int64) - _NTP_EPOCH
        fraction = (values & np.uint64(0xFFFFFFFF)).astype(np.int64) * _SECOND_NS >> 32
        ways.insert(0, np.where(values == 0, 0, seconds * _SECOND_NS + fraction))
    return ways


def _from_uptime(
    quantities: dict[str, np.ndarray], side: str, export_time: np.ndarray, message: np.ndarray, messages: _Messages
) -> np.ndarray:
    """ns of 32-bit milliseconds since the exporter's start, which begin anew every 49.7 days. IPFIX has no uptime in
    its header: the start stands in the record or in option records; else the last flow of a message ends with it."""
    since = (quantities[f"{side}_uptime"] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    boot = messages.boot[message]
    if "boot_ms" in quantities:
        boot = np.minimum(quantities["boot_ms"], np.uint64(_LATEST_TIME_NS // 1_000_000)).astype(np.int64) * 1_000_000
    uptime = messages.uptime[message]
    last = (quantities.get("end_uptime", quantities[f"{side}_uptime"]) & np.uint64(0xFFFFFFFF)).astype(np.int64)
    latest = np.zeros(len(messages.uptime), dtype=np.int64)
    np.maximum.at(latest, message, last)
    uptime = np.where(uptime < 0, latest[message], uptime)
    before = (uptime - since) & 0xFFFFFFFF
    before = np.where(before >= 1 << 31, before - (1 << 32), before)
    absolute = np.where(boot != 0, boot + since * 1_000_000, export_time - before * 1_000_000)
    unset = (since == 0) & (np.asarray(quantities.get("end_uptime", since)) == 0)
    return np.where(unset, 0, absolute)


def _decode_options(
    buffer: np.ndarray,
    exports: Exports,
    template: Template,
    places: list[tuple[int, int, int]],
    boot: dict[tuple[str, int], int],
) -> None:
    """Count option records; keep the sampling rates and the exporter's start in them."""
    at, message, fields = _lay_out(buffer, exports, template, places)
    if not len(at):
        return
    exports.leave_out(OPTIONS_RECORD, len(at))
    space = np.zeros(len(at), dtype=np.uint64)
    if SAMPLING_SPACE in fields and fields[SAMPLING_SPACE][1] <= _MAX_NUMBER_BYTES:
        space = _unsigned(buffer, *fields[SAMPLING_SPACE])
    for element in SAMPLING:
        if element in fields and 1 <= fields[element][1] <= _MAX_NUMBER_BYTES:
            rate = _unsigned(buffer, *fields[element])
            rate = (rate + space) // np.maximum(rate, 1) if element == (0, 305) and space.any() else rate
            exports.sampling.update(value for value in np.unique(rate).tolist() if value > 1)
    if BOOT_TIME in fields and fields[BOOT_TIME][1] == _MAX_NUMBER_BYTES:
        starts = np.minimum(_unsigned(buffer, *fields[BOOT_TIME]), np.uint64(_LATEST_TIME_NS // 1_000_000))
        for value, number in zip(starts.tolist(), message.tolist(), strict=True):
            boot[exports.exporter[number], exports.domain[number]] = value * 1_000_000
