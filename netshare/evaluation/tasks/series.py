"""The trace as a time series: is its rate as bursty, and over as long times, as the real one's?

Packets (or records) and bytes are counted in equal time bins over each trace's own span. Compared are the
autocorrelation of either rate, by its mean squared error (as Lin et al., "Using GANs for sharing networked time
series data: challenges, initial promise, and open questions", IMC 2020, section 5.1, do for their series); the Hurst
exponent, which says how slowly averaging over longer bins smooths the rate (Leland et al., "On the self-similar
nature of Ethernet traffic", 1994: 0.5 for independent arrivals, towards 1 for self-similar traffic; by the aggregated
variance method); and two measures of burstiness, the index of dispersion (variance over mean of the counts, 1 for a
Poisson process) and the highest rate over the mean one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from netshare.evaluation.metrics.curves import Chart
from netshare.evaluation.metrics.intervals import interval_around, interval_text
from netshare.evaluation.metrics.redraws import FlowRedraws
from netshare.evaluation.tasks.section import Cell, Section, Table, Verdict, not_possible
from netshare.preprocess.trace import Trace

BINS = 1000
LAGS = 100
MIN_RECORDS = 200
GOOD_ERROR, GOOD_HURST = 0.01, 0.1  # mean squared error of the autocorrelation; difference of exponents
TITLE, USE = "Rate over time", "studying bursts and load over time"
ROLES = ("train", "holdout", "synthetic")
REDRAWS = 20  # of each trace's flows, for the confidence intervals
MEASURES = {
    "autocorrelation_error": "autocorrelation, mean squared error to B",
    "hurst_exponent": "Hurst exponent",
    "index_of_dispersion": "index of dispersion",
    "peak_over_mean": "peak over mean",
}


def series(traces: Mapping[str, Trace], seed: int = 0) -> Section:
    """The section on rates.

    Args:
        traces: `"train"` A, `"holdout"` B, `"synthetic"` S.
        seed: of the bootstrap.
    """
    if min(len(trace) for trace in traces.values()) < MIN_RECORDS:
        return not_possible("series", TITLE, USE, f"a trace has fewer than {MIN_RECORDS} records")
    what = "packets" if traces["train"].kind == "packet" else "records"
    rates = {role: dict(zip((what, "bytes"), rates_of(trace), strict=True)) for role, trace in traces.items()}
    again = {role: _redrawn(trace, traces["holdout"], what, seed) for role, trace in traces.items()}
    rows: list[tuple[Cell, ...]] = []
    charts: list[Chart] = []
    figures: dict[str, dict[str, Any]] = {}
    for name in (what, "bytes"):
        lagged = {role: autocorrelation(rates[role][name], LAGS) for role in ROLES}
        measured = {role: _measures(rates[role][name], lagged["holdout"]) for role in ROLES}
        figures[name] = {}
        for measure, title in MEASURES.items():
            values = {role: measured[role][measure] for role in ROLES}
            within = {r: interval_around(values[r], [each[name][measure] for each in again[r]], 0.0) for r in ROLES}
            if measure == "autocorrelation_error":
                within["holdout"] = (0.0, 0.0)  # B's own, by definition
            rows.append((f"{name}: {title}", *(values[role] for role in ROLES), interval_text(within["synthetic"])))
            figures[name] |= {measure: values, f"{measure}_interval": within}
        points = {role: (np.arange(LAGS + 1, dtype=np.float64), lagged[role]) for role in ROLES}
        title = f"Autocorrelation of {name} a time bin"
        charts.append(
            Chart(f"autocorrelation_{name}", title, "line", f"lag (bins of 1/{BINS})", "autocorrelation", points)
        )
    table = Table("Rates", ("", "A", "B", "S", "S, 95%"), tuple(rows), _NOTE)
    verdict = _verdict(figures[what])
    return Section("series", TITLE, _TEXT, (table,), tuple(charts), (verdict,), figures)


def rates_of(trace: Trace, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """float64[BINS] twice: records, and bytes, in each of `BINS` equal bins from the first record to the last; each record
    counted as often as `weights` says."""
    weights = np.ones(len(trace)) if weights is None else weights
    time = trace["time"]
    since = (time - time.min()).astype(np.float64)
    code = np.minimum((since / max(since.max(), 1.0) * BINS).astype(np.int64), BINS - 1)
    volume = trace["length" if trace.kind == "packet" else "bytes"].astype(np.float64)
    return np.bincount(code, weights, minlength=BINS), np.bincount(code, volume * weights, minlength=BINS)


def autocorrelation(values: np.ndarray, lags: int) -> np.ndarray:
    """float64[lags + 1]: autocorrelation at lags 0, 1, ... `lags`; of a constant series 0 at all but the first."""
    centred = values - values.mean()
    spectrum = np.fft.rfft(centred, 2 * len(values))
    covariance = np.fft.irfft(np.abs(spectrum) ** 2)[: lags + 1]
    if covariance[0] <= 1e-12 * max(float(np.sum(values**2)), 1e-300):
        return np.eye(1, lags + 1)[0]
    return covariance / covariance[0]


def hurst_exponent(values: np.ndarray) -> float:
    """1 + half the slope of log variance of block means over log block length; NaN for a constant series."""
    lengths = np.unique(np.geomspace(1, len(values) // 10, 12).astype(np.int64))
    variances = []
    for length in lengths:
        blocks = values[: len(values) // length * length].reshape(-1, length)
        variances.append(float(blocks.mean(axis=1).var()))
    known = np.array(variances) > 0
    if known.sum() < 2:
        return float("nan")
    slope = np.polyfit(np.log(lengths[known]), np.log(np.array(variances)[known]), 1)[0]
    return float(1 + slope / 2)


def index_of_dispersion(counts: np.ndarray) -> float:
    """Variance over mean."""
    return float(counts.var() / counts.mean()) if counts.mean() else float("nan")


_NOTE = "The interval is of S: its flows drawn again, plus and minus 1.96 standard deviations."


def _redrawn(trace: Trace, holdout: Trace, what: str, seed: int) -> list[dict[str, dict[str, float]]]:
    """Every measure of either rate, by redraw of a trace's flows."""
    rng, flows = np.random.default_rng(seed), FlowRedraws(trace)
    names = (what, "bytes")
    real = {n: autocorrelation(v, LAGS) for n, v in zip(names, rates_of(holdout), strict=True)}
    found = []
    for _ in range(REDRAWS):
        rates = zip(names, rates_of(trace, flows.draw(rng)), strict=True)
        found.append({name: _measures(values, real[name]) for name, values in rates})
    return found


def _measures(values: np.ndarray, real: np.ndarray) -> dict[str, float]:
    error = float(np.mean((autocorrelation(values, LAGS) - real)[1:] ** 2))
    peak = float(values.max() / values.mean()) if values.any() else float("nan")
    return dict(zip(MEASURES, (error, hurst_exponent(values), index_of_dispersion(values), peak), strict=True))


_TEXT = (
    f"Records and bytes in {BINS} equal time bins over each trace's own span: autocorrelation of the rate, Hurst "
    "exponent (0.5 for independent arrivals, near 1 for self-similar traffic), variance over mean, and peak over mean."
)


def _verdict(figures: dict[str, Any]) -> Verdict:
    """Judged by the rate of records; undecided where the interval of S includes values that would be good."""
    errors, hurst = figures["autocorrelation_error"], figures["hurst_exponent"]
    limit = max(GOOD_ERROR, 2 * errors["train"])
    off = abs(hurst["synthetic"] - hurst["holdout"])
    most = max(GOOD_HURST, 2 * abs(hurst["train"] - hurst["holdout"]))
    if off != off or most != most:
        return Verdict(USE, None, "a rate is constant")
    sentence = (
        f"the rate's autocorrelation is off by {errors['synthetic']:.3g} (mean square; two real traces: "
        f"{errors['train']:.3g}) and its Hurst exponent by {off:.2f} (two real traces: "
        f"{abs(hurst['train'] - hurst['holdout']):.2f}); good is at most {limit:.3g} and {most:.2f}"
    )
    if errors["synthetic"] <= limit and off <= most:
        return Verdict(USE, True, sentence)
    low, high = figures["hurst_exponent_interval"]["synthetic"]
    far = max(low - hurst["holdout"], hurst["holdout"] - high, 0.0) > most
    if far or figures["autocorrelation_error_interval"]["synthetic"][0] > limit:
        return Verdict(USE, False, sentence)
    return Verdict(USE, None, f"{sentence}. With other flows of the same kind it may well be within that")
