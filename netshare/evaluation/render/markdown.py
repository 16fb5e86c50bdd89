"""The report's main figures as Markdown tables, for papers and issues: distances, the papers' means, copying,
consistency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from netshare.evaluation.figures.findings import percent
from netshare.evaluation.figures.trace import TraceFigures
from netshare.evaluation.metrics.intervals import Bounds, interval_text, share_interval
from netshare.evaluation.metrics.plugins import PluginResults
from netshare.preprocess.atomic import write_text
from netshare.preprocess.outputs import check_output


def write_markdown(report: TraceFigures, path: Path | str, *, force: bool = False) -> None:
    """Write the tables to a file, atomically.

    Args:
        report: its figures.
        path: the file.
        force: replace it where it exists.

    Raises:
        InputError: it exists, or is no place for a file.
        OSError: it cannot be written.
    """
    check_output(path, force=force)
    write_text(Path(path), to_markdown(report))


def to_markdown(report: TraceFigures) -> str:
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
                 _within(row.ratio_interval), f"{row.n_synthetic:,}"]
                for row in report.distances
            ),
        ),
        "## The papers' definitions",
        _table(
            ["candidate", "mean JSD (nats)", "95%", "mean EMD (scaled)", "95%"],
            (
                [mean.candidate, f"{mean.mean_jsd:.4f}", _within(mean.mean_jsd_interval, ".4f"),
                 f"{mean.mean_emd_scaled:.3f}", _within(mean.mean_emd_scaled_interval, ".3f")]
                for mean in report.paper_means
            ),
        ),
        "## Occurs in the training trace",
        _table(
            ["", "synthetic", "95%", "of", "held-back real", "95%", "of"],
            (
                [copy.name,
                 *_share(copy.synthetic_found, copy.synthetic_total), *_share(copy.holdout_found, copy.holdout_total)]
                for copy in report.copying
            ),
        ),
        "## Consistency tests passed",
        _table(
            ["test", *(head for role in roles for head in (role, "95%", "of"))],
            ([each[0].test, *(cell for r in each for cell in _share(r.passed, r.tested))] for each in passed),
        ),
        *_plugins(report.plugins),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _plugins(plugins: PluginResults) -> list[str]:
    """A heading with the plugins' figures, and a line for each that failed; nothing without any."""
    rows = [
        [p.label, f"{p.synthetic:.4g}", _within(p.interval, ".4g"), f"{p.floor:.4g}", _within(p.floor_interval, ".4g"),
         "lower" if p.lower_is_better else "higher", p.distribution]
        for p in plugins.figures
    ]  # fmt: skip
    heads = ["metric", "S against B", "95%", "A against B", "95%", "better is", "from"]
    found = [_table(heads, rows)] if rows else []
    return ["## Plugins", *found, *(failure.line for failure in plugins.failures)] if plugins else []


def _within(interval: Bounds | None, form: str = ".2f") -> str:
    return "" if interval is None else interval_text(interval, form)


def _share(found: int, total: int) -> list[str]:
    """A share, its interval, and of how many."""
    within = share_interval(found, total)
    text = "" if within is None else f"{percent(within[0])} to {percent(within[1])}"
    return [percent(found / total if total else float("nan")), text, f"{total:,}"]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
