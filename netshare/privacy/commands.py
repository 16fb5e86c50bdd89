"""The command line's `netshare privacy plan|statement|audit`."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_privacy_commands(
    parser: argparse.ArgumentParser, shared: argparse.ArgumentParser, on_config: argparse.ArgumentParser
) -> None:
    """Add the sub-commands to the parser of `netshare privacy`; `shared` and `on_config` hold the usual options."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "say what a config's budget means, before anything is trained and without reading private data"
    plan = commands.add_parser("plan", help=text, description=text[0].upper() + text[1:] + ".",
                               parents=[shared, on_config])  # fmt: skip
    plan.add_argument("--json", action="store_true", help="as JSON")
    plan.set_defaults(command=_plan)


def _plan(options: Any) -> None:
    from netshare.config import load_config
    from netshare.privacy.plan import alternatives, make_plan

    config = load_config(options.config, options.overrides, work_dir=options.work_dir)
    plan = make_plan(config)
    print(json.dumps(plan.to_json(), indent=2) if options.json else plan.text(alternatives(config, plan)))
