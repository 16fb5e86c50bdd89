"""Progress on standard error: lines at most every ten seconds and model, the last step always, nothing when quiet."""

import pytest

from netshare import console as module
from netshare.console import Console, describe, in_notebook
from netshare.training.progress import Progress


def progress(step: int, name: str = "0", seconds_left: float = 90.0) -> Progress:
    return Progress(
        name=name, step=step, steps=9, losses={"loss": 0.5}, records_per_second=12_345.6, seconds_left=seconds_left
    )


def test_lines_are_spaced_by_model_and_the_last_step_is_shown(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with Console().training(2) as report:
        for step, seconds in ((1, 0.0), (2, 5.0), (3, 10.0), (9, 11.0)):
            now[0] = seconds
            report(progress(step))
            report(progress(step, name="1"))
    lines = capsys.readouterr().err.splitlines()
    shown = [line.split(":")[0].strip() + line.split("step")[1][:4] for line in lines]
    assert shown == [f"chunk {name} {step}/9" for step in (1, 3, 9) for name in "01"]


def test_quiet_prints_nothing(capsys):
    quiet = Console(quiet=True)
    quiet.say("a")
    quiet.stage("training", skipped=True)
    with quiet.training(1) as report, quiet.generating(3) as done:
        assert report is None and done is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(90.0, "90 s"), (600.0, "10 min")])
def test_progress_in_one_line(seconds, text):
    assert describe(progress(1, seconds_left=seconds)) == f"loss 0.500  12,346 records/s  at most {text} left"
    assert not in_notebook()
