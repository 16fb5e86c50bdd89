"""`netshare evaluate`: read the files, compare, print the findings and write the reports that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from netshare.commands.options import Commands, Options, add_command, add_force, add_series_options, seed
from netshare.preprocess.errors import InputError

Writer = Callable[..., None]  # (report, path, force=...)


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, "evaluate", execute, "compare any synthetic trace with real ones")
    added.add_argument("--train", required=True, metavar="A", help="real trace that the model was trained on")
    added.add_argument("--holdout", metavar="B", help="real trace held back from training; default: halves of A")
    added.add_argument("--synthetic", required=True, metavar="S", help="the synthetic trace")
    added.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    added.add_argument("--html", type=Path, metavar="FILE", help="write the report as one self-contained HTML file")
    added.add_argument("--markdown", type=Path, metavar="FILE", help="write the main figures as Markdown tables")
    add_force(added)
    add_series_options(added)
    added.add_argument("--seed", type=seed, default=0, help="of samples and intervals; default: 0")


def execute(options: Options) -> None:
    """Compare traces, or tables of time series where `--series`, `--key` or `--order` says so.

    Raises:
        NetshareError: a file cannot be read, compared or written; its message says what to do.
    """
    from netshare.preprocess.outputs import check_outputs
    from netshare.preprocess.readers import list_files

    names = {"train": options.train, "synthetic": options.synthetic, "holdout": options.holdout}
    named = {role: name for role, name in names.items() if name is not None}
    series = options.series or options.key or options.order
    if series and options.markdown:
        raise InputError(f"--markdown {options.markdown}: written for traces only; give --json or --html for series")
    outputs = (options.json, options.html, options.markdown)
    inputs = [path for name in named.values() for path in list_files(name)]
    check_outputs(outputs, inputs=inputs, force=options.force)
    report, writers = (_evaluate_series if series else _evaluate_traces)(options, named)
    print(report.summary())
    check_outputs(outputs, inputs=inputs, force=options.force)  # evaluating may have taken long
    for write, path in zip(writers, outputs, strict=False):
        if path is not None:
            try:
                write(report, path, force=options.force)
            except OSError as error:
                raise InputError(f"{path}: the report cannot be written ({error.strerror}); choose another") from None


def _evaluate_traces(options: Options, named: dict[str, str]) -> tuple[Any, tuple[Writer, ...]]:
    from netshare.evaluation import evaluate, write_html, write_json, write_markdown
    from netshare.preprocess.readers import read_trace

    traces = {role: read_trace(name) for role, name in named.items()}
    report = evaluate(traces["train"], traces["synthetic"], traces.get("holdout"), seed=options.seed)
    return report, (write_json, write_html, write_markdown)


def _evaluate_series(options: Options, named: dict[str, str]) -> tuple[Any, tuple[Writer, ...]]:
    from netshare.evaluation import write_json
    from netshare.evaluation.evaluate_series import evaluate_series
    from netshare.evaluation.render.series_html import write_series_html
    from netshare.preprocess.timeseries import read_series

    tables = {role: read_series(name, key=options.key, order=options.order) for role, name in named.items()}
    report = evaluate_series(tables["train"], tables["synthetic"], tables.get("holdout"), seed=options.seed)
    return report, (write_json, write_series_html)
