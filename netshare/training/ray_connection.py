"""Joining a Ray cluster, or starting one on this machine, and saying in one line why that failed."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netshare.config.schema import ClusterSection
from netshare.preprocess.errors import ClusterError

PROBE_SECONDS = 15.0


@contextmanager
def ray_failures_explained() -> Iterator[None]:
    """Whatever Ray raises within becomes a ClusterError of one line."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
        hint = (
            "install this version of netshare on every node"
            if "Error:" in last and "import" in str(error)
            else "run again"
        )
        raise ClusterError(f"the Ray cluster failed ({last[:200]}); {hint}, or set cluster.mode to inline") from error


@contextmanager
def connected(cluster: ClusterSection) -> Iterator[None]:
    """Connected to the cluster that the section names, or to one started on this machine; disconnected afterwards.

    Raises:
        ClusterError: the cluster cannot be reached or joined.
    """
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if cluster.address is not None:
        _probe(cluster.address)
        ray.init(address=cluster.address, **quiet)
    else:
        ray.init(address="local", include_dashboard=False, **quiet)  # never a cluster that an earlier run left behind
    try:
        yield
    finally:
        ray.shutdown()


def _probe(address: str) -> None:
    """Raise a ClusterError that says why a cluster cannot be joined, where Ray itself would say little, and late."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"cluster.address is {address}; write it as host:port, for instance 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ClusterError(
            f"cluster.address: nothing answers at {address} ({error.strerror or error}); start a head there with "
            f"`ray start --head --port {port}`, or leave cluster.address out to train on this machine"
        ) from None
    script = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    probe = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seen = []
    timer = threading.Timer(PROBE_SECONDS, probe.kill)
    timer.daemon = True
    timer.start()
    for line in probe.stdout or []:
        seen.append(line.strip())
        if "InvalidAuthToken" in line or "AuthenticationError" in line:
            probe.kill()
            raise ClusterError(
                f"cluster.address: the cluster at {address} refuses our token; set RAY_AUTH_MODE=token and the token "
                "of its head (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token) here and on every node"
            )
    timer.cancel()
    if probe.wait() != 0:
        raise ClusterError(
            f"cluster.address: cannot join the Ray cluster at {address} ({(seen or ['no answer'])[-1][:200]})"
        )


def check_resources(cluster: ClusterSection) -> None:
    """Refuse a cluster on which a model's training would wait for ever.

    Raises:
        ClusterError: no node has the CPUs or GPUs that the section asks for a model.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for resource, wanted, key in (
        ("CPU", cluster.cpus_per_model, "cluster.cpus_per_model"),
        ("GPU", cluster.gpus_per_model, "cluster.gpus_per_model"),
    ):
        most = max((node.get(resource, 0.0) for node in nodes), default=0.0)
        if wanted > most:
            raise ClusterError(
                f"{key} is {wanted:g}, but the best of {len(nodes)} node(s) has {most:g} {resource}; ask for less"
            )
