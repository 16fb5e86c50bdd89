import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.flows import group_flows
from netshare.preprocess.trace import make_trace

SECOND = 1_000_000_000


def trace_of(rows):
    rows = sorted(rows)
    return make_trace(
        "packet",
        {
            "time": [time for time, _ in rows],
            "ip_version": [4] * len(rows),
            "src_lo": [flow for _, flow in rows],
            "length": np.arange(len(rows)) + 40,
        },
    )


records = st.lists(st.tuples(st.integers(0, 40 * SECOND), st.integers(0, 4)), min_size=1, max_size=60)


@given(records, st.integers(1, 7), st.integers(1, 5))
def test_every_record_is_in_exactly_one_series_at_its_own_time(rows, longest, seconds):
    trace = trace_of(rows)
    plan = plan_chunks(trace["time"], seconds=seconds)
    tables = cut_series(trace, group_flows(trace), plan, max_records_per_segment=longest)
    found = []
    for chunk, table in tables.items():
        assert table.lengths.min() >= 1
        assert table.lengths.max() <= longest
        elapsed = np.cumsum(table.measurements["interarrival"])
        elapsed -= np.repeat(elapsed[table.offsets[:-1]], table.lengths)
        time = plan.start_of(chunk) + table.metadata["start"][table.series_of_record] + elapsed
        assert np.all(plan.index_of(time) == chunk)
        assert np.array_equal(elapsed[table.offsets[1:] - 1], table.metadata["span"])
        found += zip(time.tolist(), table.measurements["length"].tolist(), strict=True)
    assert sorted(found) == sorted(zip(trace["time"].tolist(), trace["length"].tolist(), strict=True))


@given(records, st.integers(1, 7))
def test_tags_tell_where_a_flow_starts_and_which_chunks_it_visits(rows, longest):
    trace = trace_of(rows)
    plan = plan_chunks(trace["time"], seconds=3)
    tables = cut_series(trace, group_flows(trace), plan, max_records_per_segment=longest)
    visited = {
        (int(flow), int(chunk)) for flow, chunk in zip(trace["src_lo"], plan.index_of(trace["time"]), strict=True)
    }
    starts = []
    for chunk, table in tables.items():
        for i, flow in enumerate(table.metadata["src_lo"].tolist()):
            assert set(np.flatnonzero(table.metadata["chunk_tags"][i])) == {c for f, c in visited if f == flow}
            first_visit = min(c for f, c in visited if f == flow)
            if table.metadata["starts_here"][i]:
                starts.append(flow)
                assert chunk == first_visit
                assert table.metadata["continues"][i] == 0
    assert sorted(starts) == sorted({flow for _, flow in rows})


def test_a_long_flow_becomes_segments_that_say_so():
    table = cut_series(
        trace := trace_of([(i, 1) for i in range(7)]),
        group_flows(trace),
        plan_chunks(trace["time"]),
        max_records_per_segment=3,
    )[0]
    assert table.lengths.tolist() == [3, 3, 1]
    assert table.metadata["continues"].tolist() == [0, 1, 1]
    assert table.metadata["continued"].tolist() == [1, 1, 0]
    assert table.metadata["starts_here"].tolist() == [1, 0, 0]
    assert table.metadata["start"].tolist() == [0, 3, 6]


def test_one_record_more_moves_no_chunk_border():
    rows = [(i * SECOND, i % 3) for i in range(20)]
    assert plan_chunks(trace_of(rows)["time"], count=4) == plan_chunks(
        trace_of([*rows, (5 * SECOND + 1, 9)])["time"], count=4
    )


def test_more_chunks_than_seconds_are_refused():
    time = np.array([0, 3 * SECOND], dtype=np.int64)
    with pytest.raises(ConfigError, match=r"lasts only 3\.000 s; ask for at most 3"):
        plan_chunks(time, count=4)
    assert plan_chunks(time, count=3).count == 3
    assert plan_chunks(np.array([7], dtype=np.int64), count=1).count == 1


def test_an_empty_trace_cannot_be_planned():
    with pytest.raises(InputError, match="no records"):
        plan_chunks(np.zeros(0, np.int64))
