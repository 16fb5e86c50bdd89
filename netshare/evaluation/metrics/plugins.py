"""Metrics of other distributions: what one is, how installed ones are found, and how they are computed.

A distribution offers a metric by an entry point of the group `netshare.metrics` that names a `Metric`:

    [project.entry-points."netshare.metrics"]
    destination-entropy = "my_package:DESTINATION_ENTROPY"

and in `my_package`:

    from netshare.evaluation import Metric

    def entropy_difference(real: Trace, synthetic: Trace) -> float: ...

    DESTINATION_ENTROPY = Metric("destination-entropy", "Entropy of destinations, difference in bits", entropy_difference)

Each metric is computed for S against B and for A against B, the floor, and its 95% intervals are made as all others:
whole flows (or series) are drawn again with replacement in all three. What a metric says changes no verdict and no
overall figure of the report. A metric that fails is named in the report with its distribution, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from netshare.evaluation.metrics.intervals import Bounds, interval_around
from netshare.preprocess.errors import ConfigError

GROUP = "netshare.metrics"
KINDS = ("packet", "flow", "series")
TRACES: tuple[Literal["packet", "flow"], ...] = ("packet", "flow")
IN_MEMORY = "given in memory"  # in place of a distribution's name

Figures = dict[str, float]  # name -> figure; a metric of a single figure has the name ""


@dataclass(frozen=True)
class Metric:
    """One metric of a synthetic trace (or of synthetic series) against a real one.

    name: short, unique within its distribution
    title: as the report shows it
    function: `(real, synthetic)` -> a number, or a mapping of names to numbers, always the same names. Both are a
        `Trace` with about equally many flows and common label codes (or both a `TimeSeries`); neither may be changed.
        It must be deterministic.
    kinds: what it is for: some of `"packet"`, `"flow"`, `"series"`
    lower_is_better: whether smaller figures mean that S is closer to B

    Raises:
        ConfigError: `name` is empty, or `kinds` is empty or holds something else.
    """

    name: str
    title: str
    function: Callable[[Any, Any], float | Mapping[str, float]]
    kinds: Collection[Literal["packet", "flow", "series"]] = TRACES
    lower_is_better: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("metric: it has no name; give it a short one")
        if isinstance(self.kinds, str) or not self.kinds or not set(self.kinds) <= set(KINDS):
            raise ConfigError(f"metric {self.name}: kinds is {self.kinds!r}; give some of {', '.join(KINDS)}")

    def figures(self, real: Any, synthetic: Any) -> Figures:
        """The metric's figures by name, `""` for a single one.

        Raises:
            TypeError: the function returned something else than a number or a mapping of names to numbers.
            ValueError: it returned no figure.
        """
        found = self.function(real, synthetic)
        figures = found if isinstance(found, Mapping) else {"": found}
        for each in figures.values():
            if isinstance(each, bool) or not isinstance(each, int | float | np.integer | np.floating):
                raise TypeError(f"it returned {type(each).__name__}, not a number")
        if not figures:
            raise ValueError("it returned no figure")
        return {str(name): float(each) for name, each in figures.items()}


@dataclass(frozen=True)
class PluginFigure:
    """One figure of one metric: of S against B (`synthetic`) and of A against B (`floor`), with 95% intervals.

    `distribution` is the one that the metric comes from, with its version; `figure` is empty where the metric has only
    one. `n_*` count the records (of series: the series) that were compared.
    """

    metric: str
    title: str
    figure: str
    distribution: str
    lower_is_better: bool
    synthetic: float
    floor: float
    n_synthetic: int
    n_train: int
    n_holdout: int
    interval: Bounds | None = None
    floor_interval: Bounds | None = None

    @property
    def label(self) -> str:
        """Title, and the figure's own name if it has one."""
        return f"{self.title}: {self.figure}" if self.figure else self.title


@dataclass(frozen=True)
class PluginFailure:
    """A metric that could not be loaded or computed, and why."""

    metric: str
    distribution: str
    reason: str

    @property
    def line(self) -> str:
        """One line that names metric and distribution."""
        return f"The metric {self.metric} of {self.distribution} failed and is left out: {self.reason}."


@dataclass(frozen=True)
class PluginResults:
    """What all plugins came to."""

    figures: tuple[PluginFigure, ...] = ()
    failures: tuple[PluginFailure, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.figures or self.failures)


class Redrawable(Protocol):
    """A trace or a table of series."""

    def __len__(self) -> int: ...


Data = TypeVar("Data", bound=Redrawable)


def plugin_results(
    kind: Literal["packet", "flow", "series"],
    compared: Mapping[str, Data],
    redrawn: Callable[[str, np.random.Generator], Data],
    redraws: int,
    seed: int,
    metrics: Collection[Metric] | None = None,
) -> PluginResults:
    """Compute every metric that is for this kind of data.

    Args:
        kind: of what is compared.
        compared: `"train"` A, `"holdout"` B, `"synthetic"` S.
        redrawn: gives, for a role, what is compared with its flows (or series) drawn again.
        redraws: how often they are; 0 for no intervals.
        seed: of the redraws, the same for every metric.
        metrics: those to compute; None for all that are installed.
    """
    figures: list[PluginFigure] = []
    failures: list[PluginFailure] = []
    for name, distribution, load in _offered(metrics):
        try:
            metric = load()
            if kind in metric.kinds:
                figures += _computed(metric, distribution, compared, redrawn, redraws, seed)
        except Exception as error:  # whatever a stranger's code raises must not end the report
            failures.append(PluginFailure(name, distribution, _in_one_line(error)))
    return PluginResults(tuple(figures), tuple(failures))


def _offered(metrics: Collection[Metric] | None) -> Iterator[tuple[str, str, Callable[[], Metric]]]:
    """Name, distribution, and a function that gives the metric."""
    if metrics is not None:
        for metric in metrics:
            yield metric.name, IN_MEMORY, partial(replace, metric)
        return
    found = [(_distribution(point), point.name, point) for point in entry_points(group=GROUP)]
    for distribution, name, point in sorted(found, key=lambda each: each[:2]):
        yield name, distribution, partial(_loaded, point)


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown distribution"


def _loaded(point: EntryPoint) -> Metric:
    metric = point.load()
    if not isinstance(metric, Metric):
        raise TypeError(f"{point.value} is {type(metric).__name__}; name a netshare.evaluation.Metric")
    return metric


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")


def _computed(
    metric: Metric,
    distribution: str,
    compared: Mapping[str, Data],
    redrawn: Callable[[str, np.random.Generator], Data],
    redraws: int,
    seed: int,
) -> list[PluginFigure]:
    rng = np.random.default_rng(seed)
    ours, floors = _against(metric, compared)
    again = []
    for _ in range(redraws):
        again.append(_against(metric, {role: redrawn(role, rng) for role in compared}))
    sizes = {role: len(each) for role, each in compared.items()}
    return [
        PluginFigure(
            metric=metric.name,
            title=metric.title,
            figure=name,
            distribution=distribution,
            lower_is_better=metric.lower_is_better,
            synthetic=ours[name],
            floor=floors[name],
            n_synthetic=sizes["synthetic"],
            n_train=sizes["train"],
            n_holdout=sizes["holdout"],
            interval=interval_around(ours[name], [each[0][name] for each in again]) if redraws else None,
            floor_interval=interval_around(floors[name], [each[1][name] for each in again]) if redraws else None,
        )
        for name in ours
    ]


def _against(metric: Metric, traces: Mapping[str, Any]) -> tuple[Figures, Figures]:
    """The figures of S against B, and of A against B."""
    ours, floors = (metric.figures(traces["holdout"], traces[role]) for role in ("synthetic", "train"))
    if set(ours) != set(floors):
        raise ValueError(f"its figures are {sorted(ours)} for one trace and {sorted(floors)} for another")
    return ours, floors
