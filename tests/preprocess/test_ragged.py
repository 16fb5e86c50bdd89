from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.preprocess.errors import FieldError
from netshare.preprocess.ragged import offsets_of, positions_within, records_of, run_starts, sums_since_first
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.timeseries.table import TimeSeries

series = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=8)
non_empty_series = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), max_size=8)


def flat(parts: list[list[int]]) -> np.ndarray:
    return np.array([value for part in parts for value in part], np.int64)


def cut(values: np.ndarray, offsets: np.ndarray) -> list[list[int]]:
    return [values[a:b].tolist() for a, b in pairwise(offsets)]


def table(parts: list[list[int]], **others: object) -> SeriesTable:
    lengths = [len(part) for part in parts]
    names = {"kind": "packet", "chunk_width": 10, **others}
    return SeriesTable({"size": np.array(lengths, np.int64)}, {"value": flat(parts)}, offsets_of(lengths), **names)


@given(series)
def test_offsets_cut_the_records_into_the_series_again(parts):
    offsets = offsets_of([len(part) for part in parts])
    assert offsets.dtype == np.int64
    assert cut(flat(parts), offsets) == parts


@given(series)
def test_positions_count_the_records_of_each_series(parts):
    assert positions_within([len(part) for part in parts]).tolist() == [i for part in parts for i in range(len(part))]


@given(series, st.data())
def test_chosen_series_have_the_records_that_they_had(parts, data):
    index = data.draw(st.lists(st.sampled_from(range(len(parts))), max_size=9) if parts else st.just([]))
    rows, offsets = records_of(offsets_of([len(part) for part in parts]), np.array(index, np.int64))
    assert cut(flat(parts)[rows], offsets) == [parts[i] for i in index]
    taken = table(parts).take(np.array(index, np.int64))
    assert cut(taken.measurements["value"], taken.offsets) == [parts[i] for i in index]
    assert taken.metadata["size"].tolist() == [len(parts[i]) for i in index]
    assert (taken.kind, taken.chunk_width) == ("packet", 10)


@given(non_empty_series)
def test_sums_leave_out_the_first_record_of_each_series(parts):
    sums = sums_since_first(flat(parts), offsets_of([len(part) for part in parts]))
    assert sums.tolist() == [sum(part[1 : i + 1]) for part in parts for i in range(len(part))]


@given(st.lists(st.integers(1, 4), max_size=6))
def test_each_row_of_a_run_knows_where_the_run_begins(lengths):
    begins = np.array([i == 0 for length in lengths for i in range(length)], bool)
    assert run_starts(begins).tolist() == np.repeat(offsets_of(lengths)[:-1], lengths).tolist()


@given(st.lists(series, min_size=1, max_size=4))
def test_parts_are_joined_in_their_order(parts):
    whole = SeriesTable.concatenate([table(part) for part in parts])
    assert cut(whole.measurements["value"], whole.offsets) == [each for part in parts for each in part]
    assert whole.series_of_record.tolist() == np.repeat(np.arange(len(whole)), whole.lengths).tolist()


def test_encoded_series_are_joined_too():
    schema = Schema((Column("a", "a", "continuous"),), (Column("b", "b", "continuous"),), 3)
    data = Encoded(
        np.arange(3, dtype=np.float32)[:, None], np.arange(6, dtype=np.float32)[:, None], offsets_of([1, 3, 2]), schema
    )
    both = Encoded.concatenate([data, data.take(np.array([2, 0]))])
    assert both.metadata.ravel().tolist() == [0, 1, 2, 2, 0]
    assert both.measurements.ravel().tolist() == [0, 1, 2, 3, 4, 5, 4, 5, 0]
    assert both.offsets.tolist() == [0, 1, 4, 6, 8, 9]
    with pytest.raises(FieldError, match="schema"):
        Encoded.concatenate([data, Encoded(data.metadata, data.measurements, data.offsets, Schema((), (), 3))])


def test_time_series_read_from_several_places_are_joined():
    def one(note: str) -> TimeSeries:
        kinds = {"a": "integer", "b": "integer"}
        return TimeSeries(
            {"a": np.array([1])}, {"b": np.array([2, 3])}, offsets_of([2]), kinds, notes=(note,)
        )  # notes may differ

    assert TimeSeries.concatenate([one("x"), one("y")]).measurements["b"].tolist() == [2, 3, 2, 3]


@pytest.mark.parametrize("others", [{"chunk_width": 11}, {"kind": "flow"}, {"categories": {"label": ("a",)}}])
def test_parts_that_mean_something_else_are_not_joined(others):
    with pytest.raises(FieldError, match=next(iter(others))):
        SeriesTable.concatenate([table([[1]]), table([[2]], **others)])


def test_parts_with_other_columns_are_not_joined():
    other = SeriesTable({"size": np.array([1])}, {"other": np.array([1])}, offsets_of([1]), "packet", 10)
    with pytest.raises(FieldError, match="only some have other"):
        SeriesTable.concatenate([table([[1]]), other])
    with pytest.raises(FieldError, match="at least one"):
        SeriesTable.concatenate([])


@pytest.mark.parametrize(
    ("metadata", "measurements", "message"),
    [([1, 2], [1], "metadata a: 2 rows"), ([1], [1, 2], "measurement b: 2 rows")],
)
def test_columns_that_do_not_fit_the_offsets_are_refused(metadata, measurements, message):
    with pytest.raises(FieldError, match=message):
        SeriesTable({"a": np.array(metadata)}, {"b": np.array(measurements)}, offsets_of([1]), "packet", 10)
