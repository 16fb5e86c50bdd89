import json
from pathlib import Path

import numpy as np
import pytest

from netshare.evaluation.split import split_by_flow
from netshare.evaluation.tasks.netml import anomalous, netml
from netshare.evaluation.tasks.netml_features import MODES, cut_flows, features, scale_of
from netshare.preprocess.trace import make_trace
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace

ORACLE = json.loads((Path(__file__).parent / "data" / "netml.json").read_text())  # see make_netml.py beside it


@pytest.fixture(scope="module")
def ours() -> dict[str, np.ndarray]:
    columns = {name: np.array(values) for name, values in ORACLE["trace"].items()}
    trace = make_trace(
        "packet",
        {
            "time": columns["time_us"] * 1000,
            "ip_version": np.full(len(columns["flow"]), 4),
            "src_port": 10_000 + columns["flow"],
            "protocol": columns["protocol"],
            "length": columns["length"],
        },
    )
    flows = cut_flows(trace)
    return features(flows, scale_of(flows))


@pytest.mark.parametrize("mode", MODES)
def test_features_agree_with_netml(mode: str, ours: dict[str, np.ndarray]) -> None:
    theirs = np.array(ORACLE["features"][mode])
    assert ours[mode].shape == theirs.shape
    by_row = [np.array(sorted(map(tuple, np.round(each, 5)))) for each in (ours[mode], theirs)]
    np.testing.assert_allclose(by_row[0], by_row[1], rtol=1e-4, atol=2e-5)


def test_traffic_unlike_the_training_trace_is_called_anomalous() -> None:
    train, holdout = split_by_flow(packet_trace(900), 0.5, 0)
    columns = {**train.columns, "length": train["length"] * 40}
    section = netml({"train": train, "holdout": holdout, "synthetic": make_trace("packet", columns)})
    shares = section.figures["learnt_from_train"]["shares"]
    assert shares["synthetic"]["SIZE"] > 0.9 > 2 * shares["holdout"]["SIZE"]
    assert section.verdicts[0].good is False
    alike = netml({"train": train, "holdout": holdout, "synthetic": holdout})
    assert alike.figures["learnt_from_train"]["relative_error"]["synthetic"] == 0
    assert alike.verdicts[0].good is True


def test_the_share_that_the_machine_leaves_outside_is_as_asked() -> None:
    vectors = np.random.default_rng(0).normal(size=(2000, 3))
    assert anomalous(vectors, [vectors, vectors + 50], 0.1) == [pytest.approx(0.1, abs=0.02), 1]


def test_flow_records_and_few_flows_are_told_of() -> None:
    records = flow_trace(100)
    assert "flow records" in netml(dict.fromkeys(("train", "holdout", "synthetic"), records)).text
    few = packet_trace(5)
    assert "fewer than 30" in netml(dict.fromkeys(("train", "holdout", "synthetic"), few)).text


def test_synthetic_packets_that_make_no_flows_are_not_good() -> None:
    real = packet_trace(200)
    lone = make_trace("packet", {**real.columns, "src_port": np.arange(len(real))})
    section = netml({"train": real, "holdout": real, "synthetic": lone})
    assert section.verdicts[0].good is False
    assert "only 0 synthetic flows" in section.text


def test_simultaneous_packets_have_features() -> None:
    trace = packet_trace(50)
    trace = make_trace("packet", {**trace.columns, "time": np.zeros(len(trace), np.int64)})
    flows = cut_flows(trace)
    made = features(flows, scale_of(flows))
    assert all(np.isfinite(values).all() for values in made.values())
    width = made["SAMP_NUM"].shape[1]
    assert made["SAMP_NUM"][:, 0].sum() == flows.packets.sum()
    assert width >= 1
