"""`netshare release RUN_DIR`: the one folder of a run to hand over, with a statement of what it guarantees."""

from __future__ import annotations

from pathlib import Path

from netshare.commands.options import Commands, Options, add_command, add_force, console_of, shown


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, "release", execute, "fill a folder with what may be handed over of a run")
    added.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    added.add_argument("-o", "--output", type=Path, metavar="DIR", help="the folder; default: RUN_DIR/release")
    added.add_argument("--with-models", action="store_true",
                       help="the model, too, of a run that is not private; it may hold parts of the input")  # fmt: skip
    add_force(added)


def execute(options: Options) -> None:
    """Make the release and print its folder."""
    from netshare.runs.release import release

    made = release(
        options.run_dir,
        options.output,
        force=options.force,
        with_models=options.with_models,
        console=console_of(options),
    )
    print(shown(made))
