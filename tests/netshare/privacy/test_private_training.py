"""Private training of the autoregressive nets: exact clipping, the right noise, no statement about the data."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.preprocess import read_trace
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import TrainingError
from netshare.preprocess.flows import group_flows
from netshare.privacy.gradients import PrivateAutoregressive, PrivateSchedule
from netshare.privacy.noise import SecureRandomness, SeededRandomness
from netshare.training.loop import TrainingPlan, train

SMALL = AutoregressiveSettings(
    recall=False, metadata_state=8, metadata_hidden=8, record_state=8, record_hidden=8, condition=8,
    window_records=8, burn_in_records=3, warmup_steps=3, learning_rate=0.02,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(sample_capture) -> Encoded:
    trace = read_trace(sample_capture, limit=600)
    tables = cut_series(trace, group_flows(trace), plan_chunks(trace["time"], count=1), max_records_per_segment=20)
    return Codec.fit(list(tables.values()), style="autoregressive", public=True, max_length=20).encode(tables[0])


def private(data, *, units=None, noise=1.0, clip=1.0, rate=0.1, randomness=None, steps=5):
    units = np.arange(len(data)) if units is None else units
    schedule = PrivateSchedule(noise, rate, clip, expected_batch=rate * len(np.unique(units)))
    generator = PrivateAutoregressive(
        data.schema, SMALL, schedule=schedule, units=units, randomness=randomness or SeededRandomness(1)
    )
    generator.prepare(data, seed=3, steps=steps)
    return generator


@pytest.fixture
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_the_sum_over_units_is_the_sum_of_each_alone(data, double_precision):
    units = np.arange(len(data)) // 5  # as if five series were a host's
    generator = private(data, units=units, clip=0.7)
    chosen = np.array([0, 3, 4, 7, generator.count - 1])
    together = generator.clipped_sums(chosen)
    alone = [generator.clipped_sums(np.array([unit])) for unit in chosen]
    for parameter, value in together.items():
        total = sum(one[parameter] for one in alone if parameter in one)
        assert float((total - value).abs().max()) < 1e-10
    for one in alone:
        norm = torch.sqrt(sum((g**2).sum() for g in one.values()))
        assert float(norm) == pytest.approx(0.7, rel=1e-9)  # all three nets' gradients were longer, so all were cut


def test_one_unit_s_gradient_is_that_of_its_likelihood(data):
    """Against autograd on the generator's own training losses."""
    from netshare.generators.autoregressive.parts import ColumnsPart, RecordPart

    generator = private(data, clip=1e9)
    unit = int(np.argmax(data.lengths))  # in several windows
    mine = generator.clipped_sums(np.array([unit]))
    metadata, tokens = generator._metadata_tokens(data.metadata), generator._length_tokens(data.metadata, data.lengths)
    common = (data, SMALL, generator.device)
    everything = np.arange(len(data))
    split = {"train": everything, "held": np.zeros(0, np.int64), "conversations": everything}
    parts = [
        ColumnsPart(generator.metadata_net, metadata, *common, **split),
        ColumnsPart(generator.length_net, tokens, *common, **split),
    ]
    record = RecordPart(generator.record_net, metadata, *common)
    for part in (*parts, record):
        part.net.eval()
        (batch,) = part.batches(np.array([unit]), 10**6, np.random.default_rng(0))
        loss = sum(loss for loss in part.losses(batch, 0.0)[0] if loss is not None)
        for parameter in part.net.parameters():
            parameter.grad = None
        loss.backward()
        for name, parameter in part.net.named_parameters():
            if parameter.requires_grad and parameter.grad is not None:
                assert torch.allclose(mine[parameter], parameter.grad, atol=2e-4), name


@pytest.mark.parametrize("source", [SeededRandomness(5), SecureRandomness()])
def test_the_noise_has_the_standard_deviation_that_was_accounted_for(data, source):
    generator = private(data, noise=1.7, clip=0.3, rate=1e-12, randomness=source)  # nobody is drawn: noise alone
    seen = []
    generator.optimizer.step = lambda: seen.extend(p.grad.flatten() for p in generator.learnt_weights())
    generator.step()
    noise = torch.cat(seen).double() * generator.schedule.expected_batch / (1.7 * 0.3)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], len(noise)) / len(noise)  # wrong once in 10,000 runs
    assert low < float(noise.square().mean()) < high
    assert abs(float(noise.mean())) < 4 / np.sqrt(len(noise))


def test_units_are_drawn_independently():
    source = SecureRandomness()
    sizes = [len(source.poisson_sample(2000, 0.05, step)) for step in range(400)]
    variance = np.var(sizes) / (2000 * 0.05 * 0.95)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], 399) / 399
    assert low < variance < high  # a fixed batch size would have none: the accountant's scheme is the one that is used
    assert abs(np.mean(sizes) - 100) < 4 * np.sqrt(95 / 400)


def test_a_batch_without_any_unit_is_a_step_like_any_other(data):
    generator = private(data, rate=1e-12)
    before = {key: value.clone() for key, value in generator._state().items()}
    generator.step()
    assert generator.steps_done == 1
    assert any(not torch.equal(before[key], value) for key, value in generator._state().items())


def test_a_chunk_without_any_flow_is_trained_all_the_same(data):
    nothing = Encoded(data.metadata[:0], data.measurements[:0], data.offsets[:1], data.schema)
    generator = private(nothing, units=np.zeros(0, np.int64))
    while not generator.done:
        assert generator.step() == {"records": 0.0}
    assert len(generator.sample(5, seed=1)) == 5


def test_a_training_says_nothing_of_its_data_and_resumes(data, tmp_path):
    def run(folder, **more):
        return train(private(data), data, folder, TrainingPlan(name="m", steps=5, seed=3, log_every=1, **more))

    result = run(tmp_path / "whole")
    assert result.losses == {} and result.records == 0 and result.steps == 5
    private_state = private(data)
    private_state.step()
    private_state.step()
    tensors, scalars = private_state.training_state()
    tensors = {key: value.clone() for key, value in tensors.items()}
    other = private(data)
    other.restore(tensors, scalars)
    while not other.done:
        other.step()
    from safetensors.torch import load_file

    whole = load_file(result.sampling)
    for key, value in other.sampling_weights().items():
        assert torch.equal(value, whole[key]), key


def test_recall_is_refused(data):
    with pytest.raises(TrainingError, match="recall"):
        PrivateAutoregressive(
            data.schema, AutoregressiveSettings(), schedule=PrivateSchedule(1, 0.1, 1, 10), units=np.arange(len(data)),
            randomness=SeededRandomness(0),
        )  # fmt: skip


def test_it_learns_where_there_is_little_noise(data):
    generator = private(data, noise=1e-3, rate=0.3, steps=20)
    tokens = generator._metadata_tokens(data.metadata)

    def loss():
        from netshare.privacy.gradients.ghost_clipping import Tape
        from netshare.privacy.gradients.unit_losses import columns_loss

        with torch.no_grad(), Tape(generator.metadata_net) as tape:
            return float(columns_loss(generator.metadata_net, tokens, torch.zeros(len(tokens)), tape)) / len(tokens)

    before = loss()
    while not generator.done:
        generator.step()
    assert loss() < 0.9 * before
