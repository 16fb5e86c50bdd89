"""Training on a Ray cluster of two nodes on this host, and what a user sees when it cannot be reached."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.netshare.conftest import QUICK

pytestmark = pytest.mark.slow

RAY = Path(sys.executable).parent / "ray"
TOKEN = "0123456789abcdef0123456789abcdef"


def environment(**changes):
    base = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return base | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN} | changes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def two_nodes():
    """A head and a second node; ended by process group, since `ray stop` would end every Ray cluster on this machine."""
    port = free_port()
    start = [str(RAY), "start", "--num-cpus", "1", "--disable-usage-stats", "--block"]
    quiet = {
        "env": environment(),
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "start_new_session": True,
    }
    nodes = [subprocess.Popen([*start, "--head", "--port", str(port), "--include-dashboard=false"], **quiet)]
    try:
        wait_until(lambda: answers(port))
        nodes.append(subprocess.Popen([*start, "--address", f"127.0.0.1:{port}"], **quiet))
        wait_until(lambda: alive_nodes(port) == 2)
        yield f"127.0.0.1:{port}"
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.wait(timeout=30)


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the cluster did not start within a minute"
        time.sleep(0.5)


def alive_nodes(port: int) -> int:
    script = f"import ray; ray.init(address='127.0.0.1:{port}', log_to_driver=False); "
    script += "print(sum(node['Alive'] for node in ray.nodes()))"
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
    return int(done.stdout.strip() or 0) if done.returncode == 0 else 0


def run(config: Path, folder: Path, *more: str, **changes) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "netshare.commands.main",
        "run",
        str(config),
        "--work-dir",
        str(folder),
        "-q",
        *more,
    ]
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
