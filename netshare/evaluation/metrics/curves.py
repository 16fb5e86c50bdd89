"""What the report's charts show, as small arrays: distribution functions, bars, rank curves and rates.

Addresses enter as popularity ranks only. Nothing here knows how a chart is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from netshare.evaluation.metrics.distances import popularity
from netshare.evaluation.metrics.fields import FieldSpec
from netshare.evaluation.metrics.measures import TimeFrame
from netshare.preprocess.protocols import protocol_name
from netshare.preprocess.trace import Kind

Values = Mapping[str, Mapping[str, np.ndarray]]  # role -> field -> values
Scale = Literal["linear", "log", "log1p"]

CDF_POINTS = 160
RANK_POINTS = 80
TOP_VALUES = 12
FLAG_LETTERS = "FSRPAUECN"  # lowest bit first: FIN SYN RST PSH ACK URG ECE CWR NS

_WIDE = {"flow_size", "interarrival", "flow_duration", "flow_volume", "duration", "packets", "bytes", "rate"}
_CDF_FIELDS = {*_WIDE, "length", "bytes_per_packet", "time"}
_BAR_FIELDS = {"protocol", "ttl", "tcp_flags", "label", "attack_type"}
_RANK_FIELDS = {"src_address", "dst_address", "src_port", "dst_port"}
_BAR_TITLES = {"dst_port": "Most frequent destination ports"}


@dataclass(frozen=True)
class Chart:
    """One chart: for each role (`"train"`, `"holdout"`, `"synthetic"`) its x and y values.

    For bars, x are positions into `labels` and y shares; for `"steps"` (distribution functions) and `"line"` points.
    """

    name: str
    title: str
    kind: Literal["steps", "line", "bars"]
    x_label: str
    y_label: str
    series: dict[str, tuple[np.ndarray, np.ndarray]]
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    labels: tuple[str, ...] = ()


def charts_of(
    kind: Kind, specs: list[FieldSpec], values: Values, frame: TimeFrame, categories: Mapping[str, tuple[str, ...]]
) -> tuple[Chart, ...]:
    """All charts for the fields that are compared, in the order: rate, distribution functions, bars, ranks."""
    by_name = {spec.name: spec for spec in specs}
    charts = [_rate_chart(kind, values, frame)]
    charts += [_cdf_chart(spec, values, frame) for spec in specs if spec.name in _CDF_FIELDS]
    charts += [_bar_chart(spec, values, categories) for spec in specs if spec.name in {*_BAR_FIELDS, "dst_port"}]
    charts += [_rank_chart(by_name[name], values) for name in by_name if name in _RANK_FIELDS]
    return tuple(charts)


def cumulative(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (x, share of values <= x) of the empirical distribution function, at most CDF_POINTS of them."""
    if not len(values):
        return np.zeros(0), np.zeros(0)
    ordered = np.sort(np.asarray(values, np.float64))
    last_of_each = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    x, y = ordered[last_of_each], (last_of_each + 1) / len(ordered)
    if len(x) > CDF_POINTS:
        by_share = np.searchsorted(y, np.linspace(0, 1, CDF_POINTS))
        keep = np.unique(np.concatenate([[0], np.minimum(by_share, len(x) - 1), [len(x) - 1]]))
        x, y = x[keep], y[keep]
    return x, y


def flag_text(flags: int) -> str:
    """TCP flags as letters, such as `SA` for SYN and ACK."""
    letters = "".join(letter for bit, letter in enumerate(FLAG_LETTERS) if flags >> bit & 1)
    return letters or "none"


def _cdf_chart(spec: FieldSpec, values: Values, frame: TimeFrame) -> Chart:
    series = {role: cumulative(each[spec.name]) for role, each in values.items()}
    label = f"{spec.unit} (log)" if spec.name in _WIDE else spec.unit
    scale: Scale = "log1p" if spec.name in _WIDE else "linear"
    if spec.name == "time":
        size, unit = _time_unit(frame)
        series = {role: (x / size, y) for role, (x, y) in series.items()}
        label = f"{unit} since the real traces' start"
    return Chart(spec.name, spec.title, "steps", label or spec.title.lower(), "share at or below", series, scale)


def _bar_chart(spec: FieldSpec, values: Values, categories: Mapping[str, tuple[str, ...]]) -> Chart:
    """The values that are most frequent in any of the traces, and the rest."""
    everything, codes = np.unique(np.concatenate([each[spec.name] for each in values.values()]), return_inverse=True)
    lengths = [len(each[spec.name]) for each in values.values()]
    parts = np.split(codes, np.cumsum(lengths)[:-1])
    shares = np.array([np.bincount(part, minlength=len(everything)) / max(len(part), 1) for part in parts])
    top = np.sort(np.argsort(-shares.max(axis=0), kind="stable")[:TOP_VALUES])
    if spec.name in ("tcp_flags", "label", "attack_type", "dst_port", "protocol"):
        top = top[np.argsort(-shares[:, top].sum(axis=0), kind="stable")]
    labels = [_value_text(spec.name, int(value), categories) for value in everything[top]]
    heights = shares[:, top]
    if len(everything) > TOP_VALUES:
        labels.append("other")
        heights = np.column_stack([heights, 1 - heights.sum(axis=1)]).clip(0)
        heights[np.array(lengths) == 0] = 0
    position = np.arange(len(labels), dtype=np.float64)
    series = {role: (position, row) for role, row in zip(values, heights, strict=True)}
    title = _BAR_TITLES.get(spec.name, spec.title)
    return Chart(f"{spec.name}_bars", title, "bars", "", f"share of {spec.of}s", series, labels=tuple(labels))


def _value_text(field: str, value: int, categories: Mapping[str, tuple[str, ...]]) -> str:
    if field == "protocol":
        return str(protocol_name([value])[0])
    if field == "tcp_flags":
        return flag_text(value)
    if field in ("label", "attack_type"):
        table = categories.get(field, ())
        return table[value] if 0 <= value < len(table) else "unset"
    return str(value)


def _rank_chart(spec: FieldSpec, values: Values) -> Chart:
    series = {}
    for role, each in values.items():
        share = popularity(each[spec.name])
        rank = np.unique(np.geomspace(1, max(len(share), 1), RANK_POINTS).astype(np.int64))[: len(share)]
        series[role] = (rank.astype(np.float64), share[rank - 1])
    title = f"{spec.title.split(' [')[0]}: popularity"
    return Chart(f"{spec.name}_rank", title, "line", "rank (log)", "share of records (log)", series, "log", "log")


def _rate_chart(kind: Kind, values: Values, frame: TimeFrame) -> Chart:
    size, unit = _time_unit(frame)
    edges = frame.edges / size
    series = {role: ((edges[1:] + edges[:-1]) / 2, each["rate"]) for role, each in values.items()}
    what = "packets" if kind == "packet" else "records"
    label = f"{unit} since the real traces' start"
    bins = f"{what} in each of {len(edges) - 1} time bins"
    return Chart("rate_over_time", f"{what.capitalize()} over time", "line", label, bins, series)


def _time_unit(frame: TimeFrame) -> tuple[float, str]:
    """Milliseconds in the largest unit of which the time span holds at least two, and the unit's name."""
    span = (frame.end - frame.start) / 1e6
    units = ((86_400_000.0, "days"), (3_600_000.0, "hours"), (60_000.0, "minutes"), (1000.0, "seconds"))
    return next((unit for unit in units if span >= 2 * unit[0]), (1.0, "milliseconds"))
