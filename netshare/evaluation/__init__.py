"""Evaluation: how close a synthetic trace is to real traffic, how much of it is copied, and whether it is consistent.

real, held_back = split_by_flow(trace, 0.5, seed=0)   # train on `real`
report = evaluate(real, synthetic, held_back)
print(report.summary())
[verdict.use for verdict in report.uses() if verdict.good]  # what the trace is good for
write_html(report, "report.html")
"""

from netshare.evaluation.evaluate import evaluate
from netshare.evaluation.render.html import write_html
from netshare.evaluation.render.markdown import write_markdown
from netshare.evaluation.report import Report, write_json
from netshare.evaluation.split import split_by_flow
from netshare.evaluation.tasks.all_tasks import TASKS

__all__ = ["TASKS", "Report", "evaluate", "split_by_flow", "write_html", "write_json", "write_markdown"]
