"""The section on TCP connections: known answers, and a verdict that tells orderly from disorderly traffic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netshare.evaluation import split_by_flow
from netshare.evaluation.tasks.connections import RATES, SHARES, connections, tcp_states
from netshare.preprocess.readers.read import read_trace
from netshare.preprocess.trace import Trace, make_trace
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace
from tests.postprocess.conversations import (
    ACK,
    CLIENT,
    CLOSING,
    HANDSHAKE,
    PSH,
    RST,
    SERVER,
    SYN,
    Segment,
    conversation,
)

DATA = Segment(CLIENT, PSH | ACK, 500)


def joined(*conversations: list[Segment]) -> Trace:
    traces = [conversation(segments, ports=(50_000 + i, 8080)) for i, segments in enumerate(conversations)]
    return make_trace("packet", {name: np.concatenate([t[name] for t in traces]) for name in traces[0]})


def test_states_of_connections():
    states = tcp_states(
        joined(
            [*HANDSHAKE, DATA, *CLOSING],
            [*HANDSHAKE, DATA, Segment(SERVER, RST)],
            [Segment(CLIENT, SYN), Segment(SERVER, RST | ACK)],
            [*HANDSHAKE[:2]],
            [DATA, Segment(SERVER, ACK)],
        )
    )
    assert (states["connections"], states["segments"]) == (4, 18)
    shares = {"answered": 0.75, "established": 0.5, "refused": 0.25, "closed": 0.25, "reset": 0.5}
    assert {name: states[name] for name in SHARES} == shares
    assert {states[name] for name in RATES} == {0.0}


@pytest.mark.parametrize(
    ("rate", "segments"),
    [
        ("empty acknowledgement", [*HANDSHAKE, DATA, Segment(SERVER, ACK), Segment(SERVER, ACK)]),
        ("SYN repeated", [HANDSHAKE[0], *HANDSHAKE]),
        ("FIN repeated", [*HANDSHAKE, DATA, CLOSING[0], CLOSING[0]]),
        ("data after FIN", [*HANDSHAKE, DATA, CLOSING[0], DATA]),
        ("data into a closed window", [*HANDSHAKE, DATA._replace(window=0), Segment(SERVER, ACK, 500)]),
    ],
)
def test_what_is_out_of_order_is_counted(rate: str, segments: list[Segment]):
    states = tcp_states(joined(segments))
    assert {name: round(states[name] * len(segments) / 1000, 9) for name in RATES if states[name]} == {rate: 1}


def test_a_byte_into_a_closed_window_is_a_probe():
    closed = [*HANDSHAKE, DATA._replace(window=0)]
    assert tcp_states(joined([*closed, Segment(SERVER, ACK, 1)]))["data into a closed window"] == 0
    reopened = [*closed, Segment(CLIENT, ACK, window=9), Segment(SERVER, ACK, 500)]
    assert tcp_states(joined(reopened))["data into a closed window"] == 0


def test_real_conversations_are_good_and_shuffled_flags_are_not(sample_capture: Path):
    trace = read_trace(sample_capture, limit=20_000)
    rest, holdout = split_by_flow(trace, 2 / 3, 0)
    train, synthetic = split_by_flow(rest, 0.5, 1)
    section = connections({"train": train, "holdout": holdout, "synthetic": synthetic})
    assert section.verdicts[0].good is True
    assert [len(table.rows) for table in section.tables] == [len(SHARES), len(RATES)]
    shuffled = np.random.default_rng(0).permutation(synthetic["tcp_flags"])
    made = replace(synthetic, columns={**synthetic.columns, "tcp_flags": shuffled})
    section = connections({"train": train, "holdout": holdout, "synthetic": made})
    assert section.verdicts[0].good is False
    assert "data after FIN" in section.verdicts[0].sentence


@pytest.mark.parametrize(
    ("trace", "reason"), [(flow_trace(60), "flow records"), (packet_trace(60), "fewer than 20 connections")]
)
def test_what_is_not_possible_says_why(trace: Trace, reason: str):
    section = connections({"train": trace, "holdout": trace, "synthetic": trace})
    assert reason in section.text
    assert section.verdicts[0].good is None


def test_a_trace_without_tcp_has_no_states():
    states = tcp_states(make_trace("packet", {"time": np.zeros(0)}))
    assert states["connections"] == 0
    assert all(np.isnan(states[name]) for name in (*SHARES, *RATES))
