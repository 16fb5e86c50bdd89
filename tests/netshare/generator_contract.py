"""What the contract tests of generators and of baselines share: made-up series of all kinds of columns, and what must hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netshare.generators.base import Generator
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.training.checkpoint import load_checkpoint, save_checkpoint

Build = Callable[[Schema], Generator]
SCHEMA = Schema(
    metadata=(
        Column("src_ip.bit0", "src_ip", "categorical", 2),
        Column("src_ip.bit1", "src_ip", "categorical", 2),
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


def trained(build: Build, data: Encoded, steps: int, **arguments: Any) -> Generator:
    """A generator trained to its end; its losses are finite."""
    generator = build(data.schema)
    generator.prepare(data, seed=3, steps=steps, **arguments)
    while not generator.done:
        assert np.isfinite(list(generator.step().values())).all()
    return generator


def assert_valid(encoded: Encoded, n: int) -> None:
    """`n` series with the dtypes, ranges and lengths of their schema."""
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
    """Equal in every value."""
    assert np.array_equal(first.metadata, second.metadata)
    assert np.array_equal(first.measurements, second.measurements)
    assert np.array_equal(first.offsets, second.offsets)


def assert_interruption_changes_nothing(build: Build, steps: int, folder: Path) -> None:
    """Half of a training, saved, loaded into a new generator and finished there, ends in the same weights."""
    data = random_series(60)
    undisturbed = trained(build, data, steps)
    first = build(SCHEMA)
    first.prepare(data, seed=3, steps=steps)
    while not first.done and first.steps_done < steps // 2:
        first.step()
    save_checkpoint(folder, *first.training_state())
    torch.manual_seed(123)
    resumed = build(SCHEMA)
    resumed.prepare(data, seed=3, steps=steps)
    resumed.restore(*load_checkpoint(folder))
    assert resumed.steps_done == first.steps_done
    while not resumed.done:
        resumed.step()
    for weights in ("sampling_weights", "training_weights"):
        expected, found = getattr(undisturbed, weights)(), getattr(resumed, weights)()
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
