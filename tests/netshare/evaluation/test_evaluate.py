import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netshare.evaluation import Provenance, Report, Resampling, evaluate, split_by_flow, write_html, write_json
from netshare.evaluation.render.html import to_html
from netshare.postprocess.repair import repair
from netshare.preprocess.errors import InputError
from netshare.preprocess.trace import Trace
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace, shuffled


def thirds(trace: Trace) -> tuple[Trace, Trace, Trace]:
    first, rest = split_by_flow(trace, 1 / 3, 0)
    return (first, *split_by_flow(rest, 0.5, 1))


def row(report: Report, field: str, measure: str):
    return next(r for r in report.distances if r.field == field and r.measure.startswith(measure))


@pytest.mark.parametrize("trace", [packet_trace(3000), flow_trace(9000)], ids=["packets", "flows"])
def test_real_traffic_stands_at_the_floor(trace: Trace) -> None:
    train, holdout, other = thirds(trace)
    report = evaluate(train, other, holdout, tasks=None)
    assert 0.75 < report.ratio < 1.35
    assert not report.verdict()[1].warns


def test_an_isp_trace_stands_at_its_floor_and_shuffled_columns_do_not(isp_packets: Trace) -> None:
    train, holdout, other = thirds(isp_packets)
    near = evaluate(train, other, holdout, tasks=None)
    assert 0.6 < near.ratio < 1.7
    torn = evaluate(train, shuffled(other), holdout, tasks=None)
    assert torn.ratio > 2 * near.ratio
    assert row(torn, "repeats", "difference").synthetic > 10 * row(near, "repeats", "difference").synthetic
    assert row(torn, "flow_size", "JSD").ratio > 10
    assert row(torn, "length", "JSD").ratio < 1.6  # marginals are kept


def test_netflow_records_stand_at_their_floor(netflow_records: Trace) -> None:
    train, holdout, other = thirds(netflow_records)
    report = evaluate(train, other, holdout, resampling=Resampling(bootstrap=1), tasks=None)
    assert 0.7 < report.ratio < 1.4
    torn = evaluate(train, shuffled(other), holdout, resampling=Resampling(bootstrap=0), tasks=None)
    assert row(torn, "repeats", "difference").ratio > 3


def test_a_copy_is_close_and_caught() -> None:
    train, holdout = split_by_flow(packet_trace(1000), 0.5, 0)
    report = evaluate(train, train, holdout)
    assert report.ratio == pytest.approx(1, abs=0.15)
    assert report.verdict()[1].warns
    assert "five-tuples" in report.verdict()[1].sentence


def test_traces_of_unequal_size_are_compared_over_equally_many_flows() -> None:
    train, holdout, other = thirds(packet_trace(3000))
    report = evaluate(train, packet_trace(100, seed=5), holdout)
    assert {size.compared_flows for size in report.sizes.values()} == {report.sizes["synthetic"].flows}
    assert any("randomly drawn flows" in note for note in report.notes)
    assert row(report, "flow_size", "EMD").n_synthetic == row(report, "flow_size", "EMD").n_train
    assert other is not None


def test_without_a_holdout_the_training_trace_is_halved_even_if_it_was_split_before() -> None:
    train, _ = split_by_flow(packet_trace(1000), 0.5, 0)
    report = evaluate(train, packet_trace(500, seed=2), seed=0)
    assert report.notes[0].startswith("No held-back trace was given")
    assert report.sizes["train"].records + report.sizes["holdout"].records == len(train)
    assert "holdout" not in report.consistency


def test_the_same_seed_gives_the_same_report() -> None:
    train, holdout, other = thirds(packet_trace(300))
    first, again = (evaluate(train, other, holdout, seed=4).to_json() for _ in range(2))
    assert first == again


def test_label_codes_are_compared_by_their_text() -> None:
    train, holdout = split_by_flow(flow_trace(2000), 0.5, 0)
    renumbered = replace(
        train,
        columns={**train.columns, "label": np.array([1, 0, -1], np.int32)[train["label"]]},
        categories={"label": ("scan", "benign")},
    )
    report = evaluate(train, renumbered, holdout, resampling=Resampling(bootstrap=0), tasks=None)
    assert row(report, "label", "JSD").synthetic == pytest.approx(row(report, "label", "JSD").floor)
    assert report.copying[-1].share == 1


@pytest.mark.parametrize("kind", ["packet", "flow"])
@pytest.mark.parametrize("rows", [1, 2])
def test_tiny_traces_give_a_report(kind: str, rows: int) -> None:
    trace = (packet_trace(5) if kind == "packet" else flow_trace(5)).take(np.arange(rows))
    for holdout in (None, trace):
        report = evaluate(trace, trace, holdout)
        assert math.isfinite(report.ratio)
        assert report.summary()
        assert to_html(report).startswith("<!doctype html>")


def test_one_flow_and_constant_fields_and_no_tcp_give_a_report() -> None:
    trace = packet_trace(200)
    constant = {name: np.full_like(values, values[0]) for name, values in trace.columns.items() if name != "time"}
    one_flow = replace(trace, columns={**trace.columns, **constant})
    udp = trace.take(trace["protocol"] == 17)
    for synthetic in (one_flow, udp):
        for train in (one_flow, udp):
            report = evaluate(train, synthetic, udp)
            assert math.isfinite(report.ratio)
            json.dumps(report.to_json(), allow_nan=False)


def test_what_cannot_be_compared_is_refused_in_one_line() -> None:
    trace = packet_trace(5)
    with pytest.raises(InputError, match="synthetic trace: it holds no records"):
        evaluate(trace, trace.take(np.zeros(0, np.int64)))
    with pytest.raises(InputError, match="synthetic trace: it is a flow trace"):
        evaluate(trace, flow_trace(5))


def test_the_papers_figures_are_there_beside_the_floor() -> None:
    train, holdout, other = thirds(packet_trace(600))
    report = evaluate(train, other, holdout)
    fields = {r.field: r.measure for r in report.paper_distances}
    assert fields == {
        "src_address": "JSD of ranks, nats",
        "dst_address": "JSD of ranks, nats",
        "src_port": "JSD, nats",
        "dst_port": "JSD, nats",
        "protocol": "JSD, nats",
        "length": "EMD, raw",
        "time": "EMD, raw",
        "flow_size": "EMD, raw",
    }
    assert [mean.candidate for mean in report.paper_means] == ["synthetic", "train", "bootstrap"]
    assert all(0.1 <= mean.mean_emd_scaled <= 0.9 for mean in report.paper_means)


def test_the_json_file_holds_all_figures_and_what_was_passed_in(tmp_path: Path) -> None:
    train, holdout, other = thirds(packet_trace(300))
    report = evaluate(
        train, other, holdout, provenance=Provenance(shuffled(other), {"ports": 7}, {"steps": np.int64(3)})
    )
    write_json(report, tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["schema_version"] == 1
    assert read["repairs"] == {"ports": 7}
    assert read["extra"] == {"steps": 3}
    assert list(read["consistency"]) == ["train", "holdout", "before repair", "synthetic"]
    assert read["consistency"]["before repair"][2]["share"] < read["consistency"]["synthetic"][2]["share"]
    assert len(read["distances"]) == len(report.distances) >= 19
    assert all(row["n_synthetic"] > 0 for row in read["distances"])
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_the_html_file_is_written_atomically(tmp_path: Path) -> None:
    train, holdout, other = thirds(packet_trace(300))
    write_html(evaluate(train, other, holdout, resampling=Resampling(bootstrap=0)), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_flow_that_holds_most_records_is_told_of() -> None:
    train, holdout, other = thirds(packet_trace(900))
    size = len(other)
    elephant = other.take(np.concatenate([np.arange(size), np.zeros(size, np.int64)]))
    assert not any(
        "single flow" in note for note in evaluate(train, other, holdout, resampling=Resampling(bootstrap=0)).notes
    )
    notes = evaluate(train, elephant, holdout, resampling=Resampling(bootstrap=0)).notes
    assert any("A single flow holds" in note and "synthetic" in note for note in notes)


def test_a_synthetic_trace_at_another_time_is_told_of() -> None:
    train, holdout, other = thirds(packet_trace(300))
    later = replace(other, columns={**other.columns, "time": other["time"] + 10**15})
    report = evaluate(train, later, holdout, resampling=Resampling(bootstrap=0))
    assert any(note.startswith("100% of the synthetic records lie outside") for note in report.notes)
    assert row(report, "time", "JSD").synthetic == pytest.approx(1)


def test_repair_shows_in_the_consistency_tests(isp_packets: Trace) -> None:
    train, holdout, other = thirds(isp_packets)
    broken = shuffled(other)
    repaired, done = repair(broken)
    report = evaluate(
        train, repaired, holdout, provenance=Provenance(broken, done.rules), resampling=Resampling(bootstrap=0)
    )
    before, after = report.consistency["before repair"], report.consistency["synthetic"]
    assert before[2].share < 0.95
    assert [result.share for result in after] == [1.0] * 4
    assert report.to_json()["repairs"] == done.rules


def test_a_field_that_one_trace_lacks_is_named() -> None:
    train, holdout, other = thirds(flow_trace(600))
    unlabelled = replace(other, columns={n: v for n, v in other.columns.items() if n != "label"})
    report = evaluate(train, unlabelled, holdout, resampling=Resampling(bootstrap=0))
    assert "Not compared, because not all traces have it: Label." in report.notes
    assert not any(r.field == "label" for r in report.distances)


def test_the_summary_fits_a_terminal_and_holds_every_distance() -> None:
    train, holdout, other = thirds(flow_trace(600))
    report = evaluate(train, other, holdout)
    lines = report.summary().splitlines()
    assert max(len(line) for line in lines) <= 130
    assert all(any(line.startswith(r.title) and r.measure in line for line in lines) for r in report.distances)
