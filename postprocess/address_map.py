"""Re-map the addresses of a trace into given prefixes, and keep out those that must not be seen.

    mapped = address_map(trace, ["10.0.0.0/8", "2001:db8::/32"], deny=addresses_of(real), key=key)

The map is a secret prefix-preserving permutation, of Crypto-PAn's construction (`prefix_permutation`): two addresses that
share a prefix of k bits, and no more, still do. The leading bits, however, must become those of a target prefix. So networks
of d bits are numbered anew within the target prefixes, in the order of their images, for the smallest d for which these have
enough room, and shared prefixes longer than d bits are preserved exactly. The map is one-to-one and depends on the key and on
the addresses of the trace. Who has no key cannot tell which address an image comes from, but sees which share a prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

import numpy as np

from netshare.postprocess.prefix_permutation import permute_prefixes
from netshare.postprocess.rules import is_multicast
from netshare.preprocess.addresses import parse_addresses
from netshare.preprocess.errors import FieldError
from netshare.preprocess.trace import Trace

Halves = tuple[np.ndarray, np.ndarray]  # 128-bit numbers: uint64[n] upper, uint64[n] lower

_WIDTH = {4: 32, 6: 128}
_MAX_DISTANCE = 1 << 16  # how far from an address that must not be emitted a free one is looked for
_U64 = np.uint64
_ONES = _U64(0xFFFFFFFFFFFFFFFF)
_LOOPBACK_4, _BROADCAST_4 = _U64(127), _U64(0xFFFFFFFF)


def address_map(
    trace: Trace,
    prefixes: Sequence[str],
    *,
    deny: Sequence[str] | Halves = (),
    key: bytes,
    keep_special: bool = True,
) -> Trace:
    """The trace with its source and destination addresses re-mapped.

    Args:
        prefixes: where the addresses go, such as `10.0.0.0/8`; at least one of each IP version in the trace.
        deny: addresses that are never emitted, as texts or as two uint64 halves (see `addresses_of`). An address that
            would become one of these goes to the nearest free address.
        key: 32 secret bytes; another key gives another map.
        keep_special: multicast, broadcast, loopback and unspecified addresses stay as they are (unless denied).

    Raises:
        FieldError: a prefix or denied address cannot be read, there is none of a version that the trace has, or they
            have not enough room.
    """
    networks = [_network(prefix) for prefix in prefixes]
    denied = _denied(deny)
    columns = dict(trace.columns)
    for version in (4, 6):
        rows = np.flatnonzero(trace["ip_version"] == version)
        if not len(rows):
            continue
        both = [np.concatenate([trace[f"{side}_{half}"][rows] for side in ("src", "dst")]) for half in ("hi", "lo")]
        keys, inverse = np.unique(_keys(both[0], both[1]), return_inverse=True)
        hi, lo = _halves(keys)
        moving = np.ones(len(hi), dtype=bool)
        if keep_special:
            moving = ~_is_special(version, hi, lo) | np.isin(keys, denied)
        if not moving.any():
            continue
        forbidden = np.union1d(denied, keys[~moving])
        own = [network for network in networks if network.version == version]
        hi[moving], lo[moving] = _map(hi[moving], lo[moving], version, own, forbidden, key)
        for half, values in (("hi", hi), ("lo", lo)):
            for side, part in zip(("src", "dst"), np.split(values[inverse], 2), strict=True):
                columns[f"{side}_{half}"] = columns[f"{side}_{half}"].copy()
                columns[f"{side}_{half}"][rows] = part
    return replace(trace, columns=columns)


def addresses_of(trace: Trace | Mapping[str, np.ndarray]) -> Halves:
    """All distinct addresses of a trace or of its columns: uint64[n] upper and uint64[n] lower halves (of IPv4: 0, the
    address)."""
    sides = [np.concatenate([trace[f"{side}_{half}"] for side in ("src", "dst")]) for half in ("hi", "lo")]
    return _halves(np.unique(_keys(sides[0], sides[1])))


def _map(
    hi: np.ndarray,
    lo: np.ndarray,
    version: int,
    networks: Sequence[IPv4Network | IPv6Network],
    forbidden: np.ndarray,
    key: bytes,
) -> Halves:
    """The addresses that distinct addresses of one version are mapped to, in the same order."""
    width = _WIDTH[version]
    if not networks:
        example = "10.0.0.0/8" if version == 4 else "2001:db8::/32"
        raise FieldError(
            f"prefixes: none for the {len(hi)} IPv{version} addresses of the trace; add one like {example}"
        )
    merged: list[IPv4Network | IPv6Network] = list(collapse_addresses(networks))  # type: ignore[type-var]
    flipped = permute_prefixes(*_shift_left(hi, lo, 128 - width), version=version, key=key)
    order = np.lexsort(flipped[::-1])
    high, low = flipped[0][order], flipped[1][order]
    depth, capacities = _depth(high, low, width, merged)
    mask_hi, mask_lo = _mask(depth)
    new = np.append(True, _differs(high & mask_hi, low & mask_lo))
    rank = np.cumsum(new) - 1
    total = int(capacities.sum())
    number = rank * total // (int(rank[-1]) + 1)  # spread evenly, in order
    ends = np.cumsum(capacities)
    chosen = np.searchsorted(ends, number, side="right")
    within = (number - (ends - capacities)[chosen]).astype(_U64)
    target = [int(network.network_address) << (128 - width) for network in merged]
    base_hi, base_lo = (np.array([value >> shift & int(_ONES) for value in target], _U64) for shift in (64, 0))
    block_hi, block_lo = _shift_left(np.zeros_like(within), within, 128 - depth)
    image_hi = base_hi[chosen] | block_hi | (high & ~mask_hi)
    image_lo = base_lo[chosen] | block_lo | (low & ~mask_lo)
    if width == 32:
        image_hi, image_lo = np.zeros_like(image_hi), image_hi >> _U64(32)
    room = np.array([width - network.prefixlen for network in merged])[chosen]
    image_hi, image_lo = _avoid(image_hi, image_lo, room, forbidden)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return image_hi[back], image_lo[back]


def _depth(
    hi: np.ndarray, lo: np.ndarray, width: int, networks: Sequence[IPv4Network | IPv6Network]
) -> tuple[int, np.ndarray]:
    """The shortest network length d at which the prefixes have room for all networks that the addresses (ascending) lie
    in, and how many networks of d bits each prefix holds (int64[n_prefixes])."""
    shared = _common_bits(hi[1:] ^ hi[:-1], lo[1:] ^ lo[:-1])
    for depth in range(width + 1):
        needed = 1 + int(np.count_nonzero(shared < depth))
        fits = [1 << (depth - network.prefixlen) if depth >= network.prefixlen else 0 for network in networks]
        if sum(fits) >= needed:
            return depth, np.array(fits, dtype=np.int64)
    named = ", ".join(map(str, networks))
    raise FieldError(f"prefixes: {named} hold {sum(fits)} addresses, the trace has {len(hi)}; give larger ones")


def _avoid(hi: np.ndarray, lo: np.ndarray, room: np.ndarray, forbidden: np.ndarray) -> Halves:
    """Distinct addresses, those that are forbidden replaced by the nearest free address.

    Only the lowest `room` bits of an address change; the nearest address is the one that shares the longest prefix.
    """
    keys = _keys(hi, lo)
    open_rows = np.flatnonzero(np.isin(keys, forbidden))
    if not len(open_rows):
        return hi, lo
    taken = np.union1d(keys, forbidden)
    for step in range(1, _MAX_DISTANCE):
        possible = room[open_rows] >= step.bit_length()
        wanted = _keys(hi[open_rows], lo[open_rows] ^ _U64(step))  # distinct, as the addresses are
        free = possible & ~_contains(taken, wanted)
        if free.any():
            rows = open_rows[free]
            lo[rows] ^= _U64(step)
            taken = np.union1d(taken, wanted[free])
            open_rows = open_rows[~free]
        if not len(open_rows):
            return hi, lo
        if not possible.any():
            break
    raise FieldError(f"deny: {len(open_rows)} addresses have no free address near them; give larger prefixes")


def _is_special(version: int, hi: np.ndarray, lo: np.ndarray) -> np.ndarray:
    """bool[n]: multicast, limited broadcast, loopback, unspecified."""
    special = is_multicast(np.full(len(hi), version, np.uint8), hi, lo) | ((hi == 0) & (lo == 0))
    if version == 6:
        return special | ((hi == 0) & (lo == 1))
    return special | (lo == _BROADCAST_4) | (lo >> _U64(24) == _LOOPBACK_4)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise FieldError(f"prefixes: {text!r} is none ({error}); give one like 10.0.0.0/8") from None


def _denied(deny: Sequence[str] | Halves) -> np.ndarray:
    """The keys of the denied addresses, ascending."""
    if len(deny) == 2 and isinstance(deny[0], np.ndarray):
        return np.unique(_keys(np.asarray(deny[0], _U64), np.asarray(deny[1], _U64)))
    texts = [str(text) for text in deny]
    _, hi, lo, valid = parse_addresses(np.array(texts, dtype=object))
    if not valid.all():
        raise FieldError(f"deny: {texts[int(np.argmin(valid))]!r} is no IP address")
    return np.unique(_keys(hi, lo))


def _keys(hi: np.ndarray, lo: np.ndarray) -> np.ndarray:
    """S16[n]: addresses as 16 bytes each, which sort in the order of the 128-bit numbers."""
    return np.ascontiguousarray(np.stack([hi, lo], axis=1).astype(">u8")).view("S16").ravel()


def _halves(keys: np.ndarray) -> Halves:
    words = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2).astype(_U64)
    return words[:, 0].copy(), words[:, 1].copy()


def _contains(ordered: np.ndarray, keys: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return ordered[at] == keys


def _differs(hi: np.ndarray, lo: np.ndarray) -> np.ndarray:
    return (hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1])


def _mask(bits: int) -> tuple[np.uint64, np.uint64]:
    """The highest `bits` bits of 128."""
    value = ((1 << bits) - 1) << (128 - bits)
    return _U64(value >> 64), _U64(value & int(_ONES))


def _shift_left(hi: np.ndarray, lo: np.ndarray, bits: int) -> Halves:
    if bits >= 128:
        return np.zeros_like(hi), np.zeros_like(lo)
    if bits >= 64:
        return lo << _U64(bits - 64), np.zeros_like(lo)
    if bits == 0:
        return hi, lo
    return (hi << _U64(bits)) | (lo >> _U64(64 - bits)), lo << _U64(bits)


def _common_bits(hi: np.ndarray, lo: np.ndarray) -> np.ndarray:
    """int64[n]: leading zero bits of 128-bit numbers."""
    return np.where(hi > 0, _leading_zeros(hi), 64 + _leading_zeros(lo))


def _leading_zeros(values: np.ndarray) -> np.ndarray:
    """int64[n], of 64 bits."""
    count, rest = np.zeros(len(values), dtype=np.int64), values.copy()
    for step in (32, 16, 8, 4, 2, 1):
        empty = rest >> _U64(64 - step) == 0
        count += empty * step
        rest = np.where(empty, rest << _U64(step), rest)
    return count + (rest >> _U64(63) == 0)
