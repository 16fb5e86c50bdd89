"""`netshare compare CONFIG`: baselines and our generators, trained for the same time and ranked."""

from __future__ import annotations

from pathlib import Path

from netshare.commands.options import Commands, Options, add_command, config_options, console_of, read_config, shown


def add(commands: Commands) -> None:
    """Add the command."""
    text = "train baselines and our generators for the same time, and rank them"
    added = add_command(commands, "compare", execute, text, config_options())
    added.add_argument(
        "--methods", metavar="A,B,...", help="of: autoregressive, doppelganger and the baselines (all)"
    )  # fmt: skip
    added.add_argument(
        "--budget", type=float, default=60.0, metavar="CPU_SECONDS", help="training time a method; default: 60"
    )
    added.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: the config's name + '-compare'")
    added.add_argument("--fresh", action="store_true", help="forget what the folder holds")


def execute(options: Options) -> None:
    """Compare, print the table and the names of the files."""
    from netshare.baselines import choose_methods
    from netshare.comparison import compare, format_table

    methods = choose_methods(options.methods)
    result = compare(
        read_config(options, all_generators=True),
        methods=methods,
        budget=options.budget,
        folder=options.output,
        fresh=options.fresh,
        console=console_of(options),
    )
    print(format_table(result))
    for path in result.outputs:
        print(shown(path))
