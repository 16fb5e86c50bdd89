"""Columns of series typed by their content, and their gaps filled."""

import numpy as np
import pandas as pd
import pytest

from netshare.preprocess.errors import InputError
from netshare.preprocess.timeseries.columns import fill_measurement, fill_metadata, typed_column


@pytest.mark.parametrize(
    ("values", "kind", "filled"),
    [
        ([1, 2, 4], "integer", [1, 2, 4]),
        ([1.0, 2.0, 4.0], "continuous", [1, 2, 4]),
        ([1.0, None, 5.0], "integer", [1, 3, 5]),  # floats only because of the gap
        (["7", "", "9"], "integer", [7, 8, 9]),
        ([0.5, np.inf, 1.5], "continuous", [0.5, 1.0, 1.5]),
        ([True, False, True], "categorical", [1, 0, 1]),
        (["b", None, "a"], "categorical", [1, 2, 0]),  # a missing category is one of its own
    ],
)
def test_the_content_decides_the_kind_and_gaps_are_interpolated(values, kind, filled):
    column = typed_column("x", pd.Series(values), None, "t.csv")
    assert column.kind == kind
    assert fill_measurement(column, np.array([0, 3])).tolist() == filled


def test_gaps_are_filled_within_their_series():
    column = typed_column("x", pd.Series([np.nan, 1.5, np.nan, 3.5, np.nan, np.nan, 9.5]), None, "t.csv")
    assert column.missing == 4
    assert fill_measurement(column, np.array([0, 5, 6, 7])).tolist() == [1.5, 1.5, 2.5, 3.5, 3.5, 3.5, 9.5]
    assert fill_metadata(column).tolist() == [3.5, 1.5, 3.5, 3.5, 3.5, 3.5, 9.5]


def test_numbers_among_texts_are_refused_unless_declared():
    values = pd.Series(["1", "many", "3"])
    with pytest.raises(InputError, match=r"'many' in data row 2.*series\.types"):
        typed_column("x", values, None, "t.csv")
    assert typed_column("x", values, "categorical", "t.csv").categories == ("1", "3", "many")
