"""What is built and installed: one import name, with everything that it needs, typed, and deaf to a user's own modules."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parent.parent

# What a user might write; every public name has the type that it seems to have.
SCRIPT = '''
from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import netshare
import numpy as np
from netshare.evaluation import split_by_flow


def shared(capture: Path, folder: Path) -> float:
    """A synthetic capture in a run folder, and how far it is from the real one."""
    config: netshare.Config = netshare.load_config({"input": str(capture), "seed": 1}, work_dir=folder)
    result = netshare.run(config)
    assert_type(result, netshare.RunResult)
    assert_type(netshare.run("config.json", until="train").folder, Path)
    made: int = netshare.generate(folder, folder / "more.pcap", flows=100, seed=2).flows
    synthetic = netshare.read_trace(result.outputs[0])
    train, held_back = split_by_flow(netshare.read_trace(capture), 0.5, 0)
    report = netshare.evaluate(train, synthetic, held_back)
    assert_type(report, netshare.Report)
    again = netshare.Trace.from_pandas(synthetic.to_pandas(), columns={"time": "time:ns"})
    assert_type(again, netshare.Trace)
    lengths: np.ndarray = again["length"]
    netshare.write_trace(again, folder / "again.pcap")
    return report.ratio * made * float(lengths.mean())


def in_memory(data: netshare.TraceLike, held_back: netshare.TraceLike) -> int:
    """How many packets a sample of a hundred flows has."""
    synthesizer: netshare.Synthesizer = netshare.Synthesizer(epsilon=2.0)
    fitted = synthesizer.fit(data)
    assert_type(fitted, netshare.Synthesizer[netshare.Trace])
    assert_type(fitted.sample(), netshare.Trace)
    assert_type(fitted.report(held_back, synthetic=fitted.sample(seed=1)), netshare.Report)
    fitted.save("campus-model")
    trace = netshare.Synthesizer.load("campus-model").sample(100, seed=3)
    assert_type(trace, netshare.Trace)
    packets: Iterator[Any] = netshare.to_scapy(netshare.as_trace(trace.to_pandas()))
    return len(netshare.from_scapy(packets))


def of_series(table: Path) -> netshare.SeriesReport:
    """How far synthetic time series are from the real ones."""
    series = netshare.read_series(table, key="customer")
    fitted = netshare.Synthesizer(preset="timeseries", seed=1).fit(series)
    assert_type(fitted.sample(10), netshare.TimeSeries)
    assert_type(netshare.Synthesizer[netshare.TimeSeries].load("model").sample(), netshare.TimeSeries)
    assert_type(netshare.evaluate(series, fitted.sample(), series), netshare.SeriesReport)
    return fitted.report(table)


try:
    print(netshare.__version__, shared(Path("campus.pcap"), Path("run")), in_memory("a.pcap", ["b.pcap", "c.pcap"]))
except netshare.NetshareError as error:
    print(error)
'''


def build(source: Path, target: str, folder: Path) -> Path:
    """The one file that hatchling makes of `source`."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(REPOSITORY, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is installed into, without what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    return folder


@pytest.fixture
def python(installed: Path, tmp_path: Path):
    """Runs Python in a user's folder, with the installed package before all else; gives what it prints."""
    for name in ("preprocess.py", "postprocess.py", "config.py"):
        (tmp_path / name).write_text("raise SystemExit('a module of the user was imported')\n")

    def run(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MYPY"))}
        environment |= {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
        environment["MYPY_CACHE_DIR"] = str(installed.parent / "mypy")
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_one_package_with_all_that_it_needs(wheel: Path):
    names = contents(wheel)
    assert wheel.name.startswith("netshare_traces-")
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"netshare"}
    modules = {name for name in names if name.endswith(".py")}
    assert modules == {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("", "preprocess", "postprocess")  # the last two are symbolic links, which rglob leaves out
        for path in (REPOSITORY / "netshare" / folder).rglob("*.py")
    }
    needed = {"py.typed", "presets/pcap.json", "sample/sample.pcap.gz", "sample/sample-netflow.csv.gz"}
    needed |= {f"preprocess/ip2vec/default/{name}" for name in ("ip2vec.json", "ports.npy", "protocols.npy")}
    assert {f"netshare/{name}" for name in needed} <= set(names)


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path):
    source = build(REPOSITORY, "sdist", tmp_path / "sdist")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(tmp_path / source.name.removesuffix(".tar.gz"), "wheel", tmp_path / "wheel")
    assert contents(again) == contents(wheel)


def test_a_users_own_modules_are_left_alone(python, installed: Path, wheel: Path):
    version = wheel.name.split("-")[1]
    assert python("-m", "netshare", "--version").split()[-1] == version
    assert python(str(installed / "bin" / "netshare"), "--version").split()[-1] == version
    read = "import netshare.preprocess as p; print(p.__file__, len(p.read_trace(SAMPLE)))"
    module, packets = python(
        "-c", read.replace("SAMPLE", repr(str(installed / "netshare/sample/sample.pcap.gz")))
    ).split()
    assert Path(module).is_relative_to(installed) and int(packets) > 10_000


@pytest.fixture
def strict(tmp_path: Path) -> tuple[str, ...]:
    """The type checker's command; large libraries that no public signature names are left out, to save a minute."""
    large = "[mypy-torch.*,ray.*,rich.*]\nfollow_imports = skip\n"
    untyped = "[mypy-pandas.*,pyarrow.*,scipy.*]\nignore_missing_imports = True\n"
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = True\n{large}{untyped}")
    return ("-m", "mypy", "script.py")


def test_a_users_script_passes_strict_type_checks(python, strict, tmp_path: Path):
    (tmp_path / "script.py").write_text(SCRIPT)
    assert "no issues found" in python(*strict)


def test_the_plugin_example_passes_strict_type_checks(python, strict, tmp_path: Path):
    shutil.copytree(REPOSITORY / "examples" / "plugin" / "netshare_example", tmp_path / "netshare_example")
    assert "no issues found" in python(*strict[:-1], "-p", "netshare_example")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("netshare.generate(3, 'out.pcap')", "arg-type"),
        ("netshare.Synthesizer().sample('many')", "arg-type"),
        ("netshare.Synthesizer(preset='timeseries').sample().kind", "attr-defined"),
    ],
)
def test_a_users_mistake_is_found_by_the_type_checker(python, strict, tmp_path: Path, line: str, code: str):
    (tmp_path / "script.py").write_text(f"import netshare\n\n{line}\n")
    with pytest.raises(AssertionError, match=rf"script.py:3: error: .*\[{code}\]"):
        python(*strict)
