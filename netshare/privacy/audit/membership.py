"""Membership inference against a finished run, private or not.

A share of the conversations was held back from training by a hash. The attacker is given flows of both kinds and the
models, scores each flow by the likelihood that the model of the chunk in which it starts gives to its metadata, and
guesses which were trained on. How often such guesses are right bounds epsilon from below (`audit.membership_bound`).
One flow a conversation is taken, since its flows were held back together.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from netshare.config.schema import Config
from netshare.generators.autoregressive.generator import AutoregressiveGenerator
from netshare.preprocess import Trace
from netshare.preprocess.chunks import ChunkPlan, cut_series
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.flows import group_flows
from netshare.preprocess.hashing import conversation_hashes
from netshare.privacy.accounting.statement import read_ledger
from netshare.privacy.audit.canaries import AuditResult, membership_bound
from netshare.run.pipeline import open_run
from netshare.run.stages import DEFAULT_FLOW_KEY

MOST_FLOWS = 20_000


def audit_run(run_folder: Path, *, confidence: float = 0.95) -> AuditResult:
    """Attack the models of a run.

    Raises:
        InputError: no trained models, nothing held back, or models of another kind.
    """
    path = run_folder / "models" / "config.json"
    if not (run_folder / "models" / "stage.json").exists():
        raise InputError(f"{run_folder}: no trained models here; give the folder of a finished `netshare run`")
    config = Config.model_validate_json(path.read_text())
    if not (run_folder / "trace" / "holdout.parquet").exists():
        raise InputError(f"{run_folder}: nothing was held back (evaluate.holdout), so membership cannot be tested")
    if config.generator.kind != "autoregressive":
        raise InputError(f"{run_folder}: only models of kind autoregressive give likelihoods to attack")
    with open_run(config, run_folder) as run:
        members = _scores(run, run.real("train"), run_folder)
        others = _scores(run, run.real("holdout"), run_folder)
    chance = 1 - config.evaluate.holdout
    bound, guesses = membership_bound(members, others, chance=chance, confidence=confidence)
    claimed = read_ledger(run_folder)["epsilon_spent"] if config.privacy.enabled else None
    return AuditResult("membership in the training data", bound, claimed, confidence, guesses)


def _scores(run: object, trace: Trace, folder: Path) -> np.ndarray:
    """float[n]: of the first series of each conversation, the log-likelihood of its metadata."""
    facts = json.loads((folder / "chunks" / "chunks.json").read_text())
    plan, config, codec = ChunkPlan(**facts["plan"]), run.config, run._codec()  # type: ignore[attr-defined]
    time = trace["time"]
    trace = trace.take((time >= plan.start) & (time < plan.start_of(plan.count)))
    flows = group_flows(trace, config.fields.flow_key or DEFAULT_FLOW_KEY[trace.kind])
    first = np.zeros(len(flows), dtype=bool)
    keys = conversation_hashes(trace)[flows.first]
    first[np.unique(keys, return_index=True)[1]] = True
    tables = cut_series(trace, flows, plan, max_records_per_segment=codec.schema.max_length)
    found = [np.zeros(0)]
    for chunk, table in tables.items():
        if str(chunk) not in facts["chunks"]:
            continue
        begins = np.flatnonzero((table.metadata["starts_here"] == 1) & (table.metadata["continues"] == 0))
        started = plan.index_of(trace["time"][flows.first]) == chunk
        begins = begins[first[started]]  # both in the order of the flows' numbers
        begins = begins[:MOST_FLOWS]
        if len(begins):
            model = run._model(chunk, codec.schema)  # type: ignore[attr-defined]
            metadata = codec.at(chunk).encode(table.take(begins), nearest=True).metadata
            found.append(_log_likelihood(model, metadata))
    return np.concatenate(found)


@torch.no_grad()
def _log_likelihood(model: AutoregressiveGenerator, metadata: np.ndarray) -> np.ndarray:
    net, tokens = model.metadata_net, model._metadata_tokens(metadata).to(model.device)
    net.eval()
    numbered, total = net.layout.numbered(tokens), torch.zeros(len(tokens), device=model.device)
    for i in range(len(net.layout)):
        open_rows = net.layout.open_rows(tokens, i)
        rows = torch.arange(len(tokens), device=model.device) if open_rows is None else open_rows
        if str(i) in net.columns and len(rows):
            loss = functional.cross_entropy(net.columns[str(i)](numbered[rows, :i]), tokens[rows, i], reduction="none")
            total.index_add_(0, rows, -loss)
    if not bool(total.isfinite().all()):
        raise ConfigError("the models give likelihoods that are not finite; train again")
    return total.cpu().double().numpy()
