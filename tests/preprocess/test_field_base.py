"""What encodings share: looking values up, the nearest known one, bounds and categories."""

import numpy as np
import pytest

from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields.base import category, check_range, find, nearest_of


def test_values_are_found_among_known_ones():
    known = np.array([2, 5, 9])
    position, there = find(known, np.array([9, 3, 2, 10]))
    assert there.tolist() == [True, False, True, False]
    assert known[position[there]].tolist() == [9, 2]
    assert find(known[:0], np.array([1]))[1].tolist() == [False]


def test_the_nearest_known_value_is_the_lower_one_of_two():
    assert nearest_of(np.array([0, 10, 20]), np.array([-5, 5, 6, 14, 99])).tolist() == [0, 0, 10, 10, 20]
    assert nearest_of(np.array([7]), np.array([1, 9])).tolist() == [7, 7]


@pytest.mark.parametrize(("values", "found"), [([0, 4, 10], 10), ([-1, 4], -1)])
def test_values_outside_the_range_are_named(values, found):
    check_range("ttl", np.array([0, 4, 9]), 0, 9)
    check_range("ttl", np.array([]), 0, 9)
    with pytest.raises(FieldError, match=f"field ttl: found {found}, outside 0 to 9"):
        check_range("ttl", np.array(values), 0, 9)


def test_any_number_is_a_category():
    assert category(np.array([-3.0, 0.4, 1.6, 99.0], np.float32), 3).tolist() == [0, 0, 2, 2]
