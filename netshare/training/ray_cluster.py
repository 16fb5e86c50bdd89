"""Training on Ray: the seed model first, then one actor a chunk, in parallel.

What runs on Ray are the two kinds of actors: a `ModelTrainer` for each model, here, and beside the driver the one
`CheckpointStore` (`netshare.training.checkpoint_store`). Data goes through the object store once. A trainer works in a
folder of its own node and sends every checkpoint to the store, which writes it into the run folder; so nodes need no
shared file system, a trainer that dies goes on elsewhere from its last checkpoint, and a killed run goes on from the run
folder. The same jobs give the same weights here and without Ray (`netshare.training.job.run_jobs`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load

from netshare.config.sections import ClusterSection
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import NetshareError, TrainingError
from netshare.training.checkpoint_store import CheckpointStore
from netshare.training.job import TrainingJob, run_job
from netshare.training.loop import TRAINING
from netshare.training.progress import Progress
from netshare.training.ray_connection import check_resources, connected, ray_failures_explained

Report = Callable[[Progress], None]
POLL_SECONDS = 0.5
PIECE_BYTES = 16 * 2**20
NOT_SENT = ("checkpoint.previous.safetensors",)


def train_on_ray(
    jobs: Sequence[TrainingJob],
    data: Callable[[int], Encoded],
    folder: Path,
    *,
    cluster: ClusterSection,
    report: Report | None = None,
) -> None:
    """As `netshare.training.job.run_jobs`, with one Ray actor a model; chunks other than the seed's are trained in parallel.

    Raises:
        ClusterError: the cluster cannot be reached or has not the resources asked for.
        TrainingError: a model cannot be trained, or its node was lost more than `max_restarts` times.
    """
    import ray

    with connected(cluster), ray_failures_explained():
        check_resources(cluster)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        store = ray.remote(CheckpointStore).options(num_cpus=0, scheduling_strategy=here).remote(str(folder))
        _run_actors(jobs[:1], data, None, store, cluster, report)
        weights = ray.put((folder / jobs[0].name / TRAINING).read_bytes())
        _run_actors(jobs[1:], data, weights, store, cluster, report)


def _run_actors(
    jobs: Sequence[TrainingJob],
    data: Callable[[int], Encoded],
    weights: Any,
    store: Any,
    cluster: ClusterSection,
    report: Report | None,
) -> None:
    import ray

    worker = ray.remote(ModelTrainer).options(
        num_cpus=cluster.cpus_per_model,
        num_gpus=cluster.gpus_per_model,
        max_restarts=cluster.max_restarts,
        max_task_retries=cluster.max_restarts,
    )
    working: dict[Any, tuple[TrainingJob, Any]] = {}
    for job in jobs:
        task, actor = _start(worker, job, data(job.chunk), weights, store)
        working[task] = (job, actor)
        del actor  # an actor lives, and holds its memory, as long as there is a handle to it
    while working:
        finished, _ = ray.wait(list(working), timeout=POLL_SECONDS)
        for progress in ray.get(store.take_progress.remote()):
            if report is not None:
                report(progress)
        for task in finished:
            _result(task, working.pop(task)[0], cluster)


def _start(worker: Any, job: TrainingJob, series: Encoded, weights: Any, store: Any) -> tuple[Any, Any]:
    """The task of a job, and the actor that does it."""
    import ray

    arrays = ray.put((np.array(series.metadata), np.array(series.measurements), series.offsets))
    actor = worker.remote()
    return actor.train.remote(job, arrays, series.schema.to_json(), weights, store), actor


def _result(task: Any, job: TrainingJob, cluster: ClusterSection) -> None:
    import ray

    try:
        ray.get(task)
    except ray.exceptions.RayActorError as error:
        raise TrainingError(
            f"model {job.name}: its trainer was lost more than {cluster.max_restarts} times ({_first_line(error)}); "
            "run again to go on from its checkpoint, or give it more memory"
        ) from error
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, NetshareError):
            raise error.cause from None
        raise


class ModelTrainer:
    """Trains one model, on whatever node Ray has put this actor."""

    def train(
        self,
        job: TrainingJob,
        arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
        schema: Mapping[str, Any],
        weights: bytes | None,
        store: Any,
    ) -> None:
        """Do the job.

        Args:
            arrays: metadata, measurements and offsets of the series, as in `Encoded`.
            schema: theirs, as JSON.
            weights: of the seed model, as a safetensors file; None for the seed model itself.
            store: the `CheckpointStore`, which files come from and go to.
        """
        import ray

        scratch = Path(tempfile.mkdtemp(prefix=f"netshare-{job.name}-"))
        try:
            for relative, content in ray.get(store.fetch.remote(job.name)).items():
                path = scratch / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

            def send_files() -> None:
                names = {str(p.relative_to(scratch)): p for p in sorted(scratch.rglob("*")) if p.is_file()}
                gone = [n for n in ("checkpoint.safetensors", *NOT_SENT) if n not in names]
                names = {n: p for n, p in names.items() if n not in NOT_SENT and p.stat().st_size}
                for name in sorted(names, key=lambda name: name == "result.json"):
                    # the result says that all else is there, so it comes after all else, and removals after it
                    for begin, size, piece in _pieces(names[name]):
                        ray.get(store.write.remote(job.name, name, piece, begin, size))
                if "result.json" in names:
                    for name in gone:
                        ray.get(store.remove.remote(job.name, name))

            run_job(
                job,
                Encoded(*arrays, Schema.from_json(dict(schema))),
                scratch,
                initial_weights=load(weights) if weights is not None else None,
                progress=lambda progress: store.add_progress.remote(progress),
                checkpointed=send_files,
            )
            send_files()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _pieces(path: Path) -> Iterator[tuple[int, int, np.ndarray]]:
    """A file piece by piece, so that no node holds it whole: where the piece begins, the file's size, uint8[n]."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        for begin in range(0, size, PIECE_BYTES):
            yield begin, size, np.frombuffer(stream.read(PIECE_BYTES), np.uint8)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
