"""The example of a plugin is installed as anyone's would be; its generator, reader and metric then work in every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
PACKETS, FLOWS = 500, 80
STEPS = 2

Python = Callable[..., str]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Runs Python with the plugin installed; gives what it prints."""
    folder = tmp_path_factory.mktemp("plugin")
    build = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run([sys.executable, *build], cwd=REPOSITORY / "examples" / "plugin", check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(folder / "site"),
        str(wheel),
    ]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    path = os.pathsep.join([str(folder / "site"), str(REPOSITORY)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packet log of web requests of a few clients."""
    random = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("traffic") / "traffic.log"
    flows, seconds = random.integers(FLOWS, size=PACKETS), np.sort(random.uniform(0, 60, PACKETS))
    lines = [
        f"{1700000000 + second:.6f} 10.0.0.{flow % 9} 192.0.2.{flow % 4} TCP {50_000 + flow} 443 {length}\n"
        for second, flow, length in zip(seconds, flows, random.choice([40, 900, 1500], PACKETS), strict=True)
    ]
    path.write_text("#packetlog 1\n" + "".join(lines))
    return path


@pytest.fixture(scope="module")
def run_folder(python: Python, log: Path) -> Path:
    """A finished run of the plugin's generator on a file of the plugin's format."""
    config, folder = log.with_name("config.json"), log.with_name("run")
    quick = {"chunks": {"count": 2}, "cluster": {"mode": "inline"}, "evaluate": {"enabled": False}}
    training = {"generator": {"kind": "bootstrap"}, "training": {"steps": STEPS, "finetune_steps": 1}}
    config.write_text(json.dumps({"input": str(log), **training, **quick}))
    python("-m", "netshare", "run", str(config), "--work-dir", str(folder))
    return folder


def test_a_file_of_its_format_is_inspected(python: Python, log: Path) -> None:
    described = json.loads(python("-m", "netshare", "inspect", str(log), "--json"))
    assert described["sources"][0]["format"] == "packet-log"
    assert described["records"] == PACKETS


READ_ALL = """
import sys
from netshare import NetshareError, read_trace

for path in sys.argv[1:]:
    try:
        read_trace(path)
    except NetshareError as error:
        print(error)
"""


def test_a_damaged_file_is_one_line(python: Python, tmp_path: Path) -> None:
    damaged = {
        "1700000000.5 10.0.0.1 10.0.0.2 TCP 1 443": "no packet log (CSV parse error: Expected 7 columns, got 6",
        "1700000000.5 10.0.0.1 10.0.0.300 TCP 1 443 60": "dst_ip",
        "yesterday 10.0.0.1 10.0.0.2 TCP 1 443 60": "time",
    }
    paths = [tmp_path / f"{number}.log" for number in range(len(damaged))]
    for path, line in zip(paths, damaged, strict=True):
        path.write_text(f"#packetlog 1\n{line}\n")
    shown = python("-c", READ_ALL, *map(str, paths)).splitlines()
    for path, message, line in zip(paths, damaged.values(), shown, strict=True):
        assert str(path) in line and message in line


def test_its_generator_is_trained_and_sampled(run_folder: Path) -> None:
    results = [json.loads(path.read_text()) for path in sorted(run_folder.glob("models/*/result.json"))]
    assert [result["steps"] for result in results] == [STEPS, 1]
    assert all(0 <= result["losses"]["left"] < 0.5 for result in results)
    assert (run_folder / "synthetic" / "synthetic.pcap").stat().st_size > 30 * PACKETS


def test_its_metric_stands_in_the_report(python: Python, log: Path, run_folder: Path, tmp_path: Path) -> None:
    synthetic, report = run_folder / "synthetic" / "synthetic.pcap", tmp_path / "report.json"
    python("-m", "netshare", "evaluate", "--train", str(log), "--synthetic", str(synthetic), "--json", str(report))
    figures = [
        each for each in json.loads(report.read_text())["plugins"]["figures"] if each["metric"] == "port-entropy"
    ]
    assert {each["figure"] for each in figures} == {"src_port", "dst_port"}
    assert {each["distribution"] for each in figures} == {"netshare-example 1.0"}
    assert all(0 <= each["synthetic"] < 2 for each in figures)


def test_its_settings_are_documented(python: Python) -> None:
    section = python("-m", "netshare", "schema", "--markdown").partition("## generator.bootstrap")[2]
    assert "`max_series`" in section.partition("## ")[0]


def test_its_generator_keeps_the_contract(python: Python) -> None:
    contract = "tests/netshare/generators/test_contract.py"
    options = ["-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", "-v"]
    shown = python("-m", "pytest", *options, contract, "-k", "bootstrap")
    assert "test_an_interrupted_training_ends_in_the_same_weights[bootstrap] PASSED" in shown
