"""The training loop: killed and run again it ends in the same bytes; its result and its log say what was done."""

import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.preprocess.errors import TrainingError
from netshare.training.checkpoint import NEWEST, load_checkpoint
from netshare.training.log import read_log
from netshare.training.loop import TrainingPlan, load_weights, train
from netshare.training.progress import Progress
from tests.netshare.training.killed_training import SETTINGS, run, small_series

STEPS = 400
WEIGHTS = ("sampling.safetensors", "training.safetensors")


def start(folder: Path) -> subprocess.Popen:
    script = Path(__file__).with_name("killed_training.py")
    environment = {**os.environ, "PYTHONPATH": str(script.parents[3]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(folder), str(STEPS)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_killed_and_run_again_it_ends_in_the_same_bytes(tmp_path):
    run(tmp_path / "undisturbed", STEPS)
    folder = tmp_path / "killed"
    for lines in (9, 4 + random.Random(1).randrange(8)):
        process = start(folder)
        for _ in range(lines):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        assert load_checkpoint(folder) is not None
        assert not (folder / "result.json").exists()
    result = run(folder, STEPS)
    assert result.resumed >= 1
    assert result.steps == STEPS
    for name in WEIGHTS:
        assert (folder / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    undisturbed = [(line.step, line.values) for line in read_log(tmp_path / "undisturbed")]
    assert [(line.step, line.values) for line in read_log(folder)] == undisturbed
    assert not (folder / NEWEST).exists()


def test_checkpoints_do_not_change_the_weights(tmp_path):
    run(tmp_path / "often", 20, checkpoint_steps=1)
    run(tmp_path / "never", 20, checkpoint_steps=None)
    for name in WEIGHTS:
        assert (tmp_path / "often" / name).read_bytes() == (tmp_path / "never" / name).read_bytes()


def test_a_finished_training_is_not_done_again(tmp_path):
    first = run(tmp_path, 20)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert run(tmp_path, 20) == first
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_another_fingerprint_starts_afresh(tmp_path):
    run(tmp_path, 30)
    first = (tmp_path / WEIGHTS[0]).read_bytes()
    result = run(tmp_path, 10, fingerprint="b", seed=8)
    assert (result.steps, result.resumed) == (10, 0)
    assert [line.step for line in read_log(tmp_path)] == [10]
    assert (tmp_path / WEIGHTS[0]).read_bytes() != first


def test_a_checkpoint_of_another_fingerprint_is_not_used(tmp_path):
    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == 60:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path, STEPS, progress=stop)
    assert load_checkpoint(tmp_path)[1]["generator"]["steps_done"] == 50
    assert run(tmp_path, 60, fingerprint="b").resumed == 0


def test_the_generator_samples_from_what_was_kept(tmp_path):
    data = small_series()
    generator = DoppelGANger(data.schema, SETTINGS)
    plan = TrainingPlan(name="small", steps=15, seed=1)
    result = train(generator, data, tmp_path, plan)
    again = DoppelGANger(data.schema, SETTINGS)
    train(again, data, tmp_path, plan)
    loaded = DoppelGANger(data.schema, SETTINGS)
    loaded.load_sampling_weights(load_weights(result.sampling))
    expected = generator.sample(20, seed=3)
    for other in (again, loaded):
        assert (other.sample(20, seed=3).measurements == expected.measurements).all()


def test_progress_and_result_say_what_was_done(tmp_path):
    reports: list[Progress] = []
    result = run(tmp_path, 25, progress=reports.append)
    assert [report.step for report in reports] == [10, 20, 25]
    assert reports[-1].seconds_left == 0
    assert reports[0].records_per_second > 0
    assert set(reports[0].losses) == {"critic", "distance", "generator"}
    value = json.loads((tmp_path / "result.json").read_text())
    assert value["steps"] == 25
    assert value["losses"] == result.losses == reports[-1].losses
    assert value["records_per_second"] == pytest.approx(result.records / result.seconds)


def test_the_process_is_left_as_it_was(tmp_path):
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist())
    run(tmp_path, 3)
    after = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist())
    assert after == before


def test_a_diverging_training_says_which_model_where_and_what_to_do(tmp_path):
    data = small_series()
    settings = SETTINGS.model_copy(update={"critic_learning_rate": 1e30, "generator_learning_rate": 1e30})
    with pytest.raises(TrainingError, match=r"model chunk-7, step \d+: .*learning_rate") as caught:
        train(DoppelGANger(data.schema, settings), data, tmp_path, TrainingPlan(name="chunk-7", steps=50, seed=1))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "result.json").exists()
    assert all(math.isfinite(value) for line in read_log(tmp_path) for value in line.values.values())
