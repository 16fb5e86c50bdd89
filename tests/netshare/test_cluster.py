"""Training on a Ray cluster of two nodes on this host, and what a user sees when it cannot be reached."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.netshare.conftest import QUICK

RAY = Path(sys.executable).parent / "ray"
TOKEN = "0123456789abcdef0123456789abcdef"


def environment(**changes):
    base = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return base | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN} | changes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def two_nodes():
    port = free_port()
    start = [str(RAY), "start", "--num-cpus", "1", "--disable-usage-stats"]
    quiet = {"env": environment(), "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*start, "--head", "--port", str(port), "--include-dashboard=false"], **quiet)
    subprocess.run([*start, "--address", f"127.0.0.1:{port}"], **quiet)
    yield f"127.0.0.1:{port}"
    subprocess.run(
        [str(RAY), "stop", "--force"], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def run(config: Path, folder: Path, *more: str, **changes) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "netshare.cli", "run", str(config), "--work-dir", str(folder), "-q", *more]
    return subprocess.run(command, env=environment(**changes), capture_output=True, text=True)


@pytest.fixture(scope="module")
def config(tmp_path_factory, sample_capture):
    path = tmp_path_factory.mktemp("cluster") / "config.json"
    value = QUICK | {"input": {"files": [str(sample_capture)], "limit": 1500}, "chunks": {"count": 3}}
    path.write_text(json.dumps(value | {"evaluate": {"enabled": False}}))
    return path


def test_two_nodes_give_the_same_trace_as_inline(two_nodes, config, tmp_path):
    inline, cluster = tmp_path / "inline", tmp_path / "cluster"
    assert run(config, inline).returncode == 0
    done = run(config, cluster, "--set", "cluster.mode=ray", "--set", f"cluster.address={two_nodes}")
    assert done.returncode == 0, done.stderr
    name = Path("synthetic") / "synthetic.pcap"
    assert (cluster / name).read_bytes() == (inline / name).read_bytes()
    assert len(list(cluster.glob("models/*/log.jsonl"))) == 3


@pytest.mark.parametrize(
    ("more", "changes", "message"),
    [
        (["cluster.address=127.0.0.1:9"], {}, "nothing answers at 127.0.0.1:9"),
        (["cluster.address=head"], {}, "host:port"),
        (["cluster.address={head}"], {"RAY_AUTH_TOKEN": "f" * 32}, "RAY_AUTH_TOKEN"),
        (["cluster.address={head}"], {"RAY_AUTH_TOKEN": "", "HOME": "/nonexistent"}, "token"),
        (["cluster.address={head}", "cluster.gpus_per_model=1"], {}, "has 0 GPU"),
        (["cluster.address={head}", "cluster.cpus_per_model=64"], {}, "has 1 CPU"),
    ],
)
def test_what_is_wrong_with_a_cluster_is_said_in_one_line(two_nodes, config, tmp_path, more, changes, message):
    sets = [x for text in more for x in ("--set", text.format(head=two_nodes))]
    done = run(config, tmp_path / "run", "--set", "cluster.mode=ray", *sets, **changes)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_ray_comes_with_the_package():
    assert RAY.exists() or shutil.which("ray")
