"""Addresses and protocol names: known answers, and the round trip of any address."""

import ipaddress

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netshare.preprocess.addresses import format_addresses, parse_addresses
from netshare.preprocess.protocols import PROTOCOL_NAMES, protocol_name, protocol_number

ADDRESS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(st.lists(ADDRESS, max_size=30))
def test_formatted_addresses_parse_back(addresses):
    version = np.array([a.version for a in addresses], dtype=np.uint8)
    hi = np.array([int(a) >> 64 for a in addresses], dtype=np.uint64)
    lo = np.array([int(a) & (2**64 - 1) for a in addresses], dtype=np.uint64)
    texts = format_addresses(version, hi, lo)
    assert [ipaddress.ip_address(text) for text in texts] == addresses
    parsed = parse_addresses(texts)
    for got, expected in zip(parsed, (version, hi, lo, np.ones(len(addresses), bool)), strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),  # RFC 5952, 4.2.3: the first of two equal runs
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),  # 4.2.2: one group alone is not shortened
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("::FFFF:192.0.2.1", "::ffff:192.0.2.1"),  # section 5
        ("192.0.2.255", "192.0.2.255"),
        ("3221225985", "192.0.2.1"),
        ("340282366920938463463374607431768211455", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_known_texts(text, canonical):
    version, hi, lo, valid = parse_addresses([text])
    assert valid.all()
    assert format_addresses(version, hi, lo).tolist() == [canonical]


def test_integers_of_any_integer_type():
    for values in (np.array([0, 167772161], np.uint32), pd.Series([0, 167772161]), [0, 167772161]):
        version, hi, lo, valid = parse_addresses(values)
        assert valid.all() and version.tolist() == [4, 4] and hi.tolist() == [0, 0] and lo.tolist() == [0, 167772161]


@pytest.mark.parametrize(
    "bad",
    ["", "-", "1.2.3", "1.2.3.256", "01.2.3.4", "fe80::1%eth0", ":::", "abc", None, -1, 1.5, 2**128, "1\x00.2.3.4"],
)
def test_what_is_no_address_is_marked(bad):
    version, hi, lo, valid = parse_addresses(np.array(["10.0.0.1", bad], dtype=object))
    assert valid.tolist() == [True, False]
    assert (version[1], hi[1], lo[1]) == (0, 0, 0)


def test_empty_columns():
    assert all(len(part) == 0 for part in parse_addresses([]))
    assert len(format_addresses(np.empty(0, np.uint8), np.empty(0, np.uint64), np.empty(0, np.uint64))) == 0


def test_every_protocol_number_survives_its_name():
    numbers = np.arange(256, dtype=np.uint8)
    back, known = protocol_number(protocol_name(numbers))
    assert known.all()
    np.testing.assert_array_equal(back, numbers)
    assert len(set(PROTOCOL_NAMES.values())) == len(PROTOCOL_NAMES)


def test_protocol_names_as_tools_print_them():
    numbers, known = protocol_number(
        ["tcp", "UDP", "icmp", "IPv6-ICMP", "ICMP6", "47", "esp", 89, "nonsense", "256", None]
    )
    assert numbers.tolist() == [6, 17, 1, 58, 58, 47, 50, 89, 0, 0, 0]
    assert known.tolist() == [True] * 8 + [False] * 3
    assert protocol_number(pd.Series([6.0, None]))[0].tolist() == [6, 0]
