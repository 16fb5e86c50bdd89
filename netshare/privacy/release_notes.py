"""What a private run writes beside its models, and what its evaluation must say of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from netshare.config.schema import Config
from netshare.evaluation import Report
from netshare.preprocess.atomic import write_text
from netshare.privacy.accounting import LEDGER, make_ledger, make_plan, read_ledger, statement
from netshare.privacy.declared import Declared

REPORT_NOTE = (
    "This report was made by comparing with the private input: its figures, charts and examples are NOT covered by the "
    "differential privacy of the synthetic trace. Do not release it with the trace."
)


def write_ledger(config: Config, declared: Declared, models: Path) -> None:
    """Write into the folder of the models what was spent and on what."""
    ledger = make_ledger(config, make_plan(config), declared.public_fingerprints(), declared.flow_key)
    write_text(models / LEDGER, json.dumps(ledger.to_json(), indent=1))


def write_statement(run_folder: Path) -> None:
    """Write `PRIVACY.txt`, the guarantee in words."""
    write_text(run_folder / "PRIVACY.txt", statement(read_ledger(run_folder), run_folder.name) + "\n")


def mark_private(report: Report, run_folder: Path) -> Report:
    """The report with a warning that it is private itself, and with the ledger."""
    entries = read_ledger(run_folder).to_json()
    return replace(report, notes=(REPORT_NOTE, *report.notes), extra={"privacy": entries, **report.extra})
