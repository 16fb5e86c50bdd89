"""`netshare convert IN... OUT`: any readable trace, or table of time series, in any writable format."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from netshare.commands.options import (
    Commands,
    Options,
    add_command,
    add_force,
    add_max_bytes,
    add_series_options,
    of_series,
    positive,
    shown,
)
from netshare.preprocess.errors import InputError

if TYPE_CHECKING:
    from netshare.postprocess import WriteReport


def add(commands: Commands) -> None:
    """Add the command."""
    text = "read any trace and write it in another format; packets can become flow records"
    added = add_command(commands, "convert", execute, text)
    added.add_argument("files", nargs="+", metavar="IN")
    added.add_argument("output", type=Path, metavar="OUT", help="its suffix names the format, unless --to does")
    added.add_argument("--to", metavar="FORMAT", help="pcap, pcapng, netshare-csv, nfdump-csv, netflow-v9, ipfix ...")
    add_force(added)
    add_series_options(added)
    added.add_argument("--form", choices=("long", "wide", "list"), help="form of the table of time series to write")
    added.add_argument("--limit", type=positive, help="read at most so many records")
    added.add_argument("--snaplen", type=positive, help="captured bytes a packet")
    add_max_bytes(added)


def execute(options: Options) -> None:
    """Convert; what is changed or made up is noted on standard error before writing, what is lost after it."""
    series = of_series(options) or options.form is not None or options.output.suffix == ".npz"
    noted: list[str] = []

    def note(line: str) -> None:
        noted.append(line)
        print(f"note: {line}", file=sys.stderr, flush=True)

    report = _convert_series(options, note) if series else _convert_trace(options, note)
    for loss in report.lossy[len(noted) :]:
        print(f"note: {loss}", file=sys.stderr)
    what = "series" if report.format.endswith("series") else "records"
    print(f"{shown(report.path)}: {report.records:,} {what} as {report.format}")


def _convert_series(options: Options, note: Callable[[str], None]) -> WriteReport:
    from netshare.postprocess.convert_series import convert_series

    if options.to or options.snaplen:
        raise InputError(
            "--to and --snaplen are for traces; the form of series is chosen by --form and the output's suffix"
        )
    return convert_series(
        options.files,
        options.output,
        key=options.key,
        order=options.order,
        form=options.form,
        limit=options.limit,
        force=options.force,
        announce=note,
    )


def _convert_trace(options: Options, note: Callable[[str], None]) -> WriteReport:
    from netshare.postprocess.convert import OutputOptions, convert
    from netshare.preprocess.readers.contents import MAXIMUM_BYTES

    return convert(
        options.files,
        options.output,
        to=options.to,
        limit=options.limit,
        max_bytes=options.max_bytes or MAXIMUM_BYTES,
        options=OutputOptions(snaplen=options.snaplen),
        force=options.force,
        announce=note,
    )
