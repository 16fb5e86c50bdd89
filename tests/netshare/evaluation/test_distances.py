import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from netshare.evaluation.metrics import distances

ports = arrays(np.uint16, st.integers(1, 60), elements=st.integers(0, 20))
numbers = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6))
amounts = arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 10**9))
VALUE_DISTANCES = [distances.jsd_of_values, distances.jsd_of_ranks, distances.jsd_of_coarse_sizes]


def test_jsd_of_disjoint_values_is_one_bit_or_log_two_nats() -> None:
    assert distances.jsd_of_values(np.array([1, 1, 2]), np.array([3, 4])) == pytest.approx(1.0)
    assert distances.jsd_of_values(np.array([1, 1, 2]), np.array([3, 4]), np.e) == pytest.approx(math.log(2))


def test_jsd_by_hand() -> None:
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4): 1/2 log2(4/3) + 1/2 (1/2 log2(2/3) + 1/2 log2 2)
    expected = 0.5 * math.log2(4 / 3) + 0.25 * math.log2(2 / 3) + 0.25
    assert distances.jsd_of_values(np.array([7, 7]), np.array([7, 8])) == pytest.approx(expected)


def test_rank_jsd_is_blind_to_which_values_are_popular() -> None:
    assert distances.jsd_of_ranks(np.array([1, 1, 2]), np.array([9, 8, 9])) == pytest.approx(0)
    assert distances.jsd_of_ranks(np.array([1, 1, 1]), np.array([1, 2, 3])) > 0.3


def test_coarse_bins_are_0_1_2_34_58() -> None:
    assert distances.jsd_of_coarse_sizes(np.array([3, 5, 9]), np.array([4, 8, 16])) == pytest.approx(0)
    for low, high in ((0, 1), (1, 2), (2, 3), (4, 5), (8, 9)):
        assert distances.jsd_of_coarse_sizes(np.array([low]), np.array([high])) == pytest.approx(1)


def test_earth_mover_of_a_shift_is_the_shift() -> None:
    values = np.array([0.0, 1, 5, 9])
    assert distances.earth_mover(values + 3, values) == pytest.approx(3)
    assert distances.earth_mover_normalised(values + 3, values) == pytest.approx(3 / values.std())


def test_log_earth_mover_of_a_factor_is_the_same_for_mice_and_elephants() -> None:
    mice, elephants = np.array([1e3, 1e5]), np.array([1e9, 1e11])
    ours = [distances.earth_mover_log(10 * values, values) for values in (mice, elephants)]
    assert ours == pytest.approx([1.0, 1.0], rel=0.01)  # log 10 over a spread of (log 100) / 2


def test_constant_reference_still_gives_finite_distances() -> None:
    assert distances.earth_mover_normalised(np.array([20, 20]), np.array([10, 10])) == pytest.approx(1)
    assert distances.earth_mover_normalised(np.zeros(2), np.zeros(3)) == 0
    assert math.isfinite(distances.earth_mover_log(np.array([5]), np.zeros(3)))


@pytest.mark.parametrize("distance", [*VALUE_DISTANCES, distances.earth_mover, distances.earth_mover_log])
def test_empty_samples_give_zero_together_and_a_finite_distance_apart(distance) -> None:
    empty, some = np.zeros(0), np.array([100.0, 200.0])
    assert distance(empty, empty) == 0
    assert 0 < distance(empty, some) < 1e6
    assert 0 < distance(some, empty) < 1e6


def test_histogram_jsd_counts_what_lies_outside() -> None:
    edges = np.array([0.0, 1, 2])
    assert distances.jsd_of_histograms(np.array([-5.0, 0.5]), np.array([0.5, 7.0]), edges) == pytest.approx(0.5)


def test_ratio_treats_tiny_distances_alike() -> None:
    assert distances.ratio_to_floor(0.004, 0.0001) == 1
    assert distances.ratio_to_floor(0.05, 0.0) == pytest.approx(10)


def test_papers_scaling_spans_a_tenth_to_nine_tenths() -> None:
    assert distances.scaled_across([5, 10, 7.5]) == pytest.approx([0.1, 0.9, 0.5])
    assert distances.scaled_across([3, 3]) == [0.1, 0.1]


@given(ports, ports)
def test_jsd_agrees_with_scipy_squared(a: np.ndarray, b: np.ndarray) -> None:
    p, q = (np.bincount(values, minlength=21) for values in (a, b))
    assert distances.jsd_of_values(a, b, np.e) == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-7)


@given(ports, ports)
def test_jsd_is_symmetric_bounded_and_zero_on_itself(a: np.ndarray, b: np.ndarray) -> None:
    for distance in VALUE_DISTANCES:
        assert 0 <= distance(a, b) <= 1
        assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-12)
        assert distance(a, a) == pytest.approx(0, abs=1e-12)


@given(numbers, numbers)
def test_earth_mover_agrees_with_scipy(a: np.ndarray, b: np.ndarray) -> None:
    assert distances.earth_mover(a, b) == pytest.approx(wasserstein_distance(a, b), rel=1e-9, abs=1e-6)


@given(amounts, amounts, amounts)
def test_earth_mover_is_a_metric(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    d = distances.earth_mover
    assert d(a, b) == pytest.approx(d(b, a))
    assert d(a, c) <= d(a, b) + d(b, c) + 1e-6 * (1 + d(a, c))
