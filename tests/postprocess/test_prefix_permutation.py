"""The secret permutation of addresses: Crypto-PAn's definition, bit by bit, and what follows from it."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netshare.postprocess.prefix_permutation import permute_prefixes

KEY = bytes(range(32))
WIDTH = {4: 32, 6: 128}


def permuted(numbers: list[int], version: int, key: bytes = KEY) -> list[int]:
    aligned = [number << (128 - WIDTH[version]) for number in numbers]
    halves = (np.array([value >> shift & (2**64 - 1) for value in aligned], np.uint64) for shift in (64, 0))
    hi, lo = permute_prefixes(*halves, version=version, key=key)
    return [(int(h) << 64 | int(x)) >> (128 - WIDTH[version]) for h, x in zip(hi, lo, strict=True)]


def by_definition(bits: str, version: int, key: bytes) -> str:
    """Xu et al., section 3: bit i of the image is bit i of the address, exclusive-or f_i of the bits before it. f_i is the bit
    of the keyed digest of the whole bytes before bit i whose number, in binary, is a 1 and the other bits before it."""
    image = ""
    for i, bit in enumerate(bits):
        whole = i // 8 * 8
        before = bytes(int(bits[place : place + 8], 2) for place in range(0, whole, 8))
        digest = hashlib.blake2b(before, digest_size=32, key=key, person=bytes([version, len(before)])).digest()
        decision = int.from_bytes(digest, "little") >> int("1" + bits[whole:i], 2) & 1
        image += str(int(bit) ^ decision)
    return image


@pytest.mark.parametrize("version", [4, 6])
@given(st.data())
def test_images_are_those_of_the_definition(version: int, data: st.DataObject):
    numbers = data.draw(st.lists(st.integers(0, 2 ** WIDTH[version] - 1), min_size=1, max_size=5))
    key = data.draw(st.binary(min_size=32, max_size=32))
    expected = [int(by_definition(f"{n:0{WIDTH[version]}b}", version, key), 2) for n in numbers]
    assert permuted(numbers, version, key) == expected


@pytest.mark.parametrize("version", [4, 6])
@given(st.data())
def test_addresses_share_as_long_a_prefix_as_before(version: int, data: st.DataObject):
    width = WIDTH[version]
    start = data.draw(st.integers(0, 2**width - 1))
    depths = data.draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=20))
    numbers = [start, *(start ^ 1 << depth ^ data.draw(st.integers(0, (1 << depth) - 1)) for depth in depths)]
    images = permuted(numbers, version)
    for (a, b), (c, d) in zip(pairwise(numbers), pairwise(images), strict=True):
        assert (a ^ b).bit_length() == (c ^ d).bit_length()


def test_it_is_one_to_one_onto_a_whole_network():
    """All addresses of a /16 have the addresses of one /16 as images, each once."""
    images = permuted(list(range(0x0A140000, 0x0A150000)), 4)
    assert len({image >> 16 for image in images}) == 1 and len(set(images)) == 2**16


def test_the_key_decides_and_every_bit_of_it_counts():
    numbers = [int(number) for number in np.random.default_rng(0).integers(0, 2**32, 2000)]
    first = permuted(numbers, 4)
    assert first == permuted(numbers, 4) and sorted(first) != sorted(numbers)
    for bit in (0, 100, 255):
        other = permuted(numbers, 4, (int.from_bytes(KEY, "big") ^ 1 << bit).to_bytes(32, "big"))
        flipped = np.array(first) ^ np.array(other)
        assert all(
            0.4 < (flipped >> place & 1).mean() < 0.6 for place in range(12)
        )  # each of the deepest bits, at random


def test_no_addresses_have_no_images_and_a_short_key_is_refused():
    assert permuted([], 6) == []
    with pytest.raises(ValueError, match="must have 32"):
        permuted([1], 4, b"short")
