"""`netshare membership CONFIG`: which flows were in the training trace? Attacks on releases of models retrained for it."""

from __future__ import annotations

from pathlib import Path

from netshare.commands.options import Commands, Options, add_command, config_options, console_of, positive, read_config
from netshare.preprocess.errors import InputError


def add(commands: Commands) -> None:
    """Add the command."""
    text = "retrain on parts of a trace, and attack the releases: which flows were in?"
    added = add_command(commands, "membership", execute, text, config_options())
    added.add_argument(
        "--methods", metavar="A,B,...", default="autoregressive", help="as for compare; default: autoregressive"
    )
    added.add_argument("--sizes", metavar="N,N,...", help="conversations to train on; default: three sizes")
    added.add_argument("--shadows", type=positive, default=2, help="models of the attacker a release; default: 2")
    added.add_argument(
        "--budget", type=float, default=20.0, metavar="CPU_SECONDS", help="training time a model; default: 20"
    )
    added.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: the config's name + '-membership'")
    added.add_argument("--fresh", action="store_true", help="forget what the folder holds")


def execute(options: Options) -> None:
    """Retrain, attack, and print what the attacks found."""
    from netshare.baselines import choose_methods
    from netshare.comparison.membership import format_membership, membership

    sizes = None if options.sizes is None else _sizes(options.sizes)
    found = membership(
        read_config(options, all_generators=True),
        methods=choose_methods(options.methods),
        sizes=sizes,
        shadows=options.shadows,
        budget=options.budget,
        folder=options.output,
        fresh=options.fresh,
        console=console_of(options),
    )
    print(format_membership(found, options.budget, options.shadows), end="")


def _sizes(text: str) -> list[int]:
    texts = [part.strip() for part in text.split(",")]
    if wrong := [part for part in texts if not part.isdecimal()]:
        raise InputError(f"--sizes: found {wrong[0]!r}, give whole numbers of conversations, such as 100,400")
    return [int(part) for part in texts]
