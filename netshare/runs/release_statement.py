"""The statement that goes with a release: what was promised, by what, at what cost, and what was not.

Everything in it follows from the config, which is public, from the ledger of the run, and from the files released.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from netshare.privacy.accounting import (
    ADJACENCY,
    NOT_COVERED,
    Ledger,
    Spent,
    declared_public,
    in_symbols,
    plain_words,
)
from netshare.version import commit, version

STATEMENT_VERSION = 1
WIDTH = 110  # characters of a line
TRUST = (
    "Whoever made this release held the input and ran the program on it; they, their machine and the program are trusted. "
    "Nobody who receives the release is: the guarantee holds whatever they know besides and whatever they compute from it."
)
NOT_PRIVATE = (
    "There is NO GUARANTEE of privacy: the data were made without differential privacy.",
    "They are drawn from a model of a real input, and may repeat of it what the model has learnt by heart: addresses,",
    "ports, rare values, whole flows. Treat them as if they held parts of the input.",
)
NOT_COVERED_WITHOUT_PRIVACY = (
    "whether any host, flow or record of the input was there",
    "addresses: hosts of the input may occur as they are, unless the config moved them elsewhere (addresses.prefixes)",
    "labels, which are those of the input",
    "report.json, where it compares with the input",
)


@dataclass(frozen=True)
class Facts:
    """What a statement is made from.

    Attributes:
        files: SHA-256 of each released file, by its name in the folder.
        has_model: whether the model is among them.
        ledger: of the run; None where it is not private.
        spent: all looks at the run's input; None where they are not known.
    """

    files: Mapping[str, str]
    has_model: bool
    ledger: Ledger | None
    spent: Spent | None


def as_json(facts: Facts) -> dict[str, Any]:
    """The statement for programs."""
    ledger = facts.ledger
    found: dict[str, Any] = {
        "statement_version": STATEMENT_VERSION,
        "guarantee": _guarantee(ledger),
        "netshare": version(),
        "commit": commit(),
        "date": _today(),
        "files": {name: {"sha256": digest} for name, digest in facts.files.items()},
        "model_included": facts.has_model,
    }
    if ledger is None:
        return {**found, "not_covered": list(NOT_COVERED_WITHOUT_PRIVACY)}
    plan = ledger.plan.to_json(ledger.costs_alone)
    return {
        **found,
        "unit": ledger.plan.unit,
        "flow_key": ledger.flow_key,
        "neighbouring": ADJACENCY,
        "epsilon": ledger.plan.epsilon_spent,
        "delta": ledger.plan.delta,
        "all_looks_at_this_input": None if facts.spent is None else facts.spent.to_json(),
        "accounted_for": plan["accounted_for"],
        "accountant": ledger.plan.accountant,
        "contribution_bounds": dict(ledger.contribution),
        "C": _clipping(ledger),
        "mechanisms": plan["mechanisms"],
        "noise_source": ledger.noise_source,
        "declared_public": ledger.declared.to_json(),
        "public_data": dict(ledger.pretrained_on),
        "steps_of_the_pipeline": [{"what": s.what, "how": s.how, "cost": s.cost} for s in ledger.steps],
        "trust_model": TRUST,
        "not_covered": list(NOT_COVERED),
    }


def as_text(facts: Facts) -> str:
    """The statement for people."""
    ledger, built = facts.ledger, commit()
    title = "Statement on synthetic network data"
    made = f"Made with netshare {version()}" + (f" (commit {built})" if built else "") + f" on {_today()}."
    lines = [title, "=" * len(title), "", made, ""]
    lines += list(NOT_PRIVATE) if ledger is None else _private(ledger, facts.spent)
    lines += [
        "",
        "The model is included: whoever has it can draw more data of the same kind."
        if facts.has_model
        else "The model is not included.",
    ]
    if ledger is not None:
        lines += _section("Trust", [TRUST])
        lines += _section("What one unit can contribute", _contribution(ledger))
        lines += _section("In symbols", in_symbols(ledger), bullets=False)
        lines += _section("Public, and not protected", declared_public(ledger))
        lines += _section("Ledger", [f"{s.what}: {s.how} (cost: {s.cost})" for s in ledger.steps])
    lines += _section("Not covered", NOT_COVERED if ledger is not None else NOT_COVERED_WITHOUT_PRIVACY)
    lines += _section("Files (SHA-256)", [f"{digest}  {name}" for name, digest in facts.files.items()], bullets=False)
    return "\n".join(lines) + "\n"


def _guarantee(ledger: Ledger | None) -> str:
    return "differential privacy" if ledger is not None and ledger.secure_rng else "none"


def _private(ledger: Ledger, spent: Spent | None) -> list[str]:
    lines = []
    if not ledger.secure_rng:
        lines = [
            "NO GUARANTEE: the noise can be recomputed from the seed of the run.",
            "With noise that nobody can recompute, this would hold:",
            "",
        ]
    lines += [
        *plain_words(ledger),
        f"This release by itself: epsilon {ledger.plan.epsilon_spent:.4g}, delta {ledger.plan.delta:.3g}.",
    ]
    if spent is None:
        return [
            *lines,
            "What other releases of the same input cost is not known here; their epsilons add up to this one.",
        ]
    return [*lines, textwrap.fill(f"With everything else that was made from the same input: {spent.text()}.", WIDTH)]


def _contribution(ledger: Ledger) -> list[str]:
    bounds = [f"{name.replace('_', ' ')}: {value}" for name, value in ledger.contribution.items()]
    return [*bounds, *(f"C of {name}: {what}" for name, what in _clipping(ledger).items())]


def _clipping(ledger: Ledger) -> dict[str, str]:
    """C of each mechanism: the most by which one accounted unit can change what the mechanism adds noise to."""
    plan, unit = ledger.plan, "host" if ledger.plan.unit == "host" else "flow"
    table = "each table of counts" if plan.training is None else "the counts of flows by chunk"
    found = {
        plan.counting.name: f"{plan.counts_sensitivity:.4g}, the most by which a {unit} changes {table} (Euclidean norm)"
    }
    if plan.training is not None:
        found[plan.training.name] = f"{plan.clip_norm:g}, the most by which a {unit} changes a step's sum of gradients"
    return found


def _section(title: str, lines: Iterable[str], *, bullets: bool = True) -> list[str]:
    if not bullets:
        return ["", title, "-" * len(title), *lines]
    wrapped = (textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ") for line in lines)
    return ["", title, "-" * len(title), *wrapped]


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
