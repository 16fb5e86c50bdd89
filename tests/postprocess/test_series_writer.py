"""Series are written in the form in which they were read, and read back the same."""

import json

import numpy as np
import pandas as pd
import pytest

from netshare.postprocess.writers.series import write_series
from netshare.preprocess.errors import FieldError, InputError
from netshare.preprocess.timeseries import read_series

LONG = """day,who,plan,load,state
2024-01-01,a,gold,1.5,up
2024-01-02,a,gold,2.5,
2024-02-28,b,,4.0,down
2024-02-29,b,,5.0,up
2024-03-01,b,,6.0,up
"""
WIDE = "site,v_1,v_2,v_3,w_1,w_2,w_3\nx,1,2,3,a,b,a\ny,4,5,,b,,\n"


def same(one, other):
    assert np.array_equal(one.offsets, other.offsets)
    assert one.kinds == other.kinds
    for side in ("metadata", "measurements"):
        for name, values in getattr(one, side).items():
            again = getattr(other, side)[name]
            if one.kinds[name] == "categorical":
                assert one.texts(name).tolist() == other.texts(name).tolist()
            else:
                np.testing.assert_allclose(again, values, rtol=1e-6)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_long_tables_come_back(tmp_path, suffix):
    (tmp_path / "in.csv").write_text(LONG)
    series = read_series(tmp_path / "in.csv", key="who", order="day")
    assert write_series(series, tmp_path / f"out.{suffix}") == "long"
    same(series, read_series(tmp_path / f"out.{suffix}", key="who", order="day"))


def test_a_long_csv_keeps_its_columns_dates_and_empty_cells(tmp_path):
    (tmp_path / "in.csv").write_text(LONG)
    write_series(read_series(tmp_path / "in.csv", key="who", order="day"), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == LONG.replace(",a,", ",0,").replace(",b,", ",1,")


def test_times_of_day_are_written_as_such(tmp_path):
    (tmp_path / "in.csv").write_text("t,k,v\n2024-01-01T10:00:00,1,1\n2024-01-01T10:00:05,1,2\n")
    write_series(read_series(tmp_path / "in.csv", key="k", order="t"), tmp_path / "out.csv")
    assert pd.to_datetime(pd.read_csv(tmp_path / "out.csv")["t"]).dt.second.tolist() == [0, 5]


def test_wide_tables_come_back(tmp_path):
    (tmp_path / "in.csv").write_text(WIDE)
    series = read_series(tmp_path / "in.csv")
    assert write_series(series, tmp_path / "out.csv") == "wide"
    assert (tmp_path / "out.csv").read_text() == WIDE
    write_series(series, tmp_path / "out.parquet", form="list")
    same(series, read_series(tmp_path / "out.parquet"))


def test_the_three_arrays_hold_any_series(tmp_path):
    (tmp_path / "in.csv").write_text(WIDE)
    series = read_series(tmp_path / "in.csv")
    write_series(series, tmp_path / "data_train.npz")
    with np.load(tmp_path / "data_train.npz", allow_pickle=False) as arrays:
        assert arrays["data_feature"].shape == (2, 3, 4)  # v; a, b and missing
        assert arrays["data_gen_flag"].tolist() == [[1, 1, 1], [1, 1, 0]]
        assert np.array_equal(arrays["data_feature"][0, :, 1:3], [[1, 0], [0, 1], [1, 0]])
    assert json.loads((tmp_path / "data_train.fields.json").read_text())["attributes"][0]["values"] == ["x", "y"]
    same(series, read_series(tmp_path / "data_train.npz"))


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "in.csv").write_text(LONG)
    series = read_series(tmp_path / "in.csv", key="who", order="day")
    with pytest.raises(FieldError, match="day: the wide form has no place"):
        write_series(series, tmp_path / "out.csv", form="wide")
    with pytest.raises(InputError, match=r"\.npz"):
        write_series(series, tmp_path / "out.xlsx")
    with pytest.raises(InputError, match="cannot be written"):
        write_series(series, tmp_path / "nowhere" / "out.csv")
