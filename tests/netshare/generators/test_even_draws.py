"""Numbers spread evenly over rows: uniform for each row, independent of one another between columns, and with little
left to chance in what they add up to."""

from __future__ import annotations

import numpy as np
import torch

from netshare.generators.autoregressive.even_draws import EvenDraws
from netshare.generators.autoregressive.generator import AutoregressiveGenerator
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.preprocess.encoded import Column, Schema

ROWS = 2000


def drawn(seed: int, *, columns: int = 3, batches: int = 1, known: int = 5) -> np.ndarray:
    """float32[batches * ROWS, columns]: numbers of rows whose tokens so far are known before each column."""
    even = EvenDraws(columns, torch.Generator().manual_seed(seed))
    tokens = np.random.default_rng(seed)
    parts = []
    for _ in range(batches):
        batch, numbers = even.batch(ROWS), []
        for column in range(columns):
            batch.know(torch.from_numpy(tokens.integers(0, known, ROWS)))
            numbers.append(batch.uniform(column).numpy())
        parts.append(np.stack(numbers, axis=1))
    return np.concatenate(parts)


def test_every_row_has_uniform_numbers():
    first = np.array([drawn(seed)[7] for seed in range(300)])
    for column in first.T:
        deciles = np.bincount((column * 10).astype(int), minlength=10)
        assert ((deciles - 30) ** 2 / 30).sum() < 27.9  # chi-squared, 9 degrees of freedom: one in a thousand
    assert np.abs(np.corrcoef(first.T) - np.eye(3)).max() < 0.2


def test_a_rare_event_comes_up_as_often_as_it_should_over_all_batches():
    for seed in range(20):
        rare = (drawn(seed, batches=4)[:, 1] > 0.999).sum()
        assert 7 <= rare <= 9  # of 8,000; drawn one by one, 8 give or take 2.8


def test_rows_alike_share_the_numbers_evenly():
    even = EvenDraws(1, torch.Generator().manual_seed(0))
    batch, groups = even.batch(ROWS), np.random.default_rng(0).integers(0, 10, ROWS)
    batch.know(torch.from_numpy(groups))
    numbers = batch.uniform(0).numpy()
    small = np.bincount(groups, numbers < 0.1, 10) / np.bincount(groups)
    assert np.abs(small - 0.1).max() < 0.02  # drawn one by one: 0.1 give or take 0.02, so that some are further off


def test_columns_are_independent_of_one_another():
    for seed in range(5):
        numbers = drawn(seed, columns=4, known=10_000)  # no two rows are alike, so that their order stays
        cells = (numbers * 8).astype(int)
        for one in range(4):
            for other in range(one):
                counts = np.histogram2d(cells[:, one], cells[:, other], bins=8)[0]
                assert np.abs(counts / ROWS * 64 - 1).max() < 0.7  # 31 rows a cell


def test_the_same_seed_gives_the_same_numbers_and_another_others():
    assert np.array_equal(drawn(3), drawn(3))
    assert not np.array_equal(drawn(3), drawn(4))


def test_only_the_rows_asked_for_get_numbers():
    even = EvenDraws(2, torch.Generator().manual_seed(0))
    batch, rows = even.batch(100), torch.tensor([3, 50, 51, 99])
    numbers = batch.uniform(0, rows)
    assert numbers.shape == (4,)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert even.batch(0).uniform(1).shape == (0,)


def test_a_sample_strays_less_from_the_model_than_independent_draws():
    schema = Schema(
        (Column("a", "a", "categorical", 4), Column("b", "b", "categorical", 3)),
        (Column("x", "x", "categorical", 2),),
        2,
    )
    generator = AutoregressiveGenerator(schema, AutoregressiveSettings(recall=False))
    shares = np.array(
        [
            np.bincount(generator.sample_metadata(1000, seed=seed)[:, 0].astype(int), minlength=4) / 1000
            for seed in range(40)
        ]
    )
    chance = np.sqrt(shares.mean(0) * (1 - shares.mean(0)) / 1000)
    assert (shares.std(0) < chance / 3).all()
