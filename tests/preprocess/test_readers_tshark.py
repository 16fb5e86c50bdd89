"""tshark as the referee: every packet's columns agree with its dissection of the outermost IP header."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from netshare.preprocess import read_trace
from netshare.preprocess.addresses import format_addresses, parse_addresses

pytestmark = pytest.mark.referee("tshark")

FIELD_LIST = (
    "frame.time_epoch frame.protocols ip.src ip.dst ip.len ip.ttl ip.dsfield ip.id ip.flags.rb ip.flags.df ip.flags.mf "
    "ip.frag_offset ip.proto ipv6.src ipv6.dst ipv6.plen ipv6.hlim ipv6.tclass ipv6.fraghdr.more ipv6.fraghdr.offset "
    "tcp.srcport tcp.dstport tcp.flags tcp.window_size_value tcp.hdr_len udp.srcport udp.dstport sctp.srcport "
    "sctp.dstport icmp.type icmp.code icmpv6.type icmpv6.code vlan.id ieee8021ad.id"
)
FIELDS = FIELD_LIST.split()
PREFERENCES = ("ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE",
               "tcp.relative_sequence_numbers:FALSE", "ip.tso_support:TRUE")  # fmt: skip
COMPARED = ("time", "ip_version", "src", "dst", "length", "ttl", "tos", "ip_id", "ip_flags", "fragment_offset",
            "protocol", "src_port", "dst_port", "tcp_flags", "tcp_window", "tcp_header_length", "icmp_type",
            "icmp_code", "vlan")  # fmt: skip
TRANSPORT = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58, "udplite": 136}


def dissect(path: Path, count: int) -> list[dict]:
    """The IP packets among the first frames, as tshark sees them, by our columns' names."""
    command = [
        "tshark",
        "-n",
        "-r",
        str(path),
        "-c",
        str(count),
        "-T",
        "fields",
        "-E",
        "occurrence=f",
        "-E",
        "separator=\t",
    ]
    for preference in PREFERENCES:
        command += ["-o", preference]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    rows = (dict(zip(FIELDS, line.split("\t"), strict=True)) for line in done.stdout.splitlines())
    packets = [packet for row in rows if (packet := expected(row))]
    return sorted(packets, key=lambda packet: packet["time"])


def expected(row: dict) -> dict | None:
    """Our columns of one packet in tshark's words; None where it holds no IP."""
    layers = row["frame.protocols"].split(":")
    outer = next((name for name in layers if name in ("ip", "ipv6")), None)
    if outer is None or not row[f"{outer}.src"]:
        return None
    behind = [name for name in layers[layers.index(outer) + 1 :] if not name.startswith("ipv6.")]
    behind = [name for name in behind if outer == "ip" or name != "ah"]
    transport = behind[0] if behind and behind[0] in TRANSPORT else ""

    def number(name: str) -> int:
        text = row[name]
        if text in ("True", "False"):
            return int(text == "True")
        return int(text, 0) if text else 0

    seconds, _, fraction = row["frame.time_epoch"].partition(".")
    packet = dict.fromkeys(COMPARED, 0)
    packet["time"] = int(seconds or 0) * 10**9 + int(fraction.ljust(9, "0"))
    packet["vlan"] = number("ieee8021ad.id") or number("vlan.id")
    if outer == "ip":
        flags = number("ip.flags.rb") * 4 + number("ip.flags.df") * 2 + number("ip.flags.mf")
        packet |= {"ip_version": 4, "src": row["ip.src"], "dst": row["ip.dst"], "length": number("ip.len"),
                   "ttl": number("ip.ttl"), "tos": number("ip.dsfield"), "ip_id": number("ip.id"), "ip_flags": flags,
                   "fragment_offset": number("ip.frag_offset"), "protocol": number("ip.proto")}  # fmt: skip
    else:
        packet |= {"ip_version": 6, "src": row["ipv6.src"], "dst": row["ipv6.dst"],
                   "length": number("ipv6.plen") + 40 if number("ipv6.plen") else None,
                   "ttl": number("ipv6.hlim"), "tos": number("ipv6.tclass"),
                   "ip_flags": number("ipv6.fraghdr.more"), "fragment_offset": number("ipv6.fraghdr.offset"),
                   "protocol": TRANSPORT.get(transport)}  # fmt: skip
    if transport in ("tcp", "udp", "sctp", "udplite"):
        kind = "udp" if transport == "udplite" else transport
        packet |= {"src_port": number(f"{kind}.srcport"), "dst_port": number(f"{kind}.dstport")}
    if transport == "tcp":
        packet |= {"tcp_flags": number("tcp.flags") & 0x1FF, "tcp_window": number("tcp.window_size_value"),
                   "tcp_header_length": number("tcp.hdr_len")}  # fmt: skip
    if transport in ("icmp", "icmpv6"):
        packet |= {"icmp_type": number(f"{transport}.type"), "icmp_code": number(f"{transport}.code")}
    return packet


def compare(path: Path, count: int) -> list[str]:
    """Disagreements over the first `count` frames of a capture, as `packet column ours theirs`."""
    theirs = dissect(path, count)
    trace = read_trace(path, limit=max(len(theirs), 1), netflow_exports=False)
    order = np.argsort(trace["time"], kind="stable")
    trace = trace.take(order)
    ours = {name: trace[name] for name in COMPARED if name not in ("src", "dst")}
    for end in ("src", "dst"):
        ours[end] = format_addresses(trace["ip_version"], trace[f"{end}_hi"], trace[f"{end}_lo"])
    if path.name in UNTIMED:
        theirs = _rows_without_time(theirs)
        mine = [{name: ours[name][at] for name in COMPARED} for at in range(len(trace))]
        return [] if _rows_without_time(mine) == theirs else ["0 packets differ"]
    found = [] if len(trace) == len(theirs) else [f"{len(trace)} packets, tshark has {len(theirs)}"]
    for at, packet in enumerate(theirs[: len(trace)]):
        for name in COMPARED:
            mine = ours[name][at] if name in ("src", "dst") else int(ours[name][at])
            other = packet[name]
            if name in ("src", "dst"):
                other = format_addresses(*parse_addresses([other])[:3])[0]
            if other is not None and mine != other:
                found.append(f"{at} {name} {mine} {other}")
    return found


def _rows_without_time(packets: list[dict]) -> list[tuple]:
    """What packets hold but for their times, sorted."""
    return sorted(tuple(str(packet[name]) for name in COMPARED if name != "time") for packet in packets)


@pytest.mark.parametrize(
    "name",
    ["p0_caida-small.pcapng", "p1_isp-2007.pcap", "p2_iot-sentinel.pcap", "p3_apt29-ad.pcap", "p4_ipv6-web.pcap"],
)
def test_development_traces_agree_with_tshark(development_traces, name):
    assert compare(development_traces / f"{name}.gz", 2000) == []


def test_the_sample_agrees_with_tshark(sample_capture):
    assert compare(sample_capture, 2000) == []


# The columns in which we knowingly differ; docs/formats.md has the reasons.
BAD_TCP = {"tcp_flags", "tcp_window"}  # tshark shows nothing of a TCP header that is malformed or below 20 bytes
DIFFERENT: dict[str, set[str]] = {
    "derived-fuzz-bytes1.pcap.gz": BAD_TCP,
    "derived-fuzz-bytes2.pcap.gz": BAD_TCP,
    "derived-fuzz-bytes3.pcap.gz": BAD_TCP,
    "ipv4-frag-garbage.pcap.gz": BAD_TCP,
    "fuzz-nfstream.pcap": {"time"},  # microseconds beyond a second, which tshark takes as negative
}
UNTIMED = {"ng-be-test202.pcapng", "ng-le-test018.pcapng"}  # simple packet blocks: tshark says 1970, we the time before
ELSEWHERE = {"fuzz-suricata.pcap", "mpls.pcap"}  # tshark guesses a pcap variant, and Ethernet behind MPLS
NO_PACKETS = {"argus-wannacry-badts.binetflow.gz", "unsw-nb15-wrong-header.csv.gz", "derived-truncated-header.pcap",
              "derived-zero-length.pcap", "empty-hdr-only.pcap", "ipv4-malformed.pcap", "lt-ipv4-invalid.pcap",
              "ng-bigendian.pcapng", "qinq-tcpdump.pcap", "radiotap-arp.pcap"}  # fmt: skip
SHARES = 6


@pytest.mark.parametrize("share", range(SHARES))
def test_all_odd_captures_agree_with_tshark(development_traces, share):
    names = sorted(path.name for path in (development_traces / "odd").iterdir())
    compared = [name for name in names if name not in ELSEWHERE | NO_PACKETS]
    assert len(compared) == len(names) - len(ELSEWHERE | NO_PACKETS)
    surprising = _surprising([development_traces / "odd" / name for name in compared[share::SHARES]])
    assert surprising == {}


def test_captures_of_export_packets_agree_with_tshark(development_traces):
    paths = [path for path in sorted((development_traces / "export").iterdir()) if ".pcap" in path.suffixes]
    assert len(paths) > 30
    assert _surprising([*paths, development_traces / "n3_enterprise-v9.export.pcap.gz"]) == {}


def _surprising(paths: list[Path]) -> dict[str, list[str]]:
    """Disagreements by file, but for those that are known."""
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda path: compare(path, 400), paths)
        lines = {path.name: some for path, some in zip(paths, found, strict=True)}
    unexpected = {
        name: [line for line in some if line.split()[1] not in DIFFERENT.get(name, set())]
        for name, some in lines.items()
    }
    return {name: some[:5] for name, some in unexpected.items() if some}


TUNNEL_FIELDS = ("frame.protocols", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "ip.ttl", "ipv6.hlim", "tcp.dstport",
                 "udp.dstport")  # fmt: skip
TUNNELS = ("6in4.pcap", "geneve.pcap", "gre-erspan-vxlan.pcap", "gre-sample.pcap", "gtp-u.pcap",
           "ip6-ip4-gre-ppp.pcap", "teredo.pcap", "triple-encap.pcap", "vxlan.pcap",
           "gre-ppp-max-ip.pcap.gz")  # fmt: skip


def innermost(path: Path) -> list[tuple]:
    """Addresses, TTL and destination port of each frame's last IP header, as tshark sees it; ICMP left out, because it
    quotes headers, and later fragments."""
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=a", "-E", "separator=\t"]
    for preference in PREFERENCES:
        command += ["-o", preference]
    for field in TUNNEL_FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = []
    for line in done.stdout.splitlines():
        row = {name: value.split(",") for name, value in zip(TUNNEL_FIELDS, line.split("\t"), strict=True)}
        layers = row["frame.protocols"][0].split(":")
        if "ip" not in layers and "ipv6" not in layers:
            continue
        last = max(at for at, name in enumerate(layers) if name in ("ip", "ipv6"))
        version, hops = layers[last], "ip.ttl" if layers[last] == "ip" else "ipv6.hlim"
        transport = next((name for name in layers[last:] if name in ("tcp", "udp")), None)
        port = int(row[f"{transport}.dstport"][-1]) if transport else None
        skip = any(name.startswith("icmp") for name in layers)
        found.append(None if skip else (row[f"{version}.src"][-1], row[f"{version}.dst"][-1], int(row[hops][-1]), port))
    return found


@pytest.mark.parametrize("name", TUNNELS)
def test_packets_within_tunnels_agree_with_tshark(development_traces, name):
    path = development_traces / "odd" / name
    theirs = innermost(path)
    trace = read_trace(path, decapsulate=True)
    outer = read_trace(path)
    np.testing.assert_array_equal(trace["time"], outer["time"])
    assert len(trace) == len(theirs) and bool(np.all(trace["length"] <= outer["length"]))
    ends = [format_addresses(trace["ip_version"], trace[f"{end}_hi"], trace[f"{end}_lo"]) for end in ("src", "dst")]
    for at, packet in enumerate(theirs):
        if packet is not None:
            ours = (ends[0][at], ends[1][at], int(trace["ttl"][at]), int(trace["dst_port"][at]))
            assert ours == (packet[0], packet[1], packet[2], ours[3] if packet[3] is None else packet[3]), at
