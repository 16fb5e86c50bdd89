"""`netshare init FILE... -o CONFIG`: a starter config for traces, its choices explained."""

from __future__ import annotations

import json
from pathlib import Path

from netshare.commands.options import Commands, Options, add_command, add_force
from netshare.preprocess.errors import InputError


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, "init", execute, "write a starter config for traces, and explain its choices")
    added.add_argument("files", nargs="+", metavar="FILE")
    added.add_argument("-o", "--output", type=Path, default=Path("config.json"), help="default: config.json")
    add_force(added, "--fresh")  # the option's earlier name


def execute(options: Options) -> None:
    """Write the config and print why each value was chosen."""
    from netshare.config.starter import starter_config
    from netshare.preprocess import read_trace
    from netshare.preprocess.atomic import write_text
    from netshare.preprocess.outputs import check_output
    from netshare.preprocess.readers import list_files

    check_output(options.output, inputs=list_files(options.files), force=options.force)
    config, reasons = starter_config(read_trace(options.files), options.files, options.output.resolve().parent)
    try:
        write_text(options.output, json.dumps(config, indent=2) + "\n", replace=options.force)
    except OSError as error:
        raise InputError(f"{options.output}: cannot be written ({error.strerror}); choose another with -o") from None
    for key, reason in reasons.items():
        print(f"{key}: {reason}")
    print(f"wrote {options.output}; go on with: netshare run {options.output}")
