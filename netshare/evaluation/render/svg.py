"""Draw a `Chart` as inline SVG: small, readable at phone width, coloured by the page's style sheet (light and dark).

Every trace has a class (`train`, `holdout`, `synthetic`) that the page colours; curves differ in dash and width too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from netshare.evaluation.metrics.curves import Chart, Scale

WIDTH = 360.0
HEIGHT = 230.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 8.0, 38.0
BAR = 6.0  # height of one bar; a group of bars has one a trace
GROUP_GAP = 7.0
BAR_LEFT = 92.0  # or more, for longer labels
LETTER = 5.7  # mean width of a letter at the text's size
LABEL_LENGTH = 20  # characters of a bar's label
OVERHANG = 0.5  # a linear axis shows synthetic values up to this share of the real range beyond it

Transform = Callable[[np.ndarray], np.ndarray]


def draw(chart: Chart) -> str:
    """The chart as an `<svg>` element."""
    return _bars(chart) if chart.kind == "bars" else _lines(chart)


def draw_ratios(rows: Sequence[tuple[str, float, float | None]]) -> str:
    """Dots on a logarithmic axis, one row a distance: (name, ratio to the floor, the bootstrap's ratio or None).

    A line marks 1, where synthetic traffic is as close to real traffic as real traffic is to itself.
    """
    step = 17.0
    left = max(246.0, LETTER * max((len(name) for name, _, _ in rows), default=0) + 14)
    width, height = left + 184, step * len(rows) + 30
    values = [value for _, ratio, boot in rows for value in (ratio, boot) if value is not None]
    low, high = np.log10(min(0.5, *values)), np.log10(max(4.0, *values) * 1.15)

    def x(value: float) -> float:
        return left + (np.log10(value) - low) / (high - low) * (width - left - RIGHT)

    parts = []
    ticks = [v for v in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if low <= np.log10(v) <= high]
    for tick in ticks:
        kind = "one" if tick == 1 else "grid"
        parts.append(f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4" y2="{height - 22:.0f}"/>')
        parts.append(f'<text class="mid" x="{x(tick):.1f}" y="{height - 8:.0f}">{short_number(tick)}</text>')
    for i, (name, ratio, boot) in enumerate(rows):
        y = 14 + step * i
        parts.append(f'<text class="end" x="{left - 10:.0f}" y="{y + 4:.1f}">{escape(name)}</text>')
        parts.append(f'<line class="stem synthetic" x1="{x(1):.1f}" x2="{x(ratio):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if boot is not None:
            parts.append(f'<circle class="hollow train" cx="{x(boot):.1f}" cy="{y:.1f}" r="4"/>')
        parts.append(
            f'<circle class="dot synthetic" cx="{x(ratio):.1f}" cy="{y:.1f}" r="4.5">'
            f"<title>{escape(name)}: {ratio:.2f}</title></circle>"
        )
    return _svg(width, height, "Distances as multiples of the floor", parts)


def short_number(value: float) -> str:
    """A tick label: 0.05, 3, 20k, 5M, 1e12."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= abs(value) < size * 1000:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}" if 1e-4 <= abs(value) < 1e6 or value == 0 else f"{value:.0e}".replace("e-0", "e-")


def linear_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values, about `count` of them, between two bounds."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    magnitude = 10.0 ** np.floor(np.log10(raw))
    step = magnitude * next(m for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first = np.ceil(low / step - 1e-9)
    return [float(k * step) + 0.0 for k in np.arange(first, np.floor(high / step + 1e-9) + 1)]  # + 0.0: no minus zero


def _lines(chart: Chart) -> str:
    x_low, x_high = _bounds(chart, 0, chart.x_scale)
    y_low, y_high = (0.0, 1.0) if chart.kind == "steps" else _bounds(chart, 1, chart.y_scale)
    if chart.y_scale == "linear":
        y_low = min(0.0, y_low)
    to_x = _axis(chart.x_scale, x_low, x_high, LEFT, WIDTH - RIGHT)
    to_y = _axis(chart.y_scale, y_low, y_high, HEIGHT - BOTTOM, TOP)
    parts = []
    for tick in _ticks(chart.y_scale, y_low, y_high):
        y = float(to_y(np.array(tick)))
        parts.append(f'<line class="grid" x1="{LEFT:.0f}" x2="{WIDTH - RIGHT:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{LEFT - 5:.0f}" y="{y + 3.5:.1f}">{short_number(tick)}</text>')
    for tick in _ticks(chart.x_scale, x_low, x_high):
        x = float(to_x(np.array(tick)))
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP:.0f}" y2="{HEIGHT - BOTTOM:.0f}"/>')
        parts.append(f'<text class="mid" x="{x:.1f}" y="{HEIGHT - BOTTOM + 14:.0f}">{short_number(tick)}</text>')
    for role, (xs, ys) in chart.series.items():
        shown = (xs >= x_low) & (xs <= x_high)
        if not shown.any():
            continue
        points = np.column_stack([to_x(xs[shown]), to_y(ys[shown])])
        if chart.kind == "steps":
            points = _stairs(points, float(to_y(np.array(0.0))))
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline class="curve {role}" points="{path}"/>')
        if len(points) == 1:
            parts.append(f'<circle class="dot {role}" cx="{points[0, 0]:.1f}" cy="{points[0, 1]:.1f}" r="3"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="mid axis" x="{middle:.0f}" y="{HEIGHT - 6:.0f}">{escape(chart.x_label)}</text>')
    return _svg(WIDTH, HEIGHT, f"{chart.title}, {chart.y_label}", parts)


def _bars(chart: Chart) -> str:
    roles = list(chart.series)
    group = BAR * len(roles) + GROUP_GAP
    height = group * len(chart.labels) + 30
    highest = max((float(ys.max()) for _, ys in chart.series.values() if len(ys)), default=1.0) or 1.0
    longest = min(max((len(label) for label in chart.labels), default=0), LABEL_LENGTH)
    left = max(BAR_LEFT, LETTER * longest + 10)
    to_x = _axis("linear", 0.0, highest, left, WIDTH - RIGHT - 6)
    parts = []
    for tick in linear_ticks(0.0, highest, 4):
        x = float(to_x(np.array(tick)))
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{height - 24:.0f}"/>')
        parts.append(f'<text class="mid" x="{x:.1f}" y="{height - 10:.0f}">{100 * tick:.3g}%</text>')
    for i, label in enumerate(chart.labels):
        top = 4 + group * i
        text = label if len(label) <= LABEL_LENGTH else label[: LABEL_LENGTH - 1] + "…"
        middle = top + BAR * len(roles) / 2 + 3.5
        parts.append(
            f'<text class="end" x="{left - 6:.0f}" y="{middle:.1f}">{escape(text)}<title>{escape(label)}</title></text>'
        )
        for k, role in enumerate(roles):
            share = float(chart.series[role][1][i])
            width = max(float(to_x(np.array(share))) - left, 0.0)
            parts.append(
                f'<rect class="bar {role}" x="{left:.0f}" y="{top + BAR * k:.1f}" width="{width:.1f}" '
                f'height="{BAR - 1:.0f}"/>'
            )
    return _svg(WIDTH, height, f"{chart.title}, {chart.y_label}", parts)


def _svg(width: float, height: float, title: str, parts: list[str]) -> str:
    name = escape(title, quote=True)
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{name}">{"".join(parts)}</svg>'


def _bounds(chart: Chart, axis: int, scale: Scale) -> tuple[float, float]:
    arrays = {role: pair[axis][pair[axis] > 0] if scale == "log" else pair[axis] for role, pair in chart.series.items()}
    everything = np.concatenate(list(arrays.values()))
    if not len(everything):
        return (1.0, 10.0) if scale == "log" else (0.0, 1.0)
    low, high = float(everything.min()), float(everything.max())
    real = np.concatenate([values for role, values in arrays.items() if role != "synthetic"])
    if scale == "linear" and axis == 0 and len(real):
        reach = OVERHANG * max(float(real.max() - real.min()), abs(float(real.max())) * 0.1, 1e-9)
        low, high = max(low, float(real.min()) - reach), min(high, float(real.max()) + reach)
    if scale == "log1p":
        low = max(0.0, low) if low >= 1 else 0.0
    if high <= low:
        return (low / 2, low * 2) if scale == "log" else (low - 0.5, low + 0.5)
    return low, high


def _axis(scale: Scale, low: float, high: float, start: float, end: float) -> Transform:
    transform: Transform = {
        "linear": lambda v: np.asarray(v, np.float64),
        "log": lambda v: np.log10(np.maximum(v, 1e-300)),
        "log1p": lambda v: np.log10(1 + np.maximum(v, 0)),
    }[scale]
    from_, to = float(transform(np.array(low))), float(transform(np.array(high)))
    span = to - from_ or 1.0
    return lambda v: start + (transform(v) - from_) / span * (end - start)


def _ticks(scale: Scale, low: float, high: float) -> list[float]:
    if scale == "linear":
        return linear_ticks(low, high)
    first = int(np.floor(np.log10(max(low, 1 if scale == "log1p" else 1e-12))))
    decades = [10.0**k for k in range(first, int(np.ceil(np.log10(max(high, 1e-12)))) + 1)]
    inside = [tick for tick in decades if low <= tick <= high * 1.001]
    if scale == "log1p" and low == 0:
        inside = [0.0, *inside]
    if sum(tick > 0 for tick in inside) < 3:
        inside += [m * tick for tick in decades for m in (2, 5) if low <= m * tick <= high]
    every = int(np.ceil(len(inside) / 8)) or 1
    return sorted(inside)[::every] or [low]


def _stairs(points: np.ndarray, bottom: float) -> np.ndarray:
    """A distribution function as steps: right to the next x, then up; starts on the axis."""
    x = np.repeat(points[:, 0], 2)
    y = np.concatenate([[bottom], np.repeat(points[:, 1], 2)[:-1]])
    return np.column_stack([x, y])
