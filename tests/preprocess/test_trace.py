import numpy as np
import pytest

from netshare.preprocess.errors import FieldError
from netshare.preprocess.trace import FLOW_COLUMNS, PACKET_COLUMNS, make_trace


def test_missing_columns_become_zeros_of_the_canonical_type():
    trace = make_trace("packet", {"time": [3, 1, 2], "length": [40, 41, 42]})
    assert {name: trace[name].dtype for name in trace} == PACKET_COLUMNS
    assert trace["length"].tolist() == [40, 41, 42]
    assert trace["ttl"].tolist() == [0, 0, 0]


def test_a_trace_without_times_is_refused():
    with pytest.raises(FieldError, match="time"):
        make_trace("flow", {"bytes": [1]})


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(FieldError, match="equally long"):
        make_trace("flow", {"time": [1, 2], "bytes": [1]})


def test_sorting_is_stable_and_moves_whole_rows():
    trace = make_trace("flow", {"time": [5, 1, 5, 1], "bytes": [1, 2, 3, 4], "label": [0, 1, 0, -1]})
    ordered = trace.sorted_by_time()
    assert ordered["bytes"].tolist() == [2, 4, 1, 3]
    assert ordered["label"].tolist() == [1, -1, 0, 0]
    assert ordered["label"].dtype == np.int32
    assert set(FLOW_COLUMNS) <= set(ordered)
