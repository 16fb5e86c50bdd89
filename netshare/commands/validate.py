"""`netshare validate CONFIG`: check a config and print it with all defaults."""

from __future__ import annotations

from netshare.commands.options import Commands, Options, add_command, config_options, read_config


def add(commands: Commands) -> None:
    """Add the command."""
    add_command(
        commands, "validate", execute, "check a config and print it with all defaults filled in", config_options()
    )


def execute(options: Options) -> None:
    """Print the config as JSON; its input exists."""
    from netshare.preprocess.readers import list_files

    config = read_config(options)
    list_files(config.input.files)
    print(config.model_dump_json(indent=2))
