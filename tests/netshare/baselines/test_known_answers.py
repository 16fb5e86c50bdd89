"""Methods recover what their data were made from."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from netshare.baselines.bayesian_network import _tree, mutual_information
from netshare.baselines.hmm import HiddenMarkovModel
from netshare.baselines.modes import Modes
from netshare.baselines.teacher_forcing import NonlinearAR
from netshare.preprocess.encoded import Column, Encoded, Schema

NUMBERS = Schema((Column("kind", "kind", "categorical", 2),), (Column("x", "x", "continuous"),), 30)


def series_of(values: np.ndarray) -> Encoded:
    """float[n, t] as n series of one number each record."""
    n, t = values.shape
    metadata = np.random.default_rng(1).integers(2, size=(n, 1)).astype(np.float32)
    return Encoded(metadata, values.reshape(-1, 1).astype(np.float32), np.arange(n + 1) * t, NUMBERS)


def fitted(model, data: Encoded, steps: int):
    model.prepare(data, seed=1, steps=steps)
    while not model.done:
        model.step()
    return model


def test_baum_welch_recovers_the_chain_that_made_the_series():
    random = np.random.default_rng(0)
    transition, means = np.array([[0.9, 0.1], [0.3, 0.7]]), np.array([0.25, 0.75])
    states = np.zeros((400, 30), int)
    for t in range(1, 30):
        states[:, t] = random.random(400) > transition[states[:, t - 1], 0]
    model = HiddenMarkovModel(NUMBERS)
    model.states = 2
    fitted(model, series_of(means[states] + 0.04 * random.normal(size=states.shape)), steps=100)
    order = model.fitted["mean"][:, 0].argsort()
    assert np.allclose(model.fitted["mean"][order, 0], means, atol=0.01)
    assert np.allclose(model.fitted["scale"][order, 0], 0.04, atol=0.005)
    assert np.allclose(model.fitted["transition"][order][:, order], transition, atol=0.03)
    assert np.allclose(model.fitted["start"][order], [1, 0], atol=0.02)


def test_the_likelihood_of_baum_welch_never_falls():
    values = np.random.default_rng(3).random((40, 12))
    model = HiddenMarkovModel(NUMBERS)
    model.prepare(series_of(values), seed=2, steps=12)
    losses = [model.step()["loss"] for _ in range(12) if not model.done]
    assert all(after <= before + 1e-3 for before, after in pairwise(losses))


@pytest.mark.slow
def test_ar_recovers_slope_and_noise_of_an_autoregressive_process():
    random = np.random.default_rng(0)
    values = np.full((100, 30), 0.5)
    for t in range(1, 30):
        values[:, t] = 0.5 + 0.8 * (values[:, t - 1] - 0.5) + 0.05 * random.normal(size=100)
    model = NonlinearAR(NUMBERS)
    model.batch_size = 16
    fitted(model, series_of(values.clip(0, 1)), steps=300)
    past = torch.zeros(2, 2, model.units.width)
    last = torch.zeros(2, model.units.width)
    last[:, 0], past[:, :, 0] = torch.tensor([0.4, 0.6]), 0.5
    last[:, -2], past[:, :, -2] = 1, 1  # records that say "continue"
    with torch.no_grad():
        low, high = model.advance(torch.tensor([[0.0], [0.0]]), last, past)[0][:, 0].tolist()
    assert abs((high - low) / 0.2 - 0.8) < 0.15
    assert abs(float(model.log_scale.detach().exp()[0]) + 0.01 - 0.05) < 0.01
    sampled = model.sample(200, seed=1)
    assert 20 < sampled.lengths.mean() <= 30
    assert abs(sampled.measurements.std() - values.std()) < 0.02


def test_chow_liu_finds_the_chain_that_made_the_columns():
    random = np.random.default_rng(0)
    columns = [random.integers(4, size=5000)]
    for _ in range(3):
        columns.append(np.where(random.random(5000) < 0.8, columns[-1], random.integers(4, size=5000)))
    codes = np.stack(columns, 1)[:, [2, 0, 3, 1]]
    edges = {frozenset((child, int(parent))) for child, parent in enumerate(_tree(codes, evidence=0)) if parent >= 0}
    assert edges == {frozenset(pair) for pair in ((0, 2), (0, 3), (1, 3))}


def test_mutual_information_of_independent_addresses_is_about_none():
    random = np.random.default_rng(0)
    x, y = random.integers(800, size=(2, 3000))
    assert mutual_information(x, x) > 1.4
    assert abs(mutual_information(x, y)) < 0.05  # without the correction 5.1 of the possible 6.7


@pytest.mark.slow
def test_mode_specific_normalisation_finds_the_modes_and_round_trips():
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0.2, 0.02, 3000), random.normal(0.8, 0.05, 1000)])
    modes = Modes.fit(values, seed=1)
    heavy = modes.weight > 0.1
    assert np.allclose(np.sort(modes.mean[heavy]), [0.2, 0.8], atol=0.02)
    mode, scalar = modes.normalise(values, random)
    assert np.abs(scalar).max() <= 1
    inside = np.abs(scalar) < 1
    assert inside.mean() > 0.99
    assert np.allclose(modes.restore(mode, scalar)[inside], values[inside], atol=1e-12)
    constant = Modes.fit(np.full(50, 0.25), seed=1)
    assert np.allclose(constant.restore(*constant.normalise(np.full(5, 0.25), random)), 0.25)
