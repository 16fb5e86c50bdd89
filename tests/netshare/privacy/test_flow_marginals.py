"""Flows drawn from noisy counts: hosts, strata, times, and the arithmetic of tables they rest on."""

import numpy as np
import pytest

from netshare.privacy.counts.counting import CountingNoise, NoisyCounts
from netshare.privacy.counts.denoising import fitted_to_margins, merged, raked, systematic_sample
from netshare.privacy.counts.host_marginals import address_tables, find_hosts, host_tables, split_by_side
from netshare.privacy.counts.strata import LENGTH_GROUPS, network_pairs, stratum_of
from netshare.privacy.counts.time_marginals import COARSE_CELLS, PARTS_A_CELL, measure_times, time_tables
from netshare.privacy.noise import SeededRandomness


def counter(shares, noise, seed=0):
    return NoisyCounts(shares, CountingNoise(noise, 1.0, SeededRandomness(seed)))


def test_drawn_columns_come_as_often_as_their_shares_say():
    rng = np.random.default_rng(0)
    table, rows = rng.random((5, 12)) * (rng.random((5, 12)) < 0.5) + 1e-9, rng.integers(0, 5, 3000)
    found = np.zeros((5, 12))
    np.add.at(found, (rows, systematic_sample(table, rows, rng)), 1)
    expected = table / table.sum(axis=1, keepdims=True) * np.bincount(rows, minlength=5)[:, None]
    assert np.abs(found - expected).max() <= 1
    assert np.abs(np.corrcoef(np.arange(600), systematic_sample(table[:1], np.zeros(600, np.int64), rng))[0, 1]) < 0.2


def test_two_counts_are_better_than_one():
    rng = np.random.default_rng(0)
    exact = np.full(4000, 50.0)
    found, deviation = merged(
        (exact + 3 * rng.standard_normal(4000), 3.0), (exact + 4 * rng.standard_normal(4000), 4.0)
    )
    assert np.allclose(deviation, 2.4)  # 1 / sqrt(1/9 + 1/16)
    assert np.std(found - exact) == pytest.approx(2.4, rel=0.05)


def test_cells_below_the_noise_are_as_if_rows_and_columns_were_independent():
    rows, columns = np.array([600.0, 400.0]), np.array([500.0, 300.0, 150.0, 40.0, 10.0])
    rng, exact, errors = np.random.default_rng(0), np.outer(rows, columns) / 1000, []
    for _ in range(50):
        noisy = exact + 20 * rng.standard_normal((2, 5))
        found = raked(noisy, rows, columns, 20.0), raked(noisy, rows, columns)
        assert np.allclose(found[0].sum(axis=1), rows) and np.allclose(found[0].sum(axis=0), columns, rtol=1e-2)
        errors.append([np.abs(each - exact).sum() for each in found])
    assert np.mean(errors, axis=0)[0] < 0.8 * np.mean(errors, axis=0)[1]
    dependent = np.array([[500.0, 0, 100, 0, 0], [0, 300, 50, 40, 10]])
    assert np.abs(raked(dependent, rows, columns, 20.0) - dependent).max() < 15  # clear evidence stays


def test_joined_tables_have_both_margins():
    rng = np.random.default_rng(0)
    exact = rng.integers(1, 50, (3, 4, 6)).astype(float)
    found = fitted_to_margins(exact.sum(axis=1), exact.sum(axis=0), exact.sum(axis=2))
    assert np.allclose(found.sum(axis=1), exact.sum(axis=1), rtol=0.01)
    assert np.allclose(found.sum(axis=0), exact.sum(axis=0), rtol=0.01)
    assert np.allclose(found.sum(axis=2), exact.sum(axis=2), rtol=1e-6)


def test_pairs_of_networks_keep_what_lengths_each_network_has():
    rng = np.random.default_rng(0)
    exact = rng.integers(1, 60, (3, len(LENGTH_GROUPS), 4, 5)).astype(float)
    sides = exact.sum(axis=3).reshape(-1, 4), exact.sum(axis=2).reshape(-1, 5)
    found = network_pairs(exact.sum(axis=1).reshape(3, -1), sides, exact.sum(axis=(2, 3))).reshape(exact.shape)
    assert np.allclose(found.sum(axis=(0, 3)), exact.sum(axis=(0, 3)), rtol=0.02)
    assert np.allclose(found.sum(axis=(0, 2)), exact.sum(axis=(0, 2)), rtol=0.02)
    assert np.allclose(found.sum(axis=(2, 3)), exact.sum(axis=(2, 3)), rtol=1e-6)
    assert stratum_of(np.array([0, 1, 2]), np.array([1, 16, 10**6])).tolist() == [0, 5, 11]


def test_hosts_are_found_by_what_they_have_at_both_ends():
    """Of 40 flows that one host sends and 40 that it gets, neither is clear of the noise, but both together are."""
    rng, host, other = np.random.default_rng(0), 0x0A000105, 0x0A000207
    strangers = rng.integers(0x0B000000, 0xE0000000, 4000)
    source = np.r_[np.full(40, host), strangers[:40], np.full(900, other), strangers[940:1900]]
    target = np.r_[strangers[40:80], np.full(40, host), strangers[1900:2800], strangers[2800:3760]]
    tables = address_tables() | host_tables("src") | host_tables("dst")
    times, near = 0, []
    for seed in range(20):
        noisy = counter(tables, 4.0, seed)
        assert 3.8 * noisy.deviation("address, digit 4") * np.sqrt(2) > 40
        units = np.arange(len(source))
        found = find_hosts([source, target], units, noisy, float(len(source)))
        assert other in found.values
        sides = split_by_side(found, [source, target], units, noisy, float(len(source)))
        of_other = [dict(zip(side.values, side.counts, strict=True)).get(other, 0) for side in sides]
        near.append(of_other)
        times += host in found.values
        assert all(side.total == pytest.approx(len(source), rel=0.05) for side in sides)
    assert times > 10
    assert np.abs(np.mean(near, axis=0) - [900, 0]).max() < 30


def test_little_traffic_between_bursts_is_noticed():
    """A burst of 9,000 flows, and 100 flows in an eighth of the window: hidden cell by cell, clear together."""
    rng, cell = np.random.default_rng(0), 10**6
    width = cell * COARSE_CELLS * PARTS_A_CELL
    burst, quiet = rng.integers(int(0.97 * width), width, 9000), rng.integers(int(0.5 * width), int(0.625 * width), 100)
    start = np.r_[burst, quiet]
    kept, elsewhere = [], []
    for seed in range(10):
        times = measure_times(
            start, start, np.ones(len(start), np.int64), np.arange(len(start)), counter(time_tables(), 2.5, seed),
            total=float(len(start)), of_several=0.0, width=width,
        )  # fmt: skip
        made = times.starts(np.zeros(len(start), np.int64), rng)
        kept.append(np.mean((made > 0.45 * width) & (made < 0.67 * width)) * len(start))
        elsewhere.append(np.mean(made < 0.4 * width) * len(start))
    assert np.mean(kept) == pytest.approx(100, abs=25)
    assert np.mean(elsewhere) < 25
