"""The examples in docstrings do what they show.

They run in a folder that holds `sample.pcap.gz` and `sample-netflow.csv.gz`, the sample that is shipped.
"""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def modules_with_examples() -> list[str]:
    sources = [
        path for folder in ("netshare", "postprocess", "preprocess") for path in (REPOSITORY / folder).rglob("*.py")
    ]
    names = []
    for path in sorted(path for path in sources if ">>> " in path.read_text(encoding="utf-8")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        inside = parts if parts[0] == "netshare" else ("netshare", *parts)
        names.append(".".join(inside).removesuffix(".__init__"))
    return names


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_do_what_they_show(name, sample_capture, sample_netflow, tmp_path, monkeypatch):
    for file in (sample_capture, sample_netflow):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0, "see what doctest printed"
