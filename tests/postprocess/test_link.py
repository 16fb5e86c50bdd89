"""Link-layer headers: known addresses of groups, and one address of its own for each host."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netshare.postprocess.link import ethernet_headers, link_header_length
from netshare.preprocess.addresses import parse_addresses


def header(source: str, destination: str, vlan: int = 0) -> bytes:
    version, hi, lo, _ = parse_addresses(np.array([source, destination]))
    made = ethernet_headers(version[:1], (hi[:1], lo[:1]), (hi[1:], lo[1:]), np.array([vlan]))
    return made.tobytes()


def test_groups_have_the_addresses_of_their_rfcs():
    assert header("10.0.0.1", "239.129.2.3")[:6].hex(":") == "01:00:5e:01:02:03"  # RFC 1112, 6.4: 23 bits
    assert header("fe80::1", "ff02::1:ff00:2")[:6].hex(":") == "33:33:ff:00:00:02"  # RFC 2464, 7: 32 bits
    assert header("10.0.0.1", "255.255.255.255")[:6].hex(":") == "ff:ff:ff:ff:ff:ff"


def test_the_type_says_what_follows():
    assert header("10.0.0.1", "10.0.0.2")[12:14].hex() == "0800"
    assert header("fe80::1", "fe80::2")[12:14].hex() == "86dd"
    assert header("fe80::1", "fe80::2", vlan=300)[12:].hex() == "8100012c86dd"
    vlan = np.array([0, 300])
    assert link_header_length("ethernet", vlan).tolist() == [14, 18]
    assert link_header_length("raw", vlan).tolist() == [0, 0]


@given(st.lists(st.integers(1, 0xDFFFFFFF), min_size=1, max_size=50, unique=True))
def test_each_ipv4_host_has_one_locally_administered_address(numbers):
    lo = np.array(numbers, np.uint64)
    hi, version, vlan = np.zeros_like(lo), np.full(len(lo), 4), np.zeros(len(lo), np.int64)
    rows = ethernet_headers(version, (hi, lo), (hi[::-1], lo[::-1]), vlan)
    source, destination = rows[:, 6:12], rows[:, :6]
    assert (source[:, 0] & 3 == 2).all()  # IEEE 802, 8.2: locally administered, of a single station
    assert len(np.unique(source, axis=0)) == len(lo)
    np.testing.assert_array_equal(destination, source[::-1])
