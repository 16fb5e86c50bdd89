"""Records per pass, tried out on held-back series: the score has known answers, the choice repeats and resumes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from netshare.commands.main import main
from netshare.generators.doppelganger.distances import autocorrelation, score
from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.generators.registry import GeneratorChoice
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.preprocess.errors import TrainingError
from netshare.training.tuned_settings import choice_by_rule, run_trials, tune, tuned_choice

SMALL = {"batch_size": 8, "metadata_units": 8, "lstm_units": 8, "critic_units": 8, "critic_layers": 1}
AUTO = DoppelGANgerSettings(records_per_pass="auto", autotune_steps=4, **SMALL)
CHOICE = GeneratorChoice("doppelganger", AUTO)


def waves(n: int, seed: int = 0) -> Encoded:
    """Sines of 60 to 100 records with a period of 10."""
    random = np.random.default_rng(seed)
    lengths = random.integers(60, 101, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    level = 0.5 + 0.4 * np.sin(2 * np.pi * place / 10) + 0.02 * random.standard_normal(offsets[-1])
    schema = Schema((Column("class", "class", "categorical", 2),), (Column("level", "level", "continuous"),), 100)
    metadata = random.integers(0, 2, (n, 1)).astype(np.float32)
    return Encoded(metadata, level[:, None].astype(np.float32), offsets, schema)


def test_candidates_surround_fifty_passes():
    candidates = CHOICE.spec.tuning.candidates
    found = {longest: candidates(replace(waves(2).schema, max_length=longest)) for longest in (1, 10, 200, 1000)}
    assert found == {1: [1], 10: [1], 200: [2, 4, 8, 20], 1000: [10, 20, 40, 100]}


def test_autocorrelation_of_a_wave_by_series():
    data = waves(50)
    found = autocorrelation(data.measurements[:, 0], data.offsets, np.array([5, 10, 101]))
    assert np.allclose(found, [-1, 1, 0], atol=0.02)
    assert autocorrelation(np.ones(4), np.array([0, 4]), np.array([1])).tolist() == [0]


def test_the_score_sees_values_memory_and_lengths():
    held = waves(100, seed=1)
    like = waves(100, seed=2)
    shuffled = Encoded(
        like.metadata, np.random.default_rng(0).permutation(like.measurements), like.offsets, like.schema
    )
    halves = np.sort(np.concatenate([like.offsets, (like.offsets[1:] + like.offsets[:-1]) // 2]))
    shorter = Encoded(np.zeros((200, 1), np.float32), like.measurements, halves, like.schema)
    higher = Encoded(like.metadata, like.measurements + 0.5, like.offsets, like.schema)
    assert score(held, held) == 0
    assert score(held, like) < 0.05
    for worse in (shuffled, shorter, higher):
        assert score(held, worse) > 0.2


def test_the_choice_is_the_best_score_and_repeats(tmp_path):
    data = waves(60)
    found = run_trials(CHOICE, data, folder=tmp_path / "first", seed=3)
    assert sorted(found.scores) == [1, 2, 4, 10]
    assert found.value == min(found.scores, key=found.scores.__getitem__)
    assert run_trials(CHOICE, data, folder=tmp_path / "again", seed=3) == found
    assert not (tmp_path / "first").exists()


def test_without_a_choice_the_rule_decides(tmp_path):
    data, lines = waves(5), []
    made = tune(CHOICE, lambda: data, tmp_path, seed=3, device="cpu", threads=1, say=lines.append)
    assert made.settings.passes_of(100) == (50, 2)
    assert lines[-1].endswith("records per pass: 2, by the rule")
    assert made == choice_by_rule(CHOICE, data.schema) == tuned_choice(CHOICE, tmp_path)
    fixed = CHOICE.updated(records_per_pass=7)
    assert choice_by_rule(fixed, data.schema) == tuned_choice(fixed, tmp_path / "nowhere") == fixed


def test_a_choice_of_an_earlier_version_is_read(tmp_path):
    (tmp_path / "settled.json").write_text('{"records_per_pass": 4, "scores": {"4": 0.5}}')
    assert tuned_choice(CHOICE, tmp_path).settings.records_per_pass == 4


@pytest.mark.parametrize("value", [0, "automatic"])
def test_records_per_pass_is_a_number_or_auto(value):
    with pytest.raises(ValueError, match="records_per_pass"):
        DoppelGANgerSettings(records_per_pass=value)


def test_a_model_is_not_built_before_the_choice():
    with pytest.raises(TrainingError, match="give a number"):
        DoppelGANger(waves(2).schema, AUTO)


def test_a_run_tunes_once_and_generates_with_it(sample_capture, tmp_path, capsys):
    config = {
        "input": {"files": [str(sample_capture)], "limit": 1500},
        "chunks": {"count": 2, "max_records_per_segment": 60},
        "generator": {"kind": "doppelganger", "doppelganger": AUTO.model_dump(mode="json")},
        "training": {"steps": 6, "finetune_steps": 3},
        "cluster": {"mode": "inline"},
        "evaluate": {"enabled": False},
        "output": {"formats": ["parquet"]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = ["run", str(tmp_path / "config.json"), "--work-dir", str(tmp_path / "run")]
    assert main(command) == 0
    assert "records per pass: " in capsys.readouterr().err
    tuned = json.loads((tmp_path / "run" / "models" / "tuned.json").read_text())
    assert str(tuned["records_per_pass"]) in tuned["scores"]
    assert not (tmp_path / "run" / "models" / "trials").exists()
    assert main(command) == 0
    assert "trying" not in capsys.readouterr().err
    out = tmp_path / "more.parquet"
    assert main(["generate", str(tmp_path / "run"), "--flows", "20", "-o", str(out), "-q"]) == 0
    assert out.exists()
