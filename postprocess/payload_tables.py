"""Which ports and protocols need another body than zeros, and how short it may be.

Found by sending every port and protocol number, at many lengths, through tshark 4.0 and looking at `_ws.malformed`;
the tests repeat that. A body is its `start`, then `fill` to the end. `minimum` is the smallest non-empty length that
holds a valid message (the protocol's fixed header, mostly), `unit` the step in which it may grow.
"""

from __future__ import annotations

from typing import NamedTuple


class Body(NamedTuple):
    """A deterministic payload for one port or protocol.

    `length_field` is (offset, less): a 16-bit field that takes the body's length minus `less`. `checksum_offset` is
    where the body's own Internet checksum stands (over the IPv6 pseudo header too, where the packet is IPv6).
    """

    start: bytes = b""
    fill: int = 0
    minimum: int = 0
    unit: int = 1
    length_field: tuple[int, int] | None = None
    checksum_offset: int | None = None


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


_LETTERS = Body(fill=0x41)

_UDP_PORTS: dict[int, Body] = {
    37: Body(minimum=4),
    49: Body(minimum=6),
    53: Body(minimum=12),  # RFC 1035, 4.1.1: a header without questions
    67: Body(minimum=300),  # RFC 951, 3: a BOOTP message
    68: Body(minimum=300),
    69: Body(minimum=4),
    123: Body(minimum=48),  # RFC 5905, 7.3
    137: Body(minimum=12),
    138: Body(minimum=10),
    173: Body(minimum=8),
    177: Body(minimum=2),
    213: Body(fill=0xFF, minimum=30),
    319: Body(minimum=2),
    320: Body(minimum=2),
    427: Body(minimum=13),
    434: Body(fill=4, minimum=5),
    464: Body(_hex("01fc00000001"), fill=32, minimum=8, length_field=(1, 3)),
    496: Body(minimum=8),
    513: Body(minimum=60, unit=24),
    520: Body(minimum=4, unit=20),  # RFC 2453, 4: a header and route entries
    521: Body(minimum=4, unit=20),  # RFC 2080, 2.1
    524: Body(minimum=7),
    525: Body(minimum=13),
    546: Body(minimum=4),  # RFC 8415, 8
    547: Body(minimum=4),
    664: Body(minimum=8),
    701: Body(minimum=12),
    854: Body(fill=2, minimum=12),
    910: Body(minimum=16),
    921: Body(fill=1, minimum=28),
    925: Body(fill=0x41),
    1001: Body(minimum=4),
    1052: Body(fill=1),
    1153: Body(_hex("6000"), minimum=4, length_field=(2, 4)),
    1194: Body(fill=0x30),
    1293: Body(minimum=3),
    1628: Body(minimum=20),
    1629: Body(minimum=20),
    1718: Body(fill=0x40, minimum=3),
    1719: Body(fill=0x40, minimum=3),
    1745: Body(minimum=38),
    1755: Body(minimum=10),
    2048: Body(minimum=4),
    2055: Body(minimum=2),
    2157: Body(fill=1),
    2222: Body(minimum=2),
    2269: Body(minimum=10),
    2313: Body(minimum=5, unit=3),
    2345: Body(minimum=3),
    2428: Body(minimum=8),
    2887: Body(fill=1),
    2944: Body(minimum=3),
    2945: Body(_hex("6f00"), fill=0xFF, minimum=4, length_field=(2, 0)),
    2948: Body(minimum=2),
    3000: Body(minimum=13),
    3130: Body(_hex("a501"), fill=1, minimum=20, length_field=(2, 0)),  # RFC 2186
    3250: Body(minimum=2),
    3343: Body(minimum=24),
    3357: Body(minimum=16),
    3389: Body(minimum=8),
    3452: Body(minimum=4),
    3455: Body(minimum=8),
    3544: Body(fill=0x60, minimum=40),  # RFC 4380: an IPv6 packet
    3671: Body(minimum=6),
    3784: Body(minimum=24),
    3804: Body(_hex("02"), minimum=25, length_field=(4, 0)),
    3863: Body(_hex("01fc00000001"), fill=32, minimum=12, length_field=(1, 3)),
    4000: Body(minimum=2),
    4306: Body(minimum=5),
    4307: Body(minimum=5),
    4341: Body(minimum=9),
    4342: Body(minimum=3),
    4500: Body(minimum=4),
    4533: Body(fill=1, minimum=6),
    4534: Body(fill=1, minimum=6),
    4551: Body(minimum=8),
    4555: Body(minimum=4),
    4569: Body(fill=1, minimum=4),
    4729: Body(minimum=15),
    4739: Body(minimum=2),
    4754: Body(minimum=4),
    4784: Body(minimum=24),
    4789: Body(minimum=22),
    4790: Body(minimum=8),
    4791: Body(fill=1, minimum=12),
    4991: Body(_hex("01010001"), fill=0xFF, minimum=4, length_field=(4, 8)),
    5000: Body(minimum=30),
    5001: Body(minimum=4),
    5031: Body(minimum=18),
    5072: Body(minimum=9),
    5094: Body(minimum=3),
    5246: Body(fill=1, minimum=5),
    5247: Body(fill=1, minimum=5),
    5350: Body(minimum=2),
    5351: Body(minimum=2),
    5353: Body(minimum=12),
    5355: Body(minimum=12),
    5436: Body(minimum=8),
    5678: Body(fill=1),
    5683: Body(_hex("01680209"), fill=0xFF, minimum=4, length_field=(0, 2)),
    6073: Body(minimum=4),
    6081: Body(minimum=8),
    6118: Body(fill=2, minimum=21),
    6160: Body(minimum=8),
    6343: Body(minimum=4),
    6635: Body(fill=0x11, minimum=8),
    6784: Body(minimum=24),
    6970: Body(minimum=9),
    7074: Body(minimum=6),
    7275: Body(minimum=8),
    7784: Body(minimum=24),
    8200: Body(minimum=6),
    8211: Body(minimum=2),
    8600: Body(minimum=3),
    8755: Body(minimum=12),
    8767: Body(minimum=12),
    8805: Body(_hex("2001000000000100"), minimum=8, unit=4, length_field=(2, 4)),
    8848: Body(minimum=8),
    9200: Body(minimum=2),
    9201: Body(fill=1),
    9875: Body(fill=1, minimum=13),
    9877: Body(minimum=12),
    9899: Body(bytes(12) + _hex("0003"), minimum=28, length_field=(14, 12)),
    9901: Body(minimum=4),
    9956: Body(minimum=4),
    9996: Body(minimum=2),
    10253: Body(fill=1, minimum=16),
    10500: Body(minimum=44),
    11273: Body(minimum=21),
    12000: Body(minimum=4),
    12001: Body(minimum=4),
    12002: Body(minimum=4),
    12003: Body(minimum=4),
    12004: Body(minimum=4),
    12220: Body(minimum=14),
    12222: Body(fill=4, minimum=10),
    12223: Body(fill=4, minimum=14),
    13400: Body(_hex("02fd4001"), minimum=8, length_field=(6, 8)),
    14394: Body(minimum=20),
    17220: Body(minimum=28),
    17755: Body(minimum=6),
    17756: Body(minimum=6),
    18246: Body(minimum=2),
    19999: Body(minimum=15),
    23272: Body(minimum=7, unit=2),
    24576: Body(minimum=16),
    24577: Body(minimum=16),
    25826: Body(_hex("0502"), fill=32, minimum=4, length_field=(2, 0)),
    26000: Body(minimum=8),
    27500: Body(minimum=10),
    27910: Body(minimum=10),
    27950: Body(minimum=4),
    27951: Body(minimum=4),
    27952: Body(minimum=4),
    27953: Body(minimum=4),
    27960: Body(minimum=6),
    27961: Body(minimum=4),
    27962: Body(minimum=4),
    27963: Body(minimum=4),
    32000: Body(fill=1),
    32512: Body(fill=1),
    34962: Body(minimum=6),
    34980: Body(minimum=2),
    37008: Body(fill=1, minimum=5),
    41170: Body(minimum=20, unit=4),
    44818: Body(minimum=24),
    47000: Body(fill=0xA0, minimum=8),
}

_TCP_PORTS: dict[int, Body] = {
    22: Body(minimum=5),  # RFC 4253, 6: length and padding length
    37: Body(minimum=4),
    123: Body(minimum=48),
    161: Body(fill=2),
    162: Body(fill=2),
    199: Body(minimum=2),
    389: Body(minimum=4),
    513: Body(minimum=3),
    524: Body(minimum=19),
    548: Body(minimum=16),
    5997: Body(minimum=4),
    48898: Body(minimum=38),
    639: Body(_hex("4d"), minimum=3, length_field=(1, 0)),
    862: Body(minimum=164),  # RFC 5357, 3.1: the longest message that sets up a TWAMP session
    873: Body(minimum=10),
    988: Body(minimum=4),
    1102: Body(minimum=6),
    1153: Body(fill=0x82),
    1521: Body(minimum=4),
    1723: Body(minimum=12),  # RFC 2637, 1.4
    1998: Body(minimum=4),
    2269: Body(minimum=10),
    2321: Body(fill=0x41, minimum=4),
    2322: Body(fill=0x41, minimum=4),
    2571: Body(fill=7),
    2812: Body(minimum=8),
    2944: Body(minimum=3),
    3268: Body(minimum=4),
    3357: Body(minimum=16),
    3632: Body(minimum=12),
    3863: Body(_hex("01fc00000001"), fill=32, minimum=12, length_field=(1, 3)),
    4223: Body(minimum=8),
    4224: Body(minimum=8),
    4321: Body(minimum=4),
    4551: Body(minimum=8),
    4555: Body(minimum=4),
    4556: Body(minimum=5),
    5010: Body(minimum=2),
    5094: Body(minimum=3),
    5555: Body(minimum=2),
    6160: Body(minimum=12),
    6666: Body(minimum=2),
    7911: Body(minimum=36),
    8023: Body(fill=7),
    8085: Body(minimum=8),
    9600: Body(minimum=4),
    9956: Body(minimum=4),
    13400: Body(_hex("02fd4001"), minimum=8, length_field=(6, 8)),
    29418: Body(minimum=5),
    34980: Body(minimum=2),
    48049: Body(minimum=4),
}
_TCP_LETTERS = (
    *(42, 88, 210, 547, 925, 1194, 2234, 2240, 3002, 3003, 3006, 3014, 3016, 3017, 3018, 3019, 3306, 3369, 3724),
    *(4222, 4249, 4250, 5000, 5353, 5534, *range(6000, 6064), 7171, 7172, 7871, 8567, 9092, 14001, 24800),
)
_TCP_PORTS |= dict.fromkeys(_TCP_LETTERS, _LETTERS)
# Where a dissector puts a stream together, every segment is a message of its own, and nothing waits for the next one.
_TCP_PORTS |= dict.fromkeys((43, 79, 5060, 6379, 6380), Body(fill=0x0A))  # protocols of lines: empty ones
_TCP_PORTS[53] = Body(minimum=14, length_field=(0, 2))  # RFC 1035, 4.2.2: length, then a header without questions
_TCP_PORTS[5432] = Body(_hex("510000"), minimum=6, length_field=(3, 1))  # PostgreSQL: a query, its length, no text
_TLS_PORTS = (324, 443, 465, 636, 802, 853, 993, 995, 2221, 2443, 3496, 5061, 5671, 5684, 5868, 8883, 11207, 19999)
_TCP_PORTS |= dict.fromkeys(_TLS_PORTS, Body(_hex("170303"), minimum=6, length_field=(3, 5)))  # RFC 8446, 5.1

_NO_NEXT_HEADER = "3b00"  # RFC 8200, 4.7: 59
_PROTOCOLS: dict[int, Body] = {
    0: Body(_hex(_NO_NEXT_HEADER + "010400000000"), minimum=8),  # RFC 8200, 4.3: PadN
    2: Body(_hex("1600"), minimum=8, checksum_offset=2),  # RFC 2236: version 2 membership report
    4: Body(_hex("450000140000000040fd"), minimum=20, length_field=(2, 0), checksum_offset=10),  # RFC 2003
    9: Body(_hex("12"), minimum=12),
    29: Body(fill=0xFF, minimum=2),
    33: Body(fill=0xFF, minimum=16),
    41: Body(_hex("6000000000003b40"), minimum=40, length_field=(4, 40)),  # RFC 4213: an IPv6 packet
    43: Body(_hex(_NO_NEXT_HEADER + "fd0000000000"), minimum=8),
    44: Body(_hex(_NO_NEXT_HEADER), minimum=8),
    46: Body(_hex("1001"), minimum=8),
    47: Body(minimum=4),  # RFC 2784, 2.1
    48: Body(_hex(_NO_NEXT_HEADER), minimum=8),
    50: Body(minimum=8),  # RFC 4303, 2: SPI and sequence number
    51: Body(_hex("3b01000000000001"), minimum=12),  # RFC 4302, 2
    53: Body(_hex("00000000450000140000000040fd"), minimum=24, length_field=(6, 4), checksum_offset=14),
    54: Body(_hex("0001080000000000000000140018"), minimum=20),
    58: Body(minimum=8),
    60: Body(_hex(_NO_NEXT_HEADER + "010400000000"), minimum=8),
    62: Body(_hex(_NO_NEXT_HEADER), minimum=8),
    80: Body(minimum=1),
    83: Body(minimum=20),
    88: Body(_hex("0201" + "00" * 18 + "00fd"), minimum=60, length_field=(22, 20)),  # RFC 7868, 6.2
    89: Body(_hex("0206"), minimum=24, length_field=(2, 0), checksum_offset=12),  # RFC 2328, A.3.1
    93: Body(fill=0xFF, minimum=15),
    97: Body(_hex("3000"), minimum=16),  # RFC 3378
    103: Body(_hex("2f"), minimum=4, checksum_offset=2),  # RFC 7761, 4.9
    108: Body(minimum=4),  # RFC 3173, 3.3
    112: Body(_hex("3101"), minimum=8, checksum_offset=6),  # RFC 9568, 5.1
    113: Body(fill=0xFF, minimum=20),
    115: Body(fill=0x41, minimum=4),
    132: Body(bytes(12) + _hex("0b00"), minimum=16, length_field=(14, 12)),  # RFC 9260, 3.3.12: a COOKIE ACK chunk
    134: Body(minimum=8),
    135: Body(_hex(_NO_NEXT_HEADER), minimum=8),
    137: Body(_hex("00000140"), fill=0xFF, minimum=5),
    139: Body(_hex("3b04010100000000"), minimum=40),
    140: Body(_hex(_NO_NEXT_HEADER + "80"), minimum=8),
    143: Body(minimum=14),
    173: Body(minimum=16),
    224: Body(minimum=12),
}

# Ports whose dissector takes zeros as they are, and so decides against whatever the other port would want.
_UDP_ZEROS = (
    *(7, 13, 19, 111, 269, 389, 514, 698, 853, 1113, 1900, 2099, 2221, 2246, 2268, 2949, 3567, 3785, 4305, 5404),
    *(5405, 5567, 5684, 5868, 7075, 7255, 9202, 9203, 9214, 9600, 9955, 11211, 17500, 19132, 19948),
)
_TCP_ZEROS = (
    *(7, 13, 19, 20, 21, 23, 25, 49, 70, 80, 102, 110, 111, 119, 139, 143, 179, 323, 427, 445, 464, 512, 514, 515),
    *(554, 564, 587, 631, 647, 705, 854, 1080, 1090, 1099, 1213, 1300, 1344, 1433, 1533, 1547, 1861, 1863, 1883),
    *(1900, 1935, 2099, 2126, 2401, 2404, 2433, 2502, 2575, 2600, 2710, 2869, 2945, 3050, 3128, 3132, 3245, 3246),
    *(3247, 3248, 3249, 3250, 3251, 3252, 3288, 3452, 3478, 3567, 3671, 3689, 3804, 3860, 3868, 3918, 4002, 4155),
    *(4189, 4342, 4420, 4712, 4730, 4739, 4788, 4840, 4880, 5084, 5222, 5253, 5445, 5500, 5501, 5672, 5683, 5701),
    *(5900, 5901, 5985, 6068, 6084, 6121, 6346, 6417, 6653, 6667, 6668, 6881, 6882, 6883, 6884, 6885, 6886, 6887),
    *(6888, 6889, 7000, 7075, 7236, 7275, 7276, 8009, 8074, 8080, 8088, 8554, 9009, 9300, 9418, 9955, 10288, 11211),
    11371,
)
_UDP_PORTS |= dict.fromkeys(_UDP_ZEROS, Body())
_TCP_PORTS |= dict.fromkeys(_TCP_ZEROS, Body())

BODIES: tuple[Body, ...] = (Body(), *_UDP_PORTS.values(), *_TCP_PORTS.values(), *_PROTOCOLS.values())
UDP_BODIES: dict[int, int] = {port: 1 + i for i, port in enumerate(_UDP_PORTS)}
TCP_BODIES: dict[int, int] = {port: 1 + len(_UDP_PORTS) + i for i, port in enumerate(_TCP_PORTS)}
PROTOCOL_BODIES: dict[int, int] = {
    number: 1 + len(_UDP_PORTS) + len(_TCP_PORTS) + i for i, number in enumerate(_PROTOCOLS)
}
