"""The training loop: resume, step, log, checkpoint, finish.

One loop trains every generator. It can be killed at any moment: called again with the same arguments it goes on from
the last checkpoint and ends with the very weights, bit by bit, of a training that was never disturbed; called again
after it has ended it returns at once what it has found.

    plan = TrainingPlan(name="chunk-000", steps=2000, seed=1)
    result = train(generator, encoded, Path("run/models/chunk-000"), plan)
    generator.load_sampling_weights(load_file(result.sampling))

The folder then holds `sampling.safetensors` (what sampling needs), `training.safetensors` (what fine-tuning starts
from), `result.json`, `log.jsonl` and `tensorboard/`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from netshare.generators.base import Generator
from netshare.preprocess.atomic import write_text
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import TrainingError
from netshare.training.checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint, save_tensors
from netshare.training.log import TrainingLog
from netshare.training.progress import Progress

SAMPLING = "sampling.safetensors"
TRAINING = "training.safetensors"
RESULT = "result.json"
REMEDY = "lower the generator's learning_rate, or check the data for columns that hardly vary"


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How long a model is trained, from which seed, and how often that is written down.

    name: of the model, for logs and messages ("chunk-003")
    steps: optimisation steps; a generator may stop earlier
    seed: seeds everything random in training
    fingerprint: of data, settings, seed and initial weights; what a folder holds under another one is not used
    retrain_metadata: learn P(metadata) anew and nothing else
    checkpoint_seconds: at most so many seconds of work are lost in a kill
    checkpoint_steps: if given, a checkpoint is also written every so many steps
    log_every: steps between two lines of the log, and between two reports of the progress
    threads: CPU threads; always set, since two processes that each take all cores slow one another down
    """

    name: str
    steps: int
    seed: int
    fingerprint: str = ""
    retrain_metadata: bool = False
    checkpoint_seconds: float = 30.0
    checkpoint_steps: int | None = None
    log_every: int = 20
    threads: int = 1


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training.

    name: of the model
    folder: where its files are
    steps: optimisation steps made
    seconds, records: of training and looked at, continued trainings added up (work lost in a kill is not counted)
    losses: means over the last logged steps
    resumed: how often the training was continued from a checkpoint
    """

    name: str
    folder: Path
    steps: int
    seconds: float
    records: int
    losses: dict[str, float]
    resumed: int

    @property
    def records_per_second(self) -> float:
        """Training records looked at per second."""
        return self.records / self.seconds if self.seconds > 0 else 0.0

    @property
    def sampling(self) -> Path:
        """The file of the weights that sampling needs."""
        return self.folder / SAMPLING

    @property
    def training(self) -> Path:
        """The file of the weights that another model is fine-tuned from."""
        return self.folder / TRAINING


def train(
    generator: Generator,
    data: Encoded,
    folder: Path,
    plan: TrainingPlan,
    *,
    initial_weights: dict[str, torch.Tensor] | None = None,
    progress: Callable[[Progress], None] | None = None,
    checkpointed: Callable[[], None] | None = None,
) -> TrainingResult:
    """Train `generator` on `data`, going on from where an interrupted call with the same arguments was.

    Args:
        generator: fresh, built for the schema of `data`.
        data: training series.
        folder: where checkpoints, logs, weights and the result go; made if it is not there.
        plan: how long to train, and how often to log and to write checkpoints.
        initial_weights: what `training_weights` of the seed model returned, to fine-tune from; where only metadata are
            retrained, what `sampling_weights` of the trained model returned.
        progress: called with the state of the training at every line of the log.
        checkpointed: called after every checkpoint, to bring `folder` to safety for instance.

    Raises:
        TrainingError: the data cannot be learnt from, or a loss is not finite.
    """
    found = read_result(folder, plan.fingerprint)
    if found is not None:
        generator.load_sampling_weights(load_weights(found.sampling))
        return found
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).unlink(missing_ok=True)
    with _reproducible(generator.device, plan.threads):
        if plan.retrain_metadata:
            generator.prepare_metadata(data, seed=plan.seed, steps=plan.steps, weights=initial_weights or {})
        else:
            generator.prepare(data, seed=plan.seed, steps=plan.steps, initial_weights=initial_weights)
        state = _resume(generator, folder, plan.fingerprint) or _State()
        clock = _Clock(state.seconds)
        last_checkpoint = time.monotonic()
        with closing(TrainingLog(folder, plan.name, resume_step=generator.steps_done)) as log:
            while not generator.done:
                state.add(_checked_step(generator, plan.name))
                state.seconds = clock.seconds
                step = generator.steps_done
                if step % plan.log_every == 0 or generator.done:
                    losses = state.take_means()
                    log.write(step, seconds=state.seconds, values=losses)
                    if progress is not None:
                        until = step if generator.done else generator.max_steps
                        progress(_progress(plan.name, step, until, losses, state))
                due = time.monotonic() - last_checkpoint >= plan.checkpoint_seconds
                by_steps = plan.checkpoint_steps is not None and step % plan.checkpoint_steps == 0
                if not generator.done and (due or by_steps):
                    _checkpoint(generator, folder, plan.fingerprint, state)
                    if checkpointed is not None:
                        checkpointed()
                    last_checkpoint = time.monotonic()
        return _finish(generator, folder, plan, state)


def read_result(folder: Path, fingerprint: str) -> TrainingResult | None:
    """What a finished training under `fingerprint` left in `folder`, or None where there is no such thing."""
    try:
        value = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    whole = (folder / SAMPLING).exists() and (folder / TRAINING).exists()
    if not whole or value.pop("fingerprint") != fingerprint:
        return None
    value.pop("records_per_second")
    return TrainingResult(folder=folder, **value)


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file that `train` wrote."""
    from safetensors.torch import load_file

    return load_file(path)


@dataclass
class _State:
    """The loop's own share of a checkpoint: counters, and since the last line of the log the sum of each loss and the
    number of steps that reported it (validation losses are not measured at each step)."""

    seconds: float = 0.0
    records: int = 0
    resumed: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    last_means: dict[str, float] = field(default_factory=dict)

    def add(self, metrics: dict[str, float]) -> None:
        self.records += int(metrics.get("records", 0))
        for key, value in metrics.items():
            if key != "records":
                self.sums[key] = self.sums.get(key, 0.0) + value
                self.counts[key] = self.counts.get(key, 0) + 1

    def take_means(self) -> dict[str, float]:
        self.last_means = {key: value / self.counts[key] for key, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return self.last_means


class _Clock:
    """Seconds of training, those before the last checkpoint included."""

    def __init__(self, before: float) -> None:
        self._start = time.monotonic() - before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def _checked_step(generator: Generator, name: str) -> dict[str, float]:
    try:
        metrics = generator.step()
    except TrainingError as error:
        raise TrainingError(f"model {name}, step {generator.steps_done + 1}: {error}") from error
    for key, value in metrics.items():
        if not math.isfinite(value):
            raise TrainingError(f"model {name}, step {generator.steps_done}: loss '{key}' became {value}; {REMEDY}")
    return metrics


def _checkpoint(generator: Generator, folder: Path, fingerprint: str, state: _State) -> None:
    tensors, scalars = generator.training_state()
    save_checkpoint(folder, tensors, {"fingerprint": fingerprint, "trainer": asdict(state), "generator": scalars})


def _resume(generator: Generator, folder: Path, fingerprint: str) -> _State | None:
    found = load_checkpoint(folder)
    if found is None or found[1].get("fingerprint") != fingerprint:
        remove_checkpoints(folder)
        return None
    tensors, scalars = found
    generator.restore(tensors, scalars["generator"])
    state = _State(**scalars["trainer"])
    state.resumed += 1
    return state


def _finish(generator: Generator, folder: Path, plan: TrainingPlan, state: _State) -> TrainingResult:
    """Write weights, then the result, which alone says that the weights are there; then the checkpoints can go."""
    result = TrainingResult(
        plan.name, folder, generator.steps_done, state.seconds, state.records, state.last_means, state.resumed
    )
    weights = generator.sampling_weights()
    for key, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise TrainingError(
                f"model {plan.name}, step {generator.steps_done}: weights '{key}' are not finite; {REMEDY}"
            )
    save_tensors(result.sampling, weights)
    save_tensors(result.training, generator.training_weights())
    value: dict[str, Any] = {key: item for key, item in asdict(result).items() if key != "folder"}
    value |= {"records_per_second": result.records_per_second, "fingerprint": plan.fingerprint}
    write_text(folder / RESULT, json.dumps(value, indent=1))
    remove_checkpoints(folder)
    generator.load_sampling_weights(load_weights(result.sampling))
    return result


def _progress(name: str, step: int, steps: int, losses: dict[str, float], state: _State) -> Progress:
    seconds = max(state.seconds, 1e-9)
    return Progress(name, step, steps, losses, state.records / seconds, seconds / step * max(steps - step, 0))


@contextmanager
def _reproducible(device: torch.device, threads: int) -> Iterator[None]:
    """Fixed thread count, and deterministic kernels where they cost nothing (on the CPU); both as before afterwards."""
    threads_before, strict_before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill_before = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device.type == "cpu", warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(strict_before)
        torch.utils.deterministic.fill_uninitialized_memory = fill_before  # type: ignore[attr-defined]
