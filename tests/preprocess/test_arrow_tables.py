"""Arrow: memory that is shared, round trips, the PyCapsule interface."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from netshare.preprocess import Trace, make_trace, read_trace
from netshare.preprocess.errors import InputError
from netshare.preprocess.parquet import load_parquet, save_parquet
from tests.preprocess.any_traces import assert_same, traces


@settings(max_examples=60, deadline=None)
@given(traces())
def test_any_trace_comes_back_with_its_types(trace):
    for texts in (False, True):
        table = trace.to_arrow(texts=texts)
        table.validate(full=True)
        assert_same(Trace.from_arrow(table), trace)
        # What other libraries hand on has no metadata, and may be in pieces.
        pieces = pa.concat_tables([table.slice(0, 2), table.slice(2)]).replace_schema_metadata(None)
        assert_same(without_texts_of_nobody(Trace.from_arrow(pieces)), without_texts_of_nobody(trace))


def without_texts_of_nobody(trace: Trace) -> Trace:
    """The trace with its labels as the texts of each record, codes by first appearance."""
    columns, categories = dict(trace.columns), {}
    for name in ("label", "attack_type"):
        if name in columns:
            texts = [trace.categories[name][code].strip() if code >= 0 else "" for code in columns[name].tolist()]
            known = [text for text in dict.fromkeys(texts) if text not in ("", "-", "(empty)")]
            columns[name] = np.array([known.index(text) if text in known else -1 for text in texts], np.int32)
            categories[name] = tuple(known)
    return make_trace(trace.kind, columns, categories=categories)


def test_the_table_is_the_memory_of_the_columns(sample_netflow):
    trace = read_trace(sample_netflow, limit=100)
    table = trace.to_arrow()
    assert table.schema.field("time").type == pa.timestamp("ns", "UTC")
    assert table.schema.field("duration").type == pa.duration("ns")
    for name in trace:
        shared = table.column(name).chunk(0).buffers()[1].address
        assert shared == trace[name].__array_interface__["data"][0], name
    back = Trace.from_arrow(table)
    assert all(np.shares_memory(back[name], trace[name]) for name in trace)
    assert back.sources == trace.sources


def test_other_libraries_read_a_trace_itself(sample_capture):
    trace = read_trace(sample_capture, limit=50)
    table = pa.table(trace)
    assert table.equals(trace.to_arrow()) and table.num_rows == 50
    batches = list(pa.RecordBatchReader.from_stream(trace))
    assert sum(batch.num_rows for batch in batches) == 50
    assert_same(Trace.from_arrow(pa.RecordBatchReader.from_stream(trace)), trace)
    assert_same(read_trace(table), trace)


def test_labels_are_dictionaries_or_texts():
    trace = make_trace("flow", {"time": [1, 2], "label": [1, -1]}, categories={"label": ("a", "b")})
    assert trace.to_arrow().column("label").to_pylist() == ["b", None]
    assert pa.types.is_dictionary(trace.to_arrow().schema.field("label").type)
    assert trace.to_arrow(texts=True).schema.field("label").type == pa.string()


def test_parquet_of_an_arrow_table_is_read(tmp_path, sample_netflow):
    trace = read_trace(sample_netflow, limit=100)
    for texts in (False, True):
        pq.write_table(trace.to_arrow(texts=texts), tmp_path / "table.parquet")
        assert_same(load_parquet(tmp_path / "table.parquet"), trace)
    save_parquet(trace, tmp_path / "trace.parquet")
    assert_same(Trace.from_arrow(pq.read_table(tmp_path / "trace.parquet")), trace)


def test_what_contradicts_itself_is_one_line(sample_netflow):
    table = read_trace(sample_netflow, limit=3).to_arrow()
    damaged = table.replace_schema_metadata({b"netshare": b'{"kind": "flow", "sources": [{"nonsense": 1}]}'})
    with pytest.raises(InputError, match="Arrow table: its netshare metadata or columns are damaged"):
        Trace.from_arrow(damaged)
    empty = table.set_column(table.column_names.index("bytes"), "bytes", pa.array([1, None, 3]))
    with pytest.raises(InputError, match="bytes has 1 missing values"):
        Trace.from_arrow(empty)
    with pytest.raises(InputError, match="row 1: bytes has no value"):
        Trace.from_arrow(empty.replace_schema_metadata(None))
    negative = table.replace_schema_metadata(None).drop_columns("src_port").append_column("src_port", [[-1, 2, 3]])
    with pytest.raises(InputError, match="row 0: src_port is -1"):
        Trace.from_arrow(negative)


def test_intervals_are_durations(sample_netflow):
    trace = read_trace(sample_netflow, limit=3)
    table = trace.to_arrow().replace_schema_metadata(None)
    values = pa.array([(0, 1, 5), (0, 0, 7), (0, 0, 0)], pa.month_day_nano_interval())
    found = Trace.from_arrow(table.drop_columns("duration").append_column("duration", values))
    assert found["duration"].tolist() == [86_400 * 10**9 + 5, 7, 0]
