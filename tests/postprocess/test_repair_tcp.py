"""Repair of TCP streams: what a state machine would not have sent is mended, what it would have stays."""

import numpy as np
import pytest

from netshare.postprocess import repair
from tests.postprocess.conversations import (
    ACK,
    CLIENT,
    CLOSING,
    FIN,
    HANDSHAKE,
    PSH,
    RST,
    SERVER,
    SYN,
    Segment,
    conversation,
)

DATA = Segment(CLIENT, PSH | ACK, 500)
ANSWER = Segment(SERVER, PSH | ACK, 500)


def mended(segments: list[Segment], rule: str) -> tuple[list[int], int]:
    """The flags after repair, and how many segments broke the rule."""
    trace, report = repair(conversation(segments))
    assert report.rules[rule]["after"] == 0
    return trace["tcp_flags"].tolist(), report.rules[rule]["before"]


def flags(segments: list[Segment]) -> list[int]:
    return [segment.flags for segment in segments]


@pytest.mark.parametrize(
    "legal",
    [
        [*HANDSHAKE, DATA, ANSWER, *CLOSING],
        [*HANDSHAKE, DATA, Segment(CLIENT, FIN | ACK), ANSWER, Segment(SERVER, FIN | ACK)],
        [*HANDSHAKE, Segment(CLIENT, FIN | PSH | ACK, 90), Segment(CLIENT, FIN | PSH | ACK, 90)],
        [*HANDSHAKE, *CLOSING, *HANDSHAKE, DATA],
        [*[Segment(CLIENT, SYN), Segment(SERVER, RST | ACK)] * 3],
        [*HANDSHAKE[:2], *HANDSHAKE[1:], DATA],
        [DATA, ANSWER, Segment(SERVER, RST)],
        [*HANDSHAKE, DATA._replace(window=0), Segment(SERVER, ACK, 1), Segment(CLIENT, ACK), ANSWER],
    ],
)
def test_what_a_state_machine_sends_stays(legal: list[Segment]):
    before = conversation(legal)
    after, report = repair(before)
    assert [name for name in report.rules if name.startswith("tcp") and report.rules[name]["before"]] == []
    assert np.array_equal(after["tcp_flags"], before["tcp_flags"])


def test_a_fin_that_data_follows_moves_to_the_end_of_its_side():
    early, begin = Segment(CLIENT, FIN | ACK), flags(HANDSHAKE)
    assert mended([*HANDSHAKE, early, DATA], "tcp_order") == ([*begin, ACK, FIN | PSH | ACK], 2)
    assert mended([*HANDSHAKE, Segment(CLIENT, FIN), DATA, ANSWER], "tcp_order")[0][3:] == [
        ACK,
        FIN | PSH | ACK,
        PSH | ACK,
    ]
    assert mended([*HANDSHAKE, early, DATA, early], "tcp_order") == ([*begin, ACK, DATA.flags, FIN | ACK], 1)
    assert mended([*HANDSHAKE, early, DATA, Segment(CLIENT, RST)], "tcp_order") == ([*begin, ACK, DATA.flags, RST], 1)
    assert mended([*HANDSHAKE, early, ANSWER], "tcp_order")[1] == 0


def test_a_syn_is_answered_by_syn_and_ack():
    syn = HANDSHAKE[0]
    for answer in (Segment(SERVER, ACK), ANSWER, Segment(SERVER, FIN | ACK), Segment(SERVER, SYN)):
        assert mended([syn, answer, Segment(CLIENT, ACK), DATA], "tcp_order") == ([SYN, SYN | ACK, ACK, DATA.flags], 1)
    assert repair(conversation([syn, ANSWER]))[0]["length"].tolist() == [60, 52]
    assert mended([syn, Segment(CLIENT, SYN | ACK)], "tcp_order") == ([SYN, ACK], 1)


def test_an_acknowledgement_pushes_nothing():
    assert mended([*HANDSHAKE, Segment(CLIENT, PSH | ACK), DATA], "tcp_push") == (
        [*flags(HANDSHAKE), ACK, PSH | ACK],
        1,
    )
    assert mended([Segment(CLIENT, PSH), DATA], "tcp_push")[0] == [ACK, PSH | ACK]


def test_nobody_sends_into_a_closed_window():
    closed = Segment(CLIENT, ACK, window=0)
    trace, report = repair(conversation([*HANDSHAKE, closed, ANSWER, DATA]))
    assert report.rules["tcp_window"] == {"before": 1, "after": 0}
    assert trace["tcp_window"].tolist() == [1000] * 6
    trace, _ = repair(conversation([*HANDSHAKE, closed, Segment(CLIENT, ACK, window=7), ANSWER]))
    assert trace["tcp_window"].tolist() == [1000, 1000, 1000, 0, 7, 1000]


def test_rules_can_be_left_out():
    early = [*HANDSHAKE, Segment(CLIENT, FIN | ACK), DATA]
    kept, _ = repair(conversation(early), except_rules=["tcp_order", "tcp_push", "tcp_window"])
    assert kept["tcp_flags"].tolist() == flags(early)
