"""`netshare evaluate`: read the files, compare, print the findings and write the reports that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from netshare.evaluation import evaluate, write_html, write_json, write_markdown
from netshare.evaluation.evaluate_series import evaluate_series
from netshare.evaluation.render.series_html import write_series_html
from netshare.preprocess.errors import InputError
from netshare.preprocess.readers import read_trace
from netshare.preprocess.timeseries import read_series

Output = tuple[Callable[..., None], Path | None]


def evaluate_files(
    *,
    train: str,
    synthetic: str,
    holdout: str | None = None,
    json: Path | None = None,
    html: Path | None = None,
    markdown: Path | None = None,
    series: bool = False,
    key: str | None = None,
    order: str | None = None,
    seed: int = 0,
) -> None:
    """Compare traces, or tables of time series where `series`, `key` or `order` says so.

    Raises:
        NetshareError: a file cannot be read, compared or written; its message says what to do.
    """
    named = {"--train": train, "--synthetic": synthetic} | ({"--holdout": holdout} if holdout else {})
    check_outputs(json, html, markdown)
    if series or key or order:
        if markdown:
            raise InputError(f"--markdown {markdown}: written for traces only; give --json or --html for series")
        tables = {option: read_series(name, key=key, order=order) for option, name in named.items()}
        found = evaluate_series(tables["--train"], tables["--synthetic"], tables.get("--holdout"), seed=seed)
        _show_and_write(found, (write_json, json), (write_series_html, html))
        return
    traces = {option: read_trace(name) for option, name in named.items()}
    report = evaluate(traces["--train"], traces["--synthetic"], traces.get("--holdout"), seed=seed)
    _show_and_write(report, (write_json, json), (write_html, html), (write_markdown, markdown))


def check_outputs(*paths: Path | None) -> None:
    """Refuse what cannot be written before anything is read.

    Raises:
        InputError: a path is a folder, or lies in none.
    """
    for path in paths:
        if path is not None and path.is_dir():
            raise InputError(f"{path}: the report cannot be written (it is a folder); name a file in it")
        if path is not None and not path.absolute().parent.is_dir():
            raise InputError(f"{path}: the report cannot be written (no such folder); make it or choose another")


def _show_and_write(report: Any, *outputs: Output) -> None:
    print(report.summary())
    for write, path in outputs:
        if path is not None:
            try:
                write(report, path)
            except OSError as error:
                raise InputError(f"{path}: the report cannot be written ({error.strerror}); choose another") from None
