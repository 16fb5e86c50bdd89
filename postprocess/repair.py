"""Repair: make records obey what protocols allow, rule by rule, and count what each rule found.

Generators learn distributions, not RFCs; a few records break domain knowledge (section 4.3 of the NetShare paper). Each
rule has a name, one line that says what it does, and counts of violations before and after. Rules run in an order
in which no rule breaks an earlier one, so that repairing twice changes nothing.

    trace, report = repair(trace)
    report.rules["tcp_flags"]     # {"before": 12, "after": 0}
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from netshare.postprocess.repair_addresses import Rule
from netshare.postprocess.repair_flows import FLOW_RULES
from netshare.postprocess.repair_packets import PACKET_RULES, assign_identifications
from netshare.preprocess.errors import FieldError
from netshare.preprocess.trace import Trace, known_columns

# Rules of good behaviour rather than of validity: where real traffic breaks one of them, synthetic traffic may.
CONVENTIONS = (
    *("source_address", "destination_address", "port_protocol", "port_zero"),
    *("syn_payload", "tcp_order", "tcp_push", "tcp_window"),
)


@dataclass(frozen=True)
class RepairReport:
    """What repair did.

    Attributes:
        kind: `"packet"` or `"flow"`.
        records: number of records.
        rules: for each rule, records that broke it `before` and `after` (0 unless something is wrong with us).
        explanations: for each rule, one line.
    """

    kind: str
    records: int
    rules: dict[str, dict[str, int]] = field(default_factory=dict)
    explanations: dict[str, str] = field(default_factory=dict)

    @property
    def repaired(self) -> int:
        """Violations mended, over all rules (a record can break several)."""
        return sum(counts["before"] - counts["after"] for counts in self.rules.values())

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return {
            "kind": self.kind,
            "records": self.records,
            "rules": {name: {**counts, "rule": self.explanations[name]} for name, counts in self.rules.items()},
        }


def repair(
    trace: Trace,
    *,
    allow_zero_packets: bool = False,
    except_rules: Collection[str] = (),
    assign_ip_id: bool = True,
    seed: int = 0,
) -> tuple[Trace, RepairReport]:
    """A valid trace and the account of what was changed. Records are never dropped, added or reordered.

    Args:
        trace: packet or flow trace.
        allow_zero_packets: flow records may count no packets (Zeek logs such records).
        except_rules: names of rules to leave out, where breaking them is in the real trace's nature (addresses that an
            anonymiser scrambled break `source_address`).
        assign_ip_id: give IPv4 packets identifications that count up for each source address from a start that
            depends on `seed`. False keeps the column.
        seed: see `assign_ip_id`.

    Raises:
        FieldError: `except_rules` names a rule that does not exist.
    """
    columns = {name: values.copy() for name, values in trace.columns.items()}
    rules: tuple[Rule, ...] = PACKET_RULES if trace.kind == "packet" else FLOW_RULES
    if trace.kind == "flow" and allow_zero_packets:
        rules = tuple(rule for rule in rules if rule.name != "packets")
    unknown = sorted(set(except_rules) - {rule.name for rule in rules})
    if unknown:
        raise FieldError(f"unknown repair rule {unknown[0]!r}, choose from {', '.join(rule.name for rule in rules)}")
    rules = tuple(rule for rule in rules if rule.name not in except_rules)
    before: dict[str, int] = {}
    for rule in rules:
        before[rule.name] = int(np.count_nonzero(rule.mend(columns)))
    after = {rule.name: int(np.count_nonzero(rule.mend({**columns}))) for rule in rules}
    if trace.kind == "packet" and assign_ip_id:
        columns["ip_id"] = assign_identifications(columns, seed=seed)
    types = known_columns(trace.kind)
    typed = {
        name: values.astype(types[name], copy=False) if name in types else values for name, values in columns.items()
    }
    report = RepairReport(
        kind=trace.kind,
        records=len(trace),
        rules={rule.name: {"before": before[rule.name], "after": after[rule.name]} for rule in rules},
        explanations={rule.name: rule.explanation for rule in rules},
    )
    return replace(trace, columns=typed), report


def broken_conventions(real: Trace, *, share: float = 0.01) -> tuple[str, ...]:
    """Names of the conventions that more than `share` of the real records break, to be given as `except_rules`."""
    _, report = repair(real, assign_ip_id=False)
    known = (name for name in CONVENTIONS if name in report.rules)
    return tuple(name for name in known if report.rules[name]["before"] > share * len(real))
