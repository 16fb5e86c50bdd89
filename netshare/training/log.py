"""The log of a training: JSON lines and, from the same lines, TensorBoard event files.

A line holds the step, the seconds trained so far and the losses (their mean since the line before). An interrupted
training that goes on from a checkpoint first takes back the lines after it, so that the log holds every step once, and
reads as if nothing had happened.

    log = TrainingLog(folder, "chunk-000", resume_step=200)
    log.write(220, seconds=31.5, values={"critic": -0.3})

`tensorboard --logdir RUN` shows the curves of all models below RUN.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netshare.preprocess.atomic import write_text

LOG = "log.jsonl"
EVENTS = "tensorboard"


@dataclass(frozen=True)
class LogLine:
    """One line of a log.

    name: of the model
    step: how many steps were done
    time: seconds since the Unix epoch
    seconds: trained so far
    values: losses by name, their means since the line before
    """

    name: str
    step: int
    time: float
    seconds: float
    values: dict[str, float]


class TrainingLog:
    """Appends to `folder/log.jsonl` and to an event file in `folder/tensorboard`; every line is flushed at once."""

    def __init__(self, folder: Path, name: str, *, resume_step: int = 0) -> None:
        """Open the log of the model `name`, taking back what was logged after `resume_step` (0: everything)."""
        folder.mkdir(parents=True, exist_ok=True)
        self._name = name
        kept = [line for line in read_log(folder) if line.step <= resume_step]
        write_text(folder / LOG, "".join(json.dumps(asdict(line)) + "\n" for line in kept))
        self._lines = (folder / LOG).open("a", encoding="utf-8")
        self._events = _EventFile(folder / EVENTS)
        for line in kept:
            self._events.write(line)

    def write(self, step: int, *, seconds: float, values: dict[str, float]) -> None:
        """Log `values` at `step`, after `seconds` of training."""
        line = LogLine(self._name, step, time.time(), round(seconds, 3), values)
        self._lines.write(json.dumps(asdict(line)) + "\n")
        self._lines.flush()
        self._events.write(line)

    def close(self) -> None:
        """Close both files; the log cannot be written any more."""
        self._lines.close()
        self._events.close()


def read_log(folder: Path) -> list[LogLine]:
    """The lines of `folder/log.jsonl` (none where there is no log); a torn last line is left out."""
    path = folder / LOG
    lines: list[LogLine] = []
    if not path.exists():
        return lines
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(LogLine(**json.loads(text)))
        except json.JSONDecodeError:
            break
    return lines


class _EventFile:
    """One TensorBoard event file, written synchronously (tensorboard's own writer buffers in a thread)."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        # A later file sorts after the one it replaces, so that a TensorBoard that is watching goes on to it; the
        # session's start at step 0 tells it to forget what it has read.
        self._file = (folder / f"events.out.tfevents.{time.time_ns():020d}").open("wb")
        self._records = RecordWriter(self._file)
        self._put(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._put(Event(wall_time=time.time(), step=0, session_log=SessionLog(status=SessionLog.START)))

    def write(self, line: LogLine) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in line.values.items()]
        self._put(Event(wall_time=line.time, step=line.step, summary=Summary(value=values)))

    def close(self) -> None:
        self._file.close()

    def _put(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()
