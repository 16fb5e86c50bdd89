"""Attribute disclosure: is what the synthetic trace claims about hosts of the training trace true?

Someone who knows that a host took part reads the release as claims about it: whom it talks to, which services it
offers and uses, which labels its flows carry. A claim about a host of A is *true* if A bears it out. Real traffic that
was not trained on (B) makes true claims as well, since hosts repeat themselves; and claims dealt out at random among
the same hosts are true now and then. The release discloses attributes where its claims are true clearly more often
than B's. The attacker here is the reader of Stadler, Oprisanu and Troncoso, "Synthetic data - anonymisation groundhog
day" (USENIX Security 2022), 3.2, who wants a secret attribute of a target; its guess is what S says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from netshare.evaluation.metrics.copying import CopyShare
from netshare.evaluation.metrics.intervals import share_interval
from netshare.evaluation.tasks.section import Cell, Section, Table, Verdict, not_possible
from netshare.preprocess.hashing import destination_hashes, hash_columns, source_hashes
from netshare.preprocess.protocols import TCP, UDP
from netshare.preprocess.trace import Trace

MIN_CLAIMS = 30  # about hosts of A, in S and in B, for an attribute to be judged
TITLE, USE = "What is told of hosts", "sharing without telling true things of hosts"
Claims = tuple[np.ndarray, np.ndarray]  # uint64[n] twice: the host, and what is claimed of it; distinct pairs


def hosts(traces: Mapping[str, Trace], seed: int = 0) -> Section:
    """The section on attribute disclosure.

    Args:
        traces: `"train"` A, `"holdout"` B, `"synthetic"` S, all of each.
        seed: of the random dealing.
    """
    rng = np.random.default_rng(seed)
    claims = {role: claims_of(trace) for role, trace in traces.items()}
    known = np.unique(np.concatenate([source_hashes(traces["train"]), destination_hashes(traces["train"])]))
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, dict[str, Any]] = {}
    disclosed: list[str] = []
    judged = 0
    for name in claims["train"]:
        if any(name not in each for each in claims.values()):
            continue
        truth = np.unique(hash_columns(list(claims["train"][name])))
        ours, held = (_about(claims[role][name], known) for role in ("synthetic", "holdout"))
        dealt = (ours[0], ours[1][rng.permutation(len(ours[1]))])
        right, right_held, right_dealt = (int(np.isin(_keys(each), truth).sum()) for each in (ours, held, dealt))
        share = CopyShare(name, right, len(ours[0]), right_held, len(held[0]))
        by_chance = right_dealt / len(ours[0]) if len(ours[0]) else float("nan")
        borne_out = int(np.isin(truth, _keys(ours)).sum())
        covered = borne_out / len(truth) if len(truth) else float("nan")
        enough = min(len(ours[0]), len(held[0])) >= MIN_CLAIMS
        judged += enough
        if enough and share.suspicious:
            disclosed.append(name)
        rows.append((name, share.share, share.holdout_share, by_chance, covered, len(ours[0]), len(held[0])))
        figures[name] = {
            "true": share.share,
            "true_interval": share_interval(right, len(ours[0])),
            "true_holdout": share.holdout_share,
            "true_holdout_interval": share_interval(right_held, len(held[0])),
            "true_at_random": by_chance,
            "true_at_random_interval": share_interval(right_dealt, len(ours[0])),
            "of_training_told": covered,
            "of_training_told_interval": share_interval(borne_out, len(truth)),
            "training": len(truth),
            "claims": len(ours[0]),
            "claims_holdout": len(held[0]),
            "suspicious": enough and share.suspicious,
        }
    if not rows:
        return not_possible("hosts", TITLE, USE, "the traces have no hosts to speak of")
    heads = ("Claim about a host of A", "true, S", "true, B", "true, dealt at random", "of A's told by S", "claims of S",
             "claims of B")  # fmt: skip
    note = "True in S clearly more often than in B: attributes of hosts in the training trace are given away."
    verdict = Verdict(USE, None if not judged else not disclosed, _sentence(disclosed, judged, rows))
    return Section("hosts", TITLE, _TEXT, (Table("Attributes", heads, tuple(rows), note),), (), (verdict,), figures)


def claims_of(trace: Trace) -> dict[str, Claims]:
    """What a trace says of its hosts, by sort of claim; each claim once.

    The lower port of a TCP or UDP record is taken for the service's, the host that has it for the one that offers it.
    """
    source, destination = source_hashes(trace), destination_hashes(trace)
    peers = _distinct(np.concatenate([source, destination]), np.concatenate([destination, source]))
    ported = (trace["protocol"] == TCP) | (trace["protocol"] == UDP)
    low, high = trace["src_port"][ported], trace["dst_port"][ported]
    serves = low < high  # the source is the server
    service = hash_columns([trace["protocol"][ported], np.minimum(low, high)])
    server = np.where(serves, source[ported], destination[ported])
    client = np.where(serves, destination[ported], source[ported])
    found = {
        "talks to": peers,
        "offers service": _distinct(server, service),
        "uses service": _distinct(client, service),
    }
    for column in ("label", "attack_type"):
        if column in trace and (set_ := trace[column] >= 0).any():
            name = "sends flows labelled" if column == "label" else "sends attacks of type"
            found[name] = _distinct(source[set_], trace[column][set_].astype(np.uint64))
    return {name: each for name, each in found.items() if len(each[0])}


_TEXT = (
    "The synthetic trace read as claims about hosts that are in the training trace too: the share of claims that the "
    "training trace bears out, beside that of held-back real traffic, and of the same claims dealt out at random."
)


def _sentence(disclosed: list[str], judged: int, rows: list[tuple[Cell, ...]]) -> str:
    if not judged:
        return f"fewer than {MIN_CLAIMS} claims about hosts of the training trace"
    if disclosed:
        return (
            f"claims about hosts are true more often than those of held-back real traffic: {', '.join(disclosed)}; good is "
            "at most three standard errors and five points more"
        )
    shares = ", ".join(f"{row[0]} {row[1]:.0%} ({row[2]:.0%})" for row in rows if row[1] == row[1] and row[2] == row[2])
    return (
        f"claims about hosts are not true more often than those of held-back real traffic (in brackets): {shares}; good "
        "is at most three standard errors and five points more. No guarantee"
    )


def _about(claims: Claims, hosts: np.ndarray) -> Claims:
    of = np.isin(claims[0], hosts)
    return claims[0][of], claims[1][of]


def _distinct(host: np.ndarray, claim: np.ndarray) -> Claims:
    _, first = np.unique(hash_columns([host, claim]), return_index=True)
    return host[first], claim[first]


def _keys(claims: Claims) -> np.ndarray:
    return hash_columns(list(claims)) if len(claims[0]) else np.zeros(0, np.uint64)
