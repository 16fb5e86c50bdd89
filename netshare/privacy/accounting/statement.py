"""The guarantee of a finished private run, in plain words and in symbols, from its ledger alone.

    print(statement(read_ledger(Path("run")), "run"))

Public: all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from netshare.privacy.accounting.ledger import CONFIG_IS_PUBLIC, FORMAT_IS_PUBLIC, Ledger
from netshare.privacy.accounting.plan import ADJACENCY

UNIT_TEXT = {
    "record": "one record (a packet or a NetFlow record)",
    "flow": "one flow (all records that share a five-tuple: addresses, ports, protocol)",
    "host": "one protected host (all flows with this address at one end)",
}
FLOW_TEXT = {
    "unidirectional": "(The two directions of a conversation are two flows.)",
    "bidirectional": "(Both directions of a conversation are one flow.)",
}
NOT_COVERED = (
    "the report, the folders trace/ and chunks/, and what was printed during the run: all made from the input itself",
    "facts about many units together (which services a network runs, how busy it is): learning them is the purpose",
    "one person or device that appears as several units; k units together have k times epsilon",
    "other releases from the same input, further runs with other settings or with --fresh included: costs add up, and the "
    "statement of a release says to what",
    "how long the computation took, and whether it succeeded",
    "attacks on floating-point arithmetic beyond the doubled noise samples",
)


def statement(ledger: Ledger, title: str) -> str:
    """The guarantee as text of about forty lines; `title` names the run."""
    lines = [f"Privacy statement of {title}", "=" * 40, "", *_verdict(ledger), "", "In plain words", "-" * 14]
    lines += plain_words(ledger)
    lines += ["", "In symbols", "-" * 10, *in_symbols(ledger)]
    lines += ["", "Declared to be public, and not protected", "-" * 40, *_bullets(declared_public(ledger))]
    lines += ["", "Ledger", "-" * 6]
    lines += [f"- {step.what}: {step.how} (cost: {step.cost})" for step in ledger.steps]
    lines += ["", "Not covered", "-" * 11, *_bullets(NOT_COVERED), "", "Proof sketch and sources: docs/privacy.md"]
    return "\n".join(lines)


def _verdict(ledger: Ledger) -> list[str]:
    if ledger.secure_rng:
        return []
    return ["NO GUARANTEE: privacy.secure_rng was false, so the noise can be recomputed from the seed.", ""]


def plain_words(ledger: Ledger) -> list[str]:
    """What is protected and what the guarantee means, in lines of at most about 110 characters."""
    epsilon, delta = ledger.plan.epsilon_spent, ledger.plan.delta
    factor = math.exp(epsilon)
    guess = factor / (1 + factor)
    lines = [
        f"Protected is {UNIT_TEXT[ledger.plan.unit]}.",
        FLOW_TEXT[ledger.flow_key],
        "Whatever somebody concludes from the synthetic trace and the models, they would have concluded it with nearly",
        f"the same probability had any one of these been missing from the input: at most {factor:.3g} times as likely,",
        f"apart from an event of probability {delta:.2g}. Somebody who knows everything else and finds both cases equally",
        f"likely beforehand guesses right in at most {min(1.0, guess + delta):.1%} of the cases.",
    ]
    if ledger.plan.unit == "record":
        lines.append("(Worked out for flows and carried over: a record more or less turns one flow into another.)")
    return lines


def in_symbols(ledger: Ledger) -> list[str]:
    """The guarantee and the mechanisms behind it, in lines."""
    plan = ledger.plan
    lines = [
        "For all inputs D, D' that differ in one unit, and all sets S of outputs (models, synthetic traces):",
        f"  P[M(D) in S] <= e^{plan.epsilon_spent:.4g} P[M(D') in S] + {plan.delta:.3g}",
        f"  (asked for: epsilon = {plan.epsilon:g}; adjacency: {ADJACENCY}; accountant: {plan.accountant})",
    ]
    if plan.group > 1:
        lines.append(
            f"  by group privacy for {plan.group} flows, each with epsilon {plan.spent:.4g} and delta {plan.unit_delta:.3g}"
        )
    for m, alone in zip(plan.mechanisms, ledger.costs_alone, strict=True):
        lines.append(
            f"  {m.name}: {m.kind}, sigma = {m.noise_multiplier:.4g} C, q = {m.sampling_rate:.4g}, "
            f"T = {m.steps:,}, alone epsilon {alone:.3g}"
        )
    chunks = len(plan.steps)
    if chunks > 1:
        lines.append(
            f"  T counts the steps of the {plan.chunks_per_unit} chunk(s) of {chunks} that one unit can take part in"
        )
    lines.append(f"  noise from: {ledger.noise_source}")
    return lines


def declared_public(ledger: Ledger) -> list[str]:
    """What is not protected, since it was declared or published before; one entry each."""
    public = ledger.declared
    found = [
        f"the time window: {public.seconds:g} s from {public.begin}"
        + (f", in {public.chunks} chunk(s)" if public.chunks else ""),
        f"that there are about {public.units:,} units",
        FORMAT_IS_PUBLIC,
        CONFIG_IS_PUBLIC,
        *(f"{name} (content {digest})" for name, digest in ledger.pretrained_on.items()),
    ]
    if public.protected_hosts:
        found.append(f"which addresses are protected: those in {', '.join(public.protected_hosts)}")
    return found


def _bullets(lines: Iterable[str]) -> list[str]:
    return [f"- {line}" for line in lines]
