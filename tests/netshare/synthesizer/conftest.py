"""Fitted synthesizers and their folders, made once."""

from pathlib import Path

import pytest

from netshare import Synthesizer
from tests.netshare.synthesizer.small import fitted


@pytest.fixture(scope="session")
def synthesizer() -> Synthesizer:
    return fitted()


@pytest.fixture(scope="session")
def saved_folder(synthesizer, tmp_path_factory) -> Path:
    """The folder of `synthesizer`."""
    folder = tmp_path_factory.mktemp("saved") / "whole"
    synthesizer.save(folder)
    return folder


@pytest.fixture(scope="session")
def saved_gan(tmp_path_factory) -> Path:
    """The folder of a DoppelGANger."""
    folder = tmp_path_factory.mktemp("saved") / "gan"
    fitted("doppelganger").save(folder)
    return folder
