"""NetFlow v5, v9 and IPFIX export packets, taken apart into data sets whose templates are known.

RFC 3954 (v9), RFC 7011 (IPFIX), Cisco's table of the v5 format. A template is known by the exporter's address, the
version, the source or observation-domain id, and its own id: routers number theirs alike. What is looped over here is
packets and sets, never records.

Data that come before their template are kept until it comes. If the exporter's stream began before the capture (which
its sequence numbers show), they may have followed an earlier template under the same id, which nobody has: collectors drop
them, and so does `late_templates="auto"`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from netshare.preprocess.layouts.exports import (
    ENTERPRISE_BIT,
    FIRST_DATA_SET,
    HEADER_LENGTH,
    IPFIX,
    MESSAGE_HEADERS,
    SET_HEADER,
    TEMPLATE_SET,
    V5,
    V5_TEMPLATE,
    V9,
    Field,
    Template,
)
from netshare.preprocess.layouts.fields import as_struct

NetflowExports = Literal["auto"] | bool  # see `read_trace`, as of the next
LateTemplates = Literal["auto"] | bool
TemplateKey = tuple[str, int, int, int]  # exporter, version, domain, template id

_MAX_V5_RECORDS = 64  # 30 by the table, some send more
_MAX_FIELDS = 2048
_HEADERS = {version: as_struct(layout) for version, layout in MESSAGE_HEADERS.items()}
_SET = as_struct(SET_HEADER)
_MAX_FIRST_SEQUENCE = 128  # a stream whose first sequence number is below has just begun

CUT_PACKET = "export packets cut before their end"
BROKEN_SET = "broken sets, with what follows them in their export packet"
BROKEN_TEMPLATE = "broken templates"
NO_TEMPLATE = "data sets whose template never came"
EARLY = "data sets sent before their template, in a stream that began before the capture"
UNKNOWN_VERSION = "packets that are no NetFlow v5, v9 or IPFIX"


@dataclass
class KnownTemplates:
    """Templates that the files of one call share, and the files whose data still lack theirs, with what was known
    when they were read. `late_templates`: see `read_trace`."""

    late_templates: LateTemplates = "auto"
    templates: dict[TemplateKey, Template] = field(default_factory=dict)
    incomplete: dict[str, dict[TemplateKey, Template]] = field(default_factory=dict)


@dataclass
class Exports:
    """What a file's export packets hold.

    One entry a message: `version`, `domain`, `exporter`, `export_time` (ns), `uptime` (ms, -1 where the version has
    none). One entry a data set, in `sets`: (start, end) in the buffer, its message, its template. `templates` are
    those known at the end; `waiting` the sets that found none. `began`: of each exporter, version and domain,
    whether its stream began here.
    """

    late_templates: LateTemplates = "auto"
    templates: dict[TemplateKey, Template] = field(default_factory=dict)
    began: dict[tuple[str, int, int], bool] = field(default_factory=dict)
    version: list[int] = field(default_factory=list)
    domain: list[int] = field(default_factory=list)
    exporter: list[str] = field(default_factory=list)
    export_time: list[int] = field(default_factory=list)
    uptime: list[int] = field(default_factory=list)
    sets: list[tuple[int, int, int, Template]] = field(default_factory=list)
    waiting: dict[TemplateKey, list[tuple[int, int, int]]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    sampling: set[int] = field(default_factory=set)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count something that is left out."""
        self.skipped[reason] = self.skipped.get(reason, 0) + count

    def learn(self, key: TemplateKey, template: Template) -> None:
        """A template has come: sets that waited for it have one."""
        self.templates[key] = template
        early = self.waiting.pop(key, [])
        if self.late_templates is True or (self.late_templates == "auto" and self.began[key[:3]]):
            self.sets += [(*place, template) for place in early]
        elif early:
            self.leave_out(EARLY, len(early))

    def settle(self, late: dict[TemplateKey, Template]) -> None:
        """No more packets come: what still waits takes a template from another file, or is left out."""
        for key, places in self.waiting.items():
            if key in late:
                self.sets += [(*place, late[key]) for place in places]
            else:
                self.leave_out(NO_TEMPLATE, len(places))
        self.waiting = {key: places for key, places in self.waiting.items() if key not in late}


def is_export(buffer: np.ndarray, start: int, end: int) -> bool:
    """Whether these bytes begin as an export packet does: version, and lengths that fit."""
    data, size = buffer.data, end - start
    if size < 16:
        return False
    version, count = struct.unpack_from(">HH", data, start)
    if version == IPFIX:
        return count >= 16 and (count <= size or count < 2048)
    if version == V5:
        return size >= 24 and 1 <= count <= _MAX_V5_RECORDS and data[start + 8 : start + 12] != b"\0\0\0\0"
    if version != V9 or size < 24:
        return False
    number, length = struct.unpack_from(">HH", data, start + 20)
    return (number in (0, 1) or number >= FIRST_DATA_SET) and 4 <= length <= 0x7FFF


def add_packet(exports: Exports, buffer: np.ndarray, start: int, end: int, exporter: str) -> None:
    """Take apart the messages between two places of the buffer: one as a rule, several in a file of payloads."""
    data = buffer.data
    while end - start >= 2:
        (version,) = struct.unpack_from(">H", data, start)
        header = HEADER_LENGTH.get(version)
        if header is None or end - start < header:
            if bool(buffer[start:end].any()):
                exports.leave_out(UNKNOWN_VERSION if header is None else CUT_PACKET)
            return
        if version == V5:
            start = _add_v5(exports, data, start, end, exporter)
        elif version == V9:
            start = _add_v9(exports, buffer, start, end, exporter)
        else:
            start = _add_ipfix(exports, buffer, start, end, exporter)


def _add_v5(exports: Exports, data: memoryview, start: int, end: int, exporter: str) -> int:
    _, count, uptime, seconds, nanoseconds, sequence, engine, sampling = _HEADERS[V5].unpack_from(data, start)
    time = seconds * 1_000_000_000 + nanoseconds
    message = _add_message(exports, (exporter, V5, engine), sequence, time, uptime)
    if sampling & 0x3FFF > 1:
        exports.sampling.add(sampling & 0x3FFF)
    first = start + HEADER_LENGTH[V5]
    last = first + count * V5_TEMPLATE.width
    if last > end:
        exports.leave_out(CUT_PACKET)
        last = end
    exports.sets.append((first, last, message, V5_TEMPLATE))
    return last


def _add_v9(exports: Exports, buffer: np.ndarray, start: int, end: int, exporter: str) -> int:
    """v9 has no length: a message ends with its packet, or where the next begins (9 is no set's number)."""
    _, _, uptime, seconds, sequence, source = _HEADERS[V9].unpack_from(buffer.data, start)
    message = _add_message(exports, (exporter, V9, source), sequence, seconds * 1_000_000_000, uptime)
    return _add_sets(exports, buffer, start + HEADER_LENGTH[V9], end, message)


def _add_ipfix(exports: Exports, buffer: np.ndarray, start: int, end: int, exporter: str) -> int:
    _, length, seconds, sequence, domain = _HEADERS[IPFIX].unpack_from(buffer.data, start)
    message = _add_message(exports, (exporter, IPFIX, domain), sequence, seconds * 1_000_000_000, -1)
    if length < HEADER_LENGTH[IPFIX]:
        exports.leave_out(BROKEN_SET)
        return end
    if start + length > end:
        exports.leave_out(CUT_PACKET)
    stop = min(start + length, end)
    _add_sets(exports, buffer, start + HEADER_LENGTH[IPFIX], stop, message)
    return stop


def _add_message(exports: Exports, stream: tuple[str, int, int], sequence: int, time: int, uptime: int) -> int:
    exports.began.setdefault(stream, sequence < _MAX_FIRST_SEQUENCE)
    exporter, version, domain = stream
    exports.version.append(version)
    exports.domain.append(domain)
    exports.exporter.append(exporter)
    exports.export_time.append(time)
    exports.uptime.append(uptime)
    return len(exports.version) - 1


def _add_sets(exports: Exports, buffer: np.ndarray, start: int, end: int, message: int) -> int:
    """Sets of a v9 or IPFIX message; returns where they end."""
    data = buffer.data
    version, domain, exporter = exports.version[message], exports.domain[message], exports.exporter[message]
    template_set = TEMPLATE_SET[version]
    while end - start >= 4:
        number, length = _SET.unpack_from(data, start)
        if version == V9 and number in HEADER_LENGTH and is_export(buffer, start, end):
            return start
        if length < 4:
            if bool(buffer[start:end].any()):
                exports.leave_out(BROKEN_SET)
            return end
        stop = min(start + length, end)
        if number in (template_set, template_set + 1):
            if not _learn_templates(exports, data, start + 4, stop, message, number != template_set):
                exports.leave_out(BROKEN_TEMPLATE)
        elif number >= FIRST_DATA_SET:
            place = (start + 4, stop, message)
            key = (exporter, version, domain, number)
            if key in exports.templates:
                exports.sets.append((*place, exports.templates[key]))
            else:
                exports.waiting.setdefault(key, []).append(place)
        else:
            exports.leave_out(BROKEN_SET)
            return end
        if start + length > end:
            exports.leave_out(CUT_PACKET)
        start = stop
    return end


def _learn_templates(exports: Exports, data: memoryview, at: int, end: int, message: int, options: bool) -> bool:
    """Learn the templates of one set, up to the first that is broken; false where one is."""
    version = exports.version[message]
    head = 6 if options else 4
    while end - at >= head:
        number, count = struct.unpack_from(">HH", data, at)
        if number < FIRST_DATA_SET:
            return number == 0  # padding
        if options and version == V9:
            scope, option = struct.unpack_from(">HH", data, at + 2)
            count = (scope + option) // 4
        at += head if count else 4  # a withdrawal has no count of scopes
        if count > _MAX_FIELDS:
            return False
        fields: list[Field] = []
        for _ in range(count):
            if end - at < 4:
                return False
            element, length = struct.unpack_from(">HH", data, at)
            enterprise = 0
            at += 4
            if element & ENTERPRISE_BIT and version == IPFIX:
                if end - at < 4:
                    return False
                (enterprise,) = struct.unpack_from(">I", data, at)
                element &= ~ENTERPRISE_BIT
                at += 4
            fields.append(Field(enterprise, element, length))
        key = (exports.exporter[message], version, exports.domain[message], number)
        template = Template(tuple(fields), options)
        if template.width:
            exports.learn(key, template)
        elif not fields:
            exports.templates.pop(key, None)
        else:
            return False
    return True
