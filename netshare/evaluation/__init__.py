"""Evaluation: how close a synthetic trace is to real traffic, how much of it is copied, and whether it is consistent.

    real, held_back = split_by_flow(trace, 0.5, seed=0)   # train on `real`
    report = evaluate(real, synthetic, held_back)
    print(report.summary())
    [verdict.use for verdict in report.uses() if verdict.good]  # what the trace is good for
    report.to_html("report.html")

Where a figure is computed: `metrics/` (distances, copying, consistency, series), `tasks/` (a module for each section of
the report under `tasks`, of the same name). `figures/` holds what a report is made of, `render/` shows it. Imports run
that way only: metrics, tasks, figures, render, and above them `report` and `evaluate`.
"""

from netshare.evaluation.evaluate import evaluate
from netshare.evaluation.figures.json_values import write_json
from netshare.evaluation.metrics.plugins import Metric
from netshare.evaluation.options import Provenance, Resampling
from netshare.evaluation.render.html import write_html
from netshare.evaluation.render.markdown import write_markdown
from netshare.evaluation.report import Report, SeriesReport
from netshare.evaluation.split import split_by_flow
from netshare.evaluation.tasks.all_tasks import TASKS

__all__ = [
    "TASKS",
    "Metric",
    "Provenance",
    "Report",
    "Resampling",
    "SeriesReport",
    "evaluate",
    "split_by_flow",
    "write_html",
    "write_json",
    "write_markdown",
]
