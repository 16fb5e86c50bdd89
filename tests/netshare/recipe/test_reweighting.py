"""Metadata retrained to another distribution: the weights that do it, and a run folder that generates by it."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from netshare.commands.main import main
from netshare.postprocess import write_trace
from netshare.preprocess import read_trace
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.flows import group_flows
from netshare.recipe.reweighting import fit_weights, read_wanted, resample


def test_weights_give_all_fields_their_shares():
    rng = np.random.default_rng(0)
    values = {"a": rng.integers(0, 3, 1000), "b": rng.integers(0, 2, 1000)}
    targets = {"a": np.array([0.8, 0.2, 0]), "b": np.array([0.05, 0.95])}
    factors = fit_weights(values, targets)
    weights = factors["a"][values["a"]] * factors["b"][values["b"]]
    for field, target in targets.items():
        shares = np.bincount(values[field], weights, len(target)) / weights.sum()
        assert np.allclose(shares, target, atol=1e-3)


def test_contradictory_shares_are_refused():
    values = {"a": np.array([0, 0, 1, 1]), "b": np.array([0, 0, 1, 1])}
    with pytest.raises(ConfigError, match="contradict"):
        fit_weights(values, {"a": np.array([0.9, 0.1]), "b": np.array([0.1, 0.9])})


def test_rows_are_drawn_as_often_as_their_weights():
    weights = np.array([0, 1, 3, 0.5, 0])
    counts = np.bincount(resample(weights, 900, seed=1), minlength=5)
    assert np.all(np.abs(counts - 200 * weights) <= 1)


def test_what_is_wanted_on_the_command_line(tmp_path):
    path = tmp_path / "wanted.json"
    path.write_text('{"dst_port": {"53": 0.5}, "protocol": "uniform"}')
    assert read_wanted(path, [], []) == {"dst_port": {"53": 0.5}, "protocol": None}
    assert read_wanted(None, ["protocol"], ["src_ip=::1:0.25", "src_ip=::2:0.75"]) == {
        "src_ip": {"::1": 0.25, "::2": 0.75},
        "protocol": None,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no distribution is wanted"),
        (["--share", "dst_port:0.5"], "write it as FIELD=VALUE:SHARE"),
        (["--share", "dst_port=53:half"], "half is no share"),
        (["--share", "dst_port=53:1.5"], "not from 0 to 1"),
        (["--share", "dst_port=53:0.5", "--uniform", "dst_port"], "drop one of them"),
        (["--share", "ttl=64:0.5"], "ttl: no field whose distribution can be changed"),
        (["--share", "label=attack:0.5"], "label: no field"),
        (["--share", "dst_port=1:0.5"], "dst_port 1: never occurs in the training data"),
        (["--wanted", "nowhere.json"], "nowhere.json: cannot be read"),
    ],
)
def test_bad_wishes_are_refused_in_one_line(quick_run, tmp_path, capsys, arguments, message):
    assert main(["retrain-metadata", str(quick_run), *arguments, "-o", str(tmp_path / "new"), "-q"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_run_is_not_retrained_in_place_nor_without_models(quick_run, tmp_path, capsys):
    command = ["retrain-metadata", "--uniform", "protocol", "-q"]
    assert main([*command, str(quick_run), "-o", str(quick_run)]) == 2
    assert main([*command, str(tmp_path), "-o", str(tmp_path / "new")]) == 2
    assert "no trained models" in capsys.readouterr().err


@pytest.fixture(scope="module")
def doppelganger_run(tmp_path_factory, sample_capture):
    folder = tmp_path_factory.mktemp("doppelganger")
    small = {"batch_size": 32, "critic_units": 32, "critic_layers": 2, "lstm_units": 16}
    config = {
        "input": {"files": [str(sample_capture)], "limit": 2000},
        "chunks": {"count": 2, "max_records_per_segment": 20},
        "generator": {"kind": "doppelganger", "doppelganger": small},
        "training": {"steps": 150, "finetune_steps": 20},
        "cluster": {"mode": "inline"},
        "evaluate": {"enabled": False},
        "output": {"formats": ["parquet"]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["run", str(folder / "config.json"), "--work-dir", str(folder / "run"), "-q"]) == 0
    return folder / "run"


@pytest.mark.parametrize("run", ["quick_run", "doppelganger_run"])
def test_rare_flows_become_common_and_measurements_stay(request, tmp_path, run, capsys):
    """UDP to 90% of the flows, whatever it was; the nets of lengths and records are the same, bit by bit."""
    old, new = request.getfixturevalue(run), tmp_path / "new"
    command = ["retrain-metadata", str(old), "--share", "protocol=udp:0.9", "--steps", "200", "-o", str(new)]
    assert main(command) == 0
    shares = json.loads((new / "models" / "retrained.json").read_text())["protocol"]["UDP"]
    assert shares["before"] < 0.7
    assert shares["wanted"] == pytest.approx(0.9)
    assert abs(shares["drawn"] - 0.9) < 0.1
    for path in sorted((old / "models").glob("*/sampling.safetensors")):
        before, after = load_file(path), load_file(new / "models" / path.parent.name / path.name)
        changed = {name for name in after if not np.array_equal(before.get(name), after[name])}
        assert changed
        assert all(name.startswith(("metadata.", "length.memory")) for name in changed)
    out = tmp_path / "out.parquet"
    assert main(["generate", str(new), "--flows", "200", "-o", str(out), "-q"]) == 0
    made = read_trace(out)
    assert (made["protocol"][group_flows(made, "bidirectional").first] == 17).mean() > 0.75
    capsys.readouterr()
    before = (new / "models" / "stage.json").read_bytes()
    assert main(command) == 0  # all up to date
    assert (new / "models" / "stage.json").read_bytes() == before


def test_fields_are_brought_to_their_shares_together(quick_run, tmp_path):
    """No port of the sample has TCP and UDP and ICMP, so the unlisted ports must give way as a whole."""
    wishes = ["--uniform", "protocol", "--share", "dst_port=443:0.1"]
    command = ["retrain-metadata", str(quick_run), *wishes, "--steps", "5", "-o", str(tmp_path / "new"), "-q"]
    assert main(command) == 0
    shares = json.loads((tmp_path / "new" / "models" / "retrained.json").read_text())
    assert shares["dst_port"]["443"]["wanted"] == pytest.approx(0.1, abs=1e-3)
    protocols = [share["wanted"] for share in shares["protocol"].values()]
    assert protocols == pytest.approx([1 / len(protocols)] * len(protocols), abs=1e-3)


def test_what_the_input_s_distribution_was_is_hidden(tmp_path, sample_netflow):
    """An attack: of two inputs, with many and with few UDP flows, which was a model trained on? It is told by the model's
    metadata before, and not after retraining to equal shares."""
    trace = read_trace(sample_netflow, limit=900)
    flows, udp = group_flows(trace).first, trace["protocol"] == 17
    assert udp[flows].mean() > 0.3
    few = ~udp | (np.cumsum(udp) % 8 == 0)
    small = {"metadata_state": 16, "metadata_hidden": 32, "record_state": 8, "record_hidden": 8, "recall": False}
    shares = {"before": [], "drawn": []}
    for name, kept in (("many", trace), ("few", trace.take(few))):
        write_trace(kept, tmp_path / f"{name}.csv", format="netshare-csv")
        config = {
            "input": str(tmp_path / f"{name}.csv"), "chunks": {"count": 1}, "cluster": {"mode": "inline"},
            "generator": {"autoregressive": small}, "evaluate": {"enabled": False}, "training": {"steps": 150},
        }  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        run, new = tmp_path / f"{name}-run", tmp_path / f"{name}-new"
        assert main(["train", str(tmp_path / f"{name}.json"), "--work-dir", str(run), "-q"]) == 0
        assert (
            main(["retrain-metadata", str(run), "--uniform", "protocol", "--steps", "150", "-o", str(new), "-q"]) == 0
        )
        for role, folder in (("before", run), ("drawn", new)):
            out = tmp_path / f"{name}-{role}.parquet"
            assert main(["generate", str(folder), "--flows", "600", "-o", str(out), "-q"]) == 0
            made = read_trace(out)
            shares[role].append(float((made["protocol"][group_flows(made).first] == 17).mean()))
    assert shares["before"][0] - shares["before"][1] > 0.2
    assert abs(shares["drawn"][0] - shares["drawn"][1]) < 0.08
