"""The actor beside the driver of a Ray run: keeps the workers' checkpoints in the run folder and passes reports on.

It is a module of its own, with few imports, so that its process stays small.
"""

from __future__ import annotations

from pathlib import Path

from netshare.training.state import Progress
from preprocess.atomic import write_bytes


class Keeper:
    """Holds the folder of models; `name` is a model's folder in it, file names are relative to that."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.reports: list[Progress] = []

    def fetch(self, name: str) -> dict[str, bytes]:
        """All files of a model's folder, by relative name."""
        root = self.folder / name
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    def keep(self, name: str, files: dict[str, bytes], removed: list[str]) -> None:
        """Write the files, each atomically, then remove those that the worker removed."""
        root = self.folder / name
        for relative, content in files.items():
            path = root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
        for relative in removed:
            (root / relative).unlink(missing_ok=True)

    def report(self, progress: Progress) -> None:
        """Take a report from a worker."""
        self.reports.append(progress)

    def take_reports(self) -> list[Progress]:
        """The reports since the last call."""
        taken, self.reports = self.reports, []
        return taken
