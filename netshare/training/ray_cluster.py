"""Training on Ray: the seed model first, then one actor a chunk, in parallel.

Data goes through the object store once. An actor trains in a folder of its own node and hands every checkpoint to a
keeper actor on the driver's node, which writes it into the run folder; so nodes need no shared file system, an actor
that dies goes on elsewhere from its last checkpoint, and a killed run goes on from the run folder. The same jobs give
the same weights here and without Ray (`train_inline`).
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, load_file

from netshare.config.sections import ClusterSection
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import ClusterError, NetshareError, TrainingError
from netshare.training.checkpoint_store import Keeper
from netshare.training.job import TrainingJob, run_job
from netshare.training.loop import TRAINING
from netshare.training.progress import Progress

logger = logging.getLogger(__name__)

Report = Callable[[Progress], None]
PROBE_SECONDS = 15.0
POLL_SECONDS = 0.5
PIECE_BYTES = 16 * 2**20
KEPT_BY_WORKER_ONLY = ("checkpoint.previous.safetensors",)


def train_inline(
    jobs: Sequence[TrainingJob], data: Callable[[int], Encoded], folder: Path, *, report: Report | None = None
) -> None:
    """Train the seed model (the first job), then the others from its weights, one after another in this process.

    Args:
        jobs: the seed model's first.
        data: the encoded series of a chunk, by chunk number.
        folder: models are written to `folder / job.name`.
        report: told of the progress.

    Raises:
        TrainingError: a model cannot be trained.
    """
    seed_weights: dict[str, torch.Tensor] | None = None
    for job in jobs:
        run_job(job, data(job.chunk), folder / job.name, initial_weights=seed_weights, progress=report)
        if seed_weights is None:
            seed_weights = load_file(folder / job.name / TRAINING)


def train_on_ray(
    jobs: Sequence[TrainingJob],
    data: Callable[[int], Encoded],
    folder: Path,
    *,
    cluster: ClusterSection,
    report: Report | None = None,
) -> None:
    """As `train_inline`, with one Ray actor a model; chunks other than the seed's are trained in parallel.

    Raises:
        ClusterError: the cluster cannot be reached or has not the resources asked for.
        TrainingError: a model cannot be trained, or its node was lost more than `max_restarts` times.
    """
    import ray

    with _connected(cluster), _explained():
        _check_resources(cluster)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        keeper = ray.remote(Keeper).options(num_cpus=0, scheduling_strategy=here).remote(str(folder))
        _run_actors(jobs[:1], data, None, keeper, cluster, report)
        weights = ray.put((folder / jobs[0].name / TRAINING).read_bytes())
        _run_actors(jobs[1:], data, weights, keeper, cluster, report)


def _run_actors(
    jobs: Sequence[TrainingJob],
    data: Callable[[int], Encoded],
    weights: Any,
    keeper: Any,
    cluster: ClusterSection,
    report: Report | None,
) -> None:
    import ray

    worker = ray.remote(_Worker).options(
        num_cpus=cluster.cpus_per_model,
        num_gpus=cluster.gpus_per_model,
        max_restarts=cluster.max_restarts,
        max_task_retries=cluster.max_restarts,
    )
    working: dict[Any, tuple[TrainingJob, Any]] = {}
    for job in jobs:
        task, actor = _start(worker, job, data(job.chunk), weights, keeper)
        working[task] = (job, actor)
        del actor  # an actor lives, and holds its memory, as long as there is a handle to it
    while working:
        finished, _ = ray.wait(list(working), timeout=POLL_SECONDS)
        for progress in ray.get(keeper.take_reports.remote()):
            if report is not None:
                report(progress)
        for task in finished:
            _result(task, working.pop(task)[0], cluster)


def _start(worker: Any, job: TrainingJob, series: Encoded, weights: Any, keeper: Any) -> tuple[Any, Any]:
    """The task of a job, and the actor that does it."""
    import ray

    arrays = ray.put((np.array(series.metadata), np.array(series.measurements), series.offsets))
    actor = worker.remote()
    return actor.train.remote(job, arrays, series.schema.to_json(), weights, keeper), actor


def _result(task: Any, job: TrainingJob, cluster: ClusterSection) -> None:
    import ray

    try:
        ray.get(task)
    except ray.exceptions.RayActorError as error:
        raise TrainingError(
            f"model {job.name}: its worker was lost more than {cluster.max_restarts} times ({_first_line(error)}); "
            "run again to go on from its checkpoint, or give it more memory"
        ) from error
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, NetshareError):
            raise error.cause from None
        raise


class _Worker:
    """Trains one model on whatever node Ray has put it."""

    def train(
        self,
        job: TrainingJob,
        arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
        schema: Mapping[str, Any],
        weights: bytes | None,
        keeper: Any,
    ) -> None:
        """Do the job; files go to and from the keeper."""
        import ray

        scratch = Path(tempfile.mkdtemp(prefix=f"netshare-{job.name}-"))
        try:
            for relative, content in ray.get(keeper.fetch.remote(job.name)).items():
                path = scratch / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

            def hand_over() -> None:
                names = {str(p.relative_to(scratch)): p for p in sorted(scratch.rglob("*")) if p.is_file()}
                gone = [n for n in ("checkpoint.safetensors", *KEPT_BY_WORKER_ONLY) if n not in names]
                names = {n: p for n, p in names.items() if n not in KEPT_BY_WORKER_ONLY and p.stat().st_size}
                for name in sorted(names, key=lambda name: name == "result.json"):
                    # the result says that all else is there, so it comes after all else, and removals after it
                    for begin, size, piece in _pieces(names[name]):
                        ray.get(keeper.keep.remote(job.name, name, piece, begin, size))
                if "result.json" in names:
                    for name in gone:
                        ray.get(keeper.remove.remote(job.name, name))

            run_job(
                job,
                Encoded(*arrays, Schema.from_json(dict(schema))),
                scratch,
                initial_weights=load(weights) if weights is not None else None,
                progress=lambda progress: keeper.report.remote(progress),
                checkpointed=hand_over,
            )
            hand_over()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _pieces(path: Path) -> Iterator[tuple[int, int, np.ndarray]]:
    """A file piece by piece, so that no node holds it whole: where the piece begins, the file's size, uint8[n]."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        for begin in range(0, size, PIECE_BYTES):
            yield begin, size, np.frombuffer(stream.read(PIECE_BYTES), np.uint8)


@contextmanager
def _explained() -> Iterator[None]:
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
def _connected(cluster: ClusterSection) -> Iterator[None]:
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
    timer = _Alarm(probe, PROBE_SECONDS)
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


class _Alarm:
    """Kills a process that takes too long."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        import threading

        self._timer = threading.Timer(seconds, process.kill)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()


def _check_resources(cluster: ClusterSection) -> None:
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


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
