"""Auto-normalisation: each series on its own scale, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields.autonorm import denormalize_series, normalize_series


def test_middle_and_half_range_by_hand():
    scaled, middle, half_range = normalize_series(np.array([1, 3, 2, 7, 7, -5]), np.array([0, 3, 5, 6]))
    assert scaled.tolist() == [0, 1, 0.5, 0.5, 0.5, 0.5]
    assert middle.tolist() == [2, 7, -5]
    assert half_range.tolist() == [1, 0, 0]


numbers = st.floats(-1e15, 1e15)


@given(st.lists(st.lists(numbers, min_size=1, max_size=6), max_size=8))
def test_what_was_normalised_comes_back(series):
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in series])]).astype(np.int64)
    values = np.array([value for one in series for value in one], float)
    scaled, middle, half_range = normalize_series(values, offsets)
    assert np.all((scaled >= 0) & (scaled <= 1))
    scale = np.repeat(np.abs(middle) + half_range, np.diff(offsets))
    assert np.all(np.abs(denormalize_series(scaled, middle, half_range, offsets) - values) <= 1e-12 * scale + 1e-300)


def test_columns_have_ranges_of_their_own():
    values = np.array([[0, 100.0], [1, 300], [5, 7]])
    offsets = np.array([0, 2, 3])
    scaled, middle, half_range = normalize_series(values, offsets)
    assert middle.tolist() == [[0.5, 200], [5, 7]]
    assert half_range.tolist() == [[0.5, 100], [0, 0]]
    assert np.allclose(denormalize_series(scaled, middle, half_range, offsets), values)


def test_generated_values_stay_within_their_series_range():
    values = denormalize_series(
        np.array([-3, 0.5, 9]), np.array([10.0, 20.0]), np.array([2.0, -1.0]), np.array([0, 2, 3])
    )
    assert values.tolist() == [8, 10, 20]


def test_bad_series_are_refused():
    with pytest.raises(FieldError, match=r"load.*finite"):
        normalize_series(np.array([1, np.nan]), np.array([0, 2]), name="load")
    with pytest.raises(FieldError, match="no records"):
        normalize_series(np.array([1.0]), np.array([0, 0, 1]))
    with pytest.raises(FieldError, match="offsets end at 3"):
        normalize_series(np.array([1.0]), np.array([0, 3]))
