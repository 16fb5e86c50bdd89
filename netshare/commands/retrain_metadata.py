"""`netshare retrain-metadata RUN_DIR -o NEW_RUN`: the models of a run with another distribution of metadata."""

from __future__ import annotations

from pathlib import Path

from netshare.commands.options import Commands, Options, add_command, console_of, positive, seed, shown


def add(commands: Commands) -> None:
    """Add the command."""
    text = "retrain only what draws the metadata, to another distribution of them"
    added = add_command(commands, "retrain-metadata", execute, text)
    added.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    added.add_argument(
        "--wanted", type=Path, metavar="FILE", help='JSON: {"dst_port": {"53": 0.5}, "label": "uniform"}'
    )
    added.add_argument("--share", action="append", default=[], metavar="FIELD=VALUE:SHARE",
                       help="share of the flows, e.g. dst_port=53:0.5 (repeatable)")  # fmt: skip
    added.add_argument("--uniform", action="append", default=[], metavar="FIELD", help="all values of it alike")
    added.add_argument("--steps", type=positive, help="optimisation steps at most; default: as the run's config says")
    added.add_argument("--seed", type=seed, default=0, help="of the training; default: 0")
    added.add_argument("-o", "--output", type=Path, required=True, metavar="NEW_RUN", help="new run folder")


def execute(options: Options) -> None:
    """Retrain, and print the name of the new run folder."""
    from netshare.recipe.reweighting import read_wanted
    from netshare.runs.retraining import retrain_metadata

    retrain_metadata(
        options.run_dir,
        options.output,
        wanted=read_wanted(options.wanted, options.uniform, options.share),
        steps=options.steps,
        seed=options.seed,
        console=console_of(options),
    )
    print(shown(options.output))
