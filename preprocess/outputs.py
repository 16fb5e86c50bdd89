"""The one rule for what may be written where: nothing of a user's is destroyed.

    check_output(Path("out.pcap"), inputs=[Path("in.pcap")])

Whoever writes a file that a user has named asks here first, before anything is read or trained, and again before writing
where much time has passed. An input is never overwritten, under whatever name; any other file only where the user says
so (`force`, on the command line `--force`). What a run writes into its own run folder is guarded by the folder itself
(`netshare.runs.folder`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from netshare.preprocess.errors import InputError
from netshare.preprocess.readers import list_files


def check_output(path: str | Path, *, inputs: Iterable[str | Path] = (), force: bool = False) -> None:
    """Refuse a place where a file cannot be written, or where writing one would destroy another.

    Args:
        path: the file to write.
        inputs: files that are read to make it, and others that must outlive it. The same file under another name (a link, a
            relative path, letters of another case where the file system ignores case) is the same file. Those that do
            not exist are passed over.
        force: whether an existing file that is no input may be replaced.

    Raises:
        InputError: the path is an input, an existing file (without `force`), a folder or a device, or its folder is
            missing.
    """
    target = Path(path)
    for name in inputs:
        if _same_file(target, Path(name)):
            raise InputError(f"{target}: is the input {name}, which would be lost; choose another output")
    if target.is_dir():
        raise InputError(f"{target}: cannot be written (it is a folder); name a file in it")
    if not target.absolute().parent.is_dir():
        raise InputError(
            f"{target}: cannot be written (no such folder); make {target.absolute().parent} or choose another"
        )
    if not os.path.lexists(target):
        return
    if target.exists() and not target.is_file():
        raise InputError(f"{target}: cannot be written (it is no regular file); choose another output")
    if not force:
        raise InputError(f"{target}: exists already; choose another output, or replace it with --force (force=True)")


def check_outputs(
    paths: Iterable[str | Path | None], *, inputs: Iterable[str | Path] = (), force: bool = False
) -> None:
    """As `check_output`, for several files of one command; None stands for one that is not asked for.

    Raises:
        InputError: as `check_output` raises it, or two of the files are one.
    """
    sources, seen = list(inputs), set[Path]()
    for path in paths:
        if path is None:
            continue
        check_output(path, inputs=sources, force=force)
        place = Path(path).resolve()
        if place in seen:
            raise InputError(f"{path}: is named for two outputs; give each a file of its own")
        seen.add(place)


def existing_files(names: Iterable[str | Path]) -> list[Path]:
    """The files that inputs (files, patterns or folders) stand for, as far as they still exist."""
    found: list[Path] = []
    for name in names:
        with suppress(InputError):
            found += list_files(name)
    return found


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # one of them does not exist, or cannot be looked at
        return False
