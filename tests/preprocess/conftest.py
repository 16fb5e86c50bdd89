"""What the tests of readers share."""

import pytest

from netshare.preprocess import read_trace


@pytest.fixture
def read(tmp_path):
    """Reads lines as if they were a file."""

    def read_lines(*lines: str, **arguments):
        path = tmp_path / "flows.txt"
        path.write_text("\n".join(lines) + "\n")
        return read_trace(path, **arguments)

    return read_lines
