import errno
from pathlib import Path

import pytest

from netshare.preprocess.atomic import atomic_file, write_text


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path: Path):
    path = tmp_path / "report.json"
    write_text(path, "old \u00fc")
    with pytest.raises(OSError, match="No space"), atomic_file(path) as stream:
        stream.write(b"half of the new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text(encoding="utf-8") == "old \u00fc"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_before_the_end_and_what_a_killed_process_left_is_overwritten(tmp_path: Path):
    path = tmp_path / "trace.bin"
    with atomic_file(path) as stream:
        stream.write(b"first")
        stream.flush()
        assert not path.exists()
        left = [p.read_bytes() for p in tmp_path.iterdir() if p.name.startswith(".")]
        assert left == [b"first"]
    (tmp_path / ".trace.bin.partial").write_bytes(b"something longer, left by a kill")
    with atomic_file(path) as stream:
        stream.write(b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]
