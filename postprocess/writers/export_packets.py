"""Flow records as the export packets of a router: NetFlow v5 and v9 (RFC 3954) and IPFIX (RFC 7011).

    exports = plan_exports(trace, 9)
    for rows, lengths in payload_batches(exports): ...    # uint8[m, width], int64[m]: the payloads of m datagrams

v5 has one fixed layout, for IPv4 only. v9 and IPFIX send a template for each IP version first, and again every
`TEMPLATE_EVERY` packets. Times are whole milliseconds. v5 and v9 count them from the start of the exporter in 32 bits,
which last 49 days: a longer trace is exported by one that restarts every 24 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.errors import FieldError
from netshare.preprocess.layouts.exports import (
    ENTERPRISE_BIT,
    HEADER_LENGTH,
    IPFIX,
    MESSAGE_HEADERS,
    QUANTITIES,
    SET_HEADER,
    TEMPLATE_SET,
    V5,
    V5_RECORD,
    V9,
    Element,
)
from netshare.preprocess.layouts.fields import as_bytes
from netshare.preprocess.protocols import ICMP, ICMPV6
from netshare.preprocess.trace import FLOW_COLUMNS, Trace

BATCH_MESSAGES = 1000
TEMPLATE_EVERY = 64
SOURCE_ID = 1
_MAX_PAYLOAD = 1400  # of a datagram, so that it passes an Ethernet link whole
_RESTART_MS = 2**31  # ms between restarts of a v5 or v9 exporter; no record lasts longer
_FIRST_UPTIME_MS = 60_000  # ms that the exporter has been up before the first record
_MS_NS = 1_000_000
_LAST_SECOND = 2**32 - 1  # of the export time in the header
_MAX_UINT32 = 2**32 - 1
_TEMPLATE_ID = {4: 256, 6: 257}
_TEMPLATES = 0  # in `Exports.ip_version`: a message of templates
_V5_MAX_RECORDS = 30

# The fields of v9 and IPFIX templates: the quantity whose first element is written, its column, its bytes.
_ADDRESSES = {4: (("src4", "src4", 4), ("dst4", "dst4", 4)), 6: (("src6", "src6", 16), ("dst6", "dst6", 16))}
_COMMON = (
    ("src_port", "src_port", 2), ("dst_port", "dst_port", 2), ("protocol", "protocol", 1), ("tos", "tos", 1),
    ("tcp_flags", "tcp_flags", 1), ("bytes", "bytes", 8), ("packets", "packets", 8),
)  # fmt: skip
_TIMES = {
    V9: (("start_uptime", "start", 4), ("end_uptime", "end", 4)),
    IPFIX: (("start_ms", "start", 8), ("end_ms", "end", 8)),
}
_REVERSE_COUNTERS = {
    V9: (("bytes_out", "bytes_rev", 8), ("packets_out", "packets_rev", 8)),
    IPFIX: (("bytes_rev", "bytes_rev", 8), ("packets_rev", "packets_rev", 8)),
}
_Field = tuple[Element, str, int]  # of a template: element, column, bytes


@dataclass(frozen=True)
class Exports:
    """Which records go into which message.

    trace: what is exported; with v5 without its IPv6 records.
    version: 5, 9 or 10 (IPFIX).
    reverse: the templates have the reverse direction's counters.
    ip_version: uint8[m], of the records in each message, 0 for a message of templates.
    rows: int64[n], positions in the trace, in the order in which they are sent.
    first, count: int64[m], the slice of `rows` that each message holds.
    time: int64[m], seconds since 1970 when it is sent, after the end of all its records.
    boot: int64[m], milliseconds since 1970 when the exporter started.
    sequence: int64[m], flows (v5, IPFIX) or messages (v9) sent before.
    lossy: one line for each thing that these export packets do not hold.
    """

    trace: Trace
    version: int
    reverse: bool
    ip_version: np.ndarray
    rows: np.ndarray
    first: np.ndarray
    count: np.ndarray
    time: np.ndarray
    boot: np.ndarray
    sequence: np.ndarray
    lossy: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.first)

    def record_type(self, ip_version: int) -> np.dtype:
        """The layout of a record on the wire."""
        return _record_type(self.version, ip_version, self.reverse)

    @property
    def lengths(self) -> np.ndarray:
        """int64[m]: bytes of each message."""
        overhead = HEADER_LENGTH[self.version] + (0 if self.version == V5 else SET_HEADER.itemsize)
        sizes = np.full(len(self), HEADER_LENGTH[self.version] + len(self.template_set()), dtype=np.int64)
        for ip_version in (4, 6):
            of = self.ip_version == ip_version
            sizes[of] = overhead + self.count[of] * self.record_type(ip_version).itemsize
        return sizes if self.version == V5 else sizes + -sizes % 4

    def template_set(self) -> bytes:
        """The set of templates, the layouts of all records; empty for v5."""
        if self.version == V5:
            return b""
        templates = b"".join(self._template(ip_version) for ip_version in (4, 6))
        return np.array([TEMPLATE_SET[self.version], SET_HEADER.itemsize + len(templates)], ">u2").tobytes() + templates

    def _template(self, ip_version: int) -> bytes:
        fields = _fields(self.version, ip_version, self.reverse)
        content = np.array([_TEMPLATE_ID[ip_version], len(fields)], ">u2").tobytes()
        for (enterprise, number), _, width in fields:
            if enterprise:
                content += np.array([ENTERPRISE_BIT | number, width, 0, enterprise], ">u2").tobytes()
            else:
                content += np.array([number, width], ">u2").tobytes()
        return content


def plan_exports(trace: Trace, version: int) -> Exports:
    """Distribute the records of a flow trace over messages, in the trace's order.

    Raises:
        FieldError: records start before 1970 or end after 2106, or version 5 is to hold IPv6 records only.
    """
    lossy = _losses(trace, version)
    if version == V5:
        if len(trace) and not (trace["ip_version"] == 4).any():
            raise FieldError(f"NetFlow v5 holds IPv4 only, and all {len(trace)} records are IPv6; use v9 or IPFIX")
        trace = trace.take(trace["ip_version"] == 4)
    if len(trace) and (trace["time"].min() < 0 or _ends(trace).max() // 1000 >= _LAST_SECOND):
        raise FieldError("export packets hold times from 1970 to 2106 only; shift the column time first")
    reverse = _has_reverse(trace, version)
    starts = trace["time"] // _MS_NS
    base = int(starts.min()) // 1000 * 1000 - _FIRST_UPTIME_MS if len(trace) else 0
    window = (starts - base) // _RESTART_MS
    parts = [
        _cut(np.flatnonzero(trace["ip_version"] == of), window, of, _records_per_message(version, of, reverse))
        for of in ((4,) if version == V5 else (4, 6))
    ]
    rows = np.concatenate([part[0] for part in parts])
    first = np.concatenate([part[1] + shift for part, shift in zip(parts, (0, len(parts[0][0])), strict=False)])
    count = np.concatenate([part[2] for part in parts])
    ip_version = np.concatenate([part[3] for part in parts])
    ends = _ends(trace)[rows]
    latest = np.maximum.reduceat(ends, first) if len(first) else np.zeros(0, np.int64)
    order = np.argsort(rows[first], kind="stable")
    first, count, ip_version, latest = first[order], count[order], ip_version[order], latest[order]
    time = np.maximum.accumulate(-(-latest // 1000)) if len(first) else latest
    boot = base + window[rows[first]] * _RESTART_MS
    time = np.maximum.accumulate(np.maximum(time, -(-boot // 1000))) if len(first) else time
    if version != V5:
        at = np.arange(0, len(first), TEMPLATE_EVERY) if len(first) else np.zeros(1, np.int64)
        when = (time[at], boot[at]) if len(first) else (np.array([base // 1000]), np.array([base]))
        first, count = (np.insert(values, at, 0) for values in (first, count))
        ip_version = np.insert(ip_version, at, _TEMPLATES)
        time, boot = np.insert(time, at, when[0]), np.insert(boot, at, when[1])
    before = np.cumsum(count) - count
    sequence = np.arange(len(first)) if version == V9 else before
    return Exports(trace, version, reverse, ip_version, rows, first, count, time, boot, sequence, tuple(lossy))


def payload_batches(exports: Exports, batch_messages: int = BATCH_MESSAGES) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All messages in order: uint8[m, width], zeros after the end of each, and int64[m] their lengths."""
    for start in range(0, len(exports), batch_messages):
        yield payloads(exports, start, min(start + batch_messages, len(exports)))


def payloads(exports: Exports, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """As `payload_batches`, of the messages `start` to `stop`."""
    lengths = exports.lengths[start:stop]
    rows = np.zeros((stop - start, int(lengths.max(initial=0)) + 1 & ~1), dtype=np.uint8)
    ip_version = exports.ip_version[start:stop]
    header = HEADER_LENGTH[exports.version]
    rows[:, :header] = as_bytes(_headers(exports, slice(start, stop), lengths))
    template_set = np.frombuffer(exports.template_set(), np.uint8)
    rows[ip_version == _TEMPLATES, header : header + len(template_set)] = template_set
    for of in (4, 6):
        chosen = np.flatnonzero(ip_version == of)
        if len(chosen):
            records = _records(exports, start + chosen, of)
            begin = header
            if exports.version != V5:
                set_length = lengths[chosen] - header
                sets = np.zeros(len(chosen), SET_HEADER)
                sets["number"], sets["length"] = _TEMPLATE_ID[of], set_length
                rows[chosen, begin : begin + SET_HEADER.itemsize] = as_bytes(sets)
                begin += SET_HEADER.itemsize
            rows[chosen, begin : begin + records.shape[1]] = records
    return rows, lengths


def _losses(trace: Trace, version: int) -> list[str]:
    name = {V5: "NetFlow v5", V9: "NetFlow v9", IPFIX: "IPFIX"}[version]
    lossy = []
    if version == V5:
        if six := int(np.count_nonzero(trace["ip_version"] == 6)):
            lossy.append(f"{six} IPv6 records are left out: {name} holds IPv4 only")
        large = (trace["packets"] > _MAX_UINT32) | (trace["bytes"] > _MAX_UINT32)
        if large.any():
            lossy.append(f"packets or bytes of {int(large.sum())} records are cut to 2^32 - 1, the most {name} holds")
    if version != IPFIX and (trace["duration"] // _MS_NS >= _RESTART_MS).any():
        lossy.append("durations are cut to 24 days")
    if (trace["time"] % _MS_NS > 0).any() or (trace["duration"] % _MS_NS > 0).any():
        lossy.append("times and durations are cut to milliseconds")
    if "tcp_flags" in trace and (trace["tcp_flags"] > 0xFF).any():
        lossy.append("tcp_flags: the bit NS has no place")
    held = _HELD | (_HELD_REVERSE if _has_reverse(trace, version) else frozenset())
    extra = [column for column in trace if column not in held]
    lossy += [f"{column}: {name} has no field for it" for column in extra if _holds_something(trace, column)]
    if len(trace) and (trace["epoch"] != trace["epoch"][0]).any():
        lossy.append("epoch: export packets do not say which input a record belongs to")
    return lossy


_HELD = frozenset({*FLOW_COLUMNS, "tos", "tcp_flags"})
_HELD_REVERSE = frozenset({"packets_rev", "bytes_rev"})


def _has_reverse(trace: Trace, version: int) -> bool:
    return version != V5 and all(name in trace for name in _HELD_REVERSE)


def _holds_something(trace: Trace, name: str) -> bool:
    unset = -1 if name in trace.categories else 0
    return bool((trace[name] != unset).any())


def _ends(trace: Trace) -> np.ndarray:
    """int64[n]: milliseconds since 1970 when each record ends (its duration, not its end, is cut to milliseconds)."""
    return trace["time"] // _MS_NS + trace["duration"] // _MS_NS


def _records_per_message(version: int, ip_version: int, reverse: bool) -> int:
    if version == V5:
        return _V5_MAX_RECORDS
    return (_MAX_PAYLOAD - HEADER_LENGTH[version] - SET_HEADER.itemsize - 3) // _record_type(
        version, ip_version, reverse
    ).itemsize


def _cut(
    rows: np.ndarray, window: np.ndarray, ip_version: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Messages of at most `most` records of one window: rows, first, count, IP version."""
    rows = rows[np.argsort(window[rows], kind="stable")]
    windows = window[rows]
    new = np.flatnonzero(np.append(True, windows[1:] != windows[:-1])) if len(rows) else np.zeros(0, np.int64)
    size = np.diff(np.append(new, len(rows)))
    position = np.arange(len(rows)) - np.repeat(new, size)
    first = np.flatnonzero(position % most == 0)
    return rows, first, np.diff(np.append(first, len(rows))), np.full(len(first), ip_version, np.uint8)


def _record_type(version: int, ip_version: int, reverse: bool) -> np.dtype:
    if version == V5:
        return V5_RECORD
    fields = _fields(version, ip_version, reverse)
    return np.dtype([(name, (">u8", 2) if width == 16 else f">u{width}") for _, name, width in fields])


def _fields(version: int, ip_version: int, reverse: bool) -> tuple[_Field, ...]:
    """The fields of a template, in order."""
    named = (*_COMMON, *_TIMES[version], *(_REVERSE_COUNTERS[version] if reverse else ()))
    addresses, others = (
        tuple((QUANTITIES[quantity][0], column, width) for quantity, column, width in some)
        for some in (_ADDRESSES[ip_version], named)
    )
    of_icmp, of_icmpv6 = QUANTITIES["icmp"]  # NetFlow v9 has one element for both versions of ICMP
    icmp = of_icmpv6 if (version, ip_version) == (IPFIX, 6) else of_icmp
    return (*addresses, (icmp, "icmp", 2), *others)


def _headers(exports: Exports, part: slice, lengths: np.ndarray) -> np.ndarray:
    """The headers of some messages, in the layout of their version."""
    header = np.zeros(len(lengths), MESSAGE_HEADERS[exports.version])
    header["version"], header["seconds"] = exports.version, exports.time[part]
    header["sequence"] = exports.sequence[part] & _MAX_UINT32
    if exports.version == IPFIX:
        header["length"] = lengths
    else:
        is_template = exports.ip_version[part] == _TEMPLATES
        header["count"] = np.where(is_template, len(_TEMPLATE_ID), exports.count[part])
        header["uptime"] = (exports.time[part] * 1000 - exports.boot[part]) & _MAX_UINT32
    if exports.version != V5:
        header["domain"] = SOURCE_ID
    return header


def _records(exports: Exports, messages: np.ndarray, ip_version: int) -> np.ndarray:
    """uint8[messages, bytes]: their records, zeros after the last."""
    count = exports.count[messages]
    position = np.arange(int(count.max()))
    within = position < count[:, None]
    slots = np.minimum(exports.first[messages][:, None] + position, len(exports.rows) - 1)
    index = exports.rows[slots].ravel()
    trace = exports.trace
    made = np.zeros(len(index), dtype=exports.record_type(ip_version))
    narrow = exports.version == V5
    for name in made.dtype.names or ():
        if name in ("src4", "dst4"):
            made[name] = trace[f"{name[:3]}_lo"][index]
        elif name in ("src6", "dst6"):
            made[name][:, 0], made[name][:, 1] = trace[f"{name[:3]}_hi"][index], trace[f"{name[:3]}_lo"][index]
        elif name in ("packets", "bytes"):
            made[name] = np.minimum(trace[name][index], _MAX_UINT32) if narrow else trace[name][index]
        elif name == "icmp":  # type * 256 + code, which collectors take from here and not from the port
            made[name] = np.where(np.isin(trace["protocol"][index], (ICMP, ICMPV6)), trace["dst_port"][index], 0)
        elif name == "tcp_flags" and name in trace:
            made[name] = trace[name][index] & 0xFF
        elif name in trace:
            made[name] = trace[name][index]
    start, duration = trace["time"][index] // _MS_NS, trace["duration"][index] // _MS_NS
    if exports.version != IPFIX:
        start = start - np.repeat(exports.boot[messages], len(position))
        duration = np.minimum(duration, _RESTART_MS - 1)
    valid = within.ravel()
    made["start"], made["end"] = np.where(valid, start, 0), np.where(valid, start + duration, 0)
    made[~valid] = np.zeros(1, made.dtype)
    return made.view(np.uint8).reshape(len(messages), -1)
