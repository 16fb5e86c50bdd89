import json

import pytest

from netshare.commands.main import main
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


def write_old_run(path):
    """The folder of a run by a version whose manifest did not say its format."""
    for stage in ("trace", "chunks", "models"):
        (path / stage).mkdir(parents=True)
        (path / stage / "stage.json").write_text('{"fingerprint": "1"}')
    (path / "models" / "config.json").write_text("{}")
    (path / "manifest.json").write_text('{"stages": {"trace": {"fingerprint": "1"}, "models": {"fingerprint": "1"}}}')
    (path / "mine.txt").write_text("kept")


@pytest.mark.parametrize("command", ["run", "generate", "retrain-metadata", "privacy audit"])
def test_the_folder_of_an_earlier_version_is_refused_with_one_line_by(command, sample_capture, tmp_path, capsys):
    old = tmp_path / "run"
    write_old_run(old)
    arguments = {
        "run": ["run", str(sample_capture), "--work-dir", str(old)],
        "generate": ["generate", str(old), "-o", str(tmp_path / "out.pcap")],
        "retrain-metadata": ["retrain-metadata", str(old), "--uniform", "protocol", "-o", str(tmp_path / "new")],
        "privacy audit": ["privacy", "audit", str(old)],
    }[command]
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file() and path.name != ".lock"}
    assert main(arguments) == 2
    complaint = capsys.readouterr().err.strip().splitlines()
    assert len(complaint) == 1
    assert "a run folder of format 1, made by another version of netshare" in complaint[0]
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file() and path.name != ".lock"} == before
    assert not (tmp_path / "out.pcap").exists()


def test_fresh_replaces_what_an_earlier_version_made_and_nothing_else(tmp_path):
    old = tmp_path / "run"
    write_old_run(old)
    (old / "chunks" / "left.json").write_text("{}")
    with RunFolder.open(old, fresh=True) as folder:
        assert {path.name for path in old.iterdir()} == {".lock", ".secret", "manifest.json", "mine.txt"}
        assert work_out(folder, "trace", "a", "new")
    with RunFolder.open(old) as folder:
        assert not work_out(folder, "trace", "a", "again")
    assert (old / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_users_own_file_outlives_a_run_in_its_folder(tmp_path, fresh):
    path = tmp_path / "run"
    with RunFolder.open(path) as folder:
        work_out(folder, "trace", "a", "first")
    (path / "notes").mkdir()
    for name in ("notes/mine.txt", "table.md", ".hidden", "trace.pcap", "report.html"):
        (path / name).write_text("kept")
    with RunFolder.open(path, fresh=fresh) as folder:
        assert work_out(folder, "trace", "b", "second")
    for name in ("notes/mine.txt", "table.md", ".hidden", "trace.pcap", "report.html"):
        assert (path / name).read_text() == "kept"


@pytest.mark.parametrize("fresh", [False, True])
def test_the_folder_of_another_command_is_refused(tmp_path, fresh):
    with RunFolder.open(tmp_path / "run") as folder:
        work_out(folder, "trace", "a", "first")
    (tmp_path / "run" / "table.md").write_text("kept")
    owned = ("methods", "table.md")
    refused = pytest.raises(RunFolderError, match="is the folder of a netshare run, not of a compare")
    with refused, RunFolder.open(tmp_path / "run", fresh=fresh, kind="compare", owned=owned):
        pass
    assert (tmp_path / "run" / "table.md").read_text() == "kept"
    assert (tmp_path / "run" / "trace" / "result").exists()


def test_nothing_is_written_through_a_link_in_the_folder(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "kept").write_text("kept")
    with RunFolder.open(tmp_path / "run") as folder:
        pass
    (tmp_path / "run" / ".trace-a").symlink_to(precious)
    with RunFolder.open(tmp_path / "run") as folder:
        assert work_out(folder, "trace", "a", "first")
    assert not list(precious.iterdir())
    (tmp_path / "run" / ".lock").unlink()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "kept")
    with pytest.raises(RunFolderError), RunFolder.open(tmp_path / "run"):
        pass
    assert (tmp_path / "kept").read_text() == "kept"


def test_a_damaged_manifest_is_one_line(tmp_path):
    with RunFolder.open(tmp_path / "run") as folder:
        work_out(folder, "trace", "a", "first")
    for text in ("{", "[1]", '{"format": "2", "stages": {}}', '{"stages": 5}'):
        (tmp_path / "run" / "manifest.json").write_text(text)
        with pytest.raises(RunFolderError, match=r"manifest\.json: "), RunFolder.open(tmp_path / "run"):
            pass
    with RunFolder.open(tmp_path / "run", fresh=True) as folder:
        assert work_out(folder, "trace", "a", "again")
