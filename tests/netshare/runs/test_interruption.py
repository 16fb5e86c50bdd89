"""Kill a run at its worst moments: the run after it ends with the same bytes as one that was left alone."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.netshare.conftest import QUICK

pytestmark = pytest.mark.slow

SLOW = {"generator": {"autoregressive": {"epochs": 15, "patience": 15, "metadata_state": 64, "record_state": 32}}}


def command(config: Path, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "netshare.commands.main", "run", str(config), "--work-dir", str(folder), *more]


def results(folder: Path) -> dict[str, bytes]:
    names = ["synthetic/synthetic.pcap", *(f"models/{n}/sampling.safetensors" for n in ("000", "001"))]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, sample_capture):
    folder = tmp_path_factory.mktemp("undisturbed")
    config = folder / "config.json"
    value = QUICK | SLOW | {"input": {"files": [str(sample_capture)], "limit": 800}, "evaluate": {"enabled": False}}
    config.write_text(json.dumps(value | {"training": {"checkpoint_seconds": 0.8}}))
    subprocess.run(command(config, folder / "run", "-q"), check=True)
    return config, results(folder / "run")


def wait_for_checkpoint(folder: Path, process: subprocess.Popen) -> None:
    for _ in range(1200):
        if list(folder.glob(".models-*/*/checkpoint.safetensors")):
            return
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    raise AssertionError("no checkpoint within a minute")


@pytest.fixture
def ray_daemons():
    """Ends the Ray daemons that killed runs leave behind."""
    before = ray_processes()
    yield
    for process in ray_processes() - before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def ray_processes() -> set[int]:
    found = subprocess.run(["pgrep", "-f", "gcs_server|raylet|ray/dashboard"], capture_output=True, text=True)
    return {int(line) for line in found.stdout.split()}


@pytest.mark.parametrize("mode", ["inline", "ray"])
def test_a_killed_process_tree_goes_on_from_its_checkpoint(undisturbed, tmp_path, mode, ray_daemons):
    config, expected = undisturbed
    run = command(config, tmp_path, "-q", "--set", f"cluster.mode={mode}")
    process = subprocess.Popen(run, start_new_session=True)
    wait_for_checkpoint(tmp_path, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "models").exists()
    subprocess.run(run, check=True)
    resumed = [json.loads(p.read_text())["resumed"] for p in sorted(tmp_path.glob("models/*/result.json"))]
    assert max(resumed) == 1
    assert results(tmp_path) == expected


def test_a_killed_ray_actor_is_restarted_and_the_result_is_that_of_the_inline_run(undisturbed, tmp_path):
    config, expected = undisturbed
    process = subprocess.Popen(command(config, tmp_path, "-q", "--set", "cluster.mode=ray"))
    wait_for_checkpoint(tmp_path, process)
    workers = subprocess.run(["pgrep", "-f", "ray::ModelTrainer.train"], capture_output=True, text=True).stdout.split()
    assert workers, "no worker found to kill"
    os.kill(int(workers[0]), signal.SIGKILL)
    assert process.wait() == 0
    assert results(tmp_path) == expected
