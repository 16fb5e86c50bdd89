import numpy as np
import pytest

from netshare.evaluation import Resampling, evaluate, split_by_flow
from netshare.evaluation.metrics.fields import TraceView, extract, frame_of, shared_fields
from netshare.evaluation.metrics.intervals import Interval, median_ratio_interval, share_interval
from netshare.evaluation.metrics.redraws import redrawn_distances, weighted_distances
from netshare.evaluation.tasks.hosts import hosts
from netshare.evaluation.tasks.neighbours import neighbours
from netshare.evaluation.tasks.pairs import pairs
from netshare.evaluation.tasks.series import series
from netshare.evaluation.tasks.sketches import sketches
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.trace import Trace, make_trace
from tests.netshare.evaluation.evaluation_traces import packet_trace


def three_parts(flows: int = 900) -> dict[str, Trace]:
    rest, holdout = split_by_flow(packet_trace(flows), 2 / 3, 0)
    train, synthetic = split_by_flow(rest, 0.5, 1)
    return {"train": train, "holdout": holdout, "synthetic": synthetic}


def test_with_every_flow_drawn_once_the_distances_are_the_distances() -> None:
    traces = three_parts()
    frame = frame_of([traces["train"], traces["holdout"]])
    views = {role: TraceView(trace, frame) for role, trace in traces.items()}
    values = {role: extract(view) for role, view in views.items()}
    once = {role: np.ones(len(view.flows)) for role, view in views.items()}
    for spec in shared_fields("packet", values):
        a, b, s = (values[role][spec.name] for role in ("train", "holdout", "synthetic"))
        for measure in spec.measures:
            got = weighted_distances(spec, measure, views, values)(once)
            want = [measure.of_values(each, b, frame) for each in (s, a)]
            assert got[:2] == pytest.approx(want, abs=1e-9), (spec.name, measure.text)
        if spec.paper is not None:
            got = weighted_distances(spec, spec.paper, views, values)(once)
            want = [spec.paper.of_values(*each, frame) for each in ((s, b), (a, b), (s, a))]
            assert got == pytest.approx(want, rel=1e-9), (spec.name, spec.paper.text)


def test_the_deviation_of_a_share_is_the_binomial_one() -> None:
    traces = three_parts(3000)
    # far from B, so that the difference keeps its sign: S has no flow of one packet
    s = traces["synthetic"]
    traces["synthetic"] = make_trace("packet", {n: np.repeat(v, 2) for n, v in s.columns.items()})
    frame = frame_of([traces["train"], traces["holdout"]])
    views = {role: TraceView(trace, frame) for role, trace in traces.items()}
    values = {role: extract(view) for role, view in views.items()}
    spec = next(spec for spec in shared_fields("packet", values) if spec.name == "repeats")
    (interval,) = redrawn_distances([(spec, spec.measures[0])], views, values, 200)
    share = values["holdout"]["repeats"].mean()
    expected = np.sqrt(share * (1 - share) / len(values["holdout"]["repeats"]))
    assert interval.deviation == pytest.approx(expected, rel=0.2)


def test_intervals_hold_their_figures_and_shrink_with_the_traces() -> None:
    widths = []
    for flows in (300, 4800):
        parts = three_parts(flows)
        report = evaluate(
            parts["train"], parts["synthetic"], parts["holdout"], tasks=None, resampling=Resampling(bootstrap=0)
        )
        for row in (*report.distances, *report.paper_distances):
            assert row.interval is not None
            assert row.ratio_interval is not None
            assert 0 <= row.interval[0] <= row.synthetic <= row.interval[1]
            assert row.ratio_interval[0] <= row.ratio <= row.ratio_interval[1]
        assert report.ratio_interval is not None
        assert report.ratio_interval[0] < report.ratio < report.ratio_interval[1]
        row = next(r for r in report.distances if r.field == "length" and r.measure.startswith("EMD"))
        assert row.interval is not None
        widths.append(row.interval[1] - row.interval[0])
    assert widths[1] < widths[0] / 2  # a quarter is due


def test_bounds_do_not_leave_what_is_possible() -> None:
    assert Interval(1.0, 0.5).around(0.5)[0] == 0
    low, high = Interval(1.0, 0.5).around_ratio(2.0)
    assert low * high == pytest.approx(4)


def test_intervals_can_be_left_out_and_one_redraw_is_refused() -> None:
    trace = packet_trace(60)
    report = evaluate(trace, trace, tasks=None, resampling=Resampling(redraws=0))
    assert report.ratio_interval is None
    assert all(row.interval is None for row in report.distances)
    with pytest.raises(ConfigError, match="redraws: found 1"):
        Resampling(redraws=1)


def test_a_shares_interval_is_wilsons() -> None:
    assert share_interval(0, 0) is None
    assert share_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, method 3


def test_the_ratio_of_medians_is_held_and_its_interval_shrinks() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (100, 10_000):
        low, high = median_ratio_interval(rng.normal(10, 1, count), rng.normal(5, 1, count), rng)
        assert low < 2 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5  # a tenth is due


def test_tasks_hold_their_figures_within_intervals() -> None:
    traces = three_parts(2400)
    figures = pairs(traces).figures
    low, high = figures["geometric_mean_ratio_interval"]
    assert low < figures["geometric_mean_ratio"] < high < 2 * low
    figures = neighbours(traces).figures
    assert figures["median_ratio_interval"][0] <= figures["median_ratio"] <= figures["median_ratio_interval"][1]
    low, high = figures["membership_success_interval"]
    assert low < figures["membership_success"] < high
    figures = sketches(traces).figures
    assert figures["relative_error_interval"][0] <= figures["relative_error"] <= figures["relative_error_interval"][1]
    for rate in series(traces).figures.values():
        low, high = rate["peak_over_mean_interval"]["synthetic"]
        assert low < rate["peak_over_mean"]["synthetic"] < high
    for claim in hosts(traces).figures.values():
        assert claim["true_interval"][0] <= claim["true"] <= claim["true_interval"][1]
