"""Every generator keeps the contract of `netshare/generators/base.py`; a new one is one line in GENERATORS."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from netshare.generators.autoregressive import AutoregressiveGenerator, AutoregressiveSettings
from netshare.generators.base import Generator, metadata_only
from netshare.generators.doppelganger import DoppelGANger, DoppelGANgerSettings
from netshare.training.checkpoint import load_checkpoint, save_checkpoint
from preprocess.encoded import Column, Encoded, Schema
from preprocess.errors import FieldError, TrainingError

SMALL = {"batch_size": 16, "metadata_units": 16, "lstm_units": 12, "critic_units": 16, "critic_layers": 2}

GENERATORS: dict[str, Callable[[Schema], Generator]] = {
    "doppelganger": lambda schema: DoppelGANger(schema, DoppelGANgerSettings(**SMALL)),
    "doppelganger-ranges": lambda schema: DoppelGANger(
        schema,
        DoppelGANgerSettings(auto_normalize=True, records_per_pass=3, discretize="argmax", critic_rounds=2, **SMALL),
    ),
    "doppelganger-packed": lambda schema: DoppelGANger(
        schema, DoppelGANgerSettings(packing=3, lstm_initial_state="metadata", records_per_pass=2, **SMALL)
    ),
    "autoregressive": lambda schema: AutoregressiveGenerator(
        schema, AutoregressiveSettings(batch_records=64, batch_series=16, window_records=4, burn_in_records=2)
    ),
}

SCHEMA = Schema(
    metadata=(
        Column("address.bit0", "address", "categorical", 2),
        Column("address.bit1", "address", "categorical", 2),
        Column("port.0", "port", "continuous"),
        Column("only", "only", "categorical", 1),
        Column("protocol", "protocol", "categorical", 4),
        Column("label", "label", "categorical", 4),
    ),
    measurements=(
        Column("size", "size", "continuous"),
        Column("constant", "constant", "continuous"),
        Column("flag", "flag", "categorical", 2),
        Column("kind", "kind", "categorical", 3),
        Column("size.gated", "size", "continuous", 0, "kind", (1,)),
    ),
    max_length=10,
)
STEPS = 6

pytestmark = pytest.mark.parametrize("build", GENERATORS.values(), ids=GENERATORS.keys())


def random_series(n: int, schema: Schema = SCHEMA, *, longest: int | None = None, seed: int = 0) -> Encoded:
    """Series of random values that are valid by `schema`."""
    random = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(random.integers(1, (longest or schema.max_length) + 1, n))])

    def values(columns: tuple[Column, ...], rows: int) -> np.ndarray:
        drawn = [random.integers(c.cardinality, size=rows) if c.cardinality else random.random(rows) for c in columns]
        array = np.stack(drawn, 1).astype(np.float32)
        for i, column in enumerate(columns):
            if column.name == "constant":
                array[:, i] = 0.25
            if column.gate is not None:
                gate = [other.name for other in columns].index(column.gate)
                array[~np.isin(array[:, gate], column.gate_values), i] = 0
        return array

    return Encoded(values(schema.metadata, n), values(schema.measurements, int(offsets[-1])), offsets, schema)


def trained(build: Callable[[Schema], Generator], data: Encoded, steps: int = STEPS, **arguments) -> Generator:
    generator = build(data.schema)
    generator.prepare(data, seed=3, steps=steps, **arguments)
    while not generator.done:
        generator.step()
    return generator


def assert_valid(encoded: Encoded, n: int) -> None:
    schema = encoded.schema
    assert encoded.metadata.shape == (n, len(schema.metadata))
    assert encoded.measurements.shape == (encoded.offsets[-1], len(schema.measurements))
    assert encoded.metadata.dtype == encoded.measurements.dtype == np.float32
    assert encoded.offsets.dtype == np.int64
    assert encoded.offsets[0] == 0
    assert n == 0 or (encoded.lengths.min() >= 1 and encoded.lengths.max() <= schema.max_length)
    for columns, array in ((schema.metadata, encoded.metadata), (schema.measurements, encoded.measurements)):
        for i, column in enumerate(columns):
            if column.kind == "categorical":
                assert set(np.unique(array[:, i])) <= set(range(column.cardinality)), column.name
            else:
                assert np.all((array[:, i] >= 0) & (array[:, i] <= 1)), column.name


def assert_same(first: Encoded, second: Encoded) -> None:
    assert np.array_equal(first.metadata, second.metadata)
    assert np.array_equal(first.measurements, second.measurements)
    assert np.array_equal(first.offsets, second.offsets)


def test_samples_are_valid_and_as_many_as_asked(build):
    generator = trained(build, random_series(60))
    for n in (0, 1, 137):
        assert_valid(generator.sample(n, seed=1), n)


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


def test_an_interrupted_training_ends_in_the_same_weights(build, tmp_path: Path):
    data = random_series(60)
    undisturbed = trained(build, data)
    first = build(SCHEMA)
    first.prepare(data, seed=3, steps=STEPS)
    for _ in range(STEPS // 2):
        first.step()
    save_checkpoint(tmp_path, *first.training_state())
    torch.manual_seed(123)
    resumed = build(SCHEMA)
    resumed.prepare(data, seed=3, steps=STEPS)
    resumed.restore(*load_checkpoint(tmp_path))
    assert resumed.steps_done == STEPS // 2
    while not resumed.done:
        resumed.step()
    for weights in ("sampling_weights", "training_weights"):
        expected, found = getattr(undisturbed, weights)(), getattr(resumed, weights)()
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)


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
