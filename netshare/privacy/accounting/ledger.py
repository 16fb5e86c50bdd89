"""The ledger: what a private run released of its input, by which mechanism, at what cost; and what it declared public.

    ledger(config, plan, {"sample.pcap.gz": "9c1..."})       # JSON-able; kept as models/privacy.json

It holds nothing that was measured on the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netshare.privacy.accounting.plan import Plan

if TYPE_CHECKING:
    from netshare.config.schema import Config

LEDGER = "privacy.json"


def ledger(config: Config, plan: Plan, public: dict[str, str], flow_key: str) -> dict[str, Any]:
    """What the statement is made from.

    Args:
        public: name and content hash of each public file.
        flow_key: what a flow is.
    """
    privacy = config.privacy
    by_counts = privacy.method == "marginals"
    rows = [*_ROWS_OF_COUNTS, *_ROWS[-2:]] if by_counts else [*_ROWS]
    return {
        **plan.to_json(),
        "flow_key": flow_key,
        "noise_source": "the operating system's cryptographic generator"
        if privacy.secure_rng
        else "seed (no guarantee)",
        "secure_rng": privacy.secure_rng,
        "method": privacy.method,
        "contribution": {
            "max_flows_per_unit": privacy.max_flows_per_unit if privacy.unit == "host" else 1,
            "max_records_per_flow" + ("" if by_counts else "_and_chunk"): privacy.bounds.max_records,
            **({} if by_counts else {"max_chunks_per_unit": plan.chunks_per_unit}),
            **(_OF_COUNTS if by_counts else {"gradient": _GRADIENT.format(privacy.clip_norm)}),
        },
        "declared_public": {
            "window": {"begin": privacy.bounds.begin, "seconds": privacy.bounds.seconds},
            "chunks": None if by_counts else len(plan.steps),
            "about_so_many_units": privacy.bounds.units,
            "protected_hosts": privacy.bounds.hosts,
            "format": "that the input is a packet or flow trace, and which columns it has",
            "settings": "the whole config",
        },
        "pretrained_on": public if privacy.public is not None else {},
        "steps_of_the_pipeline": [dict(zip(("what", "how", "cost"), row, strict=True)) for row in rows],
    }


_OF_COUNTS = {"counts": "each unit's entries in a table scaled down to the norm that the plan says"}
_GRADIENT = "clipped to norm {:g} over all weights, a third of its square for each net"

_ROWS_OF_COUNTS = (
    ("which columns are counted, and the tables' first cells", "RFCs, registries, the columns of the public trace", "none"),
    ("which prefixes are counted further, which ports and hosts have cells of their own", "chosen by earlier noisy counts",
     "none"),
    ("all counts of flows and records", "Gaussian mechanism, adaptive", "mechanism: noisy counts of flows and records"),
    ("the stand-in trace", "drawn from the noisy counts; packets after the public trace's", "post-processing"),
    ("chunks, encodings, models, early stopping, number of flows and records", "from the stand-in trace", "post-processing"),
    ("labels", "left out: their names would have to be public", "none"),
    ("real five-tuples or addresses to avoid", "not used", "none"),
    ("conventions that repair respects", "those of the public trace", "none"),
)  # fmt: skip

_ROWS = (
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
    ("generation, repair, writing", "post-processing of the above", "none"),
    ("report", "computed on the input: not private, not to be released", "not covered"),
)
