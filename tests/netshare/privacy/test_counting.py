"""Noisy histograms: what one unit can change, how much noise is added, and what is made of the counts."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, chi2

from netshare.preprocess import read_trace
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.flows import group_flows
from netshare.privacy.counts import CountingNoise, Window, draw_private_table, private_table, tables_of
from netshare.privacy.counts.counting import MARGIN, Grid, NoisyCounts, clipped_sum
from netshare.privacy.counts.denoising import bursty, projected, raked, smoothed
from netshare.privacy.counts.flow_marginals import FlowColumns, flow_tables, measure_flows
from netshare.privacy.counts.posterior import fitted_names, fitted_numbers, posterior
from netshare.privacy.counts.time_marginals import COARSE_CELLS, Times, placed_cells
from netshare.privacy.counts.tries import Trie, TrieSearch, count_trie, trie_tables
from netshare.privacy.noise import SecureRandomness, SeededRandomness
from netshare.privacy.units import UnitBounds, bounded


def counts(shares, noise=1.0, bound=1.0, randomness=None):
    return NoisyCounts(shares, CountingNoise(noise, bound, randomness or SeededRandomness(1)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_unit_changes_a_table_by_no_more_than_the_bound(data):
    n = data.draw(st.integers(1, 40))
    entries = st.lists(st.integers(0, 6), min_size=n, max_size=n)
    cells, units = np.array(data.draw(entries)), np.array(data.draw(entries))
    weights = np.array(data.draw(st.lists(st.floats(0, 5), min_size=n, max_size=n)))
    on = {"bound": data.draw(st.floats(0.1, 4)), "norm": data.draw(st.integers(1, 2**31))}
    whole = clipped_sum(cells, 7, units, weights, **on)
    for unit in np.unique(units):
        without = clipped_sum(cells[units != unit], 7, units[units != unit], weights[units != unit], **on)
        assert sum(int(d) ** 2 for d in whole - without) <= on["norm"] ** 2  # whole numbers, so nothing is rounded here


@given(st.integers(1, 60), st.integers(3, 2**31))
def test_rounding_to_the_grid_takes_next_to_nothing_from_a_unit(cells, norm):
    """Entries whose norm is the bound stay whole but for a step and a half each."""
    found = clipped_sum(np.arange(cells), cells, np.zeros(cells, int), np.full(cells, 9.0), bound=1.0, norm=norm)
    assert np.abs(found - norm / np.sqrt(cells)).max() <= 1.5 + 1e-6


@pytest.mark.parametrize("ratio", [1e-12, 1e-3, 0.3, 1.0, 7.7, 5e4, 2.0**24 * 0.9])
def test_a_grid_has_at_least_the_noise_that_was_asked_for_and_hardly_more(ratio):
    grid = Grid.of(ratio)
    assert 0 <= grid.exponent <= 24 and 1 <= grid.norm <= 2**31
    assert Fraction(2**grid.exponent, grid.norm) >= Fraction(ratio)
    if 1e-9 < ratio < 1e5:
        assert 2**grid.exponent / grid.norm < ratio * (1 + 2e-6 + 2 / grid.norm)


def test_noise_that_leaves_nothing_is_refused():
    with pytest.raises(ConfigError, match="raise epsilon"):
        counts({"a": 1.0}, noise=1e9).count("a", np.zeros(1, int), 2, np.zeros(1, int))
    with pytest.raises(ConfigError, match="max_flows_per_unit"):
        counts({"a": 1.0}, noise=1e3).release("a", np.zeros(2, int), sensitivity=1e6)


@pytest.mark.parametrize("sensitivity", [1.0, np.sqrt(2), 11.3])
def test_a_noisy_count_is_a_whole_number_of_steps_whether_a_unit_is_there_or_not(sensitivity):
    shares, noise = {"a": 1.0, "b": 2.5}, 3.7
    grid = counts(shares, noise).grid("b")
    step = 1 / np.floor(grid.norm / sensitivity * MARGIN)
    for units in (0, 1):
        values = np.full(5000, units)
        noisy = counts(shares, noise).release("b", values, sensitivity=sensitivity)
        assert (noisy == np.rint(noisy / step) / np.rint(1 / step)).all()
        entries = np.flatnonzero(values)
        summed = counts(shares, noise).count("b", entries, 5000, entries)
        assert (summed == np.rint(summed * grid.norm) * (1 / grid.norm)).all()


class Transcript(NoisyCounts):
    """Keeps the exact vectors, in steps of the grid, and answers with given ones, whatever the exact ones are."""

    def __init__(self, shares, bound, answers=None):
        super().__init__(shares, CountingNoise(1.0, bound, SeededRandomness(0)))
        self.exact, self.answers = {}, answers

    def _release(self, table, exact):
        self.exact[table] = exact
        return self.answers[table] if self.answers else super()._release(table, exact)

    def signal(self, other):
        """How far two runs that saw the same answers are apart, in standard deviations of the noise."""
        squares = [
            ((self.exact[t] - other.exact[t]).astype(float) ** 2).sum() / 4.0 ** self.grid(t).exponent
            for t in self.exact
        ]
        return float(np.sqrt(sum(squares)))


def some_flows(rng, n, hosts=20):
    start = rng.integers(0, 10**9, n)
    return FlowColumns(
        version=np.where(rng.random(n) < 0.9, 4, 6),
        protocol=rng.choice([6, 17, 1], n),
        addresses={side: rng.integers(0, hosts, n) * 70_000 + (10 << 24) for side in ("src", "dst")},
        ports={side: rng.choice([53, 80, 443, 0, 50_001, 50_002], n) for side in ("src", "dst")},
        start=start,
        end=rng.integers(start, 10**9),
        length=rng.integers(1, 9, n),
        units=np.arange(n),
    )


def without(flows, unit):
    keep = flows.units != unit
    kept = {name: getattr(flows, name)[keep] for name in ("version", "protocol", "start", "end", "length", "units")}
    return replace(
        flows, **kept, addresses={s: v[keep] for s, v in flows.addresses.items()},
        ports={s: v[keep] for s, v in flows.ports.items()},
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("flows_of_unit", [1, 4])
def test_a_unit_changes_all_that_is_counted_of_flows_by_no_more_than_is_accounted_for(seed, flows_of_unit):
    """Along the same transcript of answers, as in the proof of adaptive composition."""
    rng = np.random.default_rng(seed)
    flows = some_flows(rng, 120)
    if flows_of_unit > 1:  # as if each unit were a host: the same source in all its flows
        source = flows.addresses["src"][np.arange(120) // flows_of_unit]
        flows = replace(
            flows, addresses={**flows.addresses, "src": source}, units=np.arange(120) // flows_of_unit
        )  # fmt: skip
    bound = np.sqrt(flows_of_unit)
    one = Transcript(flow_tables(), bound)
    answers = {}
    release = one._release
    one._release = lambda table, exact: answers.setdefault(table, release(table, exact))
    measure_flows(flows, one, width=10**9, max_records=16)
    assert set(one.exact) <= set(flow_tables())
    for unit in (0, 7, 29):
        other = Transcript(flow_tables(), bound, answers)
        measure_flows(without(flows, unit), other, width=10**9, max_records=16)
        assert set(other.exact) == set(one.exact)
        assert 0 < one.signal(other) <= 1  # in units of 1 / noise multiplier


@pytest.mark.parametrize("kind", ["flow", "packet"])
def test_a_flow_changes_all_tables_together_by_no_more_than_is_accounted_for(
    kind, sample_netflow, sample_capture, monkeypatch
):
    """The whole measurement of a trace, as a run makes it: with and without one flow, along the same transcript."""
    path, key = (sample_netflow, "unidirectional") if kind == "flow" else (sample_capture, "bidirectional")
    trace = read_trace(path, limit=1500)
    window = Window(int(trace["time"].min()), int(np.ptp(trace["time"])) + 1)
    trace = bounded(trace, window.plan, UnitBounds(key, 20))
    flows, answers, seen = group_flows(trace, key), {}, []

    def counter(shares, _):
        seen.append(Transcript(shares, 1.0, dict(answers) or None))
        if not answers:
            release = seen[-1]._release
            seen[-1]._release = lambda table, exact: answers.setdefault(table, release(table, exact))
        return seen[-1]

    monkeypatch.setattr(private_table, "NoisyCounts", counter)
    for gone in (None, 0, int(flows.lengths.argmax()), len(flows) - 1):
        rows = [] if gone is None else flows.order[flows.offsets[gone] : flows.offsets[gone + 1]]
        rest = trace.take(np.setdiff1d(np.arange(len(trace)), rows))
        noise = CountingNoise(1.0, 1.0, SeededRandomness(0))
        draw_private_table(rest, trace, window=window, bounds=UnitBounds(key, 20), noise=noise, seed=1)
    assert set(seen[0].exact) <= set(tables_of(kind, list(trace)))
    for other in seen[1:]:
        assert 0.3 < seen[0].signal(other) <= 1


def test_all_tables_together_have_the_noise_that_was_asked_for():
    shares = {"a": 1.0, "b": 0.25, "c": 3.0}
    found = counts(shares, noise=1.7, bound=2.0)
    assert sum((2.0 / found.deviation(t)) ** 2 for t in shares) == pytest.approx(1 / 1.7**2, rel=1e-5)


@pytest.mark.parametrize("source", [SeededRandomness(3), SecureRandomness()])
def test_the_noise_has_the_standard_deviation_that_is_said(source):
    counter = counts({"a": 1.0, "b": 2.0}, noise=1.3, randomness=source)
    noise = counter.count("b", np.zeros(0, int), 20_000, np.zeros(0, int)) / counter.deviation("b")
    low, high = chi2.ppf([5e-5, 1 - 5e-5], len(noise)) / len(noise)  # wrong once in 10,000 runs
    assert low < np.mean(noise**2) < high


def test_a_table_is_counted_once():
    counter = counts({"a": 1.0})
    counter.count("a", np.zeros(1, int), 2, np.zeros(1, int))
    with pytest.raises(RuntimeError, match="counted before"):
        counter.count("a", np.zeros(1, int), 2, np.zeros(1, int))
    with pytest.raises(KeyError):
        counter.deviation("not declared")


@given(st.lists(st.floats(-50, 200), min_size=1, max_size=30), st.floats(1, 500))
def test_projection_gives_counts(noisy, total):
    found = projected(np.array(noisy), total)
    assert (found >= 0).all() and found.sum() == pytest.approx(total)


def test_next_to_nothing_is_projected_to_next_to_nothing():
    assert np.abs(projected(np.array([100.0, 3.0]), 1e-200)).sum() == pytest.approx(0)


def test_projection_leaves_counts_alone():
    exact = np.array([3.0, 0.0, 7.0, 1.5])
    assert np.allclose(projected(exact, exact.sum()), exact)


def test_smoothing_takes_noise_out_and_keeps_edges():
    rng, exact = np.random.default_rng(0), np.r_[np.zeros(20), np.full(24, 100.0), np.zeros(20)]
    found = np.stack([smoothed(exact + 5 * rng.standard_normal(64), 5.0, exact.sum()) for _ in range(20)])
    assert np.sqrt(((found - exact) ** 2).mean()) < 3.0  # noise had 5
    assert np.allclose(found.sum(axis=1), exact.sum())


def test_silence_stays_silent_between_bursts():
    rng, exact = np.random.default_rng(0), np.zeros(128)
    exact[[3, 40, 41, 99]] = 200.0, 90.0, 400.0, 300.0
    for _ in range(20):
        found = bursty(exact + 5 * rng.standard_normal(128), 5.0, exact.sum())
        assert found.sum() == pytest.approx(exact.sum()) and (found >= 0).all()
        assert (found[exact == 0] > 0).sum() <= 1
        assert np.abs(found - exact).max() < 30


def test_even_traffic_is_not_made_bursty():
    rng, exact = np.random.default_rng(0), np.full(128, 9.0)
    found = np.stack([bursty(exact + 5 * rng.standard_normal(128), 5.0, exact.sum()) for _ in range(20)])
    assert np.sqrt(((found - exact) ** 2).mean()) < 2.5  # noise had 5


@pytest.mark.parametrize(("seen", "noise", "expected", "concentration"), [
    (0.3, 0.1, 0.2, 4.0), (0.02, 0.05, 0.2, 4.0), (0.5, 0.02, 0.1, 2.0), (-0.1, 0.1, 0.05, 16.0), (0.9, 0.2, 0.5, 1.0),
])  # fmt: skip
def test_what_is_concluded_from_noise_and_expectation_agrees_with_integration(seen, noise, expected, concentration):
    def weight(x):
        before = beta.pdf(x, concentration * expected, concentration * (1 - expected))
        return before * np.exp(-(((x - seen) / noise) ** 2) / 2)

    ends = [0, 1e-9, 1e-6, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99, 1 - 1e-6, 1]
    whole, mean = (
        sum(quad(lambda x, of=of: of(x) * weight(x), *pair, limit=200)[0] for pair in pairwise(ends))
        for of in (lambda x: 1.0, lambda x: x)
    )
    found = posterior(np.array([seen]), noise, np.array([expected]), 1e-6, [concentration])[0]
    assert found[0] == pytest.approx(mean / whole, abs=2e-3)


def test_traces_that_are_alike_are_found_to_be_so():
    expected, rng = np.r_[0.3, 0.25, 0.2, 0.15, 0.1], np.random.default_rng(0)
    seen = expected + 0.1 * rng.standard_normal((40, 5))
    errors = [
        np.mean([np.square(posterior(row, 0.1, expected, 1e-6, values)[0] - expected).mean() for row in seen])
        for values in ((1.0,), (1.0, 16.0, 256.0))
    ]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("fitted", [fitted_names, fitted_numbers])
def test_without_noise_counts_are_as_counted_and_with_much_as_expected(fitted):
    prior, rng = np.r_[400.0, 300.0, 200.0, 100.0, np.zeros(28)], np.random.default_rng(0)
    exact = 100 * rng.random(32)
    assert np.allclose(fitted(exact, 1e-6, prior), exact * (1000 / exact.sum()))
    assert np.abs(fitted(prior + 1e6 * rng.standard_normal(32), 1e6, prior) - prior).max() < 50
    assert np.abs(fitted(prior, 5.0, prior) - prior).max() < 1


@pytest.mark.parametrize("fitted", [fitted_names, fitted_numbers])
def test_counts_come_out_nearer_than_noise_leaves_them_whether_they_are_as_expected_or_not(fitted):
    prior = np.r_[400.0, 300.0, 200.0, 100.0, np.zeros(28)]
    other = np.r_[400.0, 0.0, 200.0, 100.0, np.zeros(14), 300.0, np.zeros(13)]
    rng = np.random.default_rng(0)
    for exact in (prior, other):
        errors = [fitted(exact + 5 * rng.standard_normal(32), 5.0, prior) - exact for _ in range(20)]
        assert np.sqrt(np.mean(np.square(errors))) < 2.0 and np.abs(np.mean(errors, axis=0)).max() < 5.0
        assert np.allclose(np.sum(errors, axis=1), 0)


def test_what_may_be_where_nothing_is_expected_is_spread_evenly_there():
    prior, rng = np.r_[np.full(8, 100.0), np.zeros(13)], np.random.default_rng(0)
    found = fitted_numbers(prior + 1e6 * rng.standard_normal(21), 1e6, prior)
    assert found.sum() == pytest.approx(800) and found[8:].sum() < 60 and found[8:].max() < 15


def test_a_likely_name_may_come_up_where_another_is_taken_for_noise():
    prior, noisy = np.r_[200.0, 100.0, np.zeros(254)], np.r_[200.0, 100.0, np.zeros(254)]
    noisy[[64, 200]] = 18.0  # 3.6 standard deviations
    found = fitted_names(noisy, 5.0, prior, likely=(64,))
    assert found[64] > 5 and found[200] < 0.1 * found[64]


@given(
    st.lists(st.floats(-50, 200), min_size=2, max_size=30), st.lists(st.floats(0, 90), min_size=30, max_size=30),
    st.floats(0.01, 100), st.sampled_from([fitted_names, fitted_numbers]),
)  # fmt: skip
def test_fitted_counts_are_counts(noisy, prior, deviation, fitted):
    expected = np.array(prior[: len(noisy)])
    found = fitted(np.array(noisy), deviation, expected) if expected.sum() > 0 else expected
    assert (found >= -1e-9).all() and found.sum() == pytest.approx(expected.sum(), abs=1e-6)


def test_flows_begin_and_end_where_counts_say():
    rng = np.random.default_rng(0)
    begin, end, span = np.zeros(64), np.zeros(64), rng.choice([2.0, 20.0], 4000)
    begin[[10, 30]], end[[12, 32, 50]] = (1600, 2400), (800, 1200, 2000)
    place = placed_cells(span, begin, end, rng)
    assert np.bincount(place, minlength=64)[[10, 30]] == pytest.approx([1600, 2400], rel=0.1)
    last = np.floor(place + span + 0.5).astype(int)
    assert (np.isin(last, [12, 13, 32, 33, 50, 51, 30, 31])).mean() > 0.95


def test_times_in_silence_move_to_where_flows_begin_and_keep_their_gaps():
    cells, none = 4096, np.zeros(0, np.int64)
    known = Trie(np.array([100, 101, 900]), np.full(3, 5.0), none, none, np.zeros(0))
    elapsed = 1000 * np.array([100, 101, 103, 103, 103, 880, 880, 2000]) + np.array([0, 7, 10, 40, 990, 3, 500, 20])
    found = Times(known, np.zeros(COARSE_CELLS), np.zeros(COARSE_CELLS), 1000 * cells).active(elapsed)
    assert found.tolist() == [100_000, 101_007, 101_010, 101_040, 101_990, 900_003, 900_500, 900_020]


def test_frequent_addresses_are_found_and_nothing_is_lost():
    rng = np.random.default_rng(0)
    values = np.r_[np.full(900, 0x0A000001), np.full(400, 0x0A000102), rng.integers(0, 2**32, 500)].astype(np.int64)
    counter = counts(dict.fromkeys(trie_tables("x", 4), 1.0), noise=2.0)
    trie = count_trie(counter, "x", values, np.arange(len(values)), TrieSearch((256,) * 4), total=1800.0)
    assert sorted(trie.values) == [0x0A000001, 0x0A000102]
    assert np.allclose(sorted(trie.counts), [400, 900], atol=5 * counter.deviation("x, digit 4"))
    assert trie.total == pytest.approx(1800, abs=100)


def test_raking_meets_both_margins():
    rng = np.random.default_rng(1)
    exact = rng.integers(1, 60, (5, 9)).astype(float)
    found = raked(exact + rng.normal(0, 4, exact.shape), exact.sum(axis=1), exact.sum(axis=0))
    assert np.allclose(found.sum(axis=1), exact.sum(axis=1))
    assert np.allclose(found.sum(axis=0), exact.sum(axis=0), rtol=1e-3)
