"""On a GPU generators learn and draw what they do on the CPU; `pytest -m cuda` runs these alone."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

import netshare
from netshare.generators.autoregressive.generator import AutoregressiveGenerator
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.base import Generator
from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.training.checkpoint import load_checkpoint, save_checkpoint

DEVICE = "cuda"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and this machine has none"),
]

SCHEMA = Schema(
    metadata=(
        Column("bit", "bit", "categorical", 2),
        Column("label", "label", "categorical", 5),
        Column("level", "level", "continuous"),
    ),
    measurements=(
        Column("kind", "kind", "categorical", 4),
        Column("size", "size", "continuous", 0, "kind", (1, 2)),
        Column("gap", "gap", "continuous"),
    ),
    max_length=40,
)
STILL = AutoregressiveSettings(dropout=0, record_dropout=0, column_dropout=0, epochs=3)  # its dropout is the device's

BUILD: dict[str, Callable[[str], Generator]] = {
    "doppelganger": lambda device: DoppelGANger(
        SCHEMA, DoppelGANgerSettings(batch_size=32, precision="float32"), device
    ),
    "doppelganger-ranges": lambda device: DoppelGANger(
        SCHEMA,
        DoppelGANgerSettings(
            batch_size=32, auto_normalize=True, packing=2, lstm_initial_state="random", precision="float32"
        ),
        device,
    ),
    "doppelganger-bfloat16": lambda device: DoppelGANger(
        SCHEMA, DoppelGANgerSettings(batch_size=32, precision="bfloat16"), device
    ),
    "autoregressive": lambda device: AutoregressiveGenerator(SCHEMA, STILL, device),
}
each = pytest.mark.parametrize("name", BUILD)


def series(n: int = 300) -> Encoded:
    """The label decides lengths; kinds go round."""
    random = np.random.default_rng(0)
    label = random.integers(0, 5, n)
    lengths = 1 + label * 7 + random.integers(0, 4, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    kind = (np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)) % 4
    size = np.where((kind == 1) | (kind == 2), random.random(offsets[-1]), 0)
    metadata = np.stack([label % 2, label, random.random(n)], 1).astype(np.float32)
    return Encoded(metadata, np.stack([kind, size, random.random(len(kind))], 1).astype(np.float32), offsets, SCHEMA)


def prepared(name: str, device: str, steps: int = 6) -> Generator:
    generator = BUILD[name](device)
    generator.prepare(series(), seed=3, steps=steps)
    return generator


@each
def test_the_first_steps_are_those_of_the_cpu(name: str):
    here, there = prepared(name, "cpu"), prepared(name, DEVICE)
    close = 0.1 if "bfloat16" in name else 2e-3
    for _ in range(6):
        expected, found = here.step(), there.step()
        assert found == pytest.approx(expected, rel=close, abs=close)


@each
def test_samples_are_valid_and_weights_serve_the_cpu(name: str):
    generator, other = prepared(name, DEVICE), BUILD[name]("cpu")
    while not generator.done:
        generator.step()
    made = generator.sample(500, seed=1)
    other.load_sampling_weights({key: value.cpu() for key, value in generator.sampling_weights().items()})
    same = other.sample(500, seed=1)
    for sample in (made, same):
        assert np.isfinite(sample.measurements).all()
        assert np.isfinite(sample.metadata).all()
        assert sample.lengths.min() >= 1
        assert sample.lengths.max() <= SCHEMA.max_length
        assert set(np.unique(sample.measurements[:, 0])) <= {0, 1, 2, 3}
    assert made.lengths.mean() == pytest.approx(same.lengths.mean(), rel=0.1)
    assert np.mean(made.metadata[:, 1] == same.metadata[:, 1]) > 0.9


@each
def test_given_lengths_are_kept(name: str):
    generator = prepared(name, DEVICE)
    lengths = np.array([1, 40, 7, 13])
    _, offsets = generator.sample_measurements(series().metadata[:4], seed=1, lengths=lengths)
    assert np.array_equal(np.diff(offsets), lengths)


@each
def test_a_checkpoint_goes_on_where_it_was(name: str, tmp_path):
    straight, first = prepared(name, DEVICE, 12), prepared(name, DEVICE, 12)
    for _ in range(5):
        straight.step()
        first.step()
    save_checkpoint(tmp_path, *first.training_state())
    found = load_checkpoint(tmp_path)
    assert found is not None
    second = prepared(name, DEVICE, 12)
    second.restore(*found)
    for _ in range(5):
        assert second.step() == pytest.approx(straight.step(), rel=1e-2, abs=1e-2)


def test_autoregressive_learns():
    generator = AutoregressiveGenerator(SCHEMA, AutoregressiveSettings(epochs=40), DEVICE)
    generator.prepare(series(600), seed=1, steps=100_000)
    while not generator.done:
        generator.step()
    made = generator.sample(1000, seed=2)
    inside = np.ones(len(made.measurements) - 1, bool)
    inside[made.offsets[1:-1] - 1] = False
    kind = made.measurements[:, 0]
    assert np.mean(((kind[:-1] + 1) % 4 == kind[1:])[inside]) > 0.95


@pytest.mark.parametrize("mode", ["inline", "ray"])
@pytest.mark.parametrize("kind", ["autoregressive", "doppelganger"])
def test_models_of_several_chunks_share_one_gpu(kind: str, mode: str, sample_capture, tmp_path):
    gpus = 0.3 if mode == "ray" and DEVICE == "cuda" else 0
    config = netshare.load_config(
        {
            "input": {"files": [str(sample_capture)], "limit": 3000},
            "chunks": {"count": 3},
            "generator": {"kind": kind, kind: {"epochs": 2} if kind == "autoregressive" else {"precision": "bfloat16"}},
            "training": {"steps": 60, "finetune_steps": 30, "device": DEVICE},
            "cluster": {"mode": mode, "gpus_per_model": gpus},
            "output": {"formats": ["csv"]},
        },
        work_dir=tmp_path / "run",
    )
    result = netshare.run(config)
    generation = json.loads((result.folder / "generated" / "generation.json").read_text())
    assert len(list(result.folder.glob("models/*/result.json"))) == 3
    assert generation["records"] > 0
