import json
import math
from dataclasses import replace

import numpy as np
import pytest

from netshare.evaluation import Resampling, evaluate, split_by_flow
from netshare.evaluation.tasks.all_tasks import TASKS, run_tasks
from netshare.evaluation.tasks.hosts import claims_of, hosts
from netshare.evaluation.tasks.neighbours import nearest, neighbours
from netshare.evaluation.tasks.pairs import coarsened, pairs
from netshare.evaluation.tasks.prediction import prediction
from netshare.evaluation.tasks.rank_correlation import spearman
from netshare.evaluation.tasks.section import number
from netshare.evaluation.tasks.series import autocorrelation, hurst_exponent, index_of_dispersion, rates_of, series
from netshare.evaluation.tasks.sketches import heavy_hitters, sketches
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.trace import Trace, make_trace
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace, shuffled


def parts(trace: Trace) -> dict[str, Trace]:
    rest, holdout = split_by_flow(trace, 2 / 3, 0)
    train, synthetic = split_by_flow(rest, 0.5, 1)
    return {"train": train, "holdout": holdout, "synthetic": synthetic}


def labelled(records: int = 3000, seed: int = 0) -> Trace:
    """Scans are short and go to a port of their own: easily told, throughout the trace."""
    trace = flow_trace(records, seed)
    scan = np.random.default_rng(seed).random(len(trace)) < 0.4
    columns = {
        "label": scan.astype(np.int32),
        "dst_port": np.where(scan, 23, trace["dst_port"]).astype(np.uint16),
        "packets": np.where(scan, 1, trace["packets"]),
    }
    return replace(trace, columns={**trace.columns, **columns})


def test_prediction_learns_from_real_like_traffic_and_not_from_shuffled_columns() -> None:
    traces = parts(labelled())
    good = prediction(traces)
    assert good.verdicts[0].good is True
    assert good.figures["judged"] == "by time"
    accuracy = good.figures["cuts"]["by time"]["mean_accuracy"]
    assert accuracy["synthetic"] > 0.97
    bad = prediction({**traces, "synthetic": shuffled(traces["synthetic"])})
    assert bad.verdicts[0].good is False
    assert bad.figures["cuts"]["by time"]["mean_accuracy"]["synthetic"] < 0.8


def test_prediction_turns_to_random_parts_where_labels_change_with_time() -> None:
    trace = labelled()
    scan = np.arange(len(trace)) < len(trace) // 2
    columns = {**trace.columns, "label": scan.astype(np.int32), "dst_port": np.where(scan, 23, 80).astype(np.uint16)}
    section = prediction(parts(replace(trace, columns=columns)))
    assert section.figures["judged"] == "at random"
    assert section.verdicts[0].good is True


@pytest.mark.parametrize(
    ("trace", "reason"),
    [
        (packet_trace(60), "packet traces carry no labels"),
        (
            replace(flow_trace(100), columns={n: v for n, v in flow_trace(100).columns.items() if n != "label"}),
            "no label",
        ),
        (flow_trace(60, labels=("benign", "scan")), "fewer than 50"),
    ],
)
def test_prediction_says_why_it_is_not_possible(trace: Trace, reason: str) -> None:
    section = prediction(parts(trace))
    assert reason in section.text
    assert section.verdicts[0].good is None


def test_heavy_hitters_are_those_above_a_thousandth() -> None:
    counts = np.array([1, 2, 1998, 9])
    assert heavy_hitters(np.arange(4), np.array([1, 9, 990])).tolist() == [True, True, True]  # type: ignore[comparison-overlap]
    assert heavy_hitters(np.arange(4), counts).tolist() == [False, False, True, True]


def test_sketches_err_alike_on_like_traffic_and_otherwise_on_even_traffic() -> None:
    traces = parts(packet_trace(6000, hosts=2000))
    alike = sketches({**traces, "synthetic": traces["holdout"]})
    assert alike.figures["relative_error"] == 0
    assert alike.figures["rank_correlation"] == pytest.approx(1)
    assert alike.verdicts[0].good is True
    even = replace(
        traces["synthetic"],
        columns={
            **traces["synthetic"].columns,
            "src_lo": (np.arange(len(traces["synthetic"])) % 900).astype(np.uint64),
            "dst_lo": (np.arange(len(traces["synthetic"])) % 901).astype(np.uint64),
        },
    )
    assert sketches({**traces, "synthetic": even}).figures["relative_error"] > 1


def test_flow_records_count_as_many_times_as_they_have_packets() -> None:
    trace = flow_trace(400)
    weighted = sketches(parts(trace)).tables[0].rows
    single = (
        sketches(parts(replace(trace, columns={**trace.columns, "packets": np.ones(400, np.int64)}))).tables[0].rows
    )
    assert weighted != single


def test_autocorrelation_of_a_first_order_process() -> None:
    rng = np.random.default_rng(0)
    values = np.zeros(100_000)
    noise = rng.normal(size=len(values))
    for i in range(1, len(values)):
        values[i] = 0.7 * values[i - 1] + noise[i]
    assert autocorrelation(values, 5) == pytest.approx(0.7 ** np.arange(6), abs=0.02)
    assert autocorrelation(np.full(50, 3.0), 2).tolist() == [1, 0, 0]


def test_hurst_exponent_of_independent_and_of_self_similar_series() -> None:
    rng = np.random.default_rng(1)
    assert hurst_exponent(rng.poisson(20, 100_000).astype(float)) == pytest.approx(0.5, abs=0.05)
    n, hurst = 2**16, 0.85
    spectrum = np.arange(1, n // 2 + 1) ** (0.5 - hurst) * np.exp(2j * np.pi * rng.random(n // 2))
    assert hurst_exponent(np.fft.irfft(np.concatenate([[0], spectrum]), n)) == pytest.approx(hurst, abs=0.07)
    assert math.isnan(hurst_exponent(np.ones(1000)))


def test_poisson_arrivals_have_a_dispersion_of_one() -> None:
    assert index_of_dispersion(np.random.default_rng(0).poisson(7, 100_000)) == pytest.approx(1, abs=0.03)


def test_rates_count_every_record_and_byte() -> None:
    trace = packet_trace(500)
    records, volume = rates_of(trace)
    assert (records.sum(), volume.sum()) == (len(trace), trace["length"].sum())
    one_time = replace(trace, columns={**trace.columns, "time": np.full(len(trace), 5)})
    assert rates_of(one_time)[0][0] == len(trace)


def test_a_burst_is_not_like_steady_traffic() -> None:
    traces = parts(packet_trace(3000))
    steady = series(traces)
    assert steady.verdicts[0].good is True
    s = traces["synthetic"]
    bursty = replace(s, columns={**s.columns, "time": (s["time"] // 10**9) * 10**9})
    assert series({**traces, "synthetic": bursty}).verdicts[0].good is False


def test_pairs_notice_torn_records_that_single_fields_do_not() -> None:
    traces = parts(packet_trace(2000))
    assert pairs(traces).figures["geometric_mean_ratio"] < 1.5
    torn = {**traces, "synthetic": shuffled(traces["synthetic"])}
    section = pairs(torn)
    assert section.verdicts[0].good is False
    assert section.figures["pairs"]["destination port, protocol"]["synthetic"] > 0.1


def test_coarse_cells_are_those_of_the_reference() -> None:
    reference = np.concatenate([np.zeros(500, np.int64), np.arange(1, 501)])
    coded = coarsened(reference, {"same": reference, "new": np.array([0, 10_000])}, categorical=False)
    assert len(np.unique(coded["same"])) <= 32
    assert np.ptp(coded["same"][:500]) == 0
    assert coded["same"][500] > coded["same"][0]
    names = coarsened(np.array([7, 7, 9]), {"x": np.array([9, 7, 8])}, categorical=True)["x"]
    assert len(set(names.tolist())) == 3


def test_nearest_distances_agree_with_a_tree() -> None:
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(0)
    points, among = rng.normal(size=(700, 5)), rng.normal(size=(300, 5))
    assert nearest(points, among) == pytest.approx(cKDTree(among).query(points)[0])


def test_copied_flows_are_found_out_and_fresh_ones_are_not() -> None:
    traces = parts(packet_trace(3000))
    fresh = neighbours(traces)
    assert fresh.verdicts[0].good is True
    assert fresh.figures["membership_success"] == pytest.approx(0.5, abs=0.04)
    assert fresh.figures["median_ratio"] == pytest.approx(1, abs=0.15)
    copied = neighbours({**traces, "synthetic": traces["train"]})
    assert copied.verdicts[0].good is False
    assert copied.figures["membership_success"] > 0.9
    assert copied.figures["identical"]["synthetic"] == 1
    later = replace(traces["train"], columns={**traces["train"].columns, "time": traces["train"]["time"] + 10**12})
    assert neighbours({**traces, "synthetic": later}).figures["membership_success"] > 0.9


def test_spearman_agrees_with_known_answers() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    assert math.isnan(spearman([1, 1], [1, 2]))


def test_cells_are_short() -> None:
    assert [number(v) for v in (None, float("nan"), "x", 1234567, 12345.6, 0.123456)] == [
        "",
        "",
        "x",
        "1,234,567",
        "12,346",
        "0.1235",
    ]


def test_tasks_are_chosen_by_name() -> None:
    traces = parts(packet_trace(300))
    assert [section.name for section in run_tasks(traces, ["series", "pairs"])] == ["pairs", "series"]
    assert [section.name for section in run_tasks(traces, "auto")] == list(TASKS)
    assert run_tasks(traces, None) == ()
    with pytest.raises(ConfigError, match="found 'sketch', give some of pairs"):
        run_tasks(traces, ["sketch"])


@pytest.mark.parametrize("trace", [packet_trace(400), labelled(900)], ids=["packets", "flows"])
def test_the_report_says_what_the_trace_is_good_for(trace: Trace) -> None:
    traces = parts(trace)
    report = evaluate(traces["train"], traces["synthetic"], traces["holdout"], resampling=Resampling(redraws=2))
    figures = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert list(figures["tasks"]) == list(TASKS)
    uses = {use["use"]: use["good"] for use in figures["uses"]}
    assert uses["statistics of single fields"] is True
    assert uses["sharing without giving single flows away"] is True
    assert "Good for: statistics of single fields" in report.summary()
    copied = evaluate(traces["train"], traces["train"], traces["holdout"], resampling=Resampling(redraws=2))
    assert "Not for: sharing without giving single flows away" in copied.summary()


def test_without_a_held_back_trace_nearness_is_not_judged() -> None:
    report = evaluate(packet_trace(300), packet_trace(300, seed=1))
    assert "neighbours" not in [section.name for section in report.tasks]
    assert report.tasks


def test_no_tasks_no_uses() -> None:
    report = evaluate(packet_trace(60), packet_trace(60), tasks=None)
    assert (report.tasks, report.uses()) == ((), [])


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("rows", [1, 2, 60])
def test_odd_traces_do_not_break_a_task(task: str, rows: int) -> None:
    for trace in (packet_trace(80), flow_trace(80)):
        constant = {n: np.full(rows, v[0]) for n, v in trace.columns.items()}
        same = Trace(trace.kind, constant, trace.categories)
        silent = make_trace(trace.kind, {**constant, "packets": np.zeros(rows), "bytes": np.zeros(rows)})
        for synthetic in (same, silent):
            if ("label" in synthetic) != ("label" in same):
                continue
            section = TASKS[task]({"train": same, "holdout": same, "synthetic": synthetic}, 0)
            assert section.verdicts


def of_hosts(conversations: int, seed: int) -> Trace:
    """Hosts each of which uses services of its own, one flow a conversation."""
    rng = np.random.default_rng(seed)
    host = rng.integers(0, 300, conversations)
    trace = flow_trace(conversations, seed)
    columns = {
        "src_lo": (0x0A000000 + host).astype(np.uint64),
        "dst_lo": (0x0A010000 + rng.integers(0, 5000, conversations)).astype(np.uint64),
        "src_port": rng.integers(20_000, 60_000, conversations).astype(np.uint16),
        "dst_port": (1000 + rng.integers(0, 40, conversations) * 7 + host % 7).astype(np.uint16),
    }
    return replace(trace, columns={**trace.columns, **columns})


def test_a_copied_host_is_given_away_and_fresh_traffic_gives_nothing_away() -> None:
    traces = parts(of_hosts(4000, 0))
    fresh = hosts(traces)
    assert fresh.verdicts[0].good is True
    uses = fresh.figures["uses service"]
    assert uses["true"] == pytest.approx(uses["true_holdout"], abs=0.06)
    copied = hosts({**traces, "synthetic": traces["train"]})
    assert copied.verdicts[0].good is False
    assert {name for name, row in copied.figures.items() if row["suspicious"]} >= {"talks to", "uses service"}
    assert copied.figures["uses service"]["true"] == copied.figures["uses service"]["of_training_told"] == 1


def test_claims_of_hosts_are_what_the_records_say() -> None:
    trace = make_trace(
        "flow",
        {
            "time": np.array([0, 1, 2]), "duration": np.zeros(3, int), "ip_version": np.full(3, 4),
            "src_lo": np.array([1, 2, 1]), "dst_lo": np.array([2, 1, 3]), "src_port": np.array([5000, 80, 0]),
            "dst_port": np.array([80, 5000, 0]), "protocol": np.array([6, 6, 1]), "packets": np.ones(3, int),
            "bytes": np.full(3, 60),
        },
    )  # fmt: skip
    found = {name: len(pairs[0]) for name, pairs in claims_of(trace).items()}
    assert found == {"talks to": 4, "offers service": 1, "uses service": 1}


def test_tables_without_hosts_in_common_are_not_judged() -> None:
    one = flow_trace(200)
    other = replace(one, columns={**one.columns, "src_lo": one["src_lo"] + 10**6, "dst_lo": one["dst_lo"] + 10**6})
    section = hosts({"train": one, "holdout": other, "synthetic": other})
    assert section.verdicts[0].good is None
