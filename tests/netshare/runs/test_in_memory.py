"""Runs on data in memory: a trace, a data frame of packets, a data frame of series."""

import json

import numpy as np
import pandas as pd
import pytest

import netshare
from netshare.preprocess.errors import ConfigError

QUICK = {
    "training": {"steps": 2, "finetune_steps": 2},
    "cluster": {"mode": "inline"},
    "evaluate": {"enabled": False},
    "output": {"formats": ["csv", "parquet"]},
}


@pytest.fixture(scope="module")
def capture(sample_capture):
    return netshare.read_trace(sample_capture, limit=600)


def series_frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": np.repeat(np.arange(20), 6),
            "day": np.tile(np.arange(6), 20),
            "kind": np.repeat(rng.choice(["x", "y"], 20), 6),
            "v": rng.normal(size=120),
        }
    )


def keys_of(folder):
    stages = json.loads((folder / "manifest.json").read_text())["stages"]
    return {name: stage["fingerprint"] for name, stage in stages.items()}


@pytest.mark.slow
def test_a_trace_and_its_data_frame_are_the_same_run(capture, tmp_path):
    first = netshare.run({"input": capture, **QUICK}, work_dir=tmp_path / "run")
    before = keys_of(first.folder)
    netshare.run({"input": capture.to_pandas(), **QUICK}, work_dir=tmp_path / "run")
    assert keys_of(first.folder)["trace"] == before["trace"]
    changed = capture.take(np.arange(len(capture) - 1))
    netshare.run({"input": changed, **QUICK}, work_dir=tmp_path / "run", until="preprocess")
    assert keys_of(first.folder)["trace"] != before["trace"]


@pytest.mark.slow
def test_series_in_memory_are_learnt_and_more_are_generated(tmp_path):
    settings = {"preset": "timeseries", "series": {"key": "id", "order": "day"}, "training": {"steps": 2}}
    result = netshare.run({"input": series_frame(), **settings}, work_dir=tmp_path / "run")
    assert len(pd.read_csv(result.outputs[0])["id"].unique()) == 20
    seeds = {netshare.generate(result.folder, tmp_path / f"{number}.csv").seed for number in range(2)}
    assert len(seeds) == 2


def test_a_preset_that_is_not_the_data_s_is_refused(capture, tmp_path):
    with pytest.raises(ConfigError, match="preset is netflow, but the data are of pcap"):
        netshare.load_config({"input": capture, "preset": "netflow"})
    config = netshare.load_config(capture, ["training.steps=7"], work_dir=tmp_path)
    assert (config.preset, config.training.steps, config.input.files) == ("pcap", 7, [])
