"""Names and numbers of IP protocols, as IANA registers them and as NetShare's CSV and nfdump print them.

Names leave in upper case (`TCP`, `UDP`, `ICMP`, `GRE`, `ESP`, `ICMP6` ...), a number without a name as its digits.
On the way in, case does not matter, the usual aliases are known, and digits are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

HOP_BY_HOP = 0  # an extension header of IPv6, as are ROUTING, FRAGMENT, AUTHENTICATION and DESTINATION
ICMP = 1
IGMP = 2
IPV4_IN_IP = 4
TCP = 6
UDP = 17
DCCP = 33
IPV6_IN_IP = 41
ROUTING = 43
FRAGMENT = 44
GRE = 47
AUTHENTICATION = 51
ICMPV6 = 58
NO_NEXT_HEADER = 59
DESTINATION = 60
OSPF = 89
ETHERNET_IN_IP = 97
PIM = 103
VRRP = 112
SCTP = 132
UDPLITE = 136
MPLS_IN_IP = 137

PROTOCOL_NAMES: dict[int, str] = {
    0: "HOPOPT",
    1: "ICMP",
    2: "IGMP",
    3: "GGP",
    4: "IPIP",
    5: "ST",
    6: "TCP",
    7: "CBT",
    8: "EGP",
    9: "IGP",
    12: "PUP",
    16: "CHAOS",
    17: "UDP",
    20: "HMP",
    22: "IDP",
    27: "RDP",
    28: "IRTP",
    29: "TP4",
    33: "DCCP",
    36: "XTP",
    37: "DDP",
    41: "IPV6",
    43: "IPV6-ROUTE",
    44: "IPV6-FRAG",
    45: "IDRP",
    46: "RSVP",
    47: "GRE",
    48: "DSR",
    50: "ESP",
    51: "AH",
    54: "NARP",
    55: "MOBILE",
    57: "SKIP",
    58: "ICMP6",
    59: "IPV6-NONXT",
    60: "IPV6-OPTS",
    66: "RVD",
    73: "CPHB",
    80: "ISO-IP",
    81: "VMTP",
    83: "VINES",
    88: "EIGRP",
    89: "OSPF",
    92: "MTP",
    93: "AX.25",
    94: "OS",
    97: "ETHERIP",
    98: "ENCAP",
    103: "PIM",
    108: "IPCOMP",
    112: "VRRP",
    113: "PGM",
    115: "L2TP",
    123: "PTP",
    124: "ISIS",
    132: "SCTP",
    133: "FC",
    135: "MOBILITY",
    136: "UDPLITE",
    137: "MPLS-IN-IP",
    138: "MANET",
    139: "HIP",
    140: "SHIM6",
    141: "WESP",
    142: "ROHC",
}

_ALIASES: dict[str, int] = {
    "IP": 0,
    "IP-ENCAP": 4,
    "IPV4": 4,
    "ICMPV6": 58,
    "ICMP-V6": 58,
    "ICMP-6": 58,
    "IPV6-ICMP": 58,
    "IPV6-NO": 59,
    "IPV6-OP": 60,
    "RSPF": 73,
    "OSPFIGP": 89,
    "OSPF3": 89,
    "UDP-LITE": 136,
    "UDPLIT": 136,
    "MOB-HDR": 135,
    "MOBILITY-HEADER": 135,
}

_NUMBERS: dict[str, int] = {name: number for number, name in PROTOCOL_NAMES.items()} | _ALIASES
_NAMES = np.array([PROTOCOL_NAMES.get(number, str(number)) for number in range(256)], dtype=object)


def protocol_number(names: np.ndarray | pd.Series | Sequence[str | int]) -> tuple[np.ndarray, np.ndarray]:
    """Protocol numbers of names (any case, aliases, or digits) or of numbers.

    Returns:
        number uint8[n] (0 where unknown) and known bool[n], false for names that are not known and for numbers outside
        0 to 255.
    """
    codes, distinct = pd.factorize(pd.Series(names))
    numbers = [_number(value) for value in distinct]
    numbers.append(-1)  # the code -1 of a missing value
    found = np.array(numbers, dtype=np.int64)[codes]
    known = found >= 0
    return np.where(known, found, 0).astype(np.uint8), known


def protocol_name(numbers: np.ndarray | Sequence[int]) -> np.ndarray:
    """Names (object[n] of `str`) of protocol numbers 0 to 255; the digits where a number has no name."""
    return _NAMES[np.asarray(numbers, dtype=np.uint8)]


def _number(value: object) -> int:
    """The protocol number of one name or number, -1 where there is none."""
    text = str(value).strip().upper()
    if text in _NUMBERS:
        return _NUMBERS[text]
    text = text.removesuffix(".0")  # an integer column with gaps is read as floats
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255:
        return int(text)
    return -1
