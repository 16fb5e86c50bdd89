"""The format of a run folder's layout, which its `manifest.json` says: what both runs and `Synthesizer.load` look at first."""

from __future__ import annotations

from pathlib import Path

from netshare.preprocess.errors import RunFolderError
from netshare.preprocess.stored import read_json

FORMAT = 3  # of run folders; fingerprints of 2 were not keyed, and 1 did not say its number
MANIFEST = "manifest.json"


def other_format(folder: Path) -> int | None:
    """The format of a run folder that was laid out by another version; None if it is ours, or says nothing.

    Raises:
        RunFolderError: its manifest is no manifest.
    """
    path = folder / MANIFEST
    if not path.exists() and not path.is_symlink():
        return None
    value = read_json(path)
    number = value.get("format", 1)
    if type(number) is not int or not isinstance(value.get("stages", {}), dict):
        raise RunFolderError(f"{path}: is damaged; choose another folder with --work-dir, or start anew with --fresh")
    return None if number == FORMAT or not value.get("stages") else number
