"""The log holds each step once, whatever interrupted it, and TensorBoard reads the same numbers."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from netshare.training.log import EVENTS, LOG, TrainingLog, read_log


def write(log: TrainingLog, *steps: int) -> None:
    for step in steps:
        log.write(step, seconds=step / 10, values={"critic": step / 100, "generator": -1.0})
    log.close()


def test_resuming_takes_back_the_lines_after_the_checkpoint(tmp_path):
    write(TrainingLog(tmp_path, "m"), 20, 40, 60)
    with (tmp_path / LOG).open("a") as file:
        file.write('{"name": "m", "st')  # what a kill leaves
    write(TrainingLog(tmp_path, "m", resume_step=50), 60, 80)
    assert [line.step for line in read_log(tmp_path)] == [20, 40, 60, 80]
    events = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert [(event.step, round(event.value, 6)) for event in events.Scalars("critic")] == [
        (20, 0.2),
        (40, 0.4),
        (60, 0.6),
        (80, 0.8),
    ]


def test_starting_afresh_takes_back_everything(tmp_path):
    write(TrainingLog(tmp_path, "m"), 20, 40)
    TrainingLog(tmp_path, "m").close()
    assert read_log(tmp_path) == []
