"""Public data of a private run: never the input, no labels, series on the private chunks."""

from dataclasses import replace

import numpy as np
import pytest

from netshare.preprocess.chunks import ChunkPlan
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.readers import read_trace
from netshare.preprocess.trace import Trace
from netshare.privacy.public import (
    check_different,
    check_other_files,
    public_series,
    read_public,
    without_labels,
)


def test_the_input_is_no_public_trace(tmp_path, sample_netflow):
    copy = tmp_path / "copy.csv.gz"
    copy.write_bytes(sample_netflow.read_bytes())
    other = tmp_path / "other.csv.gz"
    other.symlink_to(sample_netflow)
    check_other_files([copy], [sample_netflow])
    with pytest.raises(ConfigError, match="also the input"):
        check_other_files([other], [sample_netflow])
    with pytest.raises(ConfigError, match="also the input"):
        read_public([copy], [sample_netflow], "flow")
    with pytest.raises(ConfigError, match="is a flow trace, the input a packet trace"):
        read_public([copy], [], "packet")


def test_the_records_of_the_input_in_another_file_are_refused(sample_netflow):
    trace = read_trace(sample_netflow, limit=200)
    with pytest.raises(ConfigError, match="the very records"):
        check_different(replace(trace, sources=()), trace)
    check_different(trace.take(np.arange(199)), trace)


def test_labels_are_left_out(sample_netflow):
    trace = read_trace(sample_netflow, limit=50)
    columns = {**{name: trace[name] for name in trace}, "label": np.zeros(50, np.int32)}
    trace = Trace("flow", columns, {"label": ("benign",)}, trace.sources)
    assert set(trace) - set(without_labels(trace)) == {"label"} and not without_labels(trace).categories
    assert "tcp_flags" not in without_labels(trace, [name for name in trace if name != "tcp_flags"])


def test_public_series_lie_within_chunks_of_the_private_width(sample_netflow):
    trace = without_labels(read_trace(sample_netflow, limit=500).sorted_by_time())
    length = int(trace["time"][-1] - trace["time"][0])
    plan = ChunkPlan(0, 3 * length, 4)  # the public trace is shorter than half a chunk
    (table,) = public_series(trace, plan, flow_key="unidirectional", max_records=8)
    start, span = table.metadata["start"], table.metadata["span"]
    assert table.lengths.max() <= 8 and table.metadata["chunk_tags"].shape == (len(table), 4)
    assert ((start >= 0) & (start + span < plan.width)).all()
    assert start.max() > 2 * length  # spread over the whole chunk
