"""The domain-knowledge consistency tests of the NetShare paper (its appendix; after Ring et al., "Flow-based network
traffic generation using generative adversarial networks", Computers & Security 82, 2019).

Test 1, addresses: the source is no multicast (224.0.0.0/4) and no 255.x address, the destination no 0.x address. The
    analogues for IPv6 are: the source is not in ff00::/8, the destination is not the unspecified address `::`.
Test 2, bytes and packets: a flow's bytes lie between packets x the protocol's minimum packet and packets x 65,535. The
    records of a flow trace are tested one by one; a packet trace is first summed up by five-tuple.
Test 3, port and protocol: where a port says which transport it belongs to, the protocol is that transport
    (`TCP_ONLY_PORTS`, `UDP_ONLY_PORTS`: if either port is one of these), and a protocol without ports has none (for
    flow traces ICMP is excepted: exporters put type and code into the destination port).
Test 4, packet size: a packet is at least as long as its protocol's headers. Packet traces only.

Minimum packets are the IP header (20 bytes, RFC 791; 40 bytes, RFC 8200) and the smallest transport header; fragments
after the first carry no transport header. Real traces do not pass all tests in full, so the share of the real trace
stands beside the synthetic one's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.evaluation.flows import group_by_flow
from preprocess.protocols import ICMP, ICMPV6, TCP, UDP
from preprocess.trace import Trace

MAX_PACKET = 65_535  # RFC 791, 3.1: total length is 16 bits
IPV4_HEADER = 20  # RFC 791, 3.1
IPV6_HEADER = 40  # RFC 8200, 3
TRANSPORT_MINIMUM = {
    ICMP: 8,  # RFC 792
    TCP: 20,  # RFC 9293, 3.1
    UDP: 8,  # RFC 768
    ICMPV6: 4,  # RFC 4443, 2.1
    132: 12,  # SCTP common header, RFC 9260, 3.1
}
PROTOCOLS_WITH_PORTS = (TCP, UDP, 33, 132, 136)  # and DCCP, SCTP, UDP-Lite

# IANA service names registry and common use: services that are spoken over one transport only. Left out are those that
# use both (DNS 53, Kerberos 88, HTTPS and QUIC 443, SIP 5060, remote desktop 3389 ...).
TCP_ONLY_PORTS = (20, 21, 22, 23, 25, 80, 110, 143, 179, 445, 465, 587, 873, 990, 993, 995, 1433, 3306, 5432)
UDP_ONLY_PORTS = (67, 68, 69, 123, 137, 138, 161, 500, 520, 546, 547, 1900, 4500, 5353, 5355)


@dataclass(frozen=True)
class TestResult:
    """How many records (or flows) of one trace pass one test; `share` is NaN for none tested."""

    __test__ = False  # not a test case, whatever its name makes pytest think

    test: str
    tested: int
    passed: int
    of: str = "records"

    @property
    def share(self) -> float:
        """Share that passes."""
        return self.passed / self.tested if self.tested else float("nan")


def consistency_tests(trace: Trace) -> list[TestResult]:
    """Results of the tests that apply to this kind of trace, in the paper's order."""
    record = "packets" if trace.kind == "packet" else "records"
    results = [
        _result("1 addresses", addresses_valid(trace), record),
        _result("2 bytes and packets", bytes_fit_packets(trace), "flows" if trace.kind == "packet" else "records"),
        _result("3 port and protocol", ports_fit_protocol(trace), record),
    ]
    if trace.kind == "packet":
        results.append(_result("4 minimum packet size", sizes_reach_minimum(trace), record))
    return results


def addresses_valid(trace: Trace) -> np.ndarray:
    """bool[n_records]: test 1."""
    v4 = trace["ip_version"] == 4
    src_first, dst_first = (trace[name] >> np.uint64(24) for name in ("src_lo", "dst_lo"))
    v4_valid = ((src_first < 224) | ((src_first > 239) & (src_first != 255))) & (dst_first != 0)
    v6_valid = ((trace["src_hi"] >> np.uint64(56)) != 0xFF) & ((trace["dst_hi"] | trace["dst_lo"]) != 0)
    return np.where(v4, v4_valid, v6_valid)


def bytes_fit_packets(trace: Trace) -> np.ndarray:
    """Test 2: bool[n_records] of a flow trace, bool[n_flows] of a packet trace.

    A flow of packets is held to the sum of its packets' own minima, so that fragments do not fail it.
    """
    if trace.kind == "flow":
        floor = trace["packets"] * minimum_packet(trace)
        return (trace["bytes"] >= floor) & (trace["bytes"] <= trace["packets"] * MAX_PACKET)
    flows = group_by_flow(trace)
    total = flows.total(trace["length"])
    return (total >= flows.total(minimum_packet(trace))) & (total <= flows.sizes * MAX_PACKET)


def ports_fit_protocol(trace: Trace) -> np.ndarray:
    """bool[n_records]: test 3."""
    protocol, src_port, dst_port = trace["protocol"], trace["src_port"], trace["dst_port"]
    has_ports = np.isin(protocol, PROTOCOLS_WITH_PORTS)
    only_tcp = np.isin(src_port, TCP_ONLY_PORTS) | np.isin(dst_port, TCP_ONLY_PORTS)
    only_udp = np.isin(src_port, UDP_ONLY_PORTS) | np.isin(dst_port, UDP_ONLY_PORTS)
    wrong = (only_tcp & ~only_udp & (protocol == UDP)) | (only_udp & ~only_tcp & (protocol == TCP))
    portless = (src_port == 0) & (dst_port == 0)
    if trace.kind == "flow":
        portless |= np.isin(protocol, (ICMP, ICMPV6))
    return np.where(has_ports, ~wrong, portless)


def sizes_reach_minimum(trace: Trace) -> np.ndarray:
    """bool[n_packets]: test 4."""
    return trace["length"] >= minimum_packet(trace)


def minimum_packet(trace: Trace) -> np.ndarray:
    """int64[n_records] (bytes): the smallest packet of each record's protocol and IP version."""
    table = np.zeros(256, np.int64)
    table[list(TRANSPORT_MINIMUM)] = list(TRANSPORT_MINIMUM.values())
    transport = table[trace["protocol"]]
    if "fragment_offset" in trace:
        transport = np.where(trace["fragment_offset"] > 0, 0, transport)
    return np.where(trace["ip_version"] == 6, IPV6_HEADER, IPV4_HEADER) + transport


def _result(test: str, passes: np.ndarray, of: str) -> TestResult:
    return TestResult(test, len(passes), int(passes.sum()), of)
