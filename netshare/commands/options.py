"""What several commands share: how a command is added, and the options that they have in common.

Commands import what they need when they are executed, so that `netshare --help` answers without loading torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netshare.config.schema import Config
    from netshare.console import Console

Commands = Any  # what `argparse.ArgumentParser.add_subparsers` returns; its class is private
Options = argparse.Namespace


def add_command(
    commands: Commands,
    name: str,
    execute: Callable[[Options], None],
    text: str,
    *parents: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    """Add a command that says `text` of itself and has the options of its parents, `-v` and `-q` among them."""
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", parents=[verbosity_options(), *parents]
    )
    added.set_defaults(command=execute)
    return added


def add_verbosity(parser: argparse.ArgumentParser, default: Any = False) -> None:
    """Add `-v` and `-q`."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", default=default, help="say more, tracebacks of errors included"
    )
    parser.add_argument("-q", "--quiet", action="store_true", default=default, help="no progress")


def verbosity_options() -> argparse.ArgumentParser:
    """`-v` and `-q` behind the name of a command; where they are left out, those before it count."""
    parent = argparse.ArgumentParser(add_help=False)
    add_verbosity(parent, default=argparse.SUPPRESS)
    return parent


def config_options() -> argparse.ArgumentParser:
    """The config, and what overrides it."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "config", type=Path, help='JSON config, the smallest is {"input": "trace.pcap"}; or a trace itself'
    )
    parent.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="override a value of the config, e.g. training.steps=500 (repeatable)")  # fmt: skip
    parent.add_argument("--work-dir", type=Path, help="run folder, instead of output.folder")
    return parent


def read_config(options: Options, *, all_generators: bool = False) -> Config:
    """The config that `config_options` name; see `netshare.config.load.load_config`."""
    from netshare.config.load import load_config

    return load_config(
        options.config, options.overrides, work_dir=options.work_dir, all_generators=all_generators
    )  # fmt: skip


def console_of(options: Options) -> Console:
    """Where progress goes: standard error, or nowhere with `-q`."""
    from netshare.console import Console

    return Console(quiet=options.quiet)


def add_series_options(command: argparse.ArgumentParser) -> None:
    """Add what says that files are tables of time series, and which of their columns are what."""
    command.add_argument("--series", action="store_true", help="the files are tables of time series, not traces")
    command.add_argument("--key", metavar="COLUMN", help="of tables of time series: the column that names a series")
    command.add_argument("--order", metavar="COLUMN", help="of tables of time series: what orders a series' records")


def of_series(options: Options) -> bool:
    """Whether options declare the input files to be tables of time series, or they are arrays of them."""
    named = options.series or options.key or options.order
    return bool(named) or any(str(name).endswith(".npz") for name in options.files)


def add_max_bytes(command: argparse.ArgumentParser) -> None:
    """Add the limit of what compressed inputs may hold."""
    command.add_argument(
        "--max-bytes", type=positive, metavar="N", help="what compressed data may hold; default: 4 GiB"
    )  # fmt: skip


def add_force(command: argparse.ArgumentParser, *aliases: str) -> None:
    """Add `--force`, without which an existing file is never replaced."""
    command.add_argument("--force", *aliases, action="store_true", dest="force", help="replace files that exist")


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """A seed, for argparse."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of 0 or more")
    return int(text)


def shown(path: Path) -> str:
    """A path as it is printed: relative to the working folder where it lies within."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
