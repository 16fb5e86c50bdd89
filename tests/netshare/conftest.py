"""A small, quickly trained run of the whole pipeline, made once for all tests that look at its results."""

import json
from pathlib import Path

import pytest

from netshare.commands.main import main

QUICK = {
    "chunks": {"count": 2},
    "generator": {"autoregressive": {"epochs": 3, "metadata_state": 64, "record_state": 32}},
    "cluster": {"mode": "inline"},
    "seed": 5,
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that looks at the trained run is slow: whichever comes first trains it."""
    for item in items:
        if "quick_run" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory, sample_capture) -> Path:
    """The run folder of 3,000 packets of the sample, through the command line."""
    folder = tmp_path_factory.mktemp("quick")
    config = folder / "config.json"
    config.write_text(json.dumps(QUICK | {"input": {"files": [str(sample_capture)], "limit": 3000}}))
    assert main(["run", str(config), "--work-dir", str(folder / "run"), "-q"]) == 0
    return folder / "run"
