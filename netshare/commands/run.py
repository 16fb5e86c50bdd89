"""`netshare run CONFIG`, and `preprocess`, `train`, `postprocess`, which stop earlier."""

from __future__ import annotations

from netshare.commands.options import Commands, Options, add_command, config_options, console_of, read_config, shown

# Command -> the last stage that it runs, what it does.
STAGES = {
    "run": ("evaluate", "everything: from a config to a synthetic trace and its report"),
    "preprocess": ("preprocess", "read the input, cut it into chunks and encode it"),
    "train": ("train", "the above, and train the models"),
    "postprocess": ("postprocess", "the above, generate, repair and write the synthetic trace"),
}


def add(commands: Commands) -> None:
    """Add the four commands."""
    for name, (until, text) in STAGES.items():
        added = add_command(commands, name, execute, text, config_options())
        added.add_argument("--fresh", action="store_true", help="forget what the run folder holds")
        added.set_defaults(until=until)


def execute(options: Options) -> None:
    """Run the stages and print what they made."""
    from netshare.runs.pipeline import run

    result = run(read_config(options), until=options.until, fresh=options.fresh, console=console_of(options))
    for path in (*result.outputs, *([result.report] if result.report else [])):
        print(shown(path))
    if result.release is not None:
        print(f"{shown(result.release)} (hand over this folder, and nothing else)")
    if not result.outputs:
        print(shown(result.folder))
