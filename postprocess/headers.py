"""From columns to packets: IPv4 and IPv6, TCP with options, UDP, ICMP and ICMPv6, with real checksums.

What a header needs beyond the canonical columns is computed: sequence numbers, checksums, header lengths, option
layouts. A protocol without a builder of its own gets the body of `netshare.postprocess.payloads`.

    plan = plan_packets(trace)
    buffer, offsets = build_packets(trace, plan, start=0, stop=50_000, link_type="ethernet")
    bytes(buffer[offsets[0]:offsets[1]])   # the first frame
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from netshare.postprocess import rules, sequence
from netshare.postprocess.checksums import address_sums, crc32c, fold, word_sums
from netshare.postprocess.icmp import icmp_headers
from netshare.postprocess.link import LinkType, ethernet_headers, link_header_length
from netshare.postprocess.packet_plan import PacketPlan, header_length, is_fragment, plan_packets
from netshare.postprocess.payloads import BodyArrays, body_numbers, body_sums, write_bodies, write_words
from netshare.postprocess.tcp_options import tcp_option_rows
from netshare.preprocess.layouts.ethernet import ETHERNET
from netshare.preprocess.layouts.fields import as_bytes
from netshare.preprocess.layouts.ip import IPV4, IPV6, IPV6_EXTENSION
from netshare.preprocess.layouts.transport import TCP_HEADER, UDP_HEADER
from netshare.preprocess.protocols import FRAGMENT, ICMP, ICMPV6, OSPF, PIM, SCTP, TCP, UDP, UDPLITE, VRRP
from netshare.preprocess.trace import Trace

__all__ = ["PacketPlan", "build_packets", "header_length", "is_fragment", "plan_packets", "scatter_rows"]

_LONGEST_HEADERS = (  # of a packet that is as long as its headers ask for
    rules.ETHERNET_HEADER
    + rules.VLAN_TAG
    + rules.IP_HEADER[6]
    + rules.FRAGMENT_HEADER
    + max(60, int(rules.ICMP_MINIMUM.max()), int(rules.ICMPV6_MINIMUM.max()))
)
_PSEUDO_HEADER_PROTOCOLS = (OSPF, PIM)  # over IPv6: RFC 5340, RFC 7761


def build_packets(
    trace: Trace,
    plan: PacketPlan,
    *,
    start: int = 0,
    stop: int | None = None,
    link_type: LinkType = "ethernet",
    lead: int | np.ndarray = 0,
    snaplen: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Packets `start` to `stop` of a trace, one after the other.

    Args:
        lead: bytes to leave free (zero) before each frame, for a capture format's record header; one number, or one
            for each packet (int64[packets]).
        snaplen: lay out only so many bytes of each frame, where all headers fit into them; whole frames otherwise, for
            the caller to cut. Checksums and length fields are those of the whole packet either way.

    Returns:
        buffer uint8[bytes] and offsets int64[packets + 1]; a frame starts `lead` bytes after its offset.
    """
    stop = len(trace) if stop is None else stop
    part = slice(start, stop)
    rows = replace(trace, columns={name: values[part] for name, values in trace.columns.items()})
    sliced = plan.part(part)
    link = link_header_length(link_type, rows["vlan"])
    length = rows["length"].astype(np.int64)
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    room = _room(rows, link, length, snaplen)
    np.cumsum(lead + room, out=offsets[1:])
    buffer = np.zeros(int(offsets[-1]), dtype=np.uint8)
    if link_type == "ethernet":
        _write_link(buffer, rows, offsets[:-1] + lead)
    ip = offsets[:-1] + lead + link
    transport = ip + _write_ip(buffer, rows, ip)
    _write_transport(buffer, rows, sliced, transport, ip + length, offsets[1:])
    return buffer, offsets


def _room(rows: Trace, link: np.ndarray, length: np.ndarray, snaplen: int | None) -> np.ndarray:
    """int64[n]: bytes to lay out of each frame. SCTP's checksum is taken over the packet as it is written."""
    whole = link + length
    if snaplen is None or bool((rows["protocol"] == SCTP).any()):
        return whole
    room = np.minimum(whole, snaplen)
    if snaplen >= _LONGEST_HEADERS:
        return room
    return room if bool((link + header_length(rows) <= room).all()) else whole


def scatter_rows(buffer: np.ndarray, positions: np.ndarray, rows: np.ndarray) -> None:
    """Copy each row of a contiguous uint8[n, width] to its byte position in the buffer."""
    if not rows.size:
        return
    width = rows.shape[1]
    record = np.dtype((np.void, width))
    window = np.ndarray(len(buffer) - width + 1, dtype=record, buffer=buffer.data, strides=(1,))
    window[positions] = np.ascontiguousarray(rows).view(record).ravel()


def _write_link(buffer: np.ndarray, rows: Trace, position: np.ndarray) -> None:
    source, destination = (rows["src_hi"], rows["src_lo"]), (rows["dst_hi"], rows["dst_lo"])
    frames = ethernet_headers(rows["ip_version"], source, destination, rows["vlan"])
    tagged = rows["vlan"] > 0
    scatter_rows(buffer, position[tagged], frames[tagged])
    scatter_rows(buffer, position[~tagged], (frames[~tagged] if tagged.any() else frames)[:, : ETHERNET.itemsize])


def _write_ip(buffer: np.ndarray, rows: Trace, position: np.ndarray) -> np.ndarray:
    """Write IP headers; returns their lengths, IPv6 fragment headers included."""
    is_v6 = rows["ip_version"] == 6
    four, six = np.flatnonzero(~is_v6), np.flatnonzero(is_v6)
    size = np.full(len(rows), rules.IP_HEADER[4], dtype=np.int64)
    if len(four):
        scatter_rows(buffer, position[four], _ipv4_headers(rows if len(four) == len(rows) else rows.take(four)))
    if len(six):
        some = rows.take(six)
        fragment = is_fragment(some)
        scatter_rows(buffer, position[six], _ipv6_headers(some, fragment))
        broken = np.flatnonzero(fragment)
        scatter_rows(buffer, position[six[broken]] + rules.IP_HEADER[6], _fragment_headers(some.take(broken)))
        size[six] = rules.IP_HEADER[6] + fragment * rules.FRAGMENT_HEADER
    return size


def _ipv4_headers(rows: Trace) -> np.ndarray:
    header = np.zeros(len(rows), dtype=IPV4)
    header["version_ihl"] = 0x45
    header["tos"] = rows["tos"]
    header["length"] = rows["length"]
    header["identification"] = rows["ip_id"]
    header["flags_offset"] = (rows["ip_flags"].astype(np.uint16) << np.uint16(13)) | rows["fragment_offset"]
    header["ttl"] = rows["ttl"]
    header["protocol"] = rows["protocol"]
    header["src"] = rows["src_lo"]
    header["dst"] = rows["dst_lo"]
    header["checksum"] = fold(word_sums(as_bytes(header)))
    return as_bytes(header)


def _ipv6_headers(rows: Trace, fragment: np.ndarray) -> np.ndarray:
    header = np.zeros(len(rows), dtype=IPV6)
    header["version_class_flow"] = np.uint32(6 << 28) | (rows["tos"].astype(np.uint32) << np.uint32(20))
    header["payload_length"] = rows["length"] - rules.IP_HEADER[6]
    header["next_header"] = np.where(fragment, FRAGMENT, rows["protocol"])
    header["hop_limit"] = rows["ttl"]
    for name in ("src_hi", "src_lo", "dst_hi", "dst_lo"):
        header[name] = rows[name]
    return as_bytes(header)


def _fragment_headers(rows: Trace) -> np.ndarray:
    header = np.zeros(len(rows), dtype=IPV6_EXTENSION)
    header["next_header"] = rows["protocol"]
    header["flags_offset"] = (rows["fragment_offset"].astype(np.int64) << 3) | (
        rows["ip_flags"] & rules.IP_MORE_FRAGMENTS
    )
    header["identification"] = sequence.fragment_keys(rows, np.arange(len(rows))) & np.uint64(0xFFFFFFFF)
    return as_bytes(header)


def _write_transport(
    buffer: np.ndarray, rows: Trace, plan: PacketPlan, position: np.ndarray, end: np.ndarray, kept: np.ndarray
) -> None:
    """Write everything after the IP headers: row i is `position[i]` to `end[i]`, of which bytes before `kept[i]` exist."""
    protocol = rows["protocol"]
    first = rows["fragment_offset"] == 0
    numbers = np.where(first, body_numbers(protocol, rows["src_port"], rows["dst_port"], plan.service), 0)
    numbers[first & is_fragment(rows)] = 0  # the rest of the datagram is zeros, and one checksum covers all of it
    pseudo = address_sums(rows["src_hi"], rows["src_lo"]) + address_sums(rows["dst_hi"], rows["dst_lo"])
    pseudo += protocol + (plan.datagram & 0xFFFF) + (plan.datagram >> 16)
    done = ~first
    for chosen, header, checksum_at in _transport_headers(rows, plan, first):
        width = header.shape[1]
        body = plan.datagram[chosen] - width
        total = word_sums(header) + body_sums(plan.bodies, numbers[chosen], body)
        covered = protocol[chosen] != ICMP  # RFC 792: the one transport without a pseudo header
        checksum = fold(total + np.where(covered, pseudo[chosen], 0))
        checksum[(checksum == 0) & ((protocol[chosen] == UDP) | (protocol[chosen] == UDPLITE))] = (
            0xFFFF  # RFC 768: zero means no checksum
        )
        header[:, checksum_at : checksum_at + 2] = checksum.astype(">u2").view(np.uint8).reshape(-1, 2)
        room = np.clip(kept[chosen] - position[chosen], 0, width)  # a cut packet may end within its header
        for size in np.unique(room):
            scatter_rows(buffer, position[chosen][room == size], np.ascontiguousarray(header[room == size, :size]))
        place = position[chosen] + width
        write_bodies(buffer, plan.bodies, numbers[chosen], place, end[chosen] - place, kept[chosen] - place)
        done[chosen] = True
    rest = np.flatnonzero(~done)
    if len(rest):
        _write_other(
            buffer, plan.bodies, rows.take(rest), numbers[rest], position[rest], end[rest], kept[rest], pseudo[rest]
        )


def _transport_headers(
    rows: Trace, plan: PacketPlan, first: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Groups of rows with headers of one width: row numbers, uint8[rows, width], where the checksum goes."""
    protocol = rows["protocol"]
    tcp = np.where(first & (protocol == TCP), rows["tcp_header_length"], 0)
    for width in np.flatnonzero(np.bincount(tcp, minlength=64)[20:]) + 20:
        chosen = np.flatnonzero(tcp == width)
        yield chosen, _tcp_headers(rows, plan, chosen, int(width)), 16
    chosen = np.flatnonzero(first & ((protocol == UDP) | (protocol == UDPLITE)))
    if len(chosen):
        yield chosen, _udp_headers(rows, plan, chosen), 6
    icmp = first & ((protocol == ICMP) | (protocol == ICMPV6))
    if icmp.any():
        length = rows["length"].astype(np.int64) - rules.ip_header_length(rows["ip_version"])
        yield from icmp_headers(rows, np.flatnonzero(icmp), length, plan.identifier, plan.echo_sequence)


def _tcp_headers(rows: Trace, plan: PacketPlan, chosen: np.ndarray, width: int) -> np.ndarray:
    header = np.zeros(len(chosen), dtype=TCP_HEADER)
    header["src_port"] = rows["src_port"][chosen]
    header["dst_port"] = rows["dst_port"][chosen]
    header["sequence"] = plan.sequence[chosen]
    header["acknowledgement"] = plan.acknowledgement[chosen]
    flags = rows["tcp_flags"][chosen]
    header["offset_flags"] = ((width // 4) << 12) | (flags & rules.TCP_FLAG_MASK)
    header["window"] = rows["tcp_window"][chosen]
    fixed = as_bytes(header)
    if width == rules.TCP_MIN_HEADER:
        return fixed
    options = tcp_option_rows(
        width - rules.TCP_MIN_HEADER, flags, rows["ip_version"][chosen], plan.options.take(chosen)
    )
    return np.concatenate([fixed, options], axis=1)


def _udp_headers(rows: Trace, plan: PacketPlan, chosen: np.ndarray) -> np.ndarray:
    header = np.zeros(len(chosen), dtype=UDP_HEADER)
    header["src_port"] = rows["src_port"][chosen]
    header["dst_port"] = rows["dst_port"][chosen]
    whole = rows["protocol"][chosen] == UDPLITE  # RFC 3828, 3.1: coverage 0 means all of it
    header["length"] = np.where(whole, 0, plan.datagram[chosen] & 0xFFFF)
    return as_bytes(header)


def _write_other(
    buffer: np.ndarray,
    bodies: BodyArrays,
    rows: Trace,
    numbers: np.ndarray,
    position: np.ndarray,
    end: np.ndarray,
    kept: np.ndarray,
    pseudo: np.ndarray,
) -> None:
    """Protocols without a builder: the body of the table, its own checksum, and ports where the protocol has them."""
    length, room = end - position, kept - position
    write_bodies(buffer, bodies, numbers, position, length, room)
    ported = np.flatnonzero(rules.has_ports(rows["protocol"]) & (length >= 4))
    for name, at in (("src_port", 0), ("dst_port", 2)):
        write_words(buffer, position[ported] + at, rows[name][ported], room[ported] - at)
    offset = bodies.checksum_offset[numbers]
    summed = np.flatnonzero((offset >= 0) & (length >= offset + 2))
    if len(summed):
        number, total = numbers[summed], body_sums(bodies, numbers[summed], length[summed])
        with_pseudo = (rows["ip_version"][summed] == 6) & np.isin(rows["protocol"][summed], _PSEUDO_HEADER_PROTOCOLS)
        with_pseudo |= rows["protocol"][summed] == VRRP  # RFC 9568, 5.2.8: version 3 has it on IPv4 too
        total += np.where(with_pseudo, pseudo[summed], 0)
        at = bodies.checksum_offset[number]
        write_words(buffer, position[summed] + at, fold(total), room[summed] - at)
    _write_sctp_checksums(buffer, rows, position, length)


def _write_sctp_checksums(buffer: np.ndarray, rows: Trace, position: np.ndarray, length: np.ndarray) -> None:
    """CRC32c at byte 8, little-endian (RFC 9260, appendix A)."""
    sctp = np.flatnonzero((rows["protocol"] == SCTP) & (length >= rules.TRANSPORT_MINIMUM[SCTP]) & ~is_fragment(rows))
    for some in np.array_split(sctp, len(sctp) // 256 + 1):
        if len(some):
            column = np.arange(int(length[some].max()))
            packets = buffer[np.minimum(position[some, None] + column, len(buffer) - 1)]
            crc = crc32c(packets, length[some])
            for byte in range(4):
                buffer[position[some] + 8 + byte] = (crc >> np.uint32(8 * byte)) & np.uint32(0xFF)
