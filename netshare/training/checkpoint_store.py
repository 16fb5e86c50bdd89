"""The actor beside the driver of a Ray run: writes the trainers' checkpoints into the run folder, and passes their
progress on to the driver.

It is a module of its own, with few imports, so that its process stays small.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netshare.preprocess.atomic import write_piece
from netshare.training.progress import Progress


class CheckpointStore:
    """Reads and writes files in the folder of models for actors on other nodes.

    In all methods `name` is a model's folder within it, and file names are relative to that.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._progress: list[Progress] = []

    def fetch(self, name: str) -> dict[str, bytes]:
        """All files of a model's folder, by relative name."""
        root = self.folder / name
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    def write(self, name: str, relative: str, piece: np.ndarray, begin: int, size: int) -> None:
        """Write the bytes (uint8[n]) from `begin` on of a file of `size` bytes; it appears once it is whole."""
        path = self.folder / name / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        write_piece(path, piece.data, begin=begin, size=size)

    def remove(self, name: str, relative: str) -> None:
        """Remove a file that the trainer removed."""
        (self.folder / name / relative).unlink(missing_ok=True)

    def add_progress(self, progress: Progress) -> None:
        """Add a trainer's report of where it stands."""
        self._progress.append(progress)

    def take_progress(self) -> list[Progress]:
        """The reports since the last call."""
        taken, self._progress = self._progress, []
        return taken
