"""Packets of scapy and dpkt have the bytes that `write_trace` writes, and become the trace again."""

from decimal import Decimal

import dpkt
import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.utils import PcapReader, rdpcap

from netshare.postprocess import repair, write_trace
from netshare.postprocess.writers.library_packets import to_dpkt, to_scapy
from netshare.preprocess import Trace, make_trace, read_trace
from netshare.preprocess.errors import FieldError, InputError
from netshare.preprocess.readers.library_packets import from_dpkt, from_scapy
from tests.postprocess.random_traces import random_packets


@pytest.fixture(scope="module")
def real(request) -> Trace:
    """The first packets of the sample, as they can be written."""
    sample = request.getfixturevalue("sample_capture")
    return repair(read_trace(sample, limit=1500), assign_ip_id=False)[0]


@pytest.fixture(scope="module")
def odd() -> Trace:
    """Any protocol, flag and fragment, as they can be written."""
    return repair(random_packets(800, 3))[0]


@pytest.mark.parametrize("link_type", ["ethernet", "raw"])
@pytest.mark.parametrize("name", ["real", "odd"])
def test_packets_are_those_of_the_written_capture(request, tmp_path, name, link_type):
    trace = request.getfixturevalue(name)
    write_trace(trace, tmp_path / "packets.pcap", link_type=link_type, nanoseconds=True)
    with (tmp_path / "packets.pcap").open("rb") as file:
        written = list(dpkt.pcap.Reader(file))
    ours = list(to_scapy(trace, link_type=link_type))
    assert [bytes(packet) for packet in ours] == [data for _, data in written]
    assert [packet.time for packet in ours] == [time for time, _ in written]
    theirs = rdpcap(str(tmp_path / "packets.pcap"))
    assert [packet.time for packet in ours] == [packet.time for packet in theirs]
    assert [packet.wirelen for packet in ours] == [packet.wirelen for packet in theirs]
    parsed = list(to_dpkt(trace, link_type=link_type))
    assert [bytes(packet) for _, packet in parsed] == [data for _, data in written]
    assert [time for time, _ in parsed] == [time for time, _ in written]
    # And back: what the reader makes of the capture.
    wanted = read_trace(tmp_path / "packets.pcap")
    for found in (from_scapy(ours), from_dpkt(parsed)):
        assert found.sources[0].link_type == link_type and found.sources[0].records == len(trace)
        for column in trace:
            np.testing.assert_array_equal(found[column], wanted[column], err_msg=column)
            assert found[column].dtype == trace[column].dtype
    if name == "real" and link_type == "ethernet":
        assert all(np.array_equal(wanted[column], trace[column]) for column in trace)


def test_readers_of_both_libraries_are_taken_as_they_are(tmp_path, real):
    path = tmp_path / "packets.pcap"
    for link_type in ("ethernet", "raw"):
        write_trace(real, path, link_type=link_type, force=True)
        wanted = read_trace(path)
        with PcapReader(str(path)) as packets:
            scapy_s = from_scapy(packets)
        with path.open("rb") as file:
            dpkt_s = from_dpkt(dpkt.pcap.Reader(file))
        for found in (scapy_s, dpkt_s):
            assert all(np.array_equal(found[column], wanted[column]) for column in wanted)


def test_packets_are_built_when_they_are_asked_for(real):
    packets = to_scapy(real)
    assert next(packets)[Ether].time == Decimal(int(real["time"][0])) / 10**9
    assert real.sources[0].link_type == "ethernet"


def test_what_is_made_in_scapy():
    packet = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=53, dport=9) / b"payload"
    packet.time = 1700000000.25
    trace = from_scapy(iter([packet, Ether() / ARP(), packet]))
    assert trace["length"].tolist() == [35, 35] and trace["time"].tolist() == [1700000000_250000000] * 2
    assert trace.sources[0].skipped == {"not IP: ARP": 1} or sum(trace.sources[0].skipped.values()) == 1
    inner = from_scapy(
        [IP(src="1.1.1.1", dst="2.2.2.2") / IP(src="10.0.0.1", dst="10.0.0.2") / UDP()], decapsulate=True
    )
    assert inner["src_lo"].tolist() == [0x0A000001] and "1 packets are tunnels" in inner.sources[0].notes[0]


def test_times_of_dpkt_in_any_form():
    data = bytes(dpkt.ethernet.Ethernet(data=dpkt.ip.IP(src=b"\n\0\0\1", dst=b"\n\0\0\2", p=17, data=dpkt.udp.UDP())))
    times = [1, 1.5, Decimal("1.000000001"), np.float64(2.25)]
    trace = from_dpkt((time, data) for time in times)
    assert trace["time"].tolist() == [10**9, 15 * 10**8, 10**9 + 1, 225 * 10**7]


def test_no_packets():
    empty = make_trace("packet", {"time": []})
    assert list(to_scapy(empty)) == [] and list(to_dpkt(empty)) == []
    assert len(from_scapy([])) == len(from_dpkt([])) == 0


def test_what_cannot_be_is_one_line(real):
    flows = make_trace("flow", {"time": [1]})
    for convert in (to_scapy, to_dpkt):
        with pytest.raises(FieldError, match="only a packet trace can become packets; this is a flow trace"):
            convert(flows)
        with pytest.raises(FieldError, match="1 packets are shorter than their headers"):
            convert(make_trace("packet", {"time": [1], "ip_version": [4], "protocol": [6]}))
    with pytest.raises(
        InputError, match="element 1 is of type UDP, expected a packet that begins with a link layer or IP"
    ):
        from_scapy([IP(), UDP()])
    with pytest.raises(InputError, match="element 0 is of type bytes"):
        from_scapy([b"nonsense"])
    with pytest.raises(InputError, match="element 0 is no pair of time and packet"):
        from_dpkt([b"x"])
    with pytest.raises(InputError, match="the time of element 0 is 'noon'"):
        from_dpkt([("noon", b"x")])
    with pytest.raises(InputError, match="element 0 is of type UDP"):
        from_dpkt([(1.0, dpkt.udp.UDP())])
