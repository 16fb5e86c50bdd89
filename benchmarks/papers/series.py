"""The DoppelGANger paper's predictive modelling and algorithm comparison, on generated series in place of GCUT and WWT.

    python -m benchmarks.papers.series [--models autoregressive doppelganger ...] [--seconds 120]

Its question (IMC 2020, 5.3): does what learnt from synthetic series predict real ones, and do synthetic series rank
predictors as real ones do? Two tasks on the series of `benchmarks.timeseries` (550 days, weekly and yearly period):

- *class*: which class a series is of, from all its days (the paper: the end event of a cluster's task);
- *forecast*: the last 50 days from the 500 before (the paper: page views, 50 days from 500), scored by R2.

Half of the series are learnt from (A), models make as many (S), predictors that learnt from either are tested on the
other half (B). Values are taken as log(1 + x); a forecast is made of a series less its own mean over the 500 days.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import provenance
from benchmarks.timeseries.data import make
from benchmarks.timeseries.run import MODELS, synthesise
from netshare.evaluation.figures.json_values import as_json
from netshare.evaluation.tasks.rank_correlation import spearman
from netshare.preprocess.timeseries import TimeSeries

HERE = Path(__file__).resolve().parent
GIVEN, ASKED = 500, 50  # days


def main() -> None:
    """Run what is asked for and write series.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--series", type=int, default=1000, help="of which half are learnt from")
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU time of one training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = options.output / "series.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    whole = make(options.series, options.seed)
    train, held_back = (whole.take(np.arange(k, len(whole), 2)) for k in range(2))
    real = {task: score(train, held_back, options.seed) for task, score in TASKS.items()}
    for model in options.models:
        made, seconds = synthesise(model, train, len(held_back), options.seconds, options.seed)
        for task, score in TASKS.items():
            found = score(made, held_back, options.seed)
            row = {
                "task": task,
                "model": model,
                "training_seconds": round(seconds, 1),
                "series": {"train": len(train), "synthetic": len(made), "holdout": len(held_back)},
                "synthetic": found,
                "train": real[task],
                "rank_correlation": spearman(list(found.values()), list(real[task].values())),
                **provenance(),
            }
            rows = [r for r in rows if (r["task"], r["model"]) != (task, model)] + [row]
            print({key: row[key] for key in ("task", "model", "synthetic", "train", "rank_correlation")}, flush=True)
        rows.sort(key=lambda r: (list(TASKS).index(r["task"]), MODELS.index(r["model"])))
        path.write_text(json.dumps(as_json(rows), indent=1, allow_nan=False) + "\n")


def classify(learnt: TimeSeries, tested: TimeSeries, seed: int) -> dict[str, float]:
    """Accuracy on `tested` of the paper's five classifiers that learnt from `learnt`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC
    from sklearn.tree import DecisionTreeClassifier

    classifiers = {
        "MLP": MLPClassifier((50,), max_iter=100, random_state=seed),
        "naive Bayes": GaussianNB(),
        "logistic regression": LogisticRegression(max_iter=500, random_state=seed),
        "decision tree": DecisionTreeClassifier(random_state=seed),
        "linear SVM": LinearSVC(random_state=seed),
    }
    scores = {}
    for name, classifier in classifiers.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those that could go on learning say so
            fitted = make_pipeline(StandardScaler(), classifier).fit(days(learnt), _class(learnt))
        scores[name] = float(np.mean(fitted.predict(days(tested)) == _class(tested)))
    return scores


def forecast(learnt: TimeSeries, tested: TimeSeries, seed: int) -> dict[str, float]:
    """R2 on `tested` of regressors that learnt from `learnt`, over all series and days asked for."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPRegressor

    regressors = {
        "MLP, one layer": MLPRegressor(hidden_layer_sizes=(100,), max_iter=150, random_state=seed),
        "MLP, five layers": MLPRegressor(hidden_layer_sizes=(100,) * 5, max_iter=150, random_state=seed),
        "linear": Ridge(alpha=1.0),
        "kernel": KernelRidge(alpha=1.0, kernel="rbf"),
        "neighbours": KNeighborsRegressor(10),
    }
    given, asked = _parts(learnt)
    given_tested, asked_tested = _parts(tested)
    scores = {}
    for name, regressor in regressors.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            guessed = regressor.fit(given, asked).predict(given_tested)
        error = np.sum((guessed - asked_tested) ** 2)
        scores[name] = float(1 - error / np.sum((asked_tested - asked_tested.mean()) ** 2))
    return scores


TASKS = {"class": classify, "forecast": forecast}


def days(series: TimeSeries) -> np.ndarray:
    """float64[n_series, days]: log(1 + x) of the measurement."""
    values = next(iter(series.measurements.values())).astype(np.float64)
    return np.log1p(np.maximum(values, 0)).reshape(len(series), -1)


def _parts(series: TimeSeries) -> tuple[np.ndarray, np.ndarray]:
    values = days(series)
    values = values - values[:, :GIVEN].mean(axis=1, keepdims=True)
    return values[:, :GIVEN], values[:, GIVEN : GIVEN + ASKED]


def _class(series: TimeSeries) -> np.ndarray:
    return next(iter(series.metadata.values()))


if __name__ == "__main__":
    main()
