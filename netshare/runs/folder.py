"""The run folder: what has been done, from what, and whether it is still up to date.

A run is a chain of steps (`netshare.runs.steps`); each fills one sub-folder of the run folder:

    trace/      the canonical tables: all records, those trained on, those held back
    table/      the private synthetic table, in runs that learn from one
    chunks/     chunk plan, codec, encoded series of each chunk, what a synthetic trace follows and avoids
    models/     one trained model a chunk, with its logs
    generated/  decoded synthetic records, before repair
    synthetic/  the synthetic trace in every format asked for, and the count of repairs
    report/     the evaluation
    release/    what may be handed over, with its statement (`netshare.runs.release`); nothing else should leave the folder

A stage has a *fingerprint*, a hash of its settings and of the fingerprints of the stages it builds on, keyed with the
folder's secret (`.secret`): otherwise whoever sees it could try out which input it was made from. A stage works in a
hidden folder that is renamed in one step when whole, with a `stage.json` inside that says its fingerprint, seconds,
peak memory and versions; so a half-written stage is never mistaken for a whole one, and one with an unchanged
fingerprint is skipped. `manifest.json` gathers these for readers, and says the format of the folder: one of another
format is refused. One process at a time may work in a run folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import resource
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from netshare.fingerprints import fingerprint, kept_secret
from netshare.preprocess.atomic import write_text
from netshare.preprocess.errors import RunFolderError
from netshare.preprocess.stored import read_json, shown
from netshare.synthesizer.run_format import FORMAT, MANIFEST, other_format
from netshare.version import DISTRIBUTION

RUN = "run"
STAGES = ("trace", "table", "chunks", "models", "generated", "synthetic", "report")
RELEASE, STATEMENT, SECRET = "release", "PRIVACY.txt", ".secret"
RECORDED_VERSIONS = (DISTRIBUTION, "torch", "numpy", "gensim", "ray", "pyarrow", "scipy")


class RunFolder:
    """A run folder, held by this process while `open` lasts.

    with RunFolder.open(path) as folder, folder.stage("trace", key) as work:
        if work is not None:  # None: up to date
            ...  # write into the folder `work`
    """

    def __init__(self, path: Path, secret: bytes, kind: str = RUN) -> None:
        self.path, self._secret, self.kind = path, secret, kind

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, *, fresh: bool = False, kind: str = RUN, owned: Sequence[str] = (*STAGES, RELEASE, STATEMENT)
    ) -> Iterator[RunFolder]:
        """Open or make the folder.

        Args:
            path: of the folder.
            fresh: first remove what an earlier run left there, and nothing else; the folder's secret stays.
            kind: of run, the command that makes it; a folder of another kind is refused, `fresh` or not.
            owned: names of the files and folders that such a run makes in it. Nothing else in the folder is changed or
                removed; what lies within these is the run's.

        Raises:
            RunFolderError: the folder cannot be written or runs full, is in use, holds something else, or was made by a
                version of other habits.
        """
        with _explained(path):
            path.mkdir(parents=True, exist_ok=True)
            strangers = [p.name for p in path.iterdir() if not p.name.startswith(".") and p.name != MANIFEST]
            if strangers and not (path / MANIFEST).exists():
                raise RunFolderError(
                    f"{path}: not a run folder (it holds {strangers[0]} but no {MANIFEST}); choose an empty one"
                )
            with _opened(path / ".lock") as lock:
                _lock(lock, path)
                _check_kind(path, kind)
                if fresh:
                    _remove(path, owned)
                else:
                    _check_format(path)
                folder = cls(path, _secret_of(path), kind)
                folder._write_manifest()
                yield folder

    def fingerprint(self, *parts: Any) -> str:
        """A fingerprint of JSON-able values, keyed with the secret of this folder."""
        return fingerprint(*parts, secret=self._secret)

    def done(self, stage: str) -> dict[str, Any] | None:
        """What a finished stage says of itself (its `stage.json`), or None."""
        try:
            found = read_json(self.path / stage / "stage.json")
        except RunFolderError:
            return None
        return found if isinstance(found.get("fingerprint"), str) else None

    def key_of(self, stage: str) -> str:
        """The fingerprint that a stage was finished with; empty where it was not."""
        found = self.done(stage)
        return "" if found is None else str(found["fingerprint"])

    def is_current(self, stage: str, key: str) -> bool:
        """Whether the stage has been finished with this fingerprint."""
        finished = self.done(stage)
        return finished is not None and finished["fingerprint"] == key

    @contextmanager
    def stage(self, name: str, key: str) -> Iterator[Path | None]:
        """The folder to work out a stage in, or None where the stage is up to date.

        An interrupted stage finds its folder again as it left it, as long as the fingerprint is the same. On leaving
        without an error the folder takes its final name.
        """
        if self.is_current(name, key):
            yield None
            return
        work = self.path / f".{name}-{key[:12]}"
        if work.is_symlink():  # nothing is written through it
            work.unlink()
        for stale in self.path.glob(f".{name}-*"):
            if stale != work:
                shutil.rmtree(stale)
        work.mkdir(exist_ok=True)
        begun = time.monotonic()
        yield work
        finished = {
            "fingerprint": key,
            "seconds": round(time.monotonic() - begun, 3),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
        }
        write_text(work / "stage.json", json.dumps(finished, indent=1))
        final = self.path / name
        if final.exists():
            shutil.rmtree(final)
        work.replace(final)
        self._write_manifest()

    def _write_manifest(self) -> None:
        stages = {name: finished for name in STAGES if (finished := self.done(name)) is not None}
        for name, finished in stages.items():
            entries = sorted((self.path / name).rglob("*"))
            finished["outputs"] = [str(p.relative_to(self.path)) for p in entries if p.is_file()]
        ledger = self.path / "models" / "privacy.json"
        private = {"privacy": read_json(ledger)} if ledger.exists() else {}
        write_text(
            self.path / MANIFEST,
            json.dumps({"format": FORMAT, "kind": self.kind, "stages": stages, **private}, indent=1),
        )


def versions(packages: Sequence[str] = RECORDED_VERSIONS) -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _secret_of(path: Path) -> bytes:
    """The secret of a run folder, made when the folder is first opened; only its owner may read it."""
    try:
        return kept_secret(path / SECRET)
    except ValueError as error:
        raise RunFolderError(f"{error}; remove it, and every stage is worked out again") from None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else path
        raise RunFolderError(
            f"{where}: {error.strerror or error}; make it writable, free space, or choose another with --work-dir"
        ) from error


def _opened(path: Path) -> IO[str]:
    """The file to lock; a link that somebody has put in its place is not followed."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "r+")


def _lock(file: IO[str], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunFolderError(f"{path}: another run is at work here; wait for it or choose another folder") from None


def _check_kind(path: Path, kind: str) -> None:
    """Refuse the folder of another command, whose files would be mixed with this one's."""
    try:
        manifest = read_json(path / MANIFEST)
        found = manifest.get("kind", RUN if manifest.get("stages") else kind)
    except RunFolderError:
        return  # nothing is known of it
    if found != kind:
        raise RunFolderError(f"{path}: is the folder of a netshare {shown(found)}, not of a {kind}; choose another")


def _check_format(path: Path) -> None:
    """Refuse the folder of a run by a version that laid it out otherwise."""
    if (number := other_format(path)) is not None:
        raise RunFolderError(
            f"{path}: a run folder of format {number}, made by another version of netshare, where this one has format "
            f"{FORMAT}; choose another folder with --work-dir, or forget what it holds with --fresh"
        )


def _remove(path: Path, owned: Sequence[str]) -> None:
    """Remove what a run has made in its folder; what a user has put there stays."""
    for entry in path.iterdir():
        hidden = entry.name.startswith(".") and entry.name[1:].partition("-")[0] in owned
        if entry.name != MANIFEST and entry.name not in owned and not hidden:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
