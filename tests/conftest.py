"""Shared fixtures: the shipped sample, the optional folder of development traces, one thread a process.

A test that asks programs of the field names them, `@pytest.mark.referee("nfcapd", "nfdump")`, and is skipped where one of
them is not installed.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)  # tests do not assert times
settings.register_profile("quick", deadline=None, max_examples=15)  # of `make quick`
settings.load_profile("default")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_runtest_setup(item: pytest.Item) -> None:
    programs = [program for mark in item.iter_markers("referee") for program in mark.args]
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}: not installed")


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory) -> Iterator[Path]:
    """The budgets of inputs, kept apart from those of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("NETSHARE_STATE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def development_traces() -> Path:
    """The folder of real traces beside the checkout; the test is skipped where it is missing."""
    folder = REPOSITORY.parent / "shared" / "traces"
    if not folder.is_dir():
        pytest.skip("needs the development traces in ../shared/traces, which are not here")
    return folder


@pytest.fixture(scope="session")
def sample_capture() -> Path:
    """The capture that ships with the repository."""
    return REPOSITORY / "examples" / "sample" / "sample.pcap.gz"


@pytest.fixture(scope="session")
def sample_netflow() -> Path:
    """The NetFlow records of the same traffic, which ship with the repository."""
    return REPOSITORY / "examples" / "sample" / "sample-netflow.csv.gz"
