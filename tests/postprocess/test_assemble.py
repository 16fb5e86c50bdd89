import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netshare.postprocess.assemble import assemble
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.flows import group_flows
from netshare.preprocess.trace import make_trace

SECOND = 1_000_000_000
record = st.tuples(st.integers(0, 30 * SECOND), st.integers(0, 2), st.integers(0, 2), st.integers(40, 1500))


@given(
    st.lists(record, min_size=1, max_size=50, unique_by=lambda r: r[0]),
    st.sampled_from(["unidirectional", "bidirectional"]),
    st.integers(1, 4),
)
def test_assembling_undoes_cutting(rows, flow_key, longest):
    time, src, dst, length = zip(*sorted(rows), strict=True)
    trace = make_trace(
        "packet",
        {"time": time, "ip_version": [4] * len(rows), "src_lo": src, "dst_lo": dst, "src_port": src, "length": length},
    )
    plan = plan_chunks(trace["time"], seconds=7)
    again = assemble(cut_series(trace, group_flows(trace, flow_key), plan, max_records_per_segment=longest), plan)
    compared = [name for name in trace if flow_key == "unidirectional" or name not in ("src_port", "dst_port")]
    for name in compared:
        assert np.array_equal(again[name], trace[name]), name
        assert again[name].dtype == trace[name].dtype
