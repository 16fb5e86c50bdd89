"""The guarantee of a finished private run, in plain words and in symbols, from its ledger alone.

print(statement(Path("run")))
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from netshare.preprocess.errors import InputError
from netshare.privacy.accounting.ledger import LEDGER

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
    "other releases from the same input, further runs with other settings or with --fresh included: costs add up",
    "how long the computation took, and whether it succeeded",
    "attacks on floating-point arithmetic beyond the doubled noise samples",
)


def read_ledger(run_folder: Path) -> dict[str, Any]:
    """The ledger of a run.

    Raises:
        InputError: there is none: not a run folder, not trained yet, or not private.
    """
    try:
        return json.loads((run_folder / "models" / LEDGER).read_text())
    except (FileNotFoundError, NotADirectoryError):
        pass
    except json.JSONDecodeError as error:
        raise InputError(f"{run_folder}/models/{LEDGER}: damaged ({error}); train again") from None
    if (run_folder / "models" / "stage.json").exists():
        raise InputError(f"{run_folder}: this run is not private (privacy.epsilon was not set): it guarantees nothing")
    raise InputError(f"{run_folder}: no ledger (models/{LEDGER}); give the folder of a finished private run")


def statement(run_folder: Path) -> str:
    """The guarantee as text of about forty lines.

    Raises:
        InputError: see `read_ledger`.
    """
    said = read_ledger(run_folder)
    lines = [f"Privacy statement of {run_folder.name}", "=" * 40, "", *_verdict(said), "", "In plain words", "-" * 14]
    lines += _plain_words(said)
    lines += ["", "In symbols", "-" * 10, *_symbols(said)]
    lines += ["", "Declared to be public, and not protected", "-" * 40, *_bullets(_declared(said))]
    lines += ["", "Ledger", "-" * 6]
    lines += [f"- {row['what']}: {row['how']} (cost: {row['cost']})" for row in said["steps_of_the_pipeline"]]
    lines += ["", "Not covered", "-" * 11, *_bullets(NOT_COVERED), "", "Proof sketch and sources: docs/privacy.md"]
    return "\n".join(lines)


def _verdict(said: dict[str, Any]) -> list[str]:
    if said["secure_rng"]:
        return []
    return ["NO GUARANTEE: privacy.secure_rng was false, so the noise can be recomputed from the seed.", ""]


def _plain_words(said: dict[str, Any]) -> list[str]:
    epsilon, delta = said["epsilon_spent"], said["delta"]
    factor = math.exp(epsilon)
    guess = factor / (1 + factor)
    lines = [
        f"Protected is {UNIT_TEXT[said['unit']]}.",
        FLOW_TEXT[said["flow_key"]],
        "Whatever somebody concludes from the synthetic trace and the models, they would have concluded it with nearly",
        f"the same probability had any one of these been missing from the input: at most {factor:.3g} times as likely,",
        f"apart from an event of probability {delta:.2g}. Somebody who knows everything else and finds both cases equally",
        f"likely beforehand guesses right in at most {min(1.0, guess + delta):.1%} of the cases.",
    ]
    if said["unit"] == "record":
        lines.append("(Worked out for flows and carried over: a record more or less turns one flow into another.)")
    return lines


def _symbols(said: dict[str, Any]) -> list[str]:
    inner = said["accounted_for"]
    lines = [
        "For all inputs D, D' that differ in one unit, and all sets S of outputs (models, synthetic traces):",
        f"  P[M(D) in S] <= e^{said['epsilon_spent']:.4g} P[M(D') in S] + {said['delta']:.3g}",
        f"  (asked for: epsilon = {said['epsilon']:g}; adjacency: {said['adjacency']}; accountant: {said['accountant']})",
    ]
    if inner["group"] > 1:
        lines.append(
            f"  by group privacy for {inner['group']} flows, each with epsilon {inner['epsilon_spent']:.4g} and delta "
            f"{inner['delta']:.3g}"
        )
    for m in said["mechanisms"]:
        lines.append(
            f"  {m['name']}: {m['mechanism']}, sigma = {m['noise_multiplier']:.4g} C, q = {m['sampling_rate']:.4g}, "
            f"T = {m['steps']:,}, alone epsilon {m['epsilon_alone']:.3g}"
        )
    chunks = len(said["steps_by_chunk"])
    if chunks > 1:
        lines.append(
            f"  T counts the steps of the {said['chunks_per_unit']} chunk(s) of {chunks} that one unit can take part in"
        )
    lines.append(f"  noise from: {said['noise_source']}")
    return lines


def _declared(said: dict[str, Any]) -> list[str]:
    public = said["declared_public"]
    window, trained = public["window"], said["pretrained_on"]
    found = [
        f"the time window: {window['seconds']:g} s from {window['begin']}"
        + (f", in {public['chunks']} chunk(s)" if public["chunks"] else ""),
        f"that there are about {public['about_so_many_units']:,} units",
        public["format"],
        public["settings"],
        *(f"{name} (content {digest})" for name, digest in trained.items()),
    ]
    if public["protected_hosts"]:
        found.append(f"which addresses are protected: those in {', '.join(public['protected_hosts'])}")
    return found


def _bullets(lines: Any) -> list[str]:
    return [f"- {line}" for line in lines]
