"""Re-mapped addresses: prefixes preserved, one-to-one, inside the prefixes, never one of those denied."""

from ipaddress import ip_address, ip_network

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netshare.postprocess.address_map import address_map, addresses_of
from netshare.preprocess.addresses import format_addresses, parse_addresses
from netshare.preprocess.errors import FieldError
from netshare.preprocess.readers.read import read_trace
from netshare.preprocess.trace import Trace, make_trace

v4 = st.integers(0x01000000, 0x7EFFFFFF)
v6 = st.integers(0x20 << 120, 0x3F << 120)
# Addresses in clusters, as networks have them: a few bases, and neighbours at any distance.
near4 = st.lists(st.tuples(v4, st.integers(0, 32)).map(lambda x: x[0] >> x[1] << x[1] | 1), max_size=30)
near6 = st.lists(st.tuples(v6, st.integers(0, 100)).map(lambda x: x[0] >> x[1] << x[1] | 1), max_size=30)


@pytest.mark.slow
@given(near4, near6, st.integers(0, 5))
def test_a_whole_address_space_preserves_every_prefix(four: list[int], six: list[int], seed: int):
    for version, numbers, prefix in ((4, four, "0.0.0.0/0"), (6, six, "::/0")):
        images = _images(_trace(version, numbers), [prefix], key=_key(seed), keep_special=False)
        width = 32 if version == 4 else 128
        for a in numbers:
            for b in numbers:
                assert _shared(a, b, width) == _shared(images[a], images[b], width)


@given(
    near4.filter(bool),
    st.lists(st.sampled_from(["10.0.0.0/8", "192.168.0.0/16", "10.1.0.0/16", "198.18.0.0/26"]), min_size=1, max_size=3),
    st.integers(0, 3),
)
def test_in_prefixes_it_is_one_to_one_inside_and_keeps_neighbours(numbers: list[int], prefixes: list[str], seed: int):
    images = _images(_trace(4, numbers), prefixes, key=_key(seed))
    assert len(set(images.values())) == len(set(numbers))
    networks = [ip_network(prefix) for prefix in prefixes]
    assert all(any(ip_address(image) in network for network in networks) for image in images.values())
    # Networks of 32 - 6 bits and 30 addresses: below this depth nothing has to give way.
    for a in numbers:
        for b in numbers:
            if _shared(a, b, 32) >= 31:
                assert _shared(images[a], images[b], 32) == _shared(a, b, 32)


@given(near6.filter(bool), st.integers(0, 3))
def test_ipv6_networks_stay_networks(numbers: list[int], seed: int):
    images = _images(_trace(6, numbers), ["2001:db8::/32"], key=_key(seed))
    network = ip_network("2001:db8::/32")
    assert all(ip_address(image) in network for image in images.values())
    for a in numbers:
        for b in numbers:
            if _shared(a, b, 128) >= 38:  # 30 networks need no more than 5 bits after the prefix's
                assert _shared(images[a], images[b], 128) == _shared(a, b, 128)


@pytest.mark.slow
@given(near4.filter(lambda numbers: len(set(numbers)) > 3), st.data())
def test_what_is_denied_is_never_emitted(numbers: list[int], data: st.DataObject):
    first = _images(_trace(4, numbers), ["10.0.0.0/24"])
    denied = data.draw(st.lists(st.sampled_from(sorted(first.values())), min_size=1))
    denied += [0x0A000000 + number for number in data.draw(st.lists(st.integers(0, 255), max_size=150))]
    halves = (np.zeros(len(denied), np.uint64), np.array(denied, np.uint64))
    images = _images(_trace(4, numbers), ["10.0.0.0/24"], deny=halves)
    assert not set(images.values()) & set(denied)
    assert len(set(images.values())) == len(set(numbers))
    assert all(image >> 8 == 0x0A0000 for image in images.values())


def test_real_hosts_never_come_back(sample_capture):
    trace = read_trace(sample_capture)
    real = addresses_of(trace)
    texts = set(format_addresses(np.where(real[0] > 0, 6, 4), *real))
    mapped = address_map(trace, ["10.0.0.0/8", "fd00::/8"], deny=sorted(texts), key=_key(3), keep_special=False)
    again = address_map(trace, ["10.0.0.0/8", "fd00::/8"], deny=real, key=_key(3), keep_special=False)
    other = address_map(trace, ["10.0.0.0/8", "fd00::/8"], deny=real, key=_key(4), keep_special=False)
    after = addresses_of(mapped)
    assert len(after[0]) == len(real[0])
    assert not texts & set(format_addresses(np.where(after[0] > 0, 6, 4), *after))
    assert all(np.array_equal(mapped[name], again[name]) for name in trace)
    assert not np.array_equal(mapped["src_lo"], other["src_lo"])
    assert all(np.array_equal(mapped[name], trace[name]) for name in trace if name[:4] not in ("src_", "dst_"))


def test_multicast_and_broadcast_stay_unless_denied():
    texts = ["224.0.0.251", "255.255.255.255", "127.0.0.1", "0.0.0.0", "192.0.2.7"]
    numbers = [int(ip_address(text)) for text in texts]
    images = _images(_trace(4, numbers), ["10.0.0.0/8"])
    assert [images[number] == number for number in numbers] == [True] * 4 + [False]
    assert _images(_trace(4, numbers), ["10.0.0.0/8"], deny=["224.0.0.251"])[numbers[0]] >> 24 == 10


def test_what_cannot_be_mapped_says_why():
    trace = _trace(4, list(range(0x0B000000, 0x0B000005)))
    with pytest.raises(FieldError, match="hold 4 addresses, the trace has 5"):
        address_map(trace, ["10.0.0.0/30"], key=_key(0))
    with pytest.raises(FieldError, match="none for the 5 IPv4 addresses"):
        address_map(trace, ["fd00::/8"], key=_key(0))
    with pytest.raises(FieldError, match=r"10\.0\.0\.0/99"):
        address_map(trace, ["10.0.0.0/99"], key=_key(0))
    with pytest.raises(FieldError, match="'host' is no IP address"):
        address_map(trace, ["10.0.0.0/8"], deny=["host"], key=_key(0))
    with pytest.raises(FieldError, match="no free address"):
        address_map(trace, ["10.0.0.0/29"], deny=[f"10.0.0.{number}" for number in range(8)], key=_key(0))


def _key(number: int) -> bytes:
    return bytes([number]) * 32


def _trace(version: int, numbers: list[int]) -> Trace:
    _, hi, lo, _ = parse_addresses([str(ip_address(number)) for number in numbers])
    rows = len(numbers)
    columns = {"time": np.arange(rows), "ip_version": np.full(rows, version), "src_hi": hi, "src_lo": lo}
    return make_trace("packet", {**columns, "dst_hi": hi[::-1], "dst_lo": lo[::-1]})


def _images(trace: Trace, prefixes: list[str], **options: object) -> dict[int, int]:
    mapped = address_map(trace, prefixes, **{"key": _key(0), **options})  # type: ignore[arg-type]
    found: dict[int, int] = {}
    for side in ("src", "dst"):
        before, after = (
            [(int(h) << 64) | int(x) for h, x in zip(t[f"{side}_hi"], t[f"{side}_lo"], strict=True)]
            for t in (trace, mapped)
        )
        for a, b in zip(before, after, strict=True):
            assert found.setdefault(a, b) == b
    return found


def _shared(a: int, b: int, width: int) -> int:
    return width - (a ^ b).bit_length()
