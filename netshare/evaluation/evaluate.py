"""The one function that compares: traces give a `Report`, tables of series a `SeriesReport`."""

from __future__ import annotations

from collections.abc import Collection
from typing import overload

from netshare.evaluation.evaluate_series import evaluate_series
from netshare.evaluation.evaluate_traces import Traces, evaluate_traces
from netshare.evaluation.metrics.plugins import Metric
from netshare.evaluation.options import Provenance, Resampling
from netshare.evaluation.report import Report, SeriesReport
from netshare.evaluation.tasks.registry import TaskNames
from netshare.preprocess.data import as_trace
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.readers.in_memory import TraceLike
from netshare.preprocess.timeseries.table import TimeSeries
from netshare.preprocess.trace import Trace


@overload
def evaluate(
    train: TimeSeries,
    synthetic: TimeSeries,
    holdout: TimeSeries | None = None,
    *,
    provenance: Provenance | None = None,
    seed: int = 0,
    resampling: Resampling | None = None,
    tasks: TaskNames = "auto",
    metrics: Collection[Metric] | None = None,
) -> SeriesReport: ...


@overload
def evaluate(
    train: TraceLike,
    synthetic: TraceLike,
    holdout: TraceLike | None = None,
    *,
    provenance: Provenance | None = None,
    seed: int = 0,
    resampling: Resampling | None = None,
    tasks: TaskNames = "auto",
    metrics: Collection[Metric] | None = None,
) -> Report: ...


def evaluate(
    train: TraceLike | TimeSeries,
    synthetic: TraceLike | TimeSeries,
    holdout: TraceLike | TimeSeries | None = None,
    *,
    provenance: Provenance | None = None,
    seed: int = 0,
    resampling: Resampling | None = None,
    tasks: TaskNames = "auto",
    metrics: Collection[Metric] | None = None,
) -> Report | SeriesReport:
    """All figures about a synthetic trace.

    >>> import numpy as np
    >>> from netshare.preprocess.trace import make_trace
    >>> def traffic(seed):
    ...     rng = np.random.default_rng(seed)
    ...     flow = rng.integers(0, 200, 600)
    ...     return make_trace("packet", {
    ...         "time": rng.integers(0, 10**10, 600), "ip_version": np.full(600, 4), "protocol": np.full(600, 6),
    ...         "src_lo": 0x0A000001 + flow % 20, "dst_lo": 0xC0000201 + flow % 7, "src_port": 1024 + flow,
    ...         "dst_port": np.full(600, 443), "length": rng.choice([40, 1500], 600),
    ...     }).sorted_by_time()
    >>> report = evaluate(traffic(1), traffic(2), traffic(3), tasks=None)
    >>> report.ratio < 2  # distances to held-back traffic, in multiples of those between two real traces
    True
    >>> [finding.heading for finding in report.verdict()]
    ['Fidelity', 'Copying', 'Consistency']

    Args:
        train: the real trace A that the model was trained on: a path, several, a `Trace`, or a pandas DataFrame of
            packets or flow records. Or, as the other two then, a `TimeSeries`.
        synthetic: the synthetic trace S.
        holdout: real traffic B that the model has not seen; without it, A is cut in two by flow, one half is compared
            with the other, and S with the latter (which the model has seen: distances are then flattering).
        provenance: how S came about, for the report to show.
        seed: of the flow samples, the bootstraps and the halves.
        resampling: how much is drawn again for bootstraps and confidence intervals.
        tasks: downstream tasks of traces, by their names in `netshare.evaluation.TASKS`; `"auto"` for all that the
            traces allow, None for none.
        metrics: metrics of one's own; None for those that are installed as plugins (see `Metric`).

    Returns:
        A `Report`, or a `SeriesReport` for series.

    Raises:
        InputError: a trace cannot be read or is empty, or the traces are of different kinds.
        ConfigError: `seed` is negative, a task has an unknown name, traces and series are mixed, or series are given with
            what is for traces only.
    """
    provenance, resampling = provenance or Provenance(), resampling or Resampling()
    if isinstance(train, TimeSeries):
        if not isinstance(synthetic, TimeSeries) or not (holdout is None or isinstance(holdout, TimeSeries)):
            raise ConfigError("train is a table of series; give one for synthetic and holdout too")
        if tasks not in ("auto", None) or provenance.repairs or provenance.before_repair is not None:
            raise ConfigError("tasks and repairs are for traces only, and these are series; leave them out")
        return evaluate_series(
            train, synthetic, holdout, extra=provenance.extra, seed=seed, redraws=resampling.redraws, metrics=metrics
        )
    real = _as_trace("train", train)
    made = _as_trace("synthetic", synthetic)
    held = None if holdout is None else _as_trace("holdout", holdout)
    return evaluate_traces(Traces(real, made, held), provenance, seed, resampling, tasks, metrics)


def _as_trace(name: str, data: TraceLike | TimeSeries) -> Trace:
    if isinstance(data, TimeSeries):
        raise ConfigError(f"{name} is a table of series, and train is a trace; give three of a kind")
    return data if isinstance(data, Trace) else as_trace(data)
