"""Written captures: tshark finds nothing wrong, other tools read them, and reading them gives the trace back."""

import errno
import subprocess
from pathlib import Path

import dpkt
import numpy as np
import pytest
from scapy.utils import rdpcap

from netshare.postprocess import repair, write_trace
from netshare.postprocess.headers import is_fragment
from netshare.postprocess.writers.capture import write_capture
from netshare.postprocess.writers.output import atomic_output
from netshare.postprocess.writers.pcap import Pcap
from netshare.preprocess.errors import FieldError, InputError, NetshareError
from netshare.preprocess.readers.read import read_trace
from netshare.preprocess.trace import PACKET_COLUMNS, make_trace
from tests.postprocess.conversations import ACK, CLIENT, HANDSHAKE, Segment, conversation
from tests.postprocess.random_traces import WELL_KNOWN, disorderly_streams, random_flows, random_packets
from tests.postprocess.tshark import complaints

CAPTURES = ("p0_caida-small.pcapng", "p1_isp-2007.pcap", "p2_iot-sentinel.pcap", "p3_apt29-ad.pcap", "p4_ipv6-web.pcap")
SWIPE = 53  # historic; tshark 4.0 calls every body of it malformed
REGISTERED_TWICE = (54_328,)  # Elasticsearch's zen discovery (UDP): no constant body is valid


@pytest.mark.referee("tshark")
@pytest.mark.parametrize("name", CAPTURES)
def test_a_real_capture_rewritten_is_clean_and_reads_back(name: str, development_traces: Path, tmp_path: Path):
    trace, _ = repair(read_trace(development_traces / f"{name}.gz", limit=5000), assign_ip_id=False)
    report = write_trace(trace, tmp_path / "out.pcap")
    assert report.records == len(trace)
    assert complaints(tmp_path / "out.pcap") == []
    back = read_trace(tmp_path / "out.pcap")
    assert back.sources[0].link_type == trace.sources[0].link_type
    assert [column for column in trace if not np.array_equal(trace[column], back[column])] == []


@pytest.mark.referee("tshark")
@pytest.mark.parametrize(("link_type", "seed"), [("ethernet", 1), ("raw", 2)])
def test_any_protocol_port_and_length_is_clean(link_type: str, seed: int, tmp_path: Path):
    trace = random_packets(40_000, seed)
    known_limits = (trace["protocol"] == SWIPE) | np.isin(trace["dst_port"], REGISTERED_TWICE)
    known_limits |= np.isin(trace["src_port"], REGISTERED_TWICE)
    if link_type == "raw":  # tshark takes these for PPP: bytes 1 and 2 of the packet are 0xff03
        known_limits |= (trace["tos"] == 255) & (trace["length"] >> 8 == 3)
    trace, _ = repair(trace.take(~known_limits))
    write_trace(trace, tmp_path / "out.pcap", link_type=link_type)
    assert complaints(tmp_path / "out.pcap") == []


@pytest.mark.parametrize("name", ["out.pcap.gz", "out.pcapng", "out.pcapng.gz"])
def test_random_packets_read_back_as_written(name: str, tmp_path: Path):
    trace, _ = repair(random_packets(12_000, seed=3))
    plain = np.isin(trace["protocol"], (1, 6, 17, 58, 47, 89, 103))
    trace = trace.take(plain)
    report = write_trace(trace, tmp_path / name)
    back = read_trace(tmp_path / name)
    assert report.format == back.sources[0].format
    assert back.sources[0].notes == ()
    assert len(back) == len(trace)
    assert [name for name in PACKET_COLUMNS if not np.array_equal(trace[name], back[name])] == []


def test_scapy_and_dpkt_read_it(tmp_path: Path):
    trace, _ = repair(random_packets(500, seed=4))
    write_trace(trace, tmp_path / "out.pcap", nanoseconds=False)
    assert len(rdpcap(str(tmp_path / "out.pcap"))) == 500
    with (tmp_path / "out.pcap").open("rb") as stream:
        frames = [dpkt.ethernet.Ethernet(frame) for _, frame in dpkt.pcap.Reader(stream)]
    assert len(frames) == 500


@pytest.mark.parametrize("name", ["out.pcap", "out.pcapng"])
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["capinfos", "{0}"], marks=pytest.mark.referee("capinfos")),
        pytest.param(["tcprewrite", "-i", "{0}", "-o", "{0}.out", "--ttl=9"], marks=pytest.mark.referee("tcprewrite")),
    ],
)
def test_other_tools_accept_it(command: list[str], name: str, tmp_path: Path):
    trace, _ = repair(random_packets(2000, seed=6))
    trace = trace.take(np.isin(trace["protocol"], (1, 6, 17, 58)) & ~is_fragment(trace))
    write_trace(trace, tmp_path / name, nanoseconds=False)
    words = [word.format(tmp_path / name) for word in command]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.referee("zeek")
def test_zeek_reads_it(tmp_path: Path):
    trace, _ = repair(random_packets(2000, seed=6))
    write_trace(trace.take(~is_fragment(trace)), tmp_path / "out.pcap", nanoseconds=False)
    done = subprocess.run(["zeek", "-r", "out.pcap"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_trace(tmp_path / "conn.log")) > 0


@pytest.mark.referee("tshark")
def test_fragments_reassemble_to_a_valid_datagram(tmp_path: Path):
    columns = {"time": np.arange(3), "length": np.array([1500, 1500, 60]), "fragment_offset": np.array([0, 185, 370])}
    columns |= {"ip_flags": np.array([1, 1, 0]), "src_port": np.array([9999, 0, 0]), "dst_port": np.array([53, 0, 0])}
    constant = {"ip_version": 4, "src_lo": 0x0A000001, "dst_lo": 0x0A000002, "protocol": 17, "ttl": 9, "ip_id": 7}
    trace = make_trace("packet", {**columns, **{name: np.full(3, value) for name, value in constant.items()}})
    trace, report = repair(trace)
    assert report.repaired == 0
    write_trace(trace, tmp_path / "out.pcap")
    assert complaints(tmp_path / "out.pcap") == []
    command = ["tshark", "-r", str(tmp_path / "out.pcap"), "-Y", "udp", "-T", "fields", "-e", "udp.length"]
    assert subprocess.run(command, capture_output=True, text=True).stdout.split() == ["3000"]


@pytest.mark.referee("tshark")
def test_a_stray_answer_to_a_syn_does_not_tear_a_stream(tmp_path: Path):
    payload = [500, 60, 1400, 1400, 0, 100, 1400, 300]
    flags = [16, 24, 16, 16, 18, 16, 16, 24]  # 18: SYN and ACK
    ports, rows = np.array([25, 43, 587, 1433, 5222]), len(payload)
    columns = {"time": np.arange(rows * len(ports)) * 1000, "dst_port": np.repeat(ports, rows)}
    columns |= {"length": 40 + np.tile(payload, len(ports)), "tcp_flags": np.tile(flags, len(ports))}
    constant = {"ip_version": 4, "src_lo": 0x0A000001, "dst_lo": 0x0A000002, "protocol": 6, "ttl": 64}
    constant |= {"src_port": 40_000, "tcp_header_length": 20, "tcp_window": 1000}
    full = {name: np.full(rows * len(ports), value) for name, value in constant.items()}
    write_trace(make_trace("packet", columns | full), tmp_path / "out.pcap")
    assert complaints(tmp_path / "out.pcap") == []


@pytest.mark.referee("tshark")
@pytest.mark.parametrize("snaplen", [None, 77])
def test_tshark_sees_the_same_packets_in_pcapng_as_in_pcap(snaplen: int | None, tmp_path: Path):
    trace, _ = repair(random_packets(3000, seed=9))
    dumps = []
    for name in ("out.pcap", "out.pcapng"):
        write_trace(trace, tmp_path / name, snaplen=snaplen)
        command = ["tshark", "-r", str(tmp_path / name), "-x"]
        command += ["-o", "frame.generate_epoch_time:TRUE", "-t", "e"]
        dumps.append(subprocess.run(command, capture_output=True, check=True).stdout)
    assert dumps[0] == dumps[1]


@pytest.mark.parametrize("name", ["out.pcap", "out.pcapng"])
def test_snapped_captures_keep_the_wire_length(name: str, tmp_path: Path):
    trace, _ = repair(random_packets(1000, seed=8))
    write_trace(trace, tmp_path / name, snaplen=126)
    assert np.array_equal(read_trace(tmp_path / name)["length"], trace["length"])
    assert (tmp_path / name).stat().st_size <= 100 + 1000 * 160
    with (tmp_path / name).open("rb") as stream:
        frames = [len(frame) for _, frame in dpkt.pcap.UniversalReader(stream)]
    wire = 14 + 4 * (trace["vlan"] > 0) + trace["length"]
    assert frames == np.minimum(wire, 126).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("snaplen", [60, 118, 119, 126, 151, 400])
def test_snapped_frames_begin_as_whole_ones(snaplen: int, tmp_path: Path):
    trace, _ = repair(random_packets(4000, seed=10))
    trace = trace.take(np.argsort(trace["protocol"] == 132, kind="stable"))  # SCTP in some batches only
    frames = {}
    for name, limit in (("whole.pcap", None), ("snapped.pcap", snaplen)):
        write_capture(
            trace,
            tmp_path / name,
            Pcap(nanoseconds=True),
            link_type="ethernet",
            snaplen=limit,
            seed=1,
            batch_packets=5,
        )
        with (tmp_path / name).open("rb") as stream:
            frames[name] = [frame for _, frame in dpkt.pcap.UniversalReader(stream)]
    assert frames["snapped.pcap"] == [frame[:snaplen] for frame in frames["whole.pcap"]]


def test_a_first_fragment_may_end_within_its_message(sample_capture, tmp_path: Path):
    """A neighbour solicitation of which the first fragment, the last packet of the capture, has 24 bytes: no option."""
    trace = read_trace(sample_capture)
    found = np.flatnonzero((trace["protocol"] == 58) & (trace["icmp_type"] == 135))[:1]
    trace = trace.take(np.r_[found, found])
    for name, values in {"ip_flags": [0, 1], "fragment_offset": [24, 0], "length": [80, 72]}.items():
        trace[name][:] = values
    write_capture(trace, tmp_path / "out.pcap", Pcap(nanoseconds=True), link_type="ethernet", snaplen=None, seed=1)
    again = read_trace(tmp_path / "out.pcap")
    assert again["length"].tolist() == [80, 72] and again["fragment_offset"].tolist() == [24, 0]


def test_a_capture_in_microseconds_says_so(tmp_path: Path):
    trace, _ = repair(random_packets(100, seed=8))
    for name in ("out.pcap", "out.pcapng"):
        report = write_trace(trace, tmp_path / name, nanoseconds=False)
        assert "times are cut to microseconds" in report.lossy
        assert np.array_equal(read_trace(tmp_path / name)["time"], trace["time"] // 1000 * 1000)


def test_what_cannot_be_written_says_why(tmp_path: Path):
    flows, packets = repair(random_flows(5, 0))[0], repair(random_packets(5, 0))[0]
    with pytest.raises(InputError, match="pcap holds a packet trace"):
        write_trace(flows, tmp_path / "out.pcap")
    with pytest.raises(InputError, match="flows_from_packets"):
        write_trace(packets, tmp_path / "out.csv")
    with pytest.raises(InputError, match="unknown suffix"):
        write_trace(packets, tmp_path / "out.docx")
    with pytest.raises(NetshareError, match="cannot be written"):
        write_trace(packets, tmp_path / "missing" / "out.pcap")
    with pytest.raises(FieldError, match="call repair"):
        write_trace(make_trace("packet", {"time": np.zeros(1)}), tmp_path / "out.pcap")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(NetshareError, match="No space left"), atomic_output(tmp_path / "out.pcap") as out:
        out.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "ports"),
    [(17, (4991, 53)), (17, (53, 4991)), (17, (13_400, 389)), (6, (23, 88)), (6, (88, 23)), (6, (13_400, 445))],
)
def test_of_two_services_the_right_one_decides_the_payload(protocol: int, ports: tuple[int, int], tmp_path: Path):
    sent = [Segment(CLIENT, ACK, payload) for payload in (100, 215, 300, 701, 1400)]
    columns = dict(conversation([*HANDSHAKE, *sent], ports=ports).columns)
    if protocol == 17:
        zeros = np.zeros_like(columns["tcp_flags"])
        columns |= {"protocol": zeros + 17, "tcp_flags": zeros, "tcp_header_length": zeros, "tcp_window": zeros}
    trace, _ = repair(make_trace("packet", columns))
    write_trace(trace, tmp_path / "out.pcap")
    assert complaints(tmp_path / "out.pcap") == []


@pytest.mark.slow
def test_disorderly_streams_are_clean(tmp_path: Path):
    """Tiny segments, data after FIN, SYN in the middle: what a poor model draws must not confuse a dissector."""
    trace, _ = repair(disorderly_streams(WELL_KNOWN, segments=30, seed=8))
    write_trace(trace, tmp_path / "out.pcap")
    assert complaints(tmp_path / "out.pcap") == []
