"""What one unit can change of what private trainers sum up, over all of them; for noisy counts see `test_counting`."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess import read_trace
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.flows import group_flows
from netshare.privacy.gradients import PRIVATE_GENERATORS, PrivateSchedule, private_generator
from netshare.privacy.gradients.unit_noise import UnitNoise, unit_keys
from netshare.privacy.noise import SeededRandomness

CLIP = 0.6
SETTINGS = {
    "autoregressive": AutoregressiveSettings(
        recall=False, metadata_state=8, metadata_hidden=8, record_state=8, record_hidden=8, condition=8
    ),
    "doppelganger": DoppelGANgerSettings(metadata_units=8, lstm_units=8, critic_units=8, critic_layers=2),
}
STYLES = {"autoregressive": "autoregressive", "doppelganger": "gan"}


def encoded(path, kind: str) -> Encoded:
    trace = read_trace(path, limit=200)
    tables = cut_series(trace, group_flows(trace), plan_chunks(trace["time"], count=1), max_records_per_segment=6)
    return Codec.fit(list(tables.values()), style=STYLES[kind], public=True, max_length=6).encode(tables[0])


def without(data: Encoded, series: int) -> Encoded:
    keep = np.delete(np.arange(len(data)), series)
    rows = np.concatenate([np.arange(data.offsets[i], data.offsets[i + 1]) for i in keep])
    offsets = np.concatenate([[0], np.cumsum(data.lengths[keep])])
    return Encoded(data.metadata[keep], data.measurements[rows], offsets, data.schema)


def clipped_sum(kind: str, data: Encoded, schema: Schema) -> torch.Tensor:
    """The sum over all units of one update, as one vector; the same weights and secrets whatever the data are."""
    generator = private_generator(kind)(
        schema, SETTINGS[kind], schedule=PrivateSchedule(1.0, 1.0, CLIP, 1.0), units=np.arange(len(data)),
        randomness=SeededRandomness(4),
    )  # fmt: skip
    generator.prepare(data, seed=2, steps=3)
    sums: Callable[..., dict[torch.Tensor, torch.Tensor]] = generator.clipped_sums
    everybody = np.arange(len(data))
    found = sums(everybody) if kind == "autoregressive" else sums(everybody, 6, 0)
    weights = generator.learnt_weights()
    return torch.cat([found.get(p, torch.zeros_like(p)).flatten() for p in weights]).double()


@pytest.mark.parametrize("kind", PRIVATE_GENERATORS)
def test_a_unit_changes_the_clipped_sum_by_no_more_than_the_clip_norm(kind, sample_netflow):
    data = encoded(sample_netflow, kind)
    whole = clipped_sum(kind, data, data.schema)
    assert float(whole.norm()) > 3 * CLIP  # many units together do more than one may
    for series in (0, len(data) // 2, len(data) - 1):  # all that come after the first one move up
        change = float((whole - clipped_sum(kind, without(data, series), data.schema)).norm())
        assert 0.5 * CLIP < change <= CLIP * (1 + 1e-3)


def test_numbers_belong_to_units_and_not_to_their_places(sample_netflow):
    keys = unit_keys(encoded(sample_netflow, "doppelganger"))
    together, alone = UnitNoise(keys, 99), UnitNoise(keys[5:6], 99)
    for shape in ((3, 2), (4,), ()):
        assert torch.equal(together.normal((len(keys), *shape))[5:6], alone.normal((1, *shape)))
    assert torch.equal(together.uniform((1, len(keys), 7))[:, 5:6], alone.uniform((1, 1, 7)))
    assert not torch.equal(UnitNoise(keys, 98).uniform((len(keys), 2)), UnitNoise(keys, 99).uniform((len(keys), 2)))


def test_numbers_of_units_are_uniform_and_normal():
    from scipy.stats import kstest

    noise = UnitNoise(np.arange(200, dtype=np.uint64), 7)
    uniform, normal = noise.uniform((200, 500)).numpy(), noise.normal((200, 500)).numpy()
    assert uniform.min() >= 0 and uniform.max() < 1
    assert kstest(uniform.ravel(), "uniform").pvalue > 1e-4 and kstest(normal.ravel(), "norm").pvalue > 1e-4
    for numbers in (uniform, normal):  # neither within rows nor across them
        assert np.abs(np.corrcoef(numbers)[np.triu_indices(200, 1)]).max() < 0.25
        assert abs(np.corrcoef(numbers[:, 1:].ravel(), numbers[:, :-1].ravel())[0, 1]) < 0.02
