"""`netshare schema`: JSON Schema of a config or of the evaluation's report, or the config's reference as Markdown."""

from __future__ import annotations

import json

from netshare.commands.options import Commands, Options, add_command


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, "schema", execute, "print the JSON Schema of a config, for editors")
    form = added.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as the table of docs/config.md")
    form.add_argument("--report", action="store_true", help="of evaluate's JSON report instead")


def execute(options: Options) -> None:
    """Print it."""
    from netshare.config.docs import config_markdown
    from netshare.config.schema import config_schema
    from netshare.evaluation.figures.schema import report_schema

    if options.report:
        print(json.dumps(report_schema(), indent=2))
        return
    print(config_markdown() if options.markdown else json.dumps(config_schema(), indent=2))
