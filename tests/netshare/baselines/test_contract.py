"""Every baseline keeps the generators' contract, on a small real trace and on made-up series of all kinds of columns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from netshare.baselines import BASELINES, Method
from netshare.baselines.rows import cut_rows
from netshare.training.checkpoint import load_checkpoint, save_checkpoint, save_tensors
from netshare.training.trainer import load_weights
from postprocess.assemble import assemble
from preprocess import read_trace
from preprocess.chunks import cut_series, plan_chunks
from preprocess.codec import Codec
from preprocess.encoded import Column, Encoded, Schema
from preprocess.errors import TrainingError
from preprocess.flows import group_flows

SCHEMA = Schema(
    metadata=(
        Column("src_ip.bit0", "src_ip", "categorical", 2),
        Column("src_ip.bit1", "src_ip", "categorical", 2),
        Column("port.0", "port", "continuous"),
        Column("only", "only", "categorical", 1),
        Column("protocol", "protocol", "categorical", 4),
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
STEPS = 4
every_method = pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES.keys())


def random_series(n: int, schema: Schema = SCHEMA, *, longest: int | None = None) -> Encoded:
    random = np.random.default_rng(0)
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


def trained(method: Method, data: Encoded, steps: int = STEPS):
    generator = method.create(data.schema)
    generator.prepare(data, seed=3, steps=steps)
    while not generator.done:
        assert np.isfinite(list(generator.step().values())).all()
    return generator


def assert_valid(encoded: Encoded, n: int) -> None:
    schema = encoded.schema
    assert encoded.metadata.shape == (n, len(schema.metadata))
    assert encoded.measurements.shape == (encoded.offsets[-1], len(schema.measurements))
    assert encoded.metadata.dtype == encoded.measurements.dtype == np.float32
    assert encoded.offsets.dtype == np.int64
    assert n == 0 or (encoded.lengths.min() >= 1 and encoded.lengths.max() <= schema.max_length)
    for columns, array in ((schema.metadata, encoded.metadata), (schema.measurements, encoded.measurements)):
        for i, column in enumerate(columns):
            if column.kind == "categorical":
                assert set(np.unique(array[:, i])) <= set(range(column.cardinality)), column.name
            else:
                assert np.all((array[:, i] >= 0) & (array[:, i] <= 1)), column.name


def assert_same(first: Encoded, second: Encoded) -> None:
    for name in ("metadata", "measurements", "offsets"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


@every_method
def test_fits_a_real_trace_and_samples_a_valid_one_again(method, sample_capture):
    trace = read_trace([str(sample_capture)], limit=400).sorted_by_time()
    plan = plan_chunks(trace["time"], count=1)
    table = cut_rows(trace, plan)
    if not method.single_records:
        table = cut_series(trace, group_flows(trace), plan, max_records_per_segment=20)[0]
    codec = Codec.fit([table], encodings=method.encodings)
    generator = trained(method, codec.encode(table), steps=2)
    sample = generator.sample(50, seed=1)
    assert_valid(sample, 50)
    made = assemble({0: codec.decode(sample, seed=1)}, plan)
    assert made.kind == "packet"
    assert made["time"].min() >= plan.start and made["time"].max() < plan.start + plan.width
    assert len(made) >= 50


@every_method
def test_samples_are_valid_repeatable_and_as_many_as_asked(method):
    generator = trained(method, random_series(60))
    for n in (0, 1, 37):
        assert_valid(generator.sample(n, seed=1), n)
    first = generator.sample(40, seed=5)
    torch.manual_seed(99)
    torch.rand(3)
    assert_same(first, generator.sample(40, seed=5))
    assert not np.array_equal(first.metadata, generator.sample(40, seed=6).metadata)
    assert_same(first, trained(method, random_series(60)).sample(40, seed=5))


@every_method
def test_a_saved_model_samples_the_same(method, tmp_path: Path):
    generator = trained(method, random_series(60))
    save_tensors(tmp_path / "model.safetensors", generator.sampling_weights())
    loaded = method.create(SCHEMA)
    loaded.load_sampling_weights(load_weights(tmp_path / "model.safetensors"))
    assert_same(generator.sample(30, seed=2), loaded.sample(30, seed=2))


@every_method
def test_measurements_follow_given_metadata(method):
    data = random_series(60)
    measurements, offsets = trained(method, data).sample_measurements(data.metadata[:17], seed=1)
    assert_valid(Encoded(data.metadata[:17], measurements, offsets, SCHEMA), 17)


@every_method
def test_an_interrupted_training_ends_in_the_same_weights(method, tmp_path: Path):
    data = random_series(60)
    undisturbed = trained(method, data)
    first = method.create(SCHEMA)
    first.prepare(data, seed=3, steps=STEPS)
    for _ in range(STEPS // 2):
        if not first.done:
            first.step()
    save_checkpoint(tmp_path, *first.training_state())
    torch.manual_seed(123)
    resumed = method.create(SCHEMA)
    resumed.prepare(data, seed=3, steps=STEPS)
    resumed.restore(*load_checkpoint(tmp_path))
    while not resumed.done:
        resumed.step()
    expected, found = undisturbed.sampling_weights(), resumed.sampling_weights()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@every_method
def test_what_cannot_be_learnt_from_or_loaded_is_refused_in_one_line(method):
    with pytest.raises(TrainingError, match="series"):
        method.create(SCHEMA).prepare(random_series(0), seed=1, steps=1)
    weights = trained(method, random_series(60), steps=1).sampling_weights()
    with pytest.raises(TrainingError, match="scratch"):
        method.create(SCHEMA).prepare(random_series(5), seed=1, steps=1, initial_weights=weights)
    other = Schema(SCHEMA.metadata[:2], SCHEMA.measurements[2:4], SCHEMA.max_length)
    for wrong in (weights, {"nonsense": torch.zeros(1)}):
        with pytest.raises(TrainingError) as caught:
            method.create(other).load_sampling_weights(wrong)
        assert "\n" not in str(caught.value)


@every_method
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(random_series(1), id="one series"),
        pytest.param(random_series(40, Schema(SCHEMA.metadata, SCHEMA.measurements, 1)), id="one record at most"),
        pytest.param(random_series(9, Schema(SCHEMA.metadata[3:4], SCHEMA.measurements[1:2], 10)), id="constants"),
        pytest.param(random_series(9, Schema(SCHEMA.metadata[2:3], SCHEMA.measurements[:1], 10)), id="numbers only"),
        pytest.param(random_series(9, Schema(SCHEMA.metadata[4:], SCHEMA.measurements[3:4], 10)), id="categories only"),
    ],
)
def test_small_and_odd_data(method, data):
    assert_valid(trained(method, data, steps=2).sample(9, seed=1), 9)
