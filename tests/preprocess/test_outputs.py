"""What may be written where."""

import os
from pathlib import Path

import pytest

from netshare.preprocess.atomic import write_text
from netshare.preprocess.errors import InputError
from netshare.preprocess.outputs import check_output, check_outputs, existing_files


@pytest.fixture()
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "in.pcap"
    path.write_bytes(b"a trace")
    return path


def other_name(trace: Path, way: str) -> Path:
    """The same file under another name."""
    other = trace.with_name(f"{way}.pcap")
    if way == "symlink":
        other.symlink_to(trace)
    elif way == "hard link":
        os.link(trace, other)
    elif way == "link to its folder":
        (trace.parent / "also").symlink_to(trace.parent)
        other = trace.parent / "also" / trace.name
    elif way == "relative":
        other = Path(os.path.relpath(trace))
    else:
        other = trace.parent / "." / ".." / trace.parent.name / trace.name
    return other


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("way", ["symlink", "hard link", "link to its folder", "relative", "detour"])
def test_an_input_is_refused_under_every_name(trace, way, force):
    with pytest.raises(InputError, match="is the input"):
        check_output(other_name(trace, way), inputs=[trace], force=force)
    with pytest.raises(InputError, match="is the input"):
        check_output(trace, inputs=[other_name(trace, way + " again")], force=force)


def test_an_existing_file_gives_way_only_to_force(trace):
    with pytest.raises(InputError, match="exists already; choose another output, or replace it with --force"):
        check_output(trace, inputs=["missing.pcap"])
    check_output(trace, force=True)
    check_output(trace.with_name("new.pcap"))
    dangling = trace.with_name("dangling.pcap")
    dangling.symlink_to("nowhere")
    with pytest.raises(InputError, match="exists already"):
        check_output(dangling)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_a_missing_folder_and_a_device_are_refused(tmp_path, force):
    with pytest.raises(InputError, match="it is a folder"):
        check_output(tmp_path, force=force)
    with pytest.raises(InputError, match="no such folder"):
        check_output(tmp_path / "missing" / "out.pcap", force=force)
    with pytest.raises(InputError, match="no regular file"):
        check_output("/dev/null", force=force)


def test_two_outputs_are_two_files(tmp_path):
    check_outputs([tmp_path / "a", None, tmp_path / "b"])
    with pytest.raises(InputError, match="named for two outputs"):
        check_outputs([tmp_path / "a", tmp_path / "." / "a"])


def test_inputs_that_are_gone_are_passed_over(trace):
    assert existing_files([str(trace.parent / "*.pcap"), trace.with_name("gone.pcap")]) == [trace]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    write_text(tmp_path / "config.json", "first", replace=False)
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "config.json", "second", replace=False)
    assert (tmp_path / "config.json").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_nothing_is_written_through_a_link_at_the_hidden_name(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".out.partial").symlink_to("precious")
    write_text(tmp_path / "out", "new")
    assert (tmp_path / "precious").read_text() == "kept"
    assert (tmp_path / "out").read_text() == "new"
    assert not (tmp_path / "out").is_symlink()
