"""The report's main figures as Markdown tables, for papers and issues: distances, the papers' means, copying,
consistency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from netshare.evaluation.report import Report, percent
from preprocess.atomic import write_text


def write_markdown(report: Report, path: Path | str) -> None:
    """Write the tables to a file, atomically."""
    write_text(Path(path), to_markdown(report))


def to_markdown(report: Report) -> str:
    """All tables, each under a heading."""
    roles = list(report.consistency)
    passed = zip(*report.consistency.values(), strict=True)
    parts = [
        f"# Synthetic {report.kind} trace: evaluation",
        *(f"{finding.heading}: {finding.sentence}" for finding in report.verdict()),
        "## Distances to held-back real traffic",
        _table(
            ["field", "distance", "d(S, B)", "d(A, B)", "ratio", "95%", "values"],
            (
                [row.title, row.measure, f"{row.synthetic:.4f}", f"{row.floor:.4f}", f"{row.ratio:.2f}",
                 _interval(row.ratio_interval), f"{row.n_synthetic:,}"]
                for row in report.distances
            ),
        ),
        "## The papers' definitions",
        _table(
            ["candidate", "mean JSD (nats)", "mean EMD (scaled)"],
            ([mean.candidate, f"{mean.mean_jsd:.4f}", f"{mean.mean_emd_scaled:.3f}"] for mean in report.paper_means),
        ),
        "## Occurs in the training trace",
        _table(
            ["", "synthetic", "of", "held-back real", "of"],
            (
                [copy.name, percent(copy.share), f"{copy.synthetic_total:,}", percent(copy.holdout_share),
                 f"{copy.holdout_total:,}"]
                for copy in report.copying
            ),
        ),
        "## Consistency tests passed",
        _table(["test", *roles], ([each[0].test, *(percent(result.share) for result in each)] for each in passed)),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
