import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netshare.preprocess.errors import ConfigError
from netshare.sketches import SKETCHES, CountMin, CountSketch, NitroSketch, Sketch, UnivMon
from netshare.sketches.base import distinct_counts
from netshare.sketches.hashing import HashFamily

MEMORY = 16_384
ALL = pytest.mark.parametrize("sketch", SKETCHES.values(), ids=SKETCHES.keys())


def stream(packets: int = 50_000, seed: int = 0) -> np.ndarray:
    """Keys whose counts follow Zipf's law, scattered over 64 bits."""
    ranks = np.random.default_rng(seed).zipf(1.3, packets).astype(np.uint64)
    return ranks * np.uint64(0x9E3779B97F4A7C15)


@ALL
def test_few_keys_are_counted_exactly_where_every_packet_is_seen(sketch: type[Sketch]) -> None:
    keys = np.repeat(np.array([3, 2**40, 2**64 - 1], np.uint64), [50, 20, 7])
    made = sketch(MEMORY, 1)
    if isinstance(made, NitroSketch):
        made = NitroSketch(MEMORY, 1, sampling=1.0)
    made.update(np.random.default_rng(0).permutation(keys))
    assert made.estimate(np.array([3, 2**40, 2**64 - 1, 5], np.uint64)).tolist() == [50, 20, 7, 0]


@ALL
def test_keys_one_by_one_and_as_counts_come_to_the_same(sketch: type[Sketch]) -> None:
    keys = stream(3000)
    distinct, counts = distinct_counts(keys)
    one, other = sketch(MEMORY, 5), sketch(MEMORY, 5)
    one.update(keys)
    other.update(distinct[::-1], counts[::-1])
    assert np.array_equal(one.estimate(distinct), other.estimate(distinct))


@ALL
def test_updates_add_up_and_seeds_differ(sketch: type[Sketch]) -> None:
    keys = stream(3000)
    distinct = np.unique(keys)
    whole, halves, seeded = sketch(2048, 5), sketch(2048, 5), sketch(2048, 6)
    whole.update(keys)
    halves.update(keys[:1500])
    halves.update(keys[1500:])
    seeded.update(keys)
    if sketch is not NitroSketch:
        assert np.array_equal(whole.estimate(distinct), halves.estimate(distinct))
    assert not np.array_equal(whole.estimate(distinct), seeded.estimate(distinct))


@ALL
def test_an_empty_stream_and_no_questions(sketch: type[Sketch]) -> None:
    made = sketch(MEMORY, 0)
    made.update(np.zeros(0, np.uint64))
    assert made.estimate(np.array([1, 2], np.uint64)).tolist() == [0, 0]
    assert made.estimate(np.zeros(0, np.uint64)).shape == (0,)


@ALL
def test_too_little_memory_is_refused(sketch: type[Sketch]) -> None:
    with pytest.raises(ConfigError, match="sketch memory"):
        sketch(8, 0)


@ALL
def test_the_tables_fit_the_memory_that_is_asked_for(sketch: type[Sketch]) -> None:
    made = sketch(MEMORY, 0)
    tables = [level.table.nbytes + made.heaviest * 8 for level in made.levels] if isinstance(made, UnivMon) else []
    used = sum(tables) or made.table.nbytes  # type: ignore[attr-defined]
    assert 0.95 * MEMORY <= used <= MEMORY


@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(1, 1000)), min_size=1, max_size=200), st.integers(0, 9)
)
def test_count_min_never_underestimates(counted: list[tuple[int, int]], seed: int) -> None:
    keys = np.array([key for key, _ in counted], np.uint64)
    counts = np.array([count for _, count in counted])
    sketch = CountMin(512, seed)
    sketch.update(keys, counts)
    distinct, totals = distinct_counts(keys, counts)
    assert (sketch.estimate(distinct) >= totals).all()


def test_count_min_keeps_its_bound() -> None:
    keys = stream()
    distinct, counts = distinct_counts(keys)
    beyond = []
    for seed in range(20):
        sketch = CountMin(MEMORY, seed)
        sketch.update(distinct, counts)
        beyond.append(np.mean(sketch.estimate(distinct) - counts > np.e * len(keys) / sketch.table.shape[1]))
    assert np.mean(beyond) <= np.exp(-4)


def test_count_sketch_keeps_its_bound_and_is_unbiased() -> None:
    keys = stream()
    distinct, counts = distinct_counts(keys)
    errors = []
    for seed in range(40):
        sketch = CountSketch(MEMORY, seed)
        sketch.update(distinct, counts)
        errors.append(sketch.row_estimates(distinct) - counts)
    allowed = np.sqrt(3 * np.sum(counts.astype(float) ** 2) / sketch.table.shape[1])
    stacked = np.array(errors)
    assert np.mean(np.abs(stacked) > allowed) <= 1 / 3
    heaviest = np.argmax(counts)
    mean, spread = stacked[:, :, heaviest].mean(), stacked[:, :, heaviest].std()
    assert abs(mean) < 4 * spread / np.sqrt(stacked[:, :, heaviest].size)


def test_nitro_is_unbiased_with_the_variance_of_its_sampling() -> None:
    key, count, p = np.array([7], np.uint64), np.array([10_000]), 0.1
    rows = []
    for seed in range(300):
        sketch = NitroSketch(MEMORY, seed, sampling=p)
        sketch.update(key, count)
        rows.append(sketch.row_estimates(key)[:, 0])
    estimates = np.concatenate(rows)
    assert estimates.mean() == pytest.approx(10_000, abs=4 * np.sqrt(10_000 * (1 / p - 1) / len(estimates)))
    assert estimates.var() == pytest.approx(10_000 * (1 / p - 1), rel=0.15)


def test_univmon_estimates_distinct_keys_and_entropy() -> None:
    keys = stream(20_000)
    distinct, counts = distinct_counts(keys)
    n = len(keys)
    entropy = float(np.sum(counts / n * np.log2(n / counts)))
    found, entropies = [], []
    for seed in range(10):
        sketch = UnivMon(262_144, seed, levels=10, heaviest=200)
        sketch.update(distinct, counts)
        found.append(sketch.sum_over_keys(np.ones_like))
        entropies.append(np.log2(n) - sketch.sum_over_keys(lambda f: f * np.log2(f)) / n)
    assert np.mean(found) == pytest.approx(len(distinct), rel=0.15)
    assert np.mean(entropies) == pytest.approx(entropy, rel=0.1)


def test_hashes_are_even_and_pairwise_independent() -> None:
    keys = np.arange(4000, dtype=np.uint64)
    pair = np.array([1, 2**33 + 1], np.uint64)
    collisions = []
    for seed in range(400):
        family = HashFamily(1, np.random.default_rng(seed))
        collisions.append(np.diff(family.buckets(pair, 0, 16))[0] == 0)
        if seed < 5:
            counts = np.bincount(family.buckets(keys, 0, 100), minlength=100)
            assert counts.max() < 120  # 40 expected
            assert abs(family.signs(keys, 0).sum()) < 2000
    assert np.mean(collisions) == pytest.approx(1 / 16, abs=4 * np.sqrt(1 / 16 / 400))
