"""The synthesizer in ordinary use: whatever it is given, fit, sample, save, load, report."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import netshare
from netshare import Synthesizer
from netshare.evaluation import Report
from netshare.preprocess.errors import ConfigError, InputError, RunFolderError, TrainingError
from netshare.preprocess.readers import read_trace
from netshare.preprocess.timeseries import TimeSeries, read_series
from netshare.preprocess.trace import Trace
from netshare.recipe.given_flows import FIVE
from tests.netshare.synthesizer.small import SETTINGS, SMALL_NETS, fitted, small_trace

NETS = {"generator": {"autoregressive": SMALL_NETS}}


def same(first: Trace, second: Trace) -> bool:
    """Whether two traces have the same records, bit for bit."""
    return all(np.array_equal(first[name], second[name]) for name in first) and list(first) == list(second)


def seed_of(trace: Trace) -> int:
    """The seed that a sample's notes name."""
    found = [re.fullmatch(r"sampled with seed (\d+)", note) for note in trace.sources[0].notes]
    return next(int(match[1]) for match in found if match is not None)


def test_a_trace_a_frame_and_a_file_are_learnt_alike(synthesizer, tmp_path):
    trace = small_trace()
    netshare.write_trace(trace, tmp_path / "in.parquet")
    expected = synthesizer.sample(20, seed=1)
    assert expected.kind == "packet" and len(expected)
    for data in (tmp_path / "in.parquet", [str(tmp_path / "in.parquet")], trace.to_pandas()):
        learnt = Synthesizer(settings={**SETTINGS, **NETS}).fit(data)
        assert same(learnt.sample(20, seed=1), expected)


def test_flow_records_are_learnt_from_a_frame():
    netflow = netshare.read_trace(netshare.sample_path("netflow")).take(slice(0, 300))
    learnt = Synthesizer(settings={**SETTINGS, **NETS, "chunks": {"count": 1}}).fit(netflow.to_pandas())
    sample = learnt.sample(25, seed=1)
    assert sample.kind == "flow" and set(netflow) <= set(sample)
    assert learnt.config.preset == "netflow"


@pytest.mark.parametrize("given", ["file", "series"])
def test_time_series_are_learnt(tmp_path, given):
    frame = pd.DataFrame(
        [(key, day, key + day % 3) for key in range(20) for day in range(6)], columns=["key", "day", "x"]
    )
    frame.to_csv(tmp_path / "in.csv", index=False)
    reading = {"key": "key", "order": "day"}
    data = {"file": tmp_path / "in.csv", "series": read_series(tmp_path / "in.csv", **reading)}[given]
    settings = {"training": {"steps": 2}, **NETS, "series": {} if given == "series" else reading}
    learnt = Synthesizer(preset="timeseries", settings=settings).fit(data)
    sample = learnt.sample(7, seed=1)
    assert isinstance(sample, TimeSeries) and len(sample) == 7
    assert "sampled with seed 1" in sample.notes
    learnt.save(tmp_path / "saved")
    again = Synthesizer.load(tmp_path / "saved").sample(7, seed=1)
    assert all(np.array_equal(again.measurements[name], values) for name, values in sample.measurements.items())


def test_a_sample_without_a_seed_is_another_each_time_and_names_it(synthesizer):
    first, second = synthesizer.sample(20), synthesizer.sample(20)
    assert seed_of(first) != seed_of(second) and not same(first, second)
    assert same(synthesizer.sample(20, seed=seed_of(first)), first)


def test_a_sample_has_as_many_flows_as_asked_and_by_default_as_learnt(synthesizer):
    for asked, expected in ((15, 15), (None, 60)):
        sample = synthesizer.sample(asked, seed=3)
        five = zip(
            *(sample[name].tolist() for name in ("src_lo", "dst_lo", "src_port", "dst_port", "protocol")), strict=True
        )
        flows = {frozenset([row[0::2][:2], row[1::2][:2], row[4]]) for row in five}
        assert len(flows) == pytest.approx(expected, abs=expected // 4)
    with pytest.raises(ConfigError, match="n is 0; give a whole number of at least 1"):
        synthesizer.sample(0)


def test_given_flows_are_made_and_no_others(synthesizer, tmp_path):
    rows = [("10.1.2.3", "192.168.0.1", 40_000 + k, 443, "TCP", 3) for k in range(9)]
    frame = pd.DataFrame(rows, columns=[*FIVE, "records"])
    frame.to_csv(tmp_path / "flows.csv", index=False)
    made = synthesizer.sample(metadata=frame, seed=1)
    assert same(synthesizer.sample(metadata=tmp_path / "flows.csv", seed=1), made)
    assert len(made) == 27
    ports = np.where(made["src_lo"] == (10 << 24) + (1 << 16) + (2 << 8) + 3, made["src_port"], made["dst_port"])
    assert set(ports.tolist()) == {40_000 + k for k in range(9)}
    with pytest.raises(InputError, match="no column"):
        synthesizer.sample(metadata=frame.drop(columns="dst_port"))


@pytest.mark.parametrize("kind", ["autoregressive", "doppelganger"])
def test_what_is_loaded_samples_the_same_bit_for_bit(tmp_path, kind):
    learnt = fitted(kind)
    learnt.save(tmp_path / "one")
    loaded = Synthesizer.load(tmp_path / "one")
    expected = learnt.sample(30, seed=4)
    assert same(loaded.sample(30, seed=4), expected)
    loaded.save(tmp_path / "two")
    assert same(Synthesizer.load(tmp_path / "two").sample(30, seed=4), expected)
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_an_embedding_of_ones_own_is_saved_beside_the_codec(tmp_path):
    """It is read from the saved folder, not from where the config says that it was."""
    own = netshare.preprocess.ip2vec.IP2Vec.load_default()
    mirrored = netshare.preprocess.ip2vec.IP2Vec(1 - own.ports, 1 - own.protocols)
    mirrored.save(tmp_path / "mine")
    learnt = fitted("doppelganger", ip2vec={"model": str(tmp_path / "mine")})
    learnt.save(tmp_path / "saved")
    expected = learnt.sample(20, seed=1)
    (tmp_path / "mine").rename(tmp_path / "moved")
    assert same(Synthesizer.load(tmp_path / "saved").sample(20, seed=1), expected)
    assert str(tmp_path) not in (tmp_path / "saved" / "synthesizer.json").read_text()


def test_a_folder_that_holds_something_is_never_saved_into(synthesizer, tmp_path):
    (tmp_path / "thesis.tex").write_text("kept")
    with pytest.raises(RunFolderError, match="exists and is not empty; choose another folder, nothing is overwritten"):
        synthesizer.save(tmp_path)
    with pytest.raises(RunFolderError, match="not empty"):
        synthesizer.save(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    synthesizer.save(tmp_path / "empty")


def test_a_report_compares_with_held_back_data(synthesizer):
    report = synthesizer.report(small_trace(seed=9))
    assert isinstance(report, Report) and report.sizes["holdout"].records == 300
    judged = synthesizer.report(small_trace(seed=9), synthetic=small_trace(seed=10))
    assert judged.ratio < report.ratio


def test_what_was_not_learnt_is_one_line(saved_folder, tmp_path):
    fresh = Synthesizer()
    for call in (fresh.sample, fresh.report, lambda: fresh.save(tmp_path / "new"), lambda: fresh.config):
        with pytest.raises(TrainingError, match=r"nothing has been learnt yet; call fit\(data\) first"):
            call()
    assert not (tmp_path / "new").exists()
    with pytest.raises(TrainingError, match="does not hold its training data"):
        Synthesizer.load(saved_folder).report()
    with pytest.raises(InputError, match="too few"):
        fresh.fit(small_trace().take(slice(0, 5)))
    with pytest.raises(ConfigError, match="mine is no kind of generator"):
        Synthesizer(generator="mine").fit(small_trace())
    with pytest.raises(ConfigError, match="preset is netflow, but the data are of pcap"):
        Synthesizer(preset="netflow").fit(small_trace())


@pytest.mark.slow
def test_the_folder_of_a_finished_run_is_loaded_like_one_that_was_saved(quick_run, tmp_path):
    for kind in ("parquet",):
        netshare.generate(quick_run, tmp_path / f"out.{kind}", flows=40, seed=6)
        loaded = Synthesizer.load(quick_run)
        assert same(loaded.sample(40, seed=6), read_trace(tmp_path / f"out.{kind}"))
        loaded.save(tmp_path / "saved")
        assert same(Synthesizer.load(tmp_path / "saved").sample(40, seed=6), loaded.sample(40, seed=6))
    config = json.loads((tmp_path / "saved" / "synthesizer.json").read_text())["config"]
    assert not {"input", "output", "cluster", "ip2vec"} & set(config)


def five_tuples(trace: Trace) -> set[bytes]:
    """The five-tuples of a trace as the bytes that a row of `five_tuples.npy`, or an address and a port, would have."""
    names = ("src_lo", "dst_lo", "src_port", "dst_port")
    return {b"".join(trace[name][i].tobytes() for name in names) for i in range(len(trace))}


@pytest.mark.slow
def test_a_private_synthesizer_holds_no_flow_of_its_input(tmp_path):
    real = small_trace(flows=200)
    bounds = {"begin": "2001-09-09T01:46:40Z", "seconds": 10, "units": 200}
    settings = {**SETTINGS, **NETS, "privacy": {"bounds": bounds}, "chunks": {"count": 1}}
    private = Synthesizer(epsilon=4.0, settings=settings).fit(real)
    assert private.config.privacy.enabled and private.config.privacy.secure_rng
    sample = private.sample(50, seed=1)
    assert sample.kind == "packet"
    private.save(tmp_path / "saved")
    loaded = Synthesizer.load(tmp_path / "saved")
    assert same(loaded.sample(50, seed=1), sample)
    assert not (tmp_path / "saved" / "chunks" / "five_tuples.npy").exists()
    content = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    assert not [row for row in five_tuples(real) if row in content]
    assert str(Path.home()).encode() not in content
