"""TCP options of every length, as scapy reads them."""

import numpy as np
import pytest
from scapy.layers.inet import TCP

from netshare.postprocess.tcp_options import OptionValues, tcp_option_rows
from tests.postprocess.conversations import ACK, SYN

VALUES = OptionValues(np.array([70_000] * 2, np.uint32), np.array([90_000] * 2, np.uint32), np.array([5, 5], np.uint8))


def options(space: int, version: int) -> list[dict]:
    """The options of a SYN and of a later segment, by name."""
    rows = tcp_option_rows(space, np.array([SYN, ACK]), np.full(2, version), VALUES)
    assert rows.shape == (2, space)
    headers = [bytes(12) + bytes([(20 + space) // 4 << 4]) + bytes(7) + row.tobytes() for row in rows]
    return [dict(TCP(header).options) for header in headers]


@pytest.mark.parametrize("space", range(4, 41, 4))
def test_a_syn_carries_what_fits(space):
    syn, later = options(space, 4)
    assert syn["MSS"] == 1460 and options(space, 6)[0]["MSS"] == 1440
    assert ("Timestamp" in syn) == (space >= 16) and syn.get("Timestamp", (70_000, 90_000)) == (70_000, 90_000)
    assert ("WScale" in syn) == (space >= 8 and space != 16) and syn.get("WScale", 5) == 5
    assert ("SAckOK" in syn) == (space >= 12)
    assert set(syn) <= {"MSS", "NOP", "WScale", "SAckOK", "Timestamp"}
    assert later == ({"NOP": None} if space < 12 else {"NOP": None, "Timestamp": (70_000, 90_000)})
