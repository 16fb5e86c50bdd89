"""What `make docs` writes is what the commands print now."""

import re
from pathlib import Path

import pytest

from netshare.commands.main import main

REPOSITORY = Path(__file__).resolve().parent.parent
LINES = re.findall(r"^\t\$\(BIN\)/netshare (.+) > (\S+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


def test_the_makefile_has_generated_documents():
    assert len(LINES) >= 2


@pytest.mark.parametrize(("arguments", "file"), LINES, ids=[file for _, file in LINES])
def test_the_document_is_what_the_command_prints(arguments, file, capsys):
    assert main(arguments.split()) == 0
    assert capsys.readouterr().out == (REPOSITORY / file).read_text(encoding="utf-8"), "run `make docs`"
