"""Retraining of P(metadata) alone: a second run folder whose models draw metadata in other shares.

    netshare retrain-metadata RUN_DIR --share dst_port=53:0.5 --uniform protocol -o NEW_RUN

P(metadata) is learnt anew from random weights, so that nothing is left of the distribution that the first training saw
(obfuscation), or so that rare flows come as often as wanted (amplification). P(measurements | metadata) stays, bit by bit.
What is learnt from are the training series, weighted (`netshare.recipe.reweighting`).

The new run folder generates like any other (`netshare generate NEW_RUN`). It holds a copy of the old one's trace.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from netshare.console import Console
from netshare.fingerprints import fingerprint
from netshare.generators.base import metadata_only
from netshare.preprocess.atomic import write_text
from netshare.preprocess.codec import Codec
from netshare.preprocess.errors import ConfigError
from netshare.recipe.contents import CONTENTS_FILE
from netshare.recipe.metadata import Metadata
from netshare.recipe.preparation import Prepared, chunk_folder
from netshare.recipe.reweighting import Reweighting, Share, Wanted
from netshare.runs.folder import RunFolder
from netshare.runs.pipeline import finished_run
from netshare.runs.steps import CONFIG, RunSteps
from netshare.seeds import derive_seed
from netshare.training.devices import device_of
from netshare.training.loop import SAMPLING, TrainingPlan, load_weights, train
from netshare.training.tuned_settings import tuned_choice, tuned_file

CHECKED_FLOWS = 5_000  # metadata drawn to see what was learnt
RETRAINED = "retrained.json"


@dataclass(frozen=True)
class RetrainingReport:
    """What came of it: the new run folder, shares by field and value, and how many flows of equal weight the weighted ones
    are worth."""

    folder: Path
    shares: dict[str, dict[str, Share]]
    effective_flows: float


def retrain_metadata(
    run_folder: str | Path,
    output: str | Path,
    *,
    wanted: Wanted,
    steps: int | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> RetrainingReport:
    """A run folder whose models draw metadata as wanted; an interrupted call with the same arguments goes on.

    Args:
        run_folder: of a run whose models are trained; left as it is.
        output: the new run folder.
        wanted: field -> value -> share of the flows. Values not listed share the rest, in their present proportions as
            far as other fields allow, and are left out where the listed ones sum to 1. None instead of shares: all
            values alike.
        steps: optimisation steps, at most; by default those of the run's config.
        seed: of all that is random.
        console: where progress goes; by default into a notebook, and nowhere else.

    Raises:
        InputError: the run has no trained models.
        ConfigError: an unknown field, a value that never occurs, shares that contradict one another;
            the run is private, or on other series than a trace.
        TrainingError: the metadata cannot be learnt.
    """
    old, new, console = Path(run_folder), Path(output), console or Console.default()
    if old.resolve() == new.resolve():
        raise ConfigError(f"{new}: is the run to retrain; give another folder, the old models are kept")
    if (new / "models").exists() and not (new / "models" / RETRAINED).exists():
        raise ConfigError(f"{new}: holds the models of another run, which would be lost; give a new folder")
    with finished_run(old, console) as source, RunFolder.open(new) as folder:
        config = source.recipe.config
        if config.privacy.enabled:
            raise ConfigError(
                f"{old}: is a private run; retraining looks at its input again, which its budget has no room for"
            )
        if config.preset == "timeseries":
            raise ConfigError(f"{old}: is a run on time series that are no traces; retraining is built for traces only")
        prepared, trace = source.prepared(), source.real().train
        weighting = Reweighting(trace, prepared, config, wanted)
        console.say(f"{weighting.effective_flows:,.0f} of {weighting.flows:,} training flows count, as weighted")
        keys = {name: source.folder.key_of(name) for name in ("trace", "chunks", "models")}
        with folder.stage("trace", keys["trace"]) as place:
            if place is not None:
                _copy(old / "trace", place)
        key = folder.fingerprint("retrained", keys["chunks"], wanted)
        with folder.stage("chunks", key) as place:
            if place is not None:
                _copy(old / "chunks", place)
                (place / CONTENTS_FILE).unlink()
                weighting.contents.save(place)
        key = folder.fingerprint("retrained", keys["models"], key, steps, seed)
        with folder.stage("models", key) as place:
            if place is not None:
                if (tuned := tuned_file(old / "models")).exists():
                    shutil.copyfile(tuned, place / tuned.name)
                drawn = _train(source, prepared, weighting, place, key=key, steps=steps, seed=seed)
                write_text(place / CONFIG, config.model_dump_json(indent=1))
                shares = {
                    field: {value: asdict(share) for value, share in values.items()}
                    for field, values in weighting.shares(drawn).items()
                }
                write_text(place / RETRAINED, json.dumps(shares, indent=1))
        read = json.loads((new / "models" / RETRAINED).read_text())
    found = {field: {value: Share(**share) for value, share in values.items()} for field, values in read.items()}
    for field, values in found.items():
        for value, share in values.items():
            console.say(
                f"  {field} {value}: {share.before:.3f} before, {share.wanted:.3f} wanted, {share.drawn:.3f} now"
            )
    return RetrainingReport(new, found, weighting.effective_flows)


def _train(
    source: RunSteps, prepared: Prepared[Codec], weighting: Reweighting, models: Path, *, key: str, steps: int | None,
    seed: int,
) -> list[Metadata]:  # fmt: skip
    """Retrain every chunk's model in `models`; metadata that they draw, in proportion to their flows."""
    config, drawn = source.recipe.config, []
    device, old = device_of(config.training.device), source.folder.path / "models"
    choice = tuned_choice(config.generator.choice(), old)
    for chunk, held in weighting.contents.chunks.items():
        name = chunk_folder(models, chunk).name
        source.console.say(f"  chunk {name}: learning metadata")
        encoded, own = prepared.encoded(chunk), derive_seed(seed, "retrain", chunk)
        rows = weighting.rows(chunk, len(encoded), own)
        generator = choice.build(prepared.schema, device=device)
        train(
            generator,
            metadata_only(np.asarray(encoded.metadata)[rows], encoded.lengths[rows], prepared.schema),
            models / name,
            TrainingPlan(
                name=name,
                steps=steps or config.training.steps or choice.spec.seed_steps,
                seed=own,
                fingerprint=fingerprint(key, chunk),
                retrain_metadata=True,
                checkpoint_seconds=config.training.checkpoint_seconds,
                threads=config.training.threads,
            ),
            initial_weights=load_weights(old / name / SAMPLING),
        )
        count = max(round(CHECKED_FLOWS * held.starting / weighting.flows), 1)
        sampled = generator.sample_metadata(4 * count, seed=own)
        found = Metadata(prepared.codec.at(chunk).decode_metadata(sampled, seed=own))
        drawn.append(found.take(np.flatnonzero(found["starts_here"] == 1)[:count]))
    return drawn


def _copy(source: Path, place: Path) -> None:
    shutil.copytree(source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("stage.json"))
