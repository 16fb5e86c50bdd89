"""Nothing of a user's is destroyed: every command that writes, against every name of a file that must be kept."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from netshare.commands.main import main
from netshare.preprocess import read_trace

COMMANDS = (
    "convert",
    "convert series",
    "init",
    "evaluate --json",
    "evaluate --html",
    "evaluate --markdown",
    "generate",
)
SERIES = "key,day,value\n" + "".join(f"{key},{day},{key * 7 + day}\n" for key in range(12) for day in range(5))


@pytest.fixture(scope="module")
def small(sample_capture, tmp_path_factory) -> Path:
    """A small capture, uncompressed."""
    path = tmp_path_factory.mktemp("small") / "in.pcap"
    whole = gzip.decompress(sample_capture.read_bytes())
    end = 24
    for _ in range(300):
        end += 16 + int.from_bytes(whole[end + 8 : end + 12], "little")
    path.write_bytes(whole[:end])
    return path


@pytest.fixture()
def call(request, small, tmp_path):
    """The command line that writes to a given path, and the input it reads."""
    name = request.param
    suffix = {"convert": ".pcap", "convert series": ".csv"}.get(name, ".parquet")
    source = tmp_path / f"in{suffix}"
    if name == "convert series":
        source.write_text(SERIES)
        return source, lambda out: ["convert", str(source), str(out), "--key", "key", "--order", "day"]
    if name == "convert":
        source.write_bytes(small.read_bytes())
        return source, lambda out: ["convert", str(source), str(out)]
    if name == "generate":
        run = request.getfixturevalue("quick_run")
        return run / "models" / "config.json", lambda out: ["generate", str(run), "--flows", "20", "-o", str(out), "-q"]
    assert main(["convert", str(small), str(source), "-q"]) == 0
    if name == "init":
        return source, lambda out: ["init", str(source), "-o", str(out)]
    option = name.split()[1]
    return source, lambda out: ["evaluate", "--train", str(source), "--synthetic", str(source), option, str(out)]


@pytest.mark.parametrize("call", COMMANDS, indirect=True)
def test_an_input_is_never_replaced(call, tmp_path, capsys):
    source, command = call
    before = source.read_bytes()
    soft, hard = tmp_path / f"soft{source.suffix}", tmp_path / f"hard{source.suffix}"
    soft.symlink_to(source)
    os.link(source, hard)
    for name in (source, soft, hard):
        for more in ([], ["--force"]):
            assert main([*command(name), *more]) == 2
            complaint = capsys.readouterr().err.strip().splitlines()
            assert len(complaint) == 1
            assert "is the input" in complaint[0]
    assert source.read_bytes() == before
    assert soft.is_symlink()
    hard.unlink()


@pytest.mark.parametrize("call", COMMANDS, indirect=True)
def test_another_file_is_replaced_only_by_force(call, tmp_path, capsys):
    source, command = call
    suffix = {".csv": ".csv", ".json": ".parquet"}.get(source.suffix, ".parquet")
    output = tmp_path / f"other{suffix}"
    output.write_text("something of the user's")
    assert main(command(output)) == 2
    complaint = capsys.readouterr().err.strip().splitlines()
    assert len(complaint) == 1
    assert "exists already" in complaint[0] and "--force" in complaint[0]
    assert output.read_text() == "something of the user's"
    assert main([*command(output), "--force"]) == 0
    assert output.read_bytes() != b"something of the user's"
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize("call", COMMANDS, indirect=True)
def test_a_folder_and_a_missing_folder_are_one_line(call, tmp_path, capsys):
    _, command = call
    for place in (tmp_path, tmp_path / "missing" / "out.parquet"):
        assert main([*command(place), "--force"]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_arrays_description_is_an_output_and_an_input_too(tmp_path, capsys):
    (tmp_path / "in.csv").write_text(SERIES)
    (tmp_path / "out.fields.json").write_text("something of the user's")
    command = ["convert", str(tmp_path / "in.csv"), str(tmp_path / "out.npz"), "--key", "key", "--order", "day"]
    assert main(command) == 2
    assert "out.fields.json: exists already" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert main(["convert", str(tmp_path / "out.npz"), str(tmp_path / "out.fields.csv")]) == 0
    assert main(["convert", str(tmp_path / "out.npz"), str(tmp_path / "out.npz"), "--force"]) == 2


def test_two_reports_do_not_share_a_file(small, tmp_path, capsys):
    both = str(tmp_path / "report")
    command = ["evaluate", "--train", str(small), "--synthetic", str(small), "--json", both, "--html", both]
    assert main(command) == 2
    assert "named for two outputs" in capsys.readouterr().err


def test_generated_data_never_replace_the_input_of_the_run(quick_run, sample_capture, capsys):
    before = sample_capture.read_bytes()
    assert main(["generate", str(quick_run), "-o", str(sample_capture), "--force", "-q"]) == 2
    assert "is the input" in capsys.readouterr().err
    assert sample_capture.read_bytes() == before


def test_retraining_never_replaces_the_models_of_another_run(quick_run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(quick_run, other)
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    for place in (other, quick_run):
        assert main(["retrain-metadata", str(quick_run), "--uniform", "protocol", "-o", str(place), "-q"]) == 2
        assert "give" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before


def test_init_still_knows_the_earlier_name_of_force(small, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert main(["init", str(small), "-o", str(tmp_path / "config.json"), "--fresh"]) == 0
    assert (tmp_path / "config.json").read_text() != "{}"


def test_what_a_conversion_makes_up_is_noted_before_it_writes(small, tmp_path, capsys, monkeypatch):
    written = []

    class Noting:
        """Standard error that remembers whether the output was there already."""

        def write(self, text: str) -> None:
            if text.strip():
                written.append((text, (tmp_path / "out.pcap").exists()))

        def flush(self) -> None:
            pass

    monkeypatch.setattr("sys.stderr", Noting())
    assert main(["convert", str(small), str(tmp_path / "out.pcap")]) == 0
    lines = [line for line, there in written if not there]
    assert any("MAC addresses, TCP sequence numbers and options are made up" in line for line in lines)
    assert len(read_trace(tmp_path / "out.pcap")) == 296  # of 300 frames, four carry no IP
