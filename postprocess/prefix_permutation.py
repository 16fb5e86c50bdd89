"""A secret permutation of IP addresses under which two addresses share as long a prefix as before.

    hi, lo = permute_prefixes(hi, lo, version=4, key=secrets.token_bytes(32))

The construction is Crypto-PAn's (Xu, Fan, Ammar and Moon, "Prefix-preserving IP address anonymization", ICNP 2002): bit i of
an address is flipped or not by a pseudo-random function of the i bits before it, under a secret key. The paper names AES for
the function, one call a bit. Here it is BLAKE2b with a key (RFC 7693), one call for eight bits: its digest of the bytes before
a byte holds the decisions for all 255 prefixes that end in that byte. Images are therefore other ones than those of
implementations with AES. Who has no key learns of an address only what prefixes it shares with others; that, and how often it
occurs, can be enough to recognise well-known networks or hosts.
"""

from __future__ import annotations

import hashlib

import numpy as np

KEY_BYTES = 32
DIGEST_BYTES = 32  # 256 decisions: number 2**d + b for the prefix that ends in the d bits b of a byte


def permute_prefixes(hi: np.ndarray, lo: np.ndarray, *, version: int, key: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The images of addresses, in the same form.

    Args:
        hi, lo: uint64[n], the halves of addresses as 128-bit numbers whose first bit is the address's first bit; an IPv4
            address is in the upper 32 bits of `hi`.
        version: 4 or 6; each has a permutation of its own.
        key: 32 secret bytes.

    Raises:
        ValueError: the key has another length.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes; it must have {KEY_BYTES}")
    order = np.lexsort((lo, hi))
    address = np.ascontiguousarray(np.stack([hi[order], lo[order]], axis=1).astype(">u8")).view(np.uint8)
    image, begins = address.copy(), np.arange(len(order)) == 0
    for place in range(4 if version == 4 else 16):
        if place:
            begins[1:] |= address[1:, place - 1] != address[:-1, place - 1]
        prefixes = [row.tobytes() for row in address[begins, :place]]
        digests = b"".join(
            hashlib.blake2b(prefix, digest_size=DIGEST_BYTES, key=key, person=bytes([version, place])).digest()
            for prefix in prefixes
        )
        decisions = np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES)[np.cumsum(begins) - 1]
        rows, byte = np.arange(len(order)), address[:, place].astype(np.int64)
        for bit in range(8):
            number = (1 << bit) | byte >> (8 - bit)
            flip = decisions[rows, number >> 3] >> (number & 7).astype(np.uint8) & 1
            image[:, place] ^= flip << np.uint8(7 - bit)
    halves = np.empty((len(order), 2), np.uint64)
    halves[order] = image.view(">u8")
    return halves[:, 0].copy(), halves[:, 1].copy()
