"""Membership inference against trained models, of private runs and of others.

A share of the conversations was held back from training by a hash, so that each was a member with a known chance. The
attacker is given flows of both kinds and the models, scores each flow by the likelihood that the model of the chunk in which
it starts gives to its metadata, and guesses which flows were trained on (Steinke, Nasr, Jagielski: "Privacy auditing with
one (1) training run", 2023). How often such guesses are right bounds epsilon from below. One flow of each conversation is
taken, since its flows were held back together. It convicts models that recite their training data.

Private: both traces, and the result. Public: models and codec of a private run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from netshare.preprocess import Trace
from netshare.preprocess.chunks import ChunkPlan, cut_series
from netshare.preprocess.codec import Codec
from netshare.preprocess.flows import FlowKey, group_flows
from netshare.preprocess.hashing import conversation_hashes
from netshare.privacy.audit.lower_bounds import AuditResult, membership_bound

MAX_FLOWS = 20_000  # of a chunk that are scored

LogLikelihood = Callable[[np.ndarray], np.ndarray]
"""Encoded metadata, float32[n, A] -> log P(metadata) of each row, float64[n]."""


@dataclass(frozen=True)
class AttackedModels:
    """Models that give likelihoods, and how traces are cut and encoded for them.

    Attributes:
        plan: the chunks.
        flow_key: what a flow is.
        codec: of all chunks.
        likelihood_of: the log-likelihood of metadata under a chunk's model, or None for a chunk without one.
    """

    plan: ChunkPlan
    flow_key: FlowKey
    codec: Codec
    likelihood_of: Callable[[int], LogLikelihood | None]


def audit_membership(
    members: Trace,
    others: Trace,
    models: AttackedModels,
    *,
    chance: float,
    claimed: float | None = None,
    confidence: float = 0.95,
) -> AuditResult:
    """Guess which flows were trained on.

    Args:
        members: records that the models were trained on.
        others: records of conversations that were held back.
        chance: with which a conversation was a member.
        claimed: the epsilon that is claimed, None where none is.
        confidence: of the lower bound.

    Raises:
        ConfigError: fewer than 80 flows.
    """
    scores = [_scores(trace, models) for trace in (members, others)]
    bound, guesses = membership_bound(*scores, chance=chance, confidence=confidence)
    return AuditResult("membership in the training data", bound, claimed, confidence, guesses)


def _scores(trace: Trace, models: AttackedModels) -> np.ndarray:
    """float64[n]: the log-likelihood of the metadata of each conversation's first flow."""
    plan = models.plan
    time = trace["time"]
    trace = trace.take((time >= plan.start) & (time < plan.start_of(plan.count)))
    flows = group_flows(trace, models.flow_key)
    first = np.zeros(len(flows), dtype=bool)
    keys = conversation_hashes(trace)[flows.first]
    first[np.unique(keys, return_index=True)[1]] = True
    tables = cut_series(trace, flows, plan, max_records_per_segment=models.codec.schema.max_length)
    found = [np.zeros(0)]
    for chunk, table in tables.items():
        likelihood = models.likelihood_of(chunk)
        if likelihood is None:
            continue
        begins = np.flatnonzero((table.metadata["starts_here"] == 1) & (table.metadata["continues"] == 0))
        started = plan.index_of(trace["time"][flows.first]) == chunk
        begins = begins[first[started]][:MAX_FLOWS]  # both are in the order of the flows' numbers
        if len(begins):
            found.append(likelihood(models.codec.at(chunk).encode(table.take(begins), nearest=True).metadata))
    return np.concatenate(found)
