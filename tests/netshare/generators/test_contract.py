"""Every registered kind of generator keeps the contract of `netshare/generators/base.py`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from netshare.generators.base import Generator, metadata_only
from netshare.generators.registry import GeneratorChoice, kinds, spec_of
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import FieldError, TrainingError
from netshare.training.checkpoint import load_checkpoint, save_checkpoint
from tests.netshare.generator_contract import (
    SCHEMA,
    Build,
    assert_interruption_changes_nothing,
    assert_same,
    assert_valid,
    random_series,
)
from tests.netshare.generator_contract import trained as trained_for

SMALL = {"batch_size": 16, "metadata_units": 16, "lstm_units": 12, "critic_units": 16, "critic_layers": 2}

SETTINGS: dict[str, dict[str, Any]] = {  # of a test, the name of the kind first; other kinds are tested as they come
    "doppelganger": SMALL,
    "doppelganger-ranges": dict(auto_normalize=True, records_per_pass=3, discretize="argmax", critic_rounds=2, **SMALL),
    "doppelganger-packed": dict(packing=3, lstm_initial_state="metadata", records_per_pass=2, **SMALL),
    "autoregressive": {"batch_records": 64, "batch_series": 16, "window_records": 4, "burn_in_records": 2},
}


def choice(name: str) -> GeneratorChoice:
    kind = name.partition("-")[0]
    return GeneratorChoice(kind, spec_of(kind).settings(**SETTINGS.get(name, {})))


GENERATORS = {name: choice(name).build for name in dict.fromkeys([*kinds(), *SETTINGS])}

STEPS = 6

pytestmark = pytest.mark.parametrize("build", GENERATORS.values(), ids=GENERATORS.keys())


def trained(build: Build, data: Encoded, steps: int = STEPS, **arguments) -> Generator:
    return trained_for(build, data, steps, **arguments)


@pytest.mark.slow
def test_samples_are_valid_and_as_many_as_asked(build):
    generator = trained(build, random_series(60))
    for n in (0, 1, 137):
        assert_valid(generator.sample(n, seed=1), n)


@pytest.mark.slow
def test_the_seed_alone_decides_a_sample(build):
    generator = trained(build, random_series(60))
    before = generator.sample(40, seed=5)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 (a sample must not depend on the global state)
    assert_same(generator.sample(40, seed=5), before)
    assert not np.array_equal(generator.sample(40, seed=6).metadata, before.metadata)


def test_losses_and_records_are_reported(build):
    generator = build(SCHEMA)
    generator.prepare(random_series(60), seed=3, steps=2)
    metrics = generator.step()
    assert metrics["records"] > 0
    assert all(np.isfinite(value) for value in metrics.values())
    assert generator.steps_done == 1
    assert not generator.done


def test_weights_are_the_model(build):
    generator = trained(build, random_series(60))
    other = build(SCHEMA)
    other.load_sampling_weights({name: tensor.clone() for name, tensor in generator.sampling_weights().items()})
    assert_same(other.sample(30, seed=2), generator.sample(30, seed=2))


def test_measurements_follow_given_metadata(build):
    data = random_series(60)
    measurements, offsets = trained(build, data).sample_measurements(data.metadata[:17], seed=1)
    assert_valid(Encoded(data.metadata[:17], measurements, offsets, SCHEMA), 17)


def test_given_lengths_are_kept(build):
    data = random_series(60)
    lengths = np.random.default_rng(0).integers(1, SCHEMA.max_length + 1, 60)
    lengths[:2] = 1, SCHEMA.max_length
    measurements, offsets = trained(build, data).sample_measurements(data.metadata, seed=1, lengths=lengths)
    assert_valid(Encoded(data.metadata, measurements, offsets, SCHEMA), 60)
    assert np.array_equal(np.diff(offsets), lengths)


@pytest.mark.parametrize("lengths", [[1, 0], [1, SCHEMA.max_length + 1], [1]])
def test_impossible_lengths_are_refused(build, lengths):
    with pytest.raises(FieldError, match="lengths: "):
        build(SCHEMA).sample_measurements(random_series(2).metadata, seed=1, lengths=np.array(lengths))


METADATA_NETS = ("metadata.", "length.memory")  # prefixes of the weights that hold metadata, in either generator


@pytest.mark.slow
def test_retrained_metadata_leave_the_other_networks_bit_by_bit(build, tmp_path: Path):
    data = random_series(60)
    weights = {name: tensor.clone() for name, tensor in trained(build, data).sampling_weights().items()}
    chosen = data.metadata[:, 5] == 2
    wanted = metadata_only(data.metadata[chosen], data.lengths[chosen], SCHEMA)

    def begun() -> Generator:
        generator = build(SCHEMA)
        generator.prepare_metadata(wanted, seed=8, steps=STEPS, weights=weights)
        return generator

    undisturbed, interrupted, resumed = begun(), begun(), begun()
    while not undisturbed.done:
        undisturbed.step()
    for _ in range(2):
        interrupted.step()
    save_checkpoint(tmp_path, *interrupted.training_state())
    resumed.restore(*load_checkpoint(tmp_path))
    while not resumed.done:
        resumed.step()
    found = undisturbed.sampling_weights()
    assert all(torch.equal(found[name], tensor) for name, tensor in resumed.sampling_weights().items())
    changed = {name for name, tensor in found.items() if not torch.equal(tensor, weights[name])}
    assert changed
    assert all(name.startswith(METADATA_NETS) for name in changed)
    lengths = np.full(60, 3)
    before = build(SCHEMA)
    before.load_sampling_weights(weights)
    undisturbed.load_sampling_weights(found)
    for given in [{"lengths": lengths}] if "length.memory" in found else [{"lengths": lengths}, {}]:
        first = before.sample_measurements(data.metadata, seed=4, **given)
        assert all(map(np.array_equal, undisturbed.sample_measurements(data.metadata, seed=4, **given), first))


@pytest.mark.slow
def test_an_interrupted_training_ends_in_the_same_weights(build, tmp_path: Path):
    assert_interruption_changes_nothing(build, STEPS, tmp_path)


def test_fine_tuning_starts_from_the_given_weights(build):
    data = random_series(60)
    seed_model = trained(build, data)
    weights = {name: tensor.clone() for name, tensor in seed_model.training_weights().items()}
    tuned = build(SCHEMA)
    tuned.prepare(random_series(40, seed=1), seed=4, steps=1, initial_weights=weights)
    assert all(torch.equal(weights[name], tensor) for name, tensor in tuned.training_weights().items())


def test_weights_that_do_not_fit_are_refused_in_one_line(build):
    data = random_series(60)
    weights = trained(build, data, steps=1).sampling_weights()
    other = Schema(SCHEMA.metadata[:2], SCHEMA.measurements, SCHEMA.max_length)
    with pytest.raises(TrainingError) as caught:
        build(other).load_sampling_weights(weights)
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainingError):
        build(SCHEMA).prepare(data, seed=1, steps=1, initial_weights={"nonsense": torch.zeros(1)})


def test_no_series_is_refused(build):
    with pytest.raises(TrainingError, match="series"):
        build(SCHEMA).prepare(random_series(0), seed=1, steps=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(random_series(1), id="one series"),
        pytest.param(random_series(5), id="fewer series than a batch"),
        pytest.param(random_series(40, longest=1), id="series of one record"),
        pytest.param(random_series(40, Schema(SCHEMA.metadata, SCHEMA.measurements, 1)), id="one record at most"),
        pytest.param(random_series(40, Schema(SCHEMA.metadata[3:4], SCHEMA.measurements[1:2], 10)), id="constants"),
        pytest.param(random_series(40, Schema(SCHEMA.metadata[2:3], SCHEMA.measurements[:1], 10)), id="numbers only"),
        pytest.param(
            random_series(40, Schema(SCHEMA.metadata[4:], SCHEMA.measurements[3:4], 10)), id="categories only"
        ),
    ],
)
def test_small_and_odd_data(build, data):
    assert_valid(trained(build, data, steps=3).sample(9, seed=1), 9)
