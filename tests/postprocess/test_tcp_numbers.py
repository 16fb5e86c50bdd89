"""Sequence and acknowledgement numbers: known answers, an analyser's rules on any order of flags, tshark's verdict."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tcp.notes import tcp_notes
from netshare.postprocess import broken_conventions, packet_plan, repair, write_trace
from netshare.postprocess.headers import PacketPlan, plan_packets
from netshare.postprocess.tcp_numbers import clamped_running_value
from netshare.preprocess.readers.read import read_trace
from netshare.preprocess.trace import Trace
from tests.postprocess.conversations import (
    ACK,
    CLIENT,
    CLOSING,
    FIN,
    HANDSHAKE,
    PSH,
    RST,
    SECOND,
    SERVER,
    SYN,
    Segment,
    conversation,
)
from tests.postprocess.random_traces import WELL_KNOWN, disorderly_streams


def relative(segments: list[Segment], seed: int = 0) -> list[tuple[int, int]]:
    """Sequence and acknowledgement of each segment, counted from the numbers of the first of each side, as tshark does."""
    plan = plan_packets(conversation(segments), seed=seed)
    base: dict[int, int] = {}
    for segment, sequence in zip(segments, plan.sequence.tolist(), strict=True):
        base.setdefault(segment.sender, sequence)
    return [
        (
            (sequence - base[segment.sender]) % 2**32,
            (answer - base.get(1 - segment.sender, 0)) % 2**32 if segment.flags & ACK else 0,
        )
        for segment, sequence, answer in zip(
            segments, plan.sequence.tolist(), plan.acknowledgement.tolist(), strict=True
        )
    ]


def test_a_whole_connection():
    request, reply = Segment(CLIENT, PSH | ACK, 300), Segment(SERVER, PSH | ACK, 1000)
    numbers = relative([*HANDSHAKE, request, Segment(SERVER, ACK), reply, Segment(CLIENT, ACK), *CLOSING])
    assert numbers[:3] == [(0, 0), (0, 1), (1, 1)]
    assert numbers[3:7] == [(1, 1), (1, 301), (1, 301), (301, 1001)]
    assert numbers[7:] == [(301, 1001), (1001, 302), (302, 1002)]


def test_acknowledgements_that_follow_a_burst_share_it():
    burst = [Segment(SERVER, ACK, 1000)] * 4
    numbers = relative([*HANDSHAKE, Segment(CLIENT, ACK, 10), *burst, *[Segment(CLIENT, ACK)] * 3])
    assert [answer for _, answer in numbers[-3:]] == [2001, 3001, 4001]


def test_no_segment_waits_longer_than_a_second():
    pause = Segment(SERVER, ACK, 1000, gap=3 * SECOND)
    numbers = relative([*HANDSHAKE, Segment(SERVER, ACK, 1000), pause, *[Segment(CLIENT, ACK)] * 2])
    assert [answer for _, answer in numbers[-2:]] == [1001, 2001]
    numbers = relative([*HANDSHAKE, Segment(SERVER, ACK, 1000), Segment(CLIENT, ACK, 0, gap=3 * SECOND)])
    assert numbers[-1] == (1, 1001)


def test_what_is_repeated_keeps_its_number():
    assert relative([HANDSHAKE[0], *HANDSHAKE[:2], HANDSHAKE[1]]) == [(0, 0), (0, 0), (0, 1), (0, 1)]
    refused = [Segment(CLIENT, SYN), Segment(SERVER, RST | ACK)] * 3
    assert relative(refused) == [(0, 0), (0, 1)] * 3
    assert plan_packets(conversation(refused)).sequence[1] == 0
    last = Segment(CLIENT, FIN | PSH | ACK, 200)
    assert [number for number, _ in relative([*HANDSHAKE, last, last, Segment(CLIENT, ACK)])[-3:]] == [1, 1, 202]


@pytest.mark.parametrize("end", [Segment(SERVER, RST), Segment(SERVER, FIN | ACK)])
def test_a_closed_connection_is_followed_by_a_new_one_with_other_numbers(end: Segment):
    sequence = plan_packets(conversation([*HANDSHAKE, end, *HANDSHAKE])).sequence.astype(np.int64)
    assert (sequence[6] - sequence[4]) % 2**32 == 1
    assert sequence[4] != sequence[0]
    assert sequence[5] != sequence[1]


def test_a_syn_is_not_repeated_for_longer_than_the_segment_lifetime():
    soon = plan_packets(conversation([Segment(CLIENT, SYN), Segment(CLIENT, SYN, gap=64 * SECOND)]))
    late = plan_packets(conversation([Segment(CLIENT, SYN), Segment(CLIENT, SYN, gap=3600 * SECOND)]))
    assert soon.sequence[0] == soon.sequence[1]
    assert late.sequence[0] != late.sequence[1]


def test_the_unseen_side_is_acknowledged_as_if_it_sent():
    numbers = plan_packets(conversation([Segment(CLIENT, ACK, 100), *[Segment(CLIENT, ACK)] * 3])).acknowledgement
    assert (np.diff(numbers.astype(np.int64)) % 2**32).tolist() == [2920, 2920, 2920]


def test_silence_is_ended_by_keep_alive_probes():
    probe = Segment(SERVER, ACK, gap=5 * SECOND)
    numbers = relative(
        [*HANDSHAKE, Segment(CLIENT, ACK, 100), Segment(SERVER, ACK), *[probe, Segment(CLIENT, ACK)] * 2]
    )
    assert numbers[-4:] == [(0, 101), (101, 1), (0, 101), (101, 1)]


def test_numbers_wrap_around():
    rows = 70_000
    segments = [Segment(CLIENT, ACK, 65_000), Segment(SERVER, ACK)] * (rows // 2)
    plan = plan_packets(conversation([*segments, *segments]))
    sequence, answer = plan.sequence.astype(np.int64), plan.acknowledgement.astype(np.int64)
    assert sequence[-2] - sequence[0] != 65_000 * (rows - 1)
    assert np.unique(np.diff(sequence[::2]) % 2**32).tolist() == [65_000]
    assert np.array_equal(answer[1::2], (sequence[::2] + 65_000) % 2**32)


@pytest.mark.parametrize("version", [4, 6])
def test_timestamps_echo_the_other_side(version: int):
    segments = [*HANDSHAKE, Segment(SERVER, ACK, 1000, 7_000_000), Segment(CLIENT, ACK, 0, 9_000_000), *CLOSING]
    options = plan_packets(conversation(segments, version=version)).options
    assert options.echoed.tolist() == [0, *options.clock[[0, 1, 2, 3, 3, 5, 6]].tolist()]
    assert options.clock[4] - options.clock[2] == 16


def test_window_scales_fit_the_windows():
    def shifts(window: int) -> set[int]:
        segments = [segment._replace(window=window) for segment in [*HANDSHAKE, *CLOSING]]
        return set(plan_packets(conversation(segments)).options.shift.tolist())

    assert shifts(501) == {7}
    assert shifts(65_535) == {4}
    assert shifts(0) == {7}


SEGMENTS = st.lists(
    st.builds(
        Segment,
        sender=st.integers(0, 1),
        flags=st.sampled_from([SYN, SYN | ACK, ACK, ACK, PSH | ACK, FIN | ACK, FIN, RST, RST | ACK]),
        payload=st.sampled_from([0, 0, 1, 100, 1460]),
        gap=st.sampled_from([0, 1000, 10**8, 2 * SECOND, 300 * SECOND]),
        window=st.sampled_from([0, 1000, 65_535]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(segments=SEGMENTS, version=st.sampled_from([4, 6]), seed=st.integers(0, 2**64 - 1))
def test_an_analyser_misses_nothing(segments: list[Segment], version: int, seed: int):
    segments = [segment._replace(payload=0) if segment.flags & SYN else segment for segment in segments]
    trace = conversation(segments, version=version)
    assert missed(trace, plan_packets(trace, seed=seed)) == []
    repaired, report = repair(trace)
    assert missed(repaired, plan_packets(repaired, seed=seed)) == []
    assert [name for name, counts in report.rules.items() if counts["after"]] == []
    assert repair(repaired)[1].repaired == 0


def missed(trace: Trace, plan: PacketPlan) -> list[str]:
    """What an analyser says that follows one conversation packet by packet, as tshark does: segments that lie beyond the
    next expected number, and acknowledgements of numbers that it has not seen. A SYN with another number than the
    side's first begins anew; a byte sent into a closed window does not count."""
    first: dict[bool, int] = {}
    expected: dict[bool, int] = {}
    closed: dict[bool, bool] = {}
    found = []
    headers = np.where(trace["ip_version"] == 6, 40, 20) + trace["tcp_header_length"]
    payloads = (trace["length"] - headers).tolist()
    rows = zip(trace["src_port"] == 50_000, trace["tcp_flags"].tolist(), payloads, trace["tcp_window"], strict=True)
    numbers = zip(plan.sequence.tolist(), plan.acknowledgement.tolist(), strict=True)
    for row, ((side, flags, payload, window), (sequence, answer)) in enumerate(zip(rows, numbers, strict=True)):
        if flags & (SYN | ACK) == SYN and first.get(side, sequence) != sequence:
            first, expected, closed = {}, {}, {}
        first.setdefault(side, sequence if flags & SYN else (sequence - 1) % 2**32)
        if flags & ACK:
            first.setdefault(not side, (answer - 1) % 2**32)
        if side in expected and not flags & RST and 0 < (sequence - expected[side]) % 2**32 < 2**31:
            found.append(f"{row}: segment lost")
        other = not side
        if flags & ACK and other in expected and 0 < (answer - expected[other]) % 2**32 < 2**31:
            found.append(f"{row}: acknowledges what was not seen")
        end = (sequence + payload + bool(flags & SYN) + bool(flags & FIN)) % 2**32
        probe = payload == 1 and closed.get(other, False) and expected.get(side) == sequence
        if not probe and (end - expected.get(side, end)) % 2**32 < 2**31:
            expected[side] = end
        closed[side] = window == 0
    return found


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9), st.booleans()), min_size=1, max_size=60))
def test_a_running_value_is_a_walk_between_two_bounds(steps: list[tuple[int, int, bool]]):
    least = np.array([low for low, _, _ in steps])
    most = least + [width for _, width, _ in steps]
    group = np.cumsum([begins for *_, begins in steps])
    walked: list[int] = []
    for row in range(len(steps)):
        same = row and group[row] == group[row - 1]
        walked.append(int(min(most[row], max(least[row], walked[-1])) if same else least[row]))
    assert clamped_running_value(least, most, group).tolist() == walked


def test_tshark_misses_nothing_in_disorderly_streams(tmp_path: Path):
    trace, _ = repair(disorderly_streams(WELL_KNOWN[:400], segments=50, seed=3))
    assert_nothing_missed(trace, tmp_path)


@pytest.mark.parametrize(
    "name", ["p0_caida-small.pcapng", "p1_isp-2007.pcap", "p2_iot-sentinel.pcap", "p3_apt29-ad.pcap"]
)
def test_tshark_misses_nothing_in_real_packets_with_rebuilt_numbers(
    name: str, development_traces: Path, tmp_path: Path
):
    trace = read_trace(development_traces / f"{name}.gz", limit=12_000)
    assert_nothing_missed(repair(trace, except_rules=broken_conventions(trace))[0], tmp_path)


def test_tshark_finds_the_sample_as_orderly_as_it_was(sample_capture: Path, tmp_path: Path):
    if shutil.which("tshark") is None:
        pytest.skip("needs tshark, which is not installed")
    trace, _ = repair(read_trace(sample_capture, limit=10_000))
    write_trace(trace, tmp_path / "out.pcap", snaplen=128)
    ours, real = tcp_notes(tmp_path / "out.pcap"), tcp_notes(sample_capture, packets=10_000)
    for note in ("duplicate_ack", "window_update", "retransmission", "out_of_order", "reused_ports"):
        assert ours.per_thousand(note) <= real.per_thousand(note) + 0.1, note
    assert ours.established / ours.opened >= real.established / real.opened - 0.01


def assert_nothing_missed(trace: Trace, folder: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("needs tshark, which is not installed")
    write_trace(trace, folder / "out.pcap", snaplen=128)
    counts = tcp_notes(folder / "out.pcap").counts
    assert {note: counts.get(note, 0) for note in ("lost_segment", "ack_lost_segment")} == {
        "lost_segment": 0,
        "ack_lost_segment": 0,
    }


def test_numbers_do_not_depend_on_how_many_conversations_are_planned_at_a_time(monkeypatch: pytest.MonkeyPatch):
    trace, _ = repair(disorderly_streams(np.arange(8000, 8100), segments=30, seed=5))
    whole = plan_packets(trace)
    monkeypatch.setattr(packet_plan, "_SEGMENTS_PER_BLOCK", 200)
    assert len(list(packet_plan._whole_conversations(trace))) > 3
    parts = plan_packets(trace)
    for name in ("sequence", "acknowledgement", "service"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    for name in ("clock", "echoed", "shift"):
        np.testing.assert_array_equal(getattr(parts.options, name), getattr(whole.options, name))
