"""Link types of captures, EtherTypes, and the Ethernet header with an IEEE 802.1Q tag."""

from __future__ import annotations

import numpy as np

# EtherTypes (IEEE 802 numbers, as IANA lists them).
IPV4_TYPE, IPV6_TYPE = 0x0800, 0x86DD
VLAN_TYPE = 0x8100  # IEEE 802.1Q
VLAN_TYPES = (VLAN_TYPE, 0x88A8, 0x9100, 0x9200)  # with IEEE 802.1ad and two older numbers of it
MPLS_TYPES = (0x8847, 0x8848)  # RFC 3032, 5
PPPOE_SESSION_TYPE = 0x8864  # RFC 2516, 4
BRIDGED_ETHERNET_TYPE = 0x6558  # Ethernet within GRE or Geneve (RFC 1701, RFC 8926)

# An Ethernet header with one VLAN tag. Without a tag, `tag_type` is the EtherType and the header ends with it.
TAGGED_ETHERNET = np.dtype(
    [("destination", "u1", 6), ("source", "u1", 6), ("tag_type", ">u2"), ("tag", ">u2"), ("type", ">u2")]
)
ETHERNET = np.dtype([("destination", "u1", 6), ("source", "u1", 6), ("type", ">u2")])
VLAN_TAG = np.dtype([("tag", ">u2"), ("type", ">u2")])  # what follows VLAN_TYPE
VLAN_IDENTIFIER_MASK = 0x0FFF

# LINKTYPE_ numbers (https://www.tcpdump.org/linktypes.html) of the link types that are read.
LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 101
LINKTYPE_802_11, LINKTYPE_RADIOTAP, LINKTYPE_ERF, LINKTYPE_PKTAP = 105, 127, 197, 258
LINK_NAMES: dict[int, str] = {
    -1: "unknown",
    0: "bsd-null",
    LINKTYPE_ETHERNET: "ethernet",
    9: "ppp",
    12: "raw",
    14: "raw",
    50: "ppp-hdlc",
    LINKTYPE_RAW: "raw",
    104: "cisco-hdlc",
    LINKTYPE_802_11: "802.11",
    108: "bsd-loopback",
    113: "linux-sll",
    LINKTYPE_RADIOTAP: "802.11-radiotap",
    LINKTYPE_ERF: "erf",
    228: "ipv4",
    229: "ipv6",
    LINKTYPE_PKTAP: "pktap",
    276: "linux-sll2",
}
