"""Every baseline keeps the generators' contract, on a small real trace and on made-up series of all kinds of columns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from netshare.baselines import BASELINES, Method
from netshare.baselines.rows import cut_rows
from netshare.postprocess.assemble import assemble
from netshare.preprocess import read_trace
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import TrainingError
from netshare.preprocess.flows import group_flows
from netshare.training.checkpoint import save_tensors
from netshare.training.loop import load_weights
from tests.netshare.generator_contract import (
    SCHEMA,
    assert_interruption_changes_nothing,
    assert_same,
    assert_valid,
    random_series,
)
from tests.netshare.generator_contract import trained as trained_for

STEPS = 4
every_method = pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES.keys())


def trained(method: Method, data: Encoded, steps: int = STEPS):
    return trained_for(method.create, data, steps)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@every_method
def test_an_interrupted_training_ends_in_the_same_weights(method, tmp_path: Path):
    assert_interruption_changes_nothing(method.create, STEPS, tmp_path)


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
