"""What makes sampling fast changes nothing of what is drawn: other matrix products, padded batches, threads."""

import numpy as np
import pytest
import torch

from netshare.generators.autoregressive.columns_net import ColumnsNet
from netshare.generators.autoregressive.dense import LEAST_ROWS, batch_sizes, gru_cell, linear, linear_relu
from netshare.generators.autoregressive.generator import AutoregressiveGenerator
from netshare.generators.autoregressive.networks import Condition
from netshare.generators.autoregressive.record_sampling import BLOCK_SERIES
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.autoregressive.tokens import TokenLayout
from netshare.preprocess.encoded import Column, Encoded, Schema

SCHEMA = Schema(
    metadata=(Column("class", "class", "categorical", 3), Column("level", "level", "continuous")),
    measurements=(
        Column("kind", "kind", "categorical", 5, positions=(0.0, 0.1, 0.3, 0.6, 1.0)),
        Column("size", "size", "continuous", 0, "kind", (1, 2)),
        Column("only", "only", "categorical", 1, "kind", (3,)),
    ),
    max_length=9,
)


def hardly_trained() -> AutoregressiveGenerator:
    """After a step on series of random values."""
    random, offsets = np.random.default_rng(0), np.arange(61) * 4
    kind = random.integers(0, 5, 240)
    size, only = np.where((kind == 1) | (kind == 2), random.random(240), 0), np.zeros(240)
    metadata = np.stack([random.integers(0, 3, 60), random.random(60)], 1).astype(np.float32)
    records = np.stack([kind, size, only], 1).astype(np.float32)
    generator = AutoregressiveGenerator(SCHEMA)
    generator.prepare(Encoded(metadata, records, offsets, SCHEMA), seed=0, steps=1)
    generator.step()
    return generator


@pytest.mark.parametrize("rows", [1, LEAST_ROWS - 1, LEAST_ROWS, 300])
def test_products_are_torchs_own(rows):
    torch.manual_seed(rows)
    x, state = torch.randn(rows, 24), torch.randn(rows, 16)
    gru, layer = torch.nn.GRUCell(24, 16), torch.nn.Linear(24, 7)
    weights = [gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh]
    with torch.inference_mode():
        assert torch.allclose(linear(x, layer.weight, layer.bias), layer(x), atol=1e-5)
        assert torch.allclose(linear(x, layer.weight, None), layer(x) - layer.bias, atol=1e-5)
        assert torch.allclose(linear_relu(x, layer.weight, layer.bias), torch.relu(layer(x)), atol=1e-5)
        assert torch.allclose(gru_cell(x, state, weights), gru(x, state), atol=1e-5)


@pytest.mark.parametrize("most", [1, 63, 64, 65, 2048, 16_384])
def test_batch_sizes_suffice_and_are_few(most):
    rows = np.arange(1, most + 1)
    sizes = batch_sizes(rows, most)
    assert np.all(sizes >= rows)
    assert np.all(sizes <= np.minimum(most, np.maximum(rows * 1.3, LEAST_ROWS)))
    assert len(np.unique(sizes[sizes >= LEAST_ROWS])) <= 30


def test_threads_change_nothing():
    generator = hardly_trained()
    metadata = generator.sample_metadata(2 * BLOCK_SERIES + 100, seed=1)
    drawn = []
    for threads in (1, 3):
        generator.sampling_threads = threads
        drawn.append(generator.sample_measurements(metadata, seed=2))
    assert np.array_equal(drawn[0][0], drawn[1][0])
    assert np.array_equal(drawn[0][1], drawn[1][1])


def test_blocks_have_random_numbers_of_their_own():
    generator = hardly_trained()
    lengths = np.full(2 * BLOCK_SERIES, 2)
    drawn, _ = generator.sample_measurements(np.zeros((len(lengths), 2), np.float32), seed=2, lengths=lengths)
    assert not np.array_equal(drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :])


def test_metadata_logits_are_those_of_evaluation():
    net = ColumnsNet(TokenLayout(SCHEMA.metadata, 8), AutoregressiveSettings()).eval()
    with torch.inference_mode():
        for column in net.columns.values():
            before = torch.zeros(100, 0 if column is net.columns["0"] else 1, dtype=torch.int64)
            assert torch.allclose(column.sampling_logits(before), column(before), atol=1e-5)


def test_columns_without_dropout_count_once_in_the_condition():
    layout = TokenLayout(SCHEMA.metadata, 8)
    condition = Condition(layout, AutoregressiveSettings(column_dropout=0.9))
    tokens = layout.encode(torch.rand(50, 2))
    known = condition.table(layout.numbered(tokens)).sum(1)
    assert torch.allclose(condition.table.total(layout.numbered(tokens), torch.ones(50, 2)), known, atol=1e-6)
    assert torch.equal(condition.eval()(tokens), condition(tokens))
