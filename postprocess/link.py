"""Link layer of written captures: Ethernet frames with deterministic addresses, or nothing (raw IP)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from netshare.postprocess import rules
from netshare.preprocess.layouts.ethernet import (
    ETHERNET,
    IPV4_TYPE,
    IPV6_TYPE,
    LINKTYPE_ETHERNET,
    LINKTYPE_RAW,
    TAGGED_ETHERNET,
    VLAN_TYPE,
)
from netshare.preprocess.layouts.fields import as_bytes

LinkType = Literal["ethernet", "raw"]
LINKTYPE_NUMBER: dict[LinkType, int] = {"ethernet": LINKTYPE_ETHERNET, "raw": LINKTYPE_RAW}

_LOCALLY_ADMINISTERED = np.uint64(0x02) << np.uint64(40)  # IEEE 802, 8.2.2: second lowest bit of the first octet


def link_header_length(link_type: LinkType, vlan: np.ndarray) -> np.ndarray:
    """int64[n]: bytes before the IP header."""
    if link_type == "raw":
        return np.zeros(len(vlan), dtype=np.int64)
    return np.where(vlan > 0, TAGGED_ETHERNET.itemsize, ETHERNET.itemsize).astype(np.int64)


def ethernet_headers(
    ip_version: np.ndarray,
    source: tuple[np.ndarray, np.ndarray],
    destination: tuple[np.ndarray, np.ndarray],
    vlan: np.ndarray,
) -> np.ndarray:
    """uint8[n, 18]: Ethernet headers; of rows without a VLAN (0) only the first 14 bytes count.

    Each IP address has one locally administered MAC address, derived from it; multicast and broadcast destinations
    have the addresses of RFC 1112, 6.4 and RFC 2464, 7.
    """
    source_mac = _unicast(*source)
    target = _unicast(*destination)
    multicast = rules.is_multicast(ip_version, *destination)
    group4 = np.uint64(0x01005E000000) | (destination[1] & np.uint64(0x7FFFFF))
    group6 = np.uint64(0x333300000000) | (destination[1] & np.uint64(0xFFFFFFFF))
    target = np.where(multicast, np.where(ip_version == 6, group6, group4), target)
    broadcast = (ip_version == 4) & (destination[1] == np.uint64(0xFFFFFFFF))
    target = np.where(broadcast, np.uint64(0xFFFFFFFFFFFF), target)
    ether_type = np.where(ip_version == 6, IPV6_TYPE, IPV4_TYPE)
    rows = np.zeros(len(vlan), dtype=TAGGED_ETHERNET)
    rows["destination"] = _six_bytes(target)
    rows["source"] = _six_bytes(source_mac)
    rows["tag_type"] = np.where(vlan > 0, VLAN_TYPE, ether_type)
    rows["tag"] = vlan
    rows["type"] = ether_type
    return as_bytes(rows)


def _unicast(hi: np.ndarray, lo: np.ndarray) -> np.ndarray:
    mixed = (hi * np.uint64(0xC2B2AE3D27D4EB4F)) ^ lo
    return _LOCALLY_ADMINISTERED | ((mixed ^ (mixed >> np.uint64(40))) & np.uint64(0xFFFFFFFFFF))


def _six_bytes(mac: np.ndarray) -> np.ndarray:
    return mac.astype(">u8").view(np.uint8).reshape(len(mac), 8)[:, 2:]
