"""Membership inference by retraining: known answers of a copier and of independent columns, resuming, errors."""

import json

import pytest

from netshare.commands.main import main
from netshare.comparison.membership import MIN_CONVERSATIONS, membership
from netshare.config.load import load_config
from netshare.preprocess.errors import ConfigError, InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def attacked(tmp_path_factory, sample_capture):
    folder = tmp_path_factory.mktemp("membership")
    config = load_config({"input": str(sample_capture)}, work_dir=folder / "run")
    methods = ("row-bootstrap", "independent-columns")
    return config, folder, membership(config, methods=methods, budget=0.5, shadows=1, folder=folder / "out")


def test_a_generator_that_copies_rows_is_found_out(attacked):
    _, _, found = attacked
    copied = [each for each in found if each.method == "row-bootstrap"]
    assert {each.attack for each in copied} == {"nearest", "shadow"}
    assert len({each.size for each in copied}) >= 2
    # of n rows drawn n times with replacement, 63% turn up; a flow of one record is then found, or guessed at
    assert all(each.right > 0.7 and each.found_out for each in copied if each.attack == "shadow" and each.size > 100)


def test_independent_columns_give_no_members_away(attacked):
    _, _, found = attacked
    largest = max(each.size for each in found)
    free = [each for each in found if each.method == "independent-columns" and each.size == largest]
    assert all(not each.found_out and abs(each.right - 0.5) < 0.15 for each in free)
    assert all(
        each.interval[0] <= each.right <= each.interval[1] and each.candidates >= MIN_CONVERSATIONS for each in found
    )


def test_finished_attacks_are_kept(attacked):
    config, folder, found = attacked
    files = sorted((folder / "out" / "attacks").iterdir())
    before = [path.stat().st_mtime_ns for path in files]
    again = membership(config, methods=("row-bootstrap",), budget=0.5, shadows=1, folder=folder / "out")
    assert [path.stat().st_mtime_ns for path in files] == before
    assert list(again) == [each for each in found if each.method == "row-bootstrap"]
    rows = json.loads((folder / "out" / "membership.json").read_text())["attacks"]
    assert [row["right"] for row in rows] == [each.right for each in again]


def test_the_command_and_its_refusals(tmp_path, sample_capture, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"input": str(sample_capture)}))
    base = ["membership", str(path), "--work-dir", str(tmp_path / "run"), "-q"]
    assert main([*base, "--sizes", "60", "--methods", "row-bootstrap", "--budget", "0.2", "--shadows", "1",
                 "-o", str(tmp_path / "out")]) == 0  # fmt: skip
    assert "| row-bootstrap | 60 | shadow |" in capsys.readouterr().out
    for options, message in (
        (["--sizes", "7"], "--sizes: 7"),
        (["--sizes", "many"], "'many'"),
        (["--methods", "copycat"], "copycat"),
        (["--budget", "0"], "--budget"),
    ):
        assert main([*base, *options]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_too_small_or_private_inputs_are_refused(tmp_path, sample_capture):
    few = load_config({"input": {"files": [str(sample_capture)], "limit": 30}}, work_dir=tmp_path / "run")
    with pytest.raises(InputError, match="too few"):
        membership(few)
    with pytest.raises(ConfigError, match="--shadows"):
        membership(few, shadows=0)
