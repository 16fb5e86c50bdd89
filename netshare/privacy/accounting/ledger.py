"""The ledger: what a private run released of its input, by which mechanism, at what cost; and what it declared public.

    ledger = make_ledger(config, plan, {"sample.pcap.gz": "9c1..."}, "bidirectional")
    ledger.to_json()                                         # kept in the run folder as models/privacy.json

Public: all of it. It holds nothing that was measured on the input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netshare.preprocess.errors import InputError
from netshare.privacy.accounting.plan import Plan

if TYPE_CHECKING:
    from netshare.config.schema import Config

LEDGER = "privacy.json"  # in the folder models/ of a run
FORMAT_IS_PUBLIC = "that the input is a packet or flow trace, and which columns it has"
CONFIG_IS_PUBLIC = "the whole config"


@dataclass(frozen=True)
class DeclaredPublic:
    """What was declared, not measured.

    Attributes:
        begin: of the time window, as the config has it.
        seconds: width of the time window.
        chunks: how many the window was cut into; none by noisy counts.
        units: about how many there are.
        protected_hosts: prefixes.
    """

    begin: str | None
    seconds: float | None
    chunks: int | None
    units: int | None
    protected_hosts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-able, as the ledger keeps it."""
        return {
            "window": {"begin": self.begin, "seconds": self.seconds},
            "chunks": self.chunks,
            "about_so_many_units": self.units,
            "protected_hosts": list(self.protected_hosts),
            "format": FORMAT_IS_PUBLIC,
            "settings": CONFIG_IS_PUBLIC,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> DeclaredPublic:
        """The inverse of `to_json`."""
        window, hosts = value["window"], tuple(value["protected_hosts"])
        return DeclaredPublic(window["begin"], window["seconds"], value["chunks"], value["about_so_many_units"], hosts)


@dataclass(frozen=True)
class PipelineStep:
    """A step of the pipeline that might look at the input: what it makes, how, and what that costs."""

    what: str
    how: str
    cost: str


@dataclass(frozen=True)
class Ledger:
    """What the statement is made from.

    Attributes:
        plan: the mechanisms, and what they cost together.
        costs_alone: epsilon of each of the plan's mechanisms by itself.
        flow_key: what a flow is.
        secure_rng: whether noise came from the operating system's cryptographic generator.
        method: `marginals` or `gradients`.
        contribution: what one unit could contribute at most, by the name of the bound.
        declared: what was declared to be public.
        pretrained_on: name and content hash of each public file.
        steps: of the pipeline.
    """

    plan: Plan
    costs_alone: tuple[float, ...]
    flow_key: str
    secure_rng: bool
    method: str
    contribution: Mapping[str, int | str]
    declared: DeclaredPublic
    pretrained_on: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[PipelineStep, ...] = ()

    @property
    def noise_source(self) -> str:
        """Where the noise came from, in words."""
        return "the operating system's cryptographic generator" if self.secure_rng else "seed (no guarantee)"

    def to_json(self) -> dict[str, Any]:
        """JSON-able, as `from_json` reads it."""
        return {
            **self.plan.to_json(self.costs_alone),
            "flow_key": self.flow_key,
            "noise_source": self.noise_source,
            "secure_rng": self.secure_rng,
            "method": self.method,
            "contribution": dict(self.contribution),
            "declared_public": self.declared.to_json(),
            "pretrained_on": dict(self.pretrained_on),
            "steps_of_the_pipeline": [asdict(step) for step in self.steps],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Ledger:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: it is no ledger.
        """
        return Ledger(
            plan=Plan.from_json(value),
            costs_alone=tuple(float(each["epsilon_alone"]) for each in value["mechanisms"]),
            flow_key=value["flow_key"],
            secure_rng=value["secure_rng"],
            method=value["method"],
            contribution=value["contribution"],
            declared=DeclaredPublic.from_json(value["declared_public"]),
            pretrained_on=value["pretrained_on"],
            steps=tuple(PipelineStep(**each) for each in value["steps_of_the_pipeline"]),
        )


def make_ledger(config: Config, plan: Plan, public: Mapping[str, str], flow_key: str) -> Ledger:
    """The ledger of a run of this config, by this plan.

    Args:
        public: name and content hash of each public file.
        flow_key: what a flow is.
    """
    privacy, bounds = config.privacy, config.privacy.bounds
    by_counts = privacy.method == "marginals"
    contribution: dict[str, int | str] = {
        "max_flows_per_unit": privacy.max_flows_per_unit if privacy.unit == "host" else 1
    }
    if by_counts:
        contribution |= {"max_records_per_flow": bounds.max_records, "counts": _CLIPPED_COUNTS}
    else:
        contribution |= {
            "max_records_per_flow_and_chunk": bounds.max_records,
            "max_chunks_per_unit": plan.chunks_per_unit,
        }
        contribution |= {"gradient": _CLIPPED_GRADIENT.format(privacy.clip_norm)}
    chunks = None if by_counts else len(plan.steps)
    return Ledger(
        plan=plan,
        costs_alone=plan.costs_alone(),
        flow_key=flow_key,
        secure_rng=privacy.secure_rng,
        method=privacy.method,
        contribution=contribution,
        declared=DeclaredPublic(bounds.begin, bounds.seconds, chunks, bounds.units, tuple(bounds.hosts)),
        pretrained_on=dict(public) if privacy.public is not None else {},
        steps=(*_STEPS_BY_COUNTS, *_STEPS_OF_ALL) if by_counts else (*_STEPS_BY_GRADIENTS, *_STEPS_OF_ALL),
    )


def read_ledger(run_folder: Path) -> Ledger:
    """The ledger of a finished private run.

    Raises:
        InputError: there is none (not a run folder, not trained yet, or not private), or it is damaged.
    """
    path = run_folder / "models" / LEDGER
    try:
        return Ledger.from_json(json.loads(path.read_text()))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}: {error}); train again") from None
    if (run_folder / "models" / "stage.json").exists():
        raise InputError(f"{run_folder}: this run is not private (privacy.epsilon was not set): it guarantees nothing")
    raise InputError(f"{run_folder}: no ledger (models/{LEDGER}); give the folder of a finished private run")


_CLIPPED_COUNTS = "each unit's entries in a table scaled down to the norm that the plan says"
_CLIPPED_GRADIENT = "clipped to norm {:g} over all weights, a third of its square for each net"

_STEPS_BY_COUNTS = tuple(PipelineStep(*each) for each in (
    ("which columns are counted, and the tables' first cells", "RFCs, registries, the columns of the public trace", "none"),
    ("which prefixes are counted further, which ports and hosts have cells of their own", "chosen by earlier noisy counts",
     "none"),
    ("all counts of flows and records", "Gaussian mechanism, adaptive", "mechanism: noisy counts of flows and records"),
    ("the private synthetic table", "drawn from the noisy counts; packets after the public trace's", "post-processing"),
    ("chunks, encodings, models, early stopping, number of flows and records", "from the private synthetic table",
     "post-processing"),
    ("labels", "left out: their names would have to be public", "none"),
    ("real five-tuples or addresses to avoid", "not used", "none"),
    ("conventions that repair respects", "those of the public trace", "none"),
))  # fmt: skip

_STEPS_BY_GRADIENTS = tuple(PipelineStep(*each) for each in (
    ("chunk borders and their number", "declared", "none"),
    ("encodings, their bounds and vocabularies", "RFCs, registries, the public trace's columns", "none"),
    ("resolution of times", "1 ns, declared", "none"),
    ("lengths of series", "cut to the declared maximum", "none"),
    ("labels", "left out: their names would have to be public", "none"),
    ("initial weights", "trained on the public trace, or random", "none"),
    ("models", "DP-SGD; fixed number of steps, no choice among checkpoints, no losses kept", "mechanism: training"),
    ("flows that start in each chunk", "Gaussian mechanism", "mechanism: counts of flows by chunk"),
    ("number of records in each chunk", "not used", "none"),
    ("real five-tuples or addresses to avoid", "not used", "none"),
    ("conventions that repair respects", "those of the public trace", "none"),
))  # fmt: skip

_STEPS_OF_ALL = (
    PipelineStep("generation, repair, writing", "post-processing of the above", "none"),
    PipelineStep("report", "computed on the input: not private, not to be released", "not covered"),
)
