"""DoppelGANger with private critics: exact clipping over both critics, noise as accounted for, generators that see no data."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from netshare.generators.doppelganger.losses import critic_loss
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess import read_trace
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import TrainingError
from netshare.preprocess.flows import group_flows
from netshare.privacy.gradients import PrivateDoppelGANger, PrivateSchedule
from netshare.privacy.noise import SeededRandomness
from netshare.training.loop import TrainingPlan, train

SMALL = DoppelGANgerSettings(
    metadata_units=8, lstm_units=8, critic_units=8, critic_layers=2, batch_size=10, auto_normalize=True
)


@pytest.fixture(scope="module")
def data(sample_netflow) -> Encoded:
    trace = read_trace(sample_netflow, limit=300)
    tables = cut_series(trace, group_flows(trace), plan_chunks(trace["time"], count=1), max_records_per_segment=6)
    return Codec.fit(list(tables.values()), style="gan", public=True, max_length=6).encode(tables[0])


def private(data, *, noise=1.0, clip=1.0, rate=0.1, settings=SMALL, steps=4):
    schedule = PrivateSchedule(noise, rate, clip, expected_batch=rate * max(len(data), 1))
    generator = PrivateDoppelGANger(
        data.schema, settings, schedule=schedule, units=np.arange(len(data)), randomness=SeededRandomness(1)
    )
    generator.prepare(data, seed=3, steps=steps)
    return generator


def test_every_series_is_clipped_over_both_critics(data):
    generator = private(data, clip=0.4)
    alone = [generator.clipped_sums(np.array([k]), 6, 0) for k in (0, 5, 9)]
    for one in alone:
        assert set(one) == set(generator.critics.parameters())
        assert float(torch.sqrt(sum((g**2).sum() for g in one.values()))) <= 0.4
    assert generator.clipped_sums(np.zeros(0, np.int64), 6, 0) == {}


def test_one_series_s_gradient_is_that_of_the_ordinary_loss(data):
    generator = private(data, clip=1e9)
    mine = generator.clipped_sums(np.array([7]), 6, number=5)
    noise = generator.unit_noise(np.array([7]), 5)  # the same fake rows and penalty point
    with torch.no_grad():
        fake = generator.shown_rows(*generator.fake_series(1, 6, noise))
    mixing, real = noise.uniform((1, 1)), generator.shown_real_rows(generator.batches.rows(np.array([7]), 6))
    loss = sum(
        weight * critic_loss(judge, *pair, mixing, SMALL.penalty_weight)[0]
        for (judge, weight), *pair in zip(generator.judges.values(), real, fake, strict=True)
    )
    loss.backward()
    for parameter in generator.critics.parameters():
        assert torch.allclose(mine[parameter], parameter.grad, atol=1e-4, rtol=1e-3)


def test_the_critics_get_the_noise_that_was_accounted_for_and_the_generators_none(data):
    generator = private(data, noise=1.7, clip=0.3, rate=1e-12)  # nobody is drawn: noise alone
    seen = []
    generator.critic_optimizer.step = lambda: seen.extend(p.grad.flatten() for p in generator.critics.parameters())
    assert generator.step() == {"records": 0.0}
    noise = torch.cat(seen).double() * generator.schedule.expected_batch / (1.7 * 0.3)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], len(noise)) / len(noise)  # wrong once in 10,000 runs
    assert low < float(noise.square().mean()) < high


def test_generators_learn_from_the_critics_alone(data):
    """With the critics held still, another input gives the very same generators."""
    nothing = Encoded(data.metadata[:0], data.measurements[:0], data.offsets[:1], data.schema)
    found = []
    for own in (data, nothing):
        generator = private(own, noise=1e-9, clip=1e-9)
        generator.critic_optimizer.step = lambda: None
        while not generator.done:
            generator.step()
        found.append(generator.sampling_weights())
    assert all(torch.equal(found[0][name], value) for name, value in found[1].items())


def test_a_training_says_nothing_of_its_data(data, tmp_path):
    result = train(private(data), data, tmp_path, TrainingPlan(name="m", steps=4, seed=3, log_every=1))
    assert result.losses == {} and result.records == 0 and result.steps == 4


def test_no_series_are_held_back_to_choose_among_checkpoints(data):
    generator = private(data)
    assert len(generator.selection.learning) == len(data) and generator.selection.compared == 0


def test_packing_is_refused(data):
    with pytest.raises(TrainingError, match="several units"):
        private(data, settings=SMALL.model_copy(update={"packing": 2}))


def test_a_unit_with_several_series_is_refused(data):
    with pytest.raises(TrainingError, match="series by series"):
        PrivateDoppelGANger(
            data.schema, SMALL, schedule=PrivateSchedule(1, 0.1, 1, 10), units=np.zeros(len(data)),
            randomness=SeededRandomness(0),
        )  # fmt: skip


def test_samples_are_not_corrected_by_the_data(data):
    generator = private(data)
    while not generator.done:
        generator.step()
    generator.finish()
    assert not any(".corrections." in name for name in generator.sampling_weights())
