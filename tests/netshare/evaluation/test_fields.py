"""What is taken from a trace for each field, and which flow each value belongs to."""

import numpy as np
import pytest

from netshare.evaluation.metrics.fields import TraceView, extract, fields_of, frame_of, shared_fields, unshared_fields
from netshare.evaluation.metrics.measures import MEASURES, PAPER_MEASURES, TIME_BINS
from netshare.evaluation.metrics.redraws import FlowRedraws, drawn_again
from netshare.preprocess.trace import Trace, make_trace
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace

MS = 1_000_000


@pytest.fixture
def view() -> TraceView:
    """Two flows: three TCP packets, and one UDP packet between them."""
    trace = make_trace(
        "packet",
        {
            "time": np.array([0, 10, 20, 100]) * MS,
            "ip_version": np.full(4, 4),
            "src_lo": np.array([1, 2, 1, 1]),
            "src_port": np.array([5000, 53, 5000, 5000]),
            "protocol": np.array([6, 17, 6, 6]),
            "tcp_flags": np.array([2, 0, 16, 17]),
            "length": np.array([40, 80, 1500, 40]),
        },
    )
    return TraceView(trace, frame_of([trace]))


def test_known_values(view):
    values = extract(view)
    assert values["tcp_flags"].tolist() == [2, 16, 17]
    assert sorted(values["flow_size"].tolist()) == [1, 3]
    assert sorted(values["flow_volume"].tolist()) == [80, 1580]
    assert sorted(values["flow_duration"].tolist()) == [0, 100_000]  # microseconds
    assert sorted(values["interarrival"].tolist()) == [20_000, 80_000]
    assert values["time"].tolist() == [0, 10, 20, 100]  # milliseconds
    assert values["repeats"].sum() == 1
    assert (len(values["rate"]), values["rate"].sum(), values["rate"][-1]) == (TIME_BINS, 4, 1)


@pytest.mark.parametrize("trace", [packet_trace(200), flow_trace(200)], ids=["packets", "flows"])
def test_every_value_has_its_flow(trace: Trace):
    view = TraceView(trace, frame_of([trace]))
    values = extract(view)
    sizes = view.flows.lengths
    counted = {"record": sizes, "packet": sizes, "flow": np.ones_like(sizes), "five-tuple": np.ones_like(sizes)}
    for spec in fields_of(trace.kind):
        if spec.name not in values or spec.flow_of is None:
            continue
        flow_of = spec.flow_of(view)
        assert len(flow_of) == len(values[spec.name]), spec.name
        if spec.of in counted:
            assert np.bincount(flow_of, minlength=len(sizes)).tolist() == counted[spec.of].tolist(), spec.name
    gaps = next(spec for spec in fields_of(trace.kind) if spec.name == "interarrival")
    assert gaps.flow_of is not None
    assert np.bincount(gaps.flow_of(view), minlength=len(sizes)).tolist() == (sizes - 1).tolist()


def test_records_outside_the_frame_count_in_the_outer_bins(view):
    later = TraceView(view.trace, frame_of([view.trace.take(np.array([1, 2]))]))
    assert later.time_bin.tolist() == [0, 0, TIME_BINS - 1, TIME_BINS - 1]
    assert later.rate(np.array([0.5, 0, 0, 2])).tolist() == [0.5, *[0] * (TIME_BINS - 2), 2]


def test_a_field_that_a_trace_lacks_is_unshared():
    trace = flow_trace(50)
    bare = Trace("flow", {name: values for name, values in trace.columns.items() if name != "label"})
    values = {"a": extract(TraceView(trace, frame_of([trace]))), "b": extract(TraceView(bare, frame_of([bare])))}
    assert [spec.name for spec in unshared_fields("flow", values)] == ["label"]
    assert "label" not in [spec.name for spec in shared_fields("flow", values)]


def test_whole_flows_are_drawn_again():
    trace = packet_trace(100)
    redraws = FlowRedraws(trace)
    weights = redraws.draw(np.random.default_rng(0))
    assert all(len(set(weights[redraws.of_record == flow])) == 1 for flow in range(redraws.flows))
    assert drawn_again(50, np.random.default_rng(1)).sum() == 50


def test_names_of_distances_are_their_own():
    texts = [measure.text for measure in (*MEASURES, *PAPER_MEASURES)]
    assert len(set(texts)) == len(texts)
