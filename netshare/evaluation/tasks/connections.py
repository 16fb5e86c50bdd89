"""TCP connections: do synthetic flags come in the order in which a state machine sends them (RFC 9293, 3.5 to 3.8)?

Sequence numbers are computed and so always right; what a model decides is which segments come, and in which order. This
section follows the connections of each trace: how many are answered, established, refused, closed and reset, and how
many segments in a thousand no state machine would have sent there, or only after a loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netshare.evaluation.metrics.intervals import interval_around, interval_text, share_interval
from netshare.evaluation.tasks.section import Section, Table, Verdict, figure_text, not_possible
from netshare.postprocess.rules import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from netshare.postprocess.tcp_connections import Connections, find_connections, first_after, last_before
from netshare.postprocess.tcp_numbers import empty_acknowledgements
from netshare.preprocess.trace import Trace

TITLE, USE = "TCP connections", "analyses of TCP states"
MIN_CONNECTIONS = 20  # that begin with a SYN, in every trace; shares of fewer say little
MAX_SHARE_ERROR = 0.1  # how far a share may be off, if that is more than twice what two real traces are apart
REDRAWS = 100  # of the connections, for the confidence intervals
MAX_HARMLESS_RATE = 10.0  # per thousand, as much of what is out of order is never held against a trace

SHARES = {
    "answered": "the other side answers with SYN and ACK",
    "established": "then the first side acknowledges",
    "refused": "the other side only resets",
    "closed": "both sides send a FIN",
    "reset": "either side resets",
}
RATES = {
    "empty acknowledgement": "nothing left to acknowledge: duplicates, window updates, keep-alives",
    "SYN repeated": "a SYN that is not the first of its side",
    "FIN repeated": "a FIN after a FIN of its side",
    "data after FIN": "from the side that closed",
    "data into a closed window": "more than the byte of a probe",
}


def connections(traces: Mapping[str, Trace], seed: int = 0) -> Section:
    """The section on connections.

    Args:
        traces: `"train"` A, `"holdout"` B, `"synthetic"` S; whole conversations of each.
        seed: of the bootstrap.
    """
    if any(trace.kind != "packet" for trace in traces.values()):
        return not_possible("connections", TITLE, USE, "flow records do not tell the order of segments")
    states = {role: tcp_states(trace) for role, trace in traces.items()}
    if min(each["connections"] for each in states.values()) < MIN_CONNECTIONS:
        reason = f"a trace has fewer than {MIN_CONNECTIONS} connections that begin with a SYN"
        return not_possible("connections", TITLE, USE, reason)
    within = {role: state_intervals(trace, states[role], seed) for role, trace in traces.items()}
    tables = tuple(
        Table(
            title,
            (head, "S", "S, 95%", "A", "B", "what"),
            tuple(_row(name, what, states, within) for name, what in named.items()),
        )
        for title, head, named in (
            ("Share of the connections that begin with a SYN", "State", SHARES),
            ("Segments in a thousand", "Segment", RATES),
        )
    )
    figures = {"states": states, "states_interval": within}
    return Section("connections", TITLE, _TEXT, tables, (), (_verdict(states, within),), figures)


def tcp_states(trace: Trace) -> dict[str, float]:
    """`connections` (that begin with a SYN), `segments`, the `SHARES` and the `RATES` of a packet trace; shares and rates
    are NaN where there is nothing to count."""
    found = find_connections(trace)
    opened = np.zeros(0, dtype=bool)
    states: dict[str, np.ndarray] = dict.fromkeys(SHARES, opened)
    if len(found):
        opened, states = _states(found)
    count = int(opened.sum())
    shares = {name: float(states[name][opened].mean()) if count else float("nan") for name in SHARES}
    rates = {
        name: 1000 * float(chosen.mean()) if len(found) else float("nan")
        for name, chosen in _out_of_order(trace, found).items()
    }
    return {"connections": count, "segments": len(found), **shares, **rates}


def state_intervals(trace: Trace, states: Mapping[str, float], seed: int) -> dict[str, tuple[float, float]]:
    """95% intervals of the shares (Wilson's) and of the rates (whole connections drawn again)."""
    within = {n: share_interval(round(states[n] * states["connections"]), int(states["connections"])) for n in SHARES}
    found = find_connections(trace)
    begins = np.flatnonzero(found.starts == np.arange(len(found)))
    sizes = np.diff(np.append(begins, len(found)))
    counts = np.array([np.add.reduceat(c, begins, dtype=np.int64) for c in _out_of_order(trace, found).values()])
    rng = np.random.default_rng(seed)
    rates = np.empty((REDRAWS, len(RATES)))
    for draw in range(REDRAWS):
        weights = np.bincount(rng.integers(0, len(begins), len(begins)), minlength=len(begins))
        rates[draw] = 1000 * (counts @ weights) / (sizes @ weights)
    for name, redrawn in zip(RATES, rates.T, strict=True):
        within[name] = interval_around(states[name], redrawn, 0.0, 1000.0)
    return {name: each for name, each in within.items() if each is not None}


def _states(found: Connections) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """bool[connections] each: begins with a SYN; and the `SHARES`."""
    position = np.arange(len(found))
    begins = np.flatnonzero(found.starts == position)
    first = found.forward == found.forward[found.starts]  # sent by the side that speaks first
    syn, ack = found.has(TCP_SYN), found.has(TCP_ACK)

    def some(chosen: np.ndarray) -> np.ndarray:
        return np.logical_or.reduceat(chosen, begins)

    answer = syn & ack & ~first
    answered_at = np.minimum.reduceat(np.where(answer, position, len(found)), begins)
    answered, reset = some(answer), found.has(TCP_RST)
    return syn[begins] & ~ack[begins], {
        "answered": answered,
        "established": some(first & ack & ~syn & ~reset & (position > answered_at[found.number])),
        "refused": some(reset & ~first) & ~some(~reset & ~first),
        "closed": some(found.has(TCP_FIN) & first) & some(found.has(TCP_FIN) & ~first),
        "reset": some(reset),
    }


def _out_of_order(trace: Trace, found: Connections) -> dict[str, np.ndarray]:
    """bool[len(found)] for each of the `RATES`."""
    syn, fin, data = found.has(TCP_SYN), found.has(TCP_FIN), found.payload > 0
    fin_before = last_before(fin, found.forward, found.starts)[0] >= 0
    window = trace["tcp_window"][found.rows]
    _, closing = last_before(~found.has(TCP_RST), found.forward, found.starts)
    _, reopened = first_after(window > 0, found.forward, found.starts)
    closed = (closing >= 0) & (window[closing] == 0) & ((reopened < 0) | (reopened > np.arange(len(found))))
    return {
        "empty acknowledgement": empty_acknowledgements(trace, found),
        "SYN repeated": syn & (found.previous >= 0),
        "FIN repeated": fin & fin_before & ~data,
        "data after FIN": data & ~fin & fin_before,
        "data into a closed window": closed & (found.payload > 1),
    }


def _row(
    name: str, what: str, states: Mapping[str, dict[str, float]], within: Mapping[str, dict[str, tuple[float, float]]]
) -> tuple[str | float, ...]:
    made, train, held = (states[role][name] for role in ("synthetic", "train", "holdout"))
    return name, made, interval_text(within["synthetic"][name], ".3f" if name in SHARES else ".1f"), train, held, what


def _verdict(states: Mapping[str, dict[str, float]], within: Mapping[str, dict[str, tuple[float, float]]]) -> Verdict:
    made, train, held = (states[role] for role in ("synthetic", "train", "holdout"))
    off = {name: abs(made[name] - held[name]) for name in SHARES}
    allowed = {name: max(MAX_SHARE_ERROR, 2 * abs(train[name] - held[name])) for name in SHARES}
    often = {name: max(MAX_HARMLESS_RATE, 2 * max(train[name], held[name])) for name in RATES}
    # one real connection of keep-alives holds hundreds: what a few connections do is not held against a trace
    sure = {name: within["synthetic"][name][0] > max(MAX_HARMLESS_RATE, train[name], held[name]) for name in RATES}
    much = {name: made[name] > often[name] and sure[name] for name in RATES}
    worst = max(SHARES, key=lambda name: off[name] / allowed[name])
    sentence = (
        f"{figure_text(made['established'])} of the connections are established "
        f"({figure_text(held['established'])} of held-back ones); "
        f"furthest off is the share that is {worst}, by {figure_text(off[worst])}, where {figure_text(allowed[worst])} is good"
    )
    if any(much.values()):
        sentence += f"; too often: {', '.join(name for name in RATES if much[name])}"
    return Verdict(USE, all(off[name] <= allowed[name] for name in SHARES) and not any(much.values()), sentence)


_TEXT = (
    "Packets are followed by connection, in both directions. Sequence and acknowledgement numbers are computed after "
    "generation, so no segment is ever missing; the order of flags is the model's. Retransmissions of data cannot be told "
    "from new data without numbers and are not counted."
)
