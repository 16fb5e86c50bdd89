"""What packets need to know of the rest of their trace before they can be written: TCP numbers and options, echo numbers,
the datagrams that fragments belong to, and which of two ports is a service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netshare.postprocess import rules, sequence
from netshare.postprocess.payloads import BodyArrays, body_arrays
from netshare.postprocess.rules import TCP, UDP, UDPLITE
from netshare.postprocess.tcp_connections import find_connections, service_ports
from netshare.postprocess.tcp_numbers import tcp_numbers
from netshare.postprocess.tcp_options import OptionValues, option_values
from netshare.preprocess.errors import FieldError
from netshare.preprocess.hashing import GOLDEN_GAMMA
from netshare.preprocess.trace import PACKET_COLUMNS, Trace

_SEGMENTS_PER_BLOCK = 1 << 15  # TCP segments numbered at a time: their arrays stay in the processor's cache
_MAX_BLOCKS = 1 << 15
_TCP_COLUMNS = frozenset(PACKET_COLUMNS) - {"ttl", "tos", "ip_id", "icmp_type", "icmp_code", "vlan", "epoch"}


@dataclass(frozen=True)
class PacketPlan:
    """What packets need to know of the rest of the trace: one entry a row of the trace it was planned for."""

    sequence: np.ndarray  # uint32, TCP
    acknowledgement: np.ndarray  # uint32, TCP
    options: OptionValues  # TCP
    identifier: np.ndarray  # uint16, ICMP echo
    echo_sequence: np.ndarray  # uint16, ICMP echo
    datagram: np.ndarray  # int64, bytes after the IP header of the whole datagram
    service: np.ndarray  # uint16, TCP: the port that is called, 0 where unknown
    bodies: BodyArrays

    def part(self, rows: slice) -> PacketPlan:
        """The plan of some rows."""
        return PacketPlan(
            self.sequence[rows],
            self.acknowledgement[rows],
            self.options.take(rows),
            self.identifier[rows],
            self.echo_sequence[rows],
            self.datagram[rows],
            self.service[rows],
            self.bodies,
        )


def plan_packets(trace: Trace, *, seed: int = 0) -> PacketPlan:
    """Compute what spans packets; `trace` is in the order in which its packets will be written.

    Raises:
        FieldError: packets are shorter than their headers (`repair` makes them valid).
    """
    if trace.kind != "packet":
        raise FieldError("only a packet trace can become packets; this is a flow trace")
    rows = len(trace)
    short = sum(
        _shorter_than_headers(trace, slice(at, at + _SEGMENTS_PER_BLOCK)) for at in range(0, rows, _SEGMENTS_PER_BLOCK)
    )
    if short:
        raise FieldError(f"{short} packets are shorter than their headers; call repair() on the trace first")
    numbers = np.zeros(rows, np.uint32), np.zeros(rows, np.uint32)
    options = OptionValues(np.zeros(rows, np.uint32), np.zeros(rows, np.uint32), np.zeros(rows, np.uint8))
    service = np.zeros(rows, np.uint16)
    for chosen in _whole_conversations(trace):
        part = _rows(trace, chosen)
        found = find_connections(part)
        numbers[0][chosen], numbers[1][chosen] = tcp_numbers(part, found, seed=seed)
        values = option_values(part, found, seed=seed)
        options.clock[chosen], options.echoed[chosen], options.shift[chosen] = values.clock, values.echoed, values.shift
        service[chosen] = service_ports(found, part)
    identifier, echo_sequence = sequence.echo_numbers(trace)
    return PacketPlan(
        *numbers, options, identifier, echo_sequence, sequence.datagram_lengths(trace), service, body_arrays()
    )


def header_length(trace: Trace) -> np.ndarray:
    """int64[n]: bytes of IP, fragment, transport and ICMP headers that each packet holds at least."""
    protocol, version = trace["protocol"], trace["ip_version"]
    ip = rules.ip_header_length(version) + np.where(is_fragment(trace) & (version == 6), rules.FRAGMENT_HEADER, 0)
    transport = np.where(
        protocol == TCP, trace["tcp_header_length"], np.where((protocol == UDP) | (protocol == UDPLITE), 8, 0)
    ).astype(np.int64)
    transport = np.maximum(transport, rules.icmp_minimum(protocol, trace["icmp_type"]))
    return ip + np.where(trace["fragment_offset"] == 0, transport, 0)


def is_fragment(trace: Trace) -> np.ndarray:
    """bool[n]: the packet is a fragment, first ones included."""
    return (trace["fragment_offset"] > 0) | ((trace["ip_flags"] & rules.IP_MORE_FRAGMENTS) > 0)


def _shorter_than_headers(trace: Trace, rows: slice) -> int:
    part = Trace("packet", {name: values[rows] for name, values in trace.columns.items()})
    return int(np.count_nonzero(part["length"] < header_length(part)))


def _whole_conversations(trace: Trace) -> Iterator[np.ndarray]:
    """Ascending rows of TCP segments, some conversations with all of their segments at a time."""
    rows = np.flatnonzero(trace["protocol"] == TCP)
    count = min(len(rows) // _SEGMENTS_PER_BLOCK, _MAX_BLOCKS)
    if count < 2:
        if len(rows):
            yield rows
        return
    key = trace["src_lo"] + trace["dst_lo"] + trace["src_hi"] + trace["dst_hi"]  # the same in both directions
    key += trace["src_port"].astype(np.uint64) + trace["dst_port"]
    block = ((key[rows] * GOLDEN_GAMMA) >> np.uint64(49)).astype(np.uint32) * count >> 15
    order = np.argsort(block.astype(np.uint16), kind="stable")
    ends = np.cumsum(np.bincount(block, minlength=count))
    rows = rows[order]
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        if end > start:
            yield rows[start:end]


def _rows(trace: Trace, rows: np.ndarray) -> Trace:
    """Some rows; columns that do not matter to TCP are 0."""
    nothing = np.zeros(1, np.uint8)
    columns = {name: values.take(rows) if name in _TCP_COLUMNS else np.broadcast_to(nothing, len(rows))
               for name, values in trace.columns.items() if name in PACKET_COLUMNS}  # fmt: skip
    return Trace("packet", columns)
