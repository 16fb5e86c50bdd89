"""The description of a trace: known answers on a small one, and facts of real ones."""

import gzip
import json
import struct
import subprocess
import sys

import numpy as np
import pytest

from netshare.preprocess import describe_files, describe_trace, make_trace, read_trace
from netshare.preprocess.errors import InputError
from netshare.preprocess.trace import Source


def test_known_answers():
    trace = make_trace(
        "packet",
        {
            "time": np.array([0, 500_000_000, 1_500_000_000, 2_000_000_000]),
            "ip_version": np.array([4, 4, 4, 6]),
            "src_lo": np.array([1, 1, 2, 1]),
            "dst_lo": np.array([9, 9, 9, 9]),
            "dst_port": np.array([443, 443, 53, 0]),
            "protocol": np.array([6, 6, 17, 58]),
            "length": np.array([40, 1500, 60, 80]),
        },
        sources=[Source("x.pcap", "pcap", 4, "ethernet", {"not IP (ARP)": 3}, ("truncated",))],
    )
    described = describe_trace(trace)
    json.dumps(described)
    assert (described["records"], described["flows"], described["bytes"]) == (4, 3, 1680)
    assert described["start"] == "1970-01-01T00:00:00.000000000Z" and described["duration_seconds"] == 2.0
    assert described["protocols"]["TCP"] == {"records": 2, "share": 0.5}
    assert described["ip_versions"]["IPv6"]["share"] == 0.25
    assert (described["distinct_source_addresses"], described["distinct_destination_addresses"]) == (3, 2)
    assert described["top_destination_ports"][0] == {"protocol": "TCP", "port": 443, "records": 2, "share": 0.5}
    assert described["top_source_addresses"][0] == {"address": "0.0.0.1", "records": 2}
    assert described["records_per_flow"]["max"] == 2
    assert described["records_per_flow"]["share_of_flows_with_more_than_one"] == 1 / 3
    assert described["skipped"] == {"not IP (ARP)": 3} and described["notes"] == ["x.pcap: truncated"]


def test_trace_without_records():
    described = describe_trace(make_trace("flow", {"time": np.empty(0, np.int64)}))
    json.dumps(described)
    assert described["records"] == described["flows"] == 0


def test_real_traces(development_traces):
    isp = describe_trace(read_trace(development_traces / "p1_isp-2007.pcap.gz"))
    assert isp["records"] == 9995 and isp["records_per_flow"]["max"] == 554
    iot = describe_trace(read_trace(development_traces / "n2_iot23.csv.gz"))
    assert iot["flows"] == 13_754 and iot["records_per_flow"]["max"] == 14_159
    enterprise = describe_trace(read_trace(development_traces / "n3_enterprise-v9.csv.gz"))
    assert enterprise["flows"] == 18_173 and enterprise["packets"] == 2_753_084
    json.dumps([isp, iot, enterprise])


@pytest.mark.slow
def test_files_read_in_passing_give_the_same_facts(development_traces, sample_capture):
    export = development_traces / "export"
    for files in (
        [sample_capture],
        [development_traces / "p2_iot-sentinel.pcap.gz", development_traces / "p0_caida-small.pcapng.gz"],
        [development_traces / "odd" / "lpi.erf.gz"],
        [development_traces / "odd" / "ng-le-test018.pcapng"],
        [development_traces / "n1_ugr16-small.csv.gz", development_traces / "n2_iot23.csv.gz"],
        [export / "akv-icmp-data.pcap", export / "akv-icmp-template.pcap"],
    ):
        in_passing, whole = describe_files(files), describe_trace(read_trace(files))
        for name in ("top_source_addresses", "top_destination_ports"):
            counts = [[entry["records"] for entry in described.pop(name)] for described in (in_passing, whole)]
            assert counts[0] == counts[1]  # those that come equally often may differ
        assert in_passing == whole
    with pytest.raises(InputError, match="read them apart"):
        describe_files([sample_capture, development_traces / "n2_iot23.csv.gz"])
    with pytest.raises(InputError, match="no usable packets"):
        describe_files(development_traces / "odd" / "qinq-tcpdump.pcap")


@pytest.mark.slow
def test_compressed_captures_are_bounded_in_passing(tmp_path):
    bomb = tmp_path / "bomb.pcap.gz"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    bomb.write_bytes(gzip.compress(gzip.compress(header + bytes(64 << 20))))
    with pytest.raises(InputError, match="holds more than 1048576 bytes, raise max_bytes"):
        describe_files(bomb, max_bytes=1 << 20)
    with pytest.raises(InputError, match="no usable packets"):
        describe_files(bomb, max_bytes=1 << 27)


@pytest.mark.slow
def test_memory_does_not_grow_with_a_captures_length(sample_capture):
    """The same packets ten times as often, through a pipe: megabytes of the reading process at its highest."""
    program = (
        "import sys; from netshare.preprocess import describe_files; print(describe_files('-')['records']);"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    content = gzip.decompress(sample_capture.read_bytes())
    peaks = []
    for times in (40, 200):
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
            reader.stdin.write(content[:24])
            for _ in range(times):
                reader.stdin.write(content[24:])
            reader.stdin.close()
            records, kilobytes = reader.stdout.read().split()
        assert int(records) == times * len(read_trace(sample_capture))
        peaks.append(int(kilobytes) // 1024)
    assert times * len(content) > 100 << 20 and peaks[1] < peaks[0] + 25
