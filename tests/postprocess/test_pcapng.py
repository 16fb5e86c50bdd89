"""pcapng block by block, and captures that do not depend on how many packets are written at a time."""

import struct

import numpy as np
import pytest

from netshare.postprocess import repair, write_trace
from netshare.postprocess.writers.capture import write_capture
from netshare.postprocess.writers.pcap import Pcap
from netshare.postprocess.writers.pcapng import Pcapng
from tests.postprocess.random_traces import random_packets


def blocks(content: bytes) -> list[tuple[int, bytes]]:
    """Type and body of each block; both lengths of a block agree and are multiples of four."""
    found, at = [], 0
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        assert length % 4 == 0 and struct.unpack_from("<I", content, at + length - 4)[0] == length
        found.append((kind, content[at + 8 : at + length - 4]))
        at += length
    return found


@pytest.mark.parametrize(("nanoseconds", "unit"), [(True, 1), (False, 1000)])
def test_a_packet_is_a_block_with_its_time_and_lengths(tmp_path, nanoseconds, unit):
    trace, _ = repair(random_packets(200, seed=4))
    write_trace(trace, tmp_path / "out.pcapng", nanoseconds=nanoseconds, snaplen=101, link_type="ethernet")
    section, interface, *packets = blocks((tmp_path / "out.pcapng").read_bytes())
    assert section[0] == 0x0A0D0D0A and interface[0] == 1
    assert struct.unpack_from("<HHI", interface[1]) == (1, 0, 101)  # Ethernet
    wire = 14 + 4 * (trace["vlan"] > 0) + trace["length"].astype(int)
    assert [kind for kind, _ in packets] == [6] * len(trace)
    heads = np.array([struct.unpack_from("<5I", body) for _, body in packets], np.int64)
    np.testing.assert_array_equal(heads[:, 0], 0)
    np.testing.assert_array_equal(heads[:, 1] << 32 | heads[:, 2], trace["time"] // unit)
    np.testing.assert_array_equal(heads[:, 3], np.minimum(wire, 101))
    np.testing.assert_array_equal(heads[:, 4], wire)


@pytest.mark.parametrize("container", [Pcap, Pcapng])
def test_a_capture_is_the_same_in_batches(tmp_path, container):
    trace, _ = repair(random_packets(150, seed=7))
    how = {"link_type": "ethernet", "snaplen": None, "seed": 3}
    written = [
        write_capture(trace, tmp_path / f"{size}", container(True), batch_packets=size, **how) for size in (7, 1000)
    ]
    assert written[0] == written[1] == (tmp_path / "7").stat().st_size
    assert (tmp_path / "7").read_bytes() == (tmp_path / "1000").read_bytes()
