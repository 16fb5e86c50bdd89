"""Repair rules for packet traces; each mends columns and says which rows broke it.

Order matters: version and fragmentation decide which headers a packet has, protocols and ports what they hold, and
lengths come after them because they must hold all of it; streams come last, since they count payloads.
"""

from __future__ import annotations

import numpy as np

from netshare.postprocess import rules
from netshare.postprocess.payload_tables import BODIES
from netshare.postprocess.payloads import body_minimum, body_numbers, has_two_bodies
from netshare.postprocess.repair_addresses import (
    ADDRESS_RULES,
    PORT_PROTOCOL_RULE,
    PORT_ZERO_RULE,
    VERSION_RULES,
    Columns,
    Rule,
)
from netshare.postprocess.repair_tcp import STREAM_ORDER_RULE, STREAM_RULES
from netshare.postprocess.rules import ICMP, ICMPV6, IP_DONT_FRAGMENT, IP_MORE_FRAGMENTS, TCP, TCP_FIN, TCP_RST, TCP_SYN
from netshare.postprocess.sequence import mix, ranks
from netshare.postprocess.tcp_connections import find_connections, service_ports

_MAX_OFFSET = 0x1FFF  # RFC 791, 3.1: 13 bits
_MAX_FRAGMENT_LENGTH = 65_520  # leaves room for an offset
_MIN_FRAGMENT_LENGTH = 128  # more than the smallest fragment, whose length a later rule may raise
_LAYOUT_COLUMNS = {"tcp": ("tcp_flags", "tcp_window", "tcp_header_length"), "icmp": ("icmp_type", "icmp_code")}


def assign_identifications(columns: Columns, *, seed: int = 0) -> np.ndarray:
    """uint16[n]: IPv4 identifications, a counter for each source address that starts at a hash of address and `seed`.

    A fragment shares the number of the packet before it from its source, if that has more fragments to come and ends at
    or before where this one starts; any other packet counts up, so that no two fragments of a datagram overlap. IPv6
    packets have 0.
    """
    source = mix(columns["src_lo"] + np.uint64(seed) + mix(columns["src_hi"] + columns["ip_version"]))
    order = np.argsort(source, kind="stable")
    offset, flags = columns["fragment_offset"].astype(np.int64) * 8, columns["ip_flags"]
    ends = offset + columns["length"].astype(np.int64) - rules.IP_HEADER[4]
    earlier, later = order[:-1], order[1:]
    begins = np.ones(len(order), dtype=bool)
    begins[later] = (
        (offset[later] == 0)
        | (source[later] != source[earlier])
        | ((flags[earlier] & IP_MORE_FRAGMENTS) == 0)
        | (offset[later] < ends[earlier])
    )
    counted = np.cumsum(begins[order])
    position = ranks(source)[order]
    before = counted - begins[order]
    numbers = np.empty(len(source), dtype=np.int64)
    numbers[order] = counted - before[np.arange(len(order)) - position]
    start = (source & np.uint64(0xFFFF)).astype(np.int64)
    return np.where(columns["ip_version"] == 4, (start + numbers) & 0xFFFF, 0).astype(np.uint16)


def _small_fields(columns: Columns) -> np.ndarray:
    ttl, vlan = columns["ttl"], columns["vlan"]
    wrong = (ttl == 0) | (vlan > rules.MAX_VLAN)
    columns["ttl"] = np.maximum(ttl, 1)
    columns["vlan"] = np.minimum(vlan, rules.MAX_VLAN).astype(np.uint16)
    return wrong


def _ipv6_fields(columns: Columns) -> np.ndarray:
    is_v6, flags = columns["ip_version"] == 6, columns["ip_flags"]
    wrong = is_v6 & ((columns["ip_id"] > 0) | ((flags & ~np.uint8(IP_MORE_FRAGMENTS)) > 0))
    columns["ip_id"] = np.where(is_v6, 0, columns["ip_id"]).astype(np.uint16)
    columns["ip_flags"] = np.where(is_v6, flags & IP_MORE_FRAGMENTS, flags).astype(np.uint8)
    return wrong


def _fragments(columns: Columns) -> np.ndarray:
    flags, offset = columns["ip_flags"], columns["fragment_offset"]
    reserved = flags > 3
    flags = flags & 3
    both = ((flags & IP_DONT_FRAGMENT) > 0) & ((offset > 0) | ((flags & IP_MORE_FRAGMENTS) > 0))
    flags = np.where(both & (offset > 0), flags & ~np.uint8(IP_DONT_FRAGMENT), flags)
    flags = np.where(both & (offset == 0), flags & ~np.uint8(IP_MORE_FRAGMENTS), flags)
    length = np.clip(columns["length"].astype(np.int64), _MIN_FRAGMENT_LENGTH, _MAX_FRAGMENT_LENGTH)
    farthest = np.minimum((rules.MAX_IP_LENGTH - length) // 8, _MAX_OFFSET)
    far = offset > farthest
    columns["ip_flags"] = flags.astype(np.uint8)
    columns["fragment_offset"] = np.where(far, farthest, offset).astype(np.uint16)
    return reserved | both | far


def _portless(columns: Columns) -> np.ndarray:
    without = ~rules.has_ports(columns["protocol"]) | (columns["fragment_offset"] > 0)
    wrong = without & ((columns["src_port"] > 0) | (columns["dst_port"] > 0))
    for name in ("src_port", "dst_port"):
        columns[name] = np.where(without, 0, columns[name]).astype(np.uint16)
    return wrong


def _foreign_fields(columns: Columns) -> np.ndarray:
    first, protocol = columns["fragment_offset"] == 0, columns["protocol"]
    wrong = np.zeros(len(first), dtype=bool)
    for family, owned in (("tcp", protocol == TCP), ("icmp", (protocol == ICMP) | (protocol == ICMPV6))):
        for name in _LAYOUT_COLUMNS[family]:
            wrong |= ~(owned & first) & (columns[name] > 0)
            columns[name] = np.where(owned & first, columns[name], 0).astype(columns[name].dtype)
    return wrong


def _icmp_code(columns: Columns) -> np.ndarray:
    protocol, kind = columns["protocol"], columns["icmp_type"]
    sole = ((protocol == ICMP) & np.isin(kind, rules.ICMP_SOLE_CODE)) | (
        (protocol == ICMPV6) & np.isin(kind, rules.ICMPV6_SOLE_CODE)
    )
    wrong = sole & (columns["icmp_code"] > 0)
    columns["icmp_code"] = np.where(wrong, 0, columns["icmp_code"]).astype(np.uint8)
    return wrong


def _tcp_header_length(columns: Columns) -> np.ndarray:
    tcp = (columns["protocol"] == TCP) & (columns["fragment_offset"] == 0)
    found = columns["tcp_header_length"].astype(np.int64)
    room = (columns["length"].astype(np.int64) - _network_headers(columns)) // 4 * 4
    legal = np.clip(found // 4 * 4, rules.TCP_MIN_HEADER, np.clip(room, rules.TCP_MIN_HEADER, rules.TCP_MAX_HEADER))
    columns["tcp_header_length"] = np.where(tcp, legal, found).astype(np.uint8)
    return tcp & (legal != found)


def _tcp_flags(columns: Columns) -> np.ndarray:
    tcp = (columns["protocol"] == TCP) & (columns["fragment_offset"] == 0)
    found = columns["tcp_flags"]
    legal = found & rules.TCP_FLAG_MASK
    legal = np.where((legal & TCP_RST) > 0, legal & ~np.uint16(TCP_SYN), legal)
    legal = np.where((legal & TCP_SYN) > 0, legal & ~np.uint16(TCP_FIN), legal)
    legal = np.where(legal == 0, rules.TCP_ACK, legal)
    columns["tcp_flags"] = np.where(tcp, legal, found).astype(np.uint16)
    return tcp & (legal != found)


def _length(columns: Columns) -> np.ndarray:
    found = columns["length"].astype(np.int64)
    most = np.where(columns["fragment_offset"] > 0, _MAX_FRAGMENT_LENGTH, rules.MAX_IP_LENGTH)
    legal = np.minimum(np.maximum(found, _network_headers(columns) + _transport_minimum(columns)), most)
    columns["length"] = legal.astype(np.uint32)
    return legal != found


def _syn_payload(columns: Columns) -> np.ndarray:
    syn = (columns["protocol"] == TCP) & (columns["fragment_offset"] == 0) & ((columns["tcp_flags"] & TCP_SYN) > 0)
    headers = _network_headers(columns) + _transport_headers(columns)
    wrong = syn & ((columns["ip_flags"] & IP_MORE_FRAGMENTS) == 0) & (columns["length"] > headers)
    columns["length"] = np.where(wrong, headers, columns["length"]).astype(np.uint32)
    return wrong


def _fragment_length(columns: Columns) -> np.ndarray:
    found, headers = columns["length"].astype(np.int64), _network_headers(columns)
    least = (_transport_minimum(columns) + 7) // 8 * 8
    legal = headers + np.maximum((found - headers) // 8 * 8, np.maximum(least, 8))
    wrong = ((columns["ip_flags"] & IP_MORE_FRAGMENTS) > 0) & (legal != found)
    columns["length"] = np.where(wrong, legal, found).astype(np.uint32)
    return wrong


def _message_length(columns: Columns) -> np.ndarray:
    protocol, kind = columns["protocol"], columns["icmp_type"]
    whole = (columns["fragment_offset"] == 0) & ((columns["ip_flags"] & IP_MORE_FRAGMENTS) == 0)
    found = columns["length"].astype(np.int64)
    headers = _network_headers(columns) + _transport_headers(columns)
    service = np.zeros(len(protocol), dtype=np.uint16)
    doubtful = np.flatnonzero(has_two_bodies(protocol, columns["src_port"], columns["dst_port"]))
    if len(doubtful):
        some = {name: values[doubtful] for name, values in columns.items()}
        service[doubtful] = service_ports(find_connections(some), some)
    number = body_numbers(protocol, columns["src_port"], columns["dst_port"], service)
    least, unit = body_minimum(number), _BODY_UNIT[number]
    v6 = protocol == ICMPV6
    least = np.where(v6, rules.ICMPV6_MINIMUM[kind], np.where(protocol == ICMP, rules.ICMP_MINIMUM[kind], least))
    unit = np.where(v6, rules.ICMPV6_UNIT[kind], unit)
    most = np.where(v6 & (unit > 1), least + unit * rules.ICMPV6_MAXIMUM_UNITS, rules.MAX_IP_LENGTH)
    body = found - headers
    above = np.maximum(np.minimum(body, most) - least, 0)
    legal = least + np.where(unit > 0, above // np.maximum(unit, 1) * unit, 0)
    empty = rules.has_ports(protocol) & (_transport_headers(columns) > 0) & (body == 0)
    wrong = whole & ~empty & (legal != body)
    columns["length"] = np.where(wrong, headers + legal, found).astype(np.uint32)
    return wrong


def _network_headers(columns: Columns) -> np.ndarray:
    fragment = (columns["fragment_offset"] > 0) | ((columns["ip_flags"] & IP_MORE_FRAGMENTS) > 0)
    extra = np.where(fragment & (columns["ip_version"] == 6), rules.FRAGMENT_HEADER, 0)
    return rules.ip_header_length(columns["ip_version"]) + extra


def _transport_headers(columns: Columns) -> np.ndarray:
    """Bytes of the transport headers that are built apart from the body: TCP's and UDP's."""
    protocol = columns["protocol"]
    fixed = np.where((protocol == rules.UDP) | (protocol == rules.UDPLITE), 8, 0)
    return np.where(protocol == TCP, columns["tcp_header_length"], fixed).astype(np.int64)


def _transport_minimum(columns: Columns) -> np.ndarray:
    protocol = columns["protocol"]
    known = rules.minimum_length(protocol, columns["ip_version"], tcp_header_length=columns["tcp_header_length"])
    known = known - rules.ip_header_length(columns["ip_version"])
    known = np.maximum(known, rules.icmp_minimum(protocol, columns["icmp_type"]))
    return np.where(columns["fragment_offset"] > 0, 1, known)


_BODY_UNIT = np.array([body.unit for body in BODIES], dtype=np.int64)

PACKET_RULES = (
    *VERSION_RULES,
    Rule("ttl_vlan", "a packet on the wire has TTL >= 1 and a VLAN of at most 4094", _small_fields),
    Rule("ipv6_fields", "IPv6 has no identification, DF or reserved flag", _ipv6_fields),
    Rule("fragments", "DF excludes fragmentation; a fragment ends within 65,535 bytes", _fragments),
    Rule("portless", "protocols without ports, and fragments but the first, have ports 0", _portless),
    PORT_PROTOCOL_RULE,
    PORT_ZERO_RULE,
    *ADDRESS_RULES,
    Rule("foreign_fields", "TCP fields only on TCP, ICMP fields only on ICMP, in first fragments", _foreign_fields),
    Rule("icmp_code", "messages that IANA registers with code 0 only have it", _icmp_code),
    Rule("tcp_header_length", "a TCP header has 20 to 60 bytes in steps of 4 and fits the packet", _tcp_header_length),
    Rule("tcp_flags", "nine bits, some of them set; no SYN with FIN or RST (RFC 9293, 3.10)", _tcp_flags),
    Rule("length", "from the headers' minimum to 65,535 bytes", _length),
    Rule("syn_payload", "a SYN carries no data", _syn_payload),
    Rule("fragment_length", "fragments but the last carry a multiple of 8 bytes", _fragment_length),
    STREAM_ORDER_RULE,
    Rule(
        "message_length", "a message of a known protocol holds its fixed part and whole list entries", _message_length
    ),
    *STREAM_RULES,
)
