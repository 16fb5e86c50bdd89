import json

import pytest

from netshare.preprocess.errors import RunFolderError
from netshare.runs.folder import RunFolder


def work_out(folder, name, key, text):
    with folder.stage(name, key) as work:
        if work is None:
            return False
        (work / "result").write_text(text)
        return True


def test_a_finished_stage_is_skipped_until_its_fingerprint_changes(tmp_path):
    with RunFolder.open(tmp_path / "run") as folder:
        assert work_out(folder, "trace", "a", "first")
        assert not work_out(folder, "trace", "a", "second")
        assert (folder.path / "trace" / "result").read_text() == "first"
        assert work_out(folder, "trace", "b", "third")
        assert (folder.path / "trace" / "result").read_text() == "third"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["stages"]["trace"]["fingerprint"] == "b"
    assert "trace/result" in manifest["stages"]["trace"]["outputs"]


def test_a_stage_that_failed_is_not_taken_for_whole_and_finds_its_work_again(tmp_path):
    with RunFolder.open(tmp_path / "run") as folder:
        with pytest.raises(RuntimeError), folder.stage("models", "k") as work:
            (work / "half").write_text("so far")
            raise RuntimeError
        assert not (folder.path / "models").exists()
        with folder.stage("models", "k") as work:
            assert (work / "half").read_text() == "so far"
        with folder.stage("models", "other") as work:
            assert not (work / "half").exists()


def test_two_runs_cannot_share_a_folder(tmp_path):
    with RunFolder.open(tmp_path), pytest.raises(RunFolderError, match="another run"), RunFolder.open(tmp_path):
        pass


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunFolderError, match=r"holds thesis\.tex"), RunFolder.open(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").exists()


def test_fresh_forgets_what_was_there(tmp_path):
    with RunFolder.open(tmp_path / "run") as folder:
        work_out(folder, "trace", "a", "first")
    with RunFolder.open(tmp_path / "run", fresh=True) as folder:
        assert work_out(folder, "trace", "a", "again")


def test_an_unwritable_place_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="--work-dir"), RunFolder.open(tmp_path / "file" / "run"):
        pass
