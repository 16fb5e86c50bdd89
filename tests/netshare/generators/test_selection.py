"""Checkpoints compared on held-back series: distances with known answers, the choice, and that it survives a kill."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from netshare.generators.doppelganger.distances import copied_beyond, metadata_distance
from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.selection import Selection
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.training.log import read_log
from netshare.training.loop import TrainingPlan, train

SCHEMA = Schema(
    (*(Column(f"ip.{i}", "ip", "categorical", 256) for i in range(4)), Column("class", "class", "categorical", 2)),
    (Column("level", "level", "continuous"),),
    4,
)
SMALL = {"batch_size": 16, "metadata_units": 8, "lstm_units": 8, "critic_units": 8, "critic_layers": 1}


def series(n: int, *, hosts: int = 50, first: int = 0, seed: int = 0) -> Encoded:
    """One-record series between some of 2**16 hosts, the first ones more popular."""
    random = np.random.default_rng(seed)
    host = first + np.floor(hosts * random.random(n) ** 2).astype(int)
    metadata = np.stack([host * 0 + 10, host * 0, host // 256, host % 256, random.integers(0, 2, n)], axis=1)
    return Encoded(metadata.astype(np.float32), random.random((n, 1)).astype(np.float32), np.arange(n + 1), SCHEMA)


def test_metadata_are_near_where_hosts_are_as_popular():
    held = series(1000, seed=1)
    uniform = Encoded(np.array(held.metadata), held.measurements, held.offsets, SCHEMA)
    uniform.metadata[:, 3] = np.arange(1000) % 50
    assert metadata_distance(held, held) == 0
    assert metadata_distance(held, series(1000, seed=2)) < 0.05
    assert metadata_distance(held, uniform) > 0.06
    elsewhere = metadata_distance(held, series(1000, seed=2, first=300))
    assert elsewhere == pytest.approx((2 / 4 / 2) / 2, abs=0.05)  # two bytes of four differ, classes and ranks do not


def test_copying_counts_beyond_what_other_traffic_shares():
    learning, held = series(500, hosts=20_000, seed=1), series(500, hosts=20_000, seed=2)
    assert copied_beyond(learning.metadata, held, series(500, hosts=20_000, seed=3)) == 0
    known = np.isin(held.metadata @ 256.0 ** np.arange(5), learning.metadata @ 256.0 ** np.arange(5)).mean()
    assert copied_beyond(learning.metadata, held, learning) == pytest.approx(1 - 1.5 * known)


def test_the_best_checkpoint_is_kept():
    data = series(400, hosts=20_000)
    selection = Selection(data, share=0.25, often=2, seed=1)
    assert (len(selection.learning), selection.compared) == (300, 100)
    assert [step for step in range(260) if selection.due(step)] == [64, 91, 128, 182, 256]
    samples = {40: series(100), 50: series(100, hosts=20_000, seed=5), 60: data.take(selection.learning)}
    for step, sample in samples.items():
        selection.compare(step, sample, {"weight": torch.tensor([float(step)])})
    assert selection.best == 50 and selection.weights == {"weight": torch.tensor([50.0])}
    selection.compare(110, samples[60], {"weight": torch.tensor([110.0])})
    assert selection.best == 110  # as good as step 60, and step 50 is now too early to be chosen
    assert selection.scores[60] > selection.scores[50] + 0.1  # copied


def test_too_few_series_are_all_learnt_from():
    selection = Selection(series(100), share=0.1, often=8, seed=1)
    assert len(selection.learning) == 100 and not selection.due(100)


@pytest.mark.slow
def test_a_killed_training_keeps_the_same_checkpoint(tmp_path):
    data, plan = series(400), TrainingPlan(name="model", steps=80, seed=3, checkpoint_steps=1, log_every=1)

    def killed(progress):
        if progress.step == 75:
            raise KeyboardInterrupt

    for folder, stop in (("whole", None), ("parts", killed)):
        generator = DoppelGANger(SCHEMA, DoppelGANgerSettings(selections=4, **SMALL))
        try:
            train(generator, data, tmp_path / folder, plan, progress=stop)
        except KeyboardInterrupt:
            generator = DoppelGANger(SCHEMA, generator.settings)
            train(generator, data, tmp_path / folder, plan)
    whole, parts = (load_file(tmp_path / folder / "sampling.safetensors") for folder in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    logs = [[(line.step, line.values) for line in read_log(tmp_path / folder)] for folder in ("whole", "parts")]
    scores = [{step: values["validation"] for step, values in log if "validation" in values} for log in logs]
    assert scores[0] == scores[1] and list(scores[0]) == [64, 77, 80]
    assert generator.sampling_weights().keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in generator.sampling_weights().items())
