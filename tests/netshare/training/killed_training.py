"""Trains a small model in a folder; `test_trainer.py` runs it as a process of its own, and kills it.

python killed_training.py FOLDER STEPS
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.training.loop import TrainingPlan, TrainingResult, train
from netshare.training.progress import Progress

SETTINGS = DoppelGANgerSettings(batch_size=16, metadata_units=16, lstm_units=12, critic_units=16, critic_layers=2)


def small_series(seed: int = 0) -> Encoded:
    """Fifty series of one bit, with one number a record."""
    random = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(random.integers(1, 8, 50))])
    schema = Schema((Column("bit", "bit", "categorical", 2),), (Column("size", "size", "continuous"),), 8)
    metadata = random.integers(2, size=(50, 1)).astype(np.float32)
    return Encoded(metadata, random.random((offsets[-1], 1)).astype(np.float32), offsets, schema)


def run(folder: Path, steps: int, *, progress: Callable[[Progress], None] | None = None, **plan) -> TrainingResult:
    data = small_series()
    plan = {"seed": 7, "fingerprint": "a", "checkpoint_steps": 25, "log_every": 10} | plan
    own = TrainingPlan(name="small", steps=steps, **plan)
    return train(DoppelGANger(data.schema, SETTINGS), data, folder, own, progress=progress)


def say(progress: Progress) -> None:
    print(progress.step, flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), progress=say)
