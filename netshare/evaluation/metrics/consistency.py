"""The domain-knowledge consistency tests of the NetShare paper (its appendix; after Ring et al., "Flow-based network
traffic generation using generative adversarial networks", Computers & Security 82, 2019).

Test 1, addresses: the source is no multicast (224.0.0.0/4) and no 255.x address, the destination no 0.x address. The
    analogues for IPv6 are: the source is not in ff00::/8, the destination is not the unspecified address `::`.
Test 2, bytes and packets: a flow's bytes lie between packets x the protocol's minimum packet and packets x 65,535. The
    records of a flow trace are tested one by one; a packet trace is first summed up by five-tuple.
Test 3, port and protocol: a record from or to a service that is spoken over TCP only (HTTP on port 80, SSH ...), or
    over UDP only (DHCP, NTP ...), has that protocol; the lower port counts as the service's. The table is repair's own
    (`postprocess.rules.PORT_RULES`), so that a repaired trace passes; QUIC on 443 and name service on 53 are legal over
    both. A protocol without ports has none (ICMP is excepted: exporters put type and code into the destination port).
Test 4, packet size: a packet is at least as long as its protocol's headers. Packet traces only.

Minimum packets are those that repair uses (`netshare.postprocess.rules.minimum_length`): IP header plus the smallest transport
header, such as 40 bytes for TCP and 28 for UDP over IPv4; fragments after the first carry no transport header. Real
traces do not pass all tests in full, so the share of the real trace stands beside the synthetic one's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.postprocess.rules import (
    MAX_IP_LENGTH,
    first_octet,
    is_multicast,
    minimum_length,
    port_protocol_violation,
)
from netshare.preprocess.flows import group_flows_by_hash
from netshare.preprocess.trace import Trace


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
    source_multicast = is_multicast(trace["ip_version"], trace["src_hi"], trace["src_lo"])
    source_broadcast = v4 & (first_octet(trace["src_lo"]) == 255)
    unspecified = (trace["dst_hi"] | trace["dst_lo"]) == 0
    destination_invalid = np.where(v4, first_octet(trace["dst_lo"]) == 0, unspecified)
    return ~(source_multicast | source_broadcast | destination_invalid)


def bytes_fit_packets(trace: Trace) -> np.ndarray:
    """Test 2: bool[n_records] of a flow trace, bool[n_flows] of a packet trace.

    A flow of packets is held to the sum of its packets' own minima, so that fragments do not fail it.
    """
    if trace.kind == "flow":
        floor = trace["packets"] * minimum_packet(trace)
        return (trace["bytes"] >= floor) & (trace["bytes"] <= trace["packets"] * MAX_IP_LENGTH)
    flows = group_flows_by_hash(trace)
    total = flows.totals(trace["length"])
    return (total >= flows.totals(minimum_packet(trace))) & (total <= flows.lengths * MAX_IP_LENGTH)


def ports_fit_protocol(trace: Trace) -> np.ndarray:
    """bool[n_records]: test 3."""
    return ~port_protocol_violation(trace["src_port"], trace["dst_port"], trace["protocol"])


def sizes_reach_minimum(trace: Trace) -> np.ndarray:
    """bool[n_packets]: test 4."""
    return trace["length"] >= minimum_packet(trace)


def minimum_packet(trace: Trace) -> np.ndarray:
    """int64[n_records] (bytes): the smallest packet of each record's protocol and IP version."""
    fragments = trace.columns.get("fragment_offset")
    return minimum_length(trace["protocol"], trace["ip_version"], fragment_offset=fragments)


def _result(test: str, passes: np.ndarray, of: str) -> TestResult:
    return TestResult(test, len(passes), int(passes.sum()), of)
