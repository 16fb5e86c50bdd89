"""What a private run will do and cost, worked out from the config alone.

Private: nothing is looked at. Public: the config, and with it the plan.

    >>> from netshare.config.load import load_config
    >>> bounds = {"begin": "2015-09-08T14:00:00Z", "seconds": 3600, "units": 18000}
    >>> config = load_config({"input": "x.csv", "preset": "netflow", "privacy": {"epsilon": 4, "bounds": bounds}})
    >>> plan = make_plan(config)
    >>> print(plan.text())
    privacy of one flow: epsilon 4, delta 5.56e-06 (prv accountant)
    noise multiplier   1.114 of all counts together
    a unit counts as   at most 1 flows (Euclidean norm) in each table
    about              18,000 units; steps, chunks and models cost nothing, they see noisy counts alone
    spent at the end   epsilon 3.998

The plan is also what the run follows: the noise multipliers that it finds are those that are used, and the ledger in
the run folder repeats its mechanisms.

Composition over chunks: each chunk's model is trained by a sequence of steps on the units that appear in that chunk. A
unit that appears in one chunk only takes part in one of these sequences (parallel composition). A flow or host that lasts
over several chunks takes part in several, and then all of them count (sequential composition). What is accounted for is
the worst case that the config allows: a unit in `max_chunks_per_unit` chunks (default: all), those with the most steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netshare.preprocess.errors import ConfigError
from netshare.privacy.accounting.accountant import (
    AccountantName,
    Mechanism,
    budget_of_groups,
    epsilon_of,
    gaussian_noise_for,
    noise_multiplier_for,
)

if TYPE_CHECKING:
    from netshare.config.privacy import PrivacySettings
    from netshare.config.schema import Config

DEFAULT_STEPS, DEFAULT_LATER_STEPS = 1_000, 300  # of the first chunk's model, of each other's
ADJACENCY = "one unit added or removed"
FLOWS_CHANGED_BY_A_RECORD = 2  # a record more turns one flow into another: one flow removed, one added


@dataclass(frozen=True)
class Plan:
    """The mechanisms of a private run and their cost.

    The *accounted unit* is what the mechanisms are accounted for: the host for unit `host`, else the flow.

    Attributes:
        epsilon, delta: what is promised for one `unit`.
        unit: `flow`, `host` or `record`.
        unit_epsilon, unit_delta: the budget for one accounted unit; differs for unit `record`, by group privacy.
        units: about how many there are, declared.
        batch: units that take part in a training step, on average.
        clip_norm: Euclidean norm that a unit's gradient is clipped to.
        steps: of each chunk's model; empty by noisy counts.
        chunks_per_unit: in which one unit may take part; so many chunks, those with the most steps, are composed.
        counts_sensitivity: Euclidean norm by which one accounted unit can change the counts.
        counting: the mechanism that counts.
        training: the mechanism that trains; none by noisy counts.
        spent: an upper bound of epsilon for one accounted unit at `unit_delta`; at most `unit_epsilon`.
    """

    epsilon: float
    delta: float
    unit: str
    accountant: AccountantName
    unit_epsilon: float
    unit_delta: float
    units: int
    batch: int
    clip_norm: float
    steps: tuple[int, ...]
    chunks_per_unit: int
    counts_sensitivity: float
    counting: Mechanism
    training: Mechanism | None
    spent: float

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """All that is released, in the order in which it is."""
        return (self.counting,) if self.training is None else (self.counting, self.training)

    @property
    def group(self) -> int:
        """How many accounted units one `unit` may change."""
        return FLOWS_CHANGED_BY_A_RECORD if self.unit == "record" else 1

    @property
    def sampling_rate(self) -> float:
        """Probability with which a unit takes part in a step."""
        return 1.0 if self.training is None else self.training.sampling_rate

    @property
    def noise_multiplier(self) -> float:
        """Of each training step; without training by gradients, of all counts together."""
        return (self.training or self.counting).noise_multiplier

    @property
    def epsilon_spent(self) -> float:
        """An upper bound of epsilon for the promised unit, at `delta`."""
        return self.spent * self.group

    def costs_alone(self) -> tuple[float, ...]:
        """An upper bound of epsilon of each mechanism by itself, for one accounted unit."""
        return tuple(epsilon_of([each], self.unit_delta, self.accountant) for each in self.mechanisms)

    def to_json(self, costs_alone: Sequence[float] | None = None) -> dict[str, Any]:
        """JSON-able, as the ledger keeps it; `costs_alone` are worked out where not given."""
        return {
            "unit": self.unit,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "epsilon_spent": self.epsilon_spent,
            "accountant": self.accountant,
            "adjacency": ADJACENCY,
            "accounted_for": {
                "unit": "flow" if self.unit == "record" else self.unit,
                "group": self.group,
                "epsilon": self.unit_epsilon,
                "delta": self.unit_delta,
                "epsilon_spent": self.spent,
            },
            "units": self.units,
            "expected_batch": self.batch,
            "clip_norm": self.clip_norm,
            "steps_by_chunk": list(self.steps),
            "chunks_per_unit": self.chunks_per_unit,
            "counts_sensitivity": self.counts_sensitivity,
            "mechanisms": [
                {
                    "name": m.name,
                    "mechanism": m.kind,
                    "noise_multiplier": m.noise_multiplier,
                    "sampling_rate": m.sampling_rate,
                    "steps": m.steps,
                    "epsilon_alone": alone,
                }
                for m, alone in zip(self.mechanisms, costs_alone or self.costs_alone(), strict=True)
            ],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: it is no plan.
        """
        own, accounted = ("name", "noise_multiplier", "sampling_rate", "steps"), value["accounted_for"]
        counting, *training = (Mechanism(**{key: each[key] for key in own}) for each in value["mechanisms"])
        return Plan(
            epsilon=value["epsilon"],
            delta=value["delta"],
            unit=value["unit"],
            accountant=value["accountant"],
            unit_epsilon=accounted["epsilon"],
            unit_delta=accounted["delta"],
            units=value["units"],
            batch=value["expected_batch"],
            clip_norm=value["clip_norm"],
            steps=tuple(value["steps_by_chunk"]),
            chunks_per_unit=value["chunks_per_unit"],
            counts_sensitivity=value["counts_sensitivity"],
            counting=counting,
            training=training[0] if training else None,
            spent=accounted["epsilon_spent"],
        )

    def text(self, alternatives: Sequence[str] = ()) -> str:
        """The plan in words."""
        promise = f"privacy of one {self.unit}: epsilon {self.epsilon:g}, delta {self.delta:.3g} ({self.accountant} accountant)"
        lines = [promise, *(self._of_counts() if self.training is None else self._of_gradients(self.training))]
        lines.append(f"spent at the end   epsilon {self.epsilon_spent:.3f}")
        if self.unit == "record":
            lines.insert(1, f"by group privacy from flows: epsilon {self.unit_epsilon:g}, delta {self.unit_delta:.3g}")
        return "\n".join([*lines, *alternatives])

    def _of_counts(self) -> list[str]:
        return [
            f"noise multiplier   {self.noise_multiplier:.3f} of all counts together",
            f"a unit counts as   at most {self.counts_sensitivity:.3g} flows (Euclidean norm) in each table",
            f"about              {self.units:,} units; steps, chunks and models cost nothing, they see noisy counts alone",
        ]

    def _of_gradients(self, training: Mechanism) -> list[str]:
        return [
            f"noise multiplier   {self.noise_multiplier:.3f} (clip norm {self.clip_norm:g})",
            f"steps              {sum(self.steps):,} in {len(self.steps)} chunk(s): {_some(self.steps)}",
            f"composed           {training.steps:,} steps: {_case(self)}",
            f"expected batch     {self.batch} of {self.units:,} units (each with probability {self.sampling_rate:.4g})",
            f"counting           noise of {self.counting.noise_multiplier * self.counts_sensitivity:.1f} flows a chunk",
        ]


def make_plan(config: Config) -> Plan:
    """The plan of a config whose privacy is on.

    Raises:
        ConfigError: privacy is off, or no noise meets the budget.
    """
    privacy, bounds = config.privacy, config.privacy.bounds
    if privacy.epsilon is None or bounds.units is None:
        raise ConfigError("privacy.epsilon is not set, so there is nothing to plan; set it, for instance to 4")
    steps = steps_by_chunk(config) if privacy.method == "gradients" else ()
    return _plan(config, units=bounds.units, steps=steps)


def alternatives(config: Config, plan: Plan) -> list[str]:
    """How much less noise a larger input or fewer steps would need, one line each."""
    if plan.training is None:
        noise = [(factor, _plan(config, units=plan.units * factor, steps=()).noise_multiplier) for factor in (4, 10)]
        return [
            f"with {factor}x the units: noise multiplier {found:.3f}, so {factor * plan.noise_multiplier / found:.1f} times "
            "less noise beside the counts"
            for factor, found in noise
        ]
    other = {
        f"{factor}x the units": _plan(config, units=plan.units * factor, steps=plan.steps, delta=plan.delta)
        for factor in (4, 10)
    }
    fewer = tuple(max(1, count // 4) for count in plan.steps)
    other["a quarter of the steps"] = _plan(config, units=plan.units, steps=fewer, delta=plan.delta)
    lines = [f"with {name}: noise multiplier {found.noise_multiplier:.3f}" for name, found in other.items()]
    per_step = plan.noise_multiplier * plan.clip_norm / plan.batch
    return [f"noise a step       {per_step:.2e} a weight, after division by the batch", *lines]


def steps_by_chunk(config: Config) -> tuple[int, ...]:
    """How many mechanisms' steps each chunk's training takes: its steps, times its looks at the data a step."""
    training, choice = config.training, config.generator.choice()
    looks = choice.spec.looks_per_step(choice.settings)
    first = training.steps or DEFAULT_STEPS
    later = training.finetune_steps or min(first, DEFAULT_LATER_STEPS)
    return tuple(looks * count for count in (first, *[later] * (chunk_count(config) - 1)))


def chunk_count(config: Config) -> int:
    """Number of chunks; public."""
    chunks, window = config.chunks, config.privacy.bounds.seconds
    assert window is not None
    return math.ceil(window / chunks.seconds) if chunks.seconds is not None else chunks.count or 1


def _plan(config: Config, *, units: int, steps: tuple[int, ...], delta: float | None = None) -> Plan:
    privacy = config.privacy
    assert privacy.epsilon is not None
    delta = delta or privacy.delta or 1 / (10 * units)
    training: Mechanism | None
    epsilon, flow_delta = privacy.epsilon, delta
    if privacy.unit == "record":
        epsilon, flow_delta = budget_of_groups(privacy.epsilon, delta, FLOWS_CHANGED_BY_A_RECORD)
    if privacy.method == "marginals":
        noise = noise_multiplier_for(epsilon, flow_delta, sampling_rate=1.0, steps=1, accountant=privacy.accountant)
        counting = Mechanism("noisy counts of flows and records", noise, 1.0, 1)
        most, training = 1, None
        sensitivity = math.sqrt(privacy.max_flows_per_unit) if privacy.unit == "host" else 1.0
    else:
        most = min(privacy.max_chunks_per_unit or len(steps), len(steps))
        counting, training = _by_gradients(privacy, units, epsilon, flow_delta, steps, most)
        sensitivity = float(privacy.max_flows_per_unit if privacy.unit == "host" else 1)
    return Plan(
        epsilon=privacy.epsilon,
        delta=delta,
        unit=privacy.unit,
        accountant=privacy.accountant,
        unit_epsilon=epsilon,
        unit_delta=flow_delta,
        units=units,
        batch=privacy.batch,
        clip_norm=privacy.clip_norm,
        steps=steps,
        chunks_per_unit=most,
        counts_sensitivity=sensitivity,
        counting=counting,
        training=training,
        spent=epsilon_of([m for m in (training, counting) if m is not None], flow_delta, privacy.accountant),
    )


def _by_gradients(
    privacy: PrivacySettings, units: int, epsilon: float, delta: float, steps: tuple[int, ...], most: int
) -> tuple[Mechanism, Mechanism]:
    """The mechanism that counts flows a chunk, and the one that trains with the rest of the budget."""
    composed = sum(sorted(steps, reverse=True)[:most])
    noise = gaussian_noise_for(epsilon, delta) / math.sqrt(privacy.counts_share)
    counting = Mechanism("counts of flows by chunk", noise, 1.0, 1)
    rate = min(1.0, privacy.batch / units)
    found = noise_multiplier_for(
        epsilon, delta, sampling_rate=rate, steps=composed, others=[counting], accountant=privacy.accountant
    )
    return counting, Mechanism("training", found, rate, composed)


def _some(steps: tuple[int, ...]) -> str:
    return ", ".join(str(count) for count in steps[:4]) + (" ..." if len(steps) > 4 else "")


def _case(plan: Plan) -> str:
    if len(plan.steps) == 1:
        return "one chunk, so all of them"
    if plan.chunks_per_unit == 1:
        return "a unit is learnt from in one chunk only (parallel composition)"
    return f"a unit may be in {plan.chunks_per_unit} of the {len(plan.steps)} chunks (sequential composition)"
