"""The command line: `netshare run config.json` and its companions, a module a command.

Exit codes: 0 done, 2 the user's mistake (one line on standard error says what and how to mend it), 1 a defect of ours
(with a traceback). Results go to standard output, progress to standard error.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from netshare.commands import (
    compare,
    convert,
    evaluate,
    generate,
    init,
    inspect,
    membership,
    privacy,
    release,
    retrain_metadata,
    run,
    schema,
    validate,
)
from netshare.commands.options import add_verbosity
from netshare.preprocess.errors import NetshareError
from netshare.version import version

# In the order of `netshare --help`.
COMMANDS = (
    run, validate, inspect, init, generate, release, retrain_metadata, evaluate, compare, membership, convert, privacy, schema,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    level = logging.ERROR if options.quiet else logging.DEBUG if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    try:
        options.command(options)
    except NetshareError as error:
        if options.verbose:
            logging.getLogger(__name__).debug("traceback", exc_info=True)
        print(f"netshare: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("netshare: interrupted; run again to go on from the last checkpoint", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="netshare", description="Synthetic network traces that can be shared.")
    parser.add_argument("--version", action="version", version=f"netshare {version()}")
    add_verbosity(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
