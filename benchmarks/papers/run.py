"""The papers' downstream questions on public traces: prediction, sketches, NetML, consistency, membership.

    python -m benchmarks.papers.run --traces ../shared/traces [--only n2 p1] [--methods autoregressive,ctgan]
    python -m benchmarks.papers.run --traces ../shared/traces --membership p1
    python -m benchmarks.papers.series

Each method learns from half A of a trace's conversations for the same CPU time; the release S is judged by the other
half B in the papers' tasks, beside what A itself scores. Rows that are not made this time are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netshare
from benchmarks.compare.run import TRACES
from benchmarks.machine import provenance
from netshare.baselines import choose_methods
from netshare.comparison import membership
from netshare.comparison.training import synthesise
from netshare.config.input import read_input
from netshare.console import Console
from netshare.evaluation import Provenance, Resampling, evaluate, split_by_flow

HERE = Path(__file__).resolve().parent
PLACES: dict[str, dict[str, Any]] = {**TRACES, "p3": {"files": ["p3_apt29-ad.pcap.gz"]}}
TASKS = ("prediction", "sketches", "netml")
METHODS = "autoregressive,stan,ctgan"


def main() -> None:
    """Run what is asked for and write results.json and README.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=Path, default=Path("../shared/traces"), help="folder of the traces")
    parser.add_argument("--only", nargs="*", choices=tuple(PLACES), default=())
    parser.add_argument("--membership", nargs="*", choices=tuple(PLACES), default=(), help="attack releases of these")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--budget", type=float, default=60.0, help="CPU seconds of training a method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    path = options.output / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"tasks": [], "membership": []}
    (options.output / "README.md").write_text(markdown(results, series_of(options.output)))
    jobs = [("tasks", n) for n in options.only] + [("membership", n) for n in options.membership]
    for part, name in jobs:
        for method in choose_methods(options.methods):
            row = (measure if part == "tasks" else attack)(name, method, options)
            kept = [r for r in results[part] if (r["trace"], r["method"]) != (name, method)]
            results[part] = sorted(
                [*kept, row], key=lambda r: (r["trace"], r["method"] != "autoregressive", r["method"])
            )
            path.write_text(json.dumps(results, indent=1) + "\n")
            (options.output / "README.md").write_text(markdown(results, series_of(options.output)))


def measure(name: str, method: str, options: argparse.Namespace) -> dict[str, Any]:
    """One release and what the papers ask of it."""
    with tempfile.TemporaryDirectory() as folder:
        config = _config(name, options, folder)
        trace = read_input(config.input).sorted_by_time()
        train, holdout = split_by_flow(trace, 0.5, options.seed)
        made = synthesise(method, train, config, options.budget)
    report = evaluate(
        train,
        made.trace,
        holdout,
        provenance=Provenance(before_repair=made.decoded),
        seed=options.seed,
        resampling=Resampling(0, 0),
        tasks=TASKS,
    ).to_json()
    return {
        "trace": name,
        "limit": PLACES[name].get("limit"),
        "method": method,
        "budget": options.budget,
        "seed": options.seed,
        "cpu_seconds": made.spent.cpu_seconds,
        "records": {role: size["records"] for role, size in report["sizes"].items()},
        "mean_distance": report["geometric_mean_ratio"],
        "consistency": {r: {t["test"]: t["share"] for t in tests} for r, tests in report["consistency"].items()},
        "tasks": {task: report["tasks"][task]["figures"] for task in TASKS},
        **provenance(),
    }


def attack(name: str, method: str, options: argparse.Namespace) -> dict[str, Any]:
    """Membership inference over the size of the training set."""
    with tempfile.TemporaryDirectory() as folder:
        config = _config(name, options, folder)
        found = membership(
            config, methods=(method,), budget=min(options.budget, 20.0), shadows=2, folder=Path(folder) / "out",
            console=Console(),
        )  # fmt: skip
    rows = [{**vars(each), "found_out": each.found_out} for each in found]
    return {"trace": name, "method": method, "attacks": rows, **provenance()}


def series_of(folder: Path) -> list[dict[str, Any]]:
    """What `benchmarks.papers.series` found, if it was run."""
    path = folder / "series.json"
    return json.loads(path.read_text()) if path.exists() else []


def markdown(results: dict[str, Any], series: Sequence[dict[str, Any]] = ()) -> str:
    """One table a question."""
    rows = results["tasks"]
    lines = ["# The papers' downstream questions", ""]
    lines += [
        "What each table asks, and what the papers print: [docs/reproduction.md](../../docs/reproduction.md).",
        "",
    ]
    lines += ["## Traffic-type prediction: mean accuracy of five classifiers on B's later part, rank correlation", ""]
    predicted = [
        [r["trace"], r["method"], cut, *_with_interval(c, "mean_accuracy", "synthetic", ".3f"),
         *_with_interval(c, "mean_accuracy", "train", ".3f"), f"{c['majority']:.3f}",
         *_with_interval(c, "rank_correlation", "synthetic"), f"{c['tested']:,}"]
        for r in rows
        for cut, c in r["tasks"]["prediction"].get("cuts", {}).items()
    ]  # fmt: skip
    lines += _table(("trace", "method", "parted", "learnt from S", "95%", "from A", "95%", "majority",
                     "rank correlation", "95%", "tested"), predicted)  # fmt: skip
    lines += [
        "",
        "## Sketches: relative error of heavy-hitter estimates (median), rank correlation of the sketches",
        "",
    ]
    asked = [(r, r["tasks"]["sketches"]) for r in rows if r["tasks"]["sketches"]]
    lines += _table(
        ("trace", "method", "relative error S", "95%", "A", "95%", "rank correlation S", "95%", "A", "95%"),
        [[r["trace"], r["method"], *(cell for key in ("relative_error", "relative_error_train", "rank_correlation",
                                                      "rank_correlation_train")
                                     for cell in (_number(s[key]), _range(s.get(f"{key}_interval"))))]
         for r, s in asked],
    )  # fmt: skip
    lines += ["", "## NetML: relative error of the share of anomalies (mean over six modes), rank correlation", ""]
    learnt = [(r, r["tasks"]["netml"]["learnt_from_each"]) for r in rows if r["tasks"]["netml"]]
    lines += _table(
        ("trace", "method", "relative error S", "95%", "A", "95%", "rank correlation S", "95%", "A", "95%"),
        [[r["trace"], r["method"], *(cell for key in ("relative_error", "rank_correlation")
                                     for role in ("synthetic", "train") for cell in _with_interval(s, key, role))]
         for r, s in learnt],
    )  # fmt: skip
    few = [f"{r['method']} on {r['trace']}" for r in rows if r["trace"].startswith("p") and not r["tasks"]["netml"]]
    if few:
        lines += ["", f"No figure, since fewer than 30 of the synthetic flows have two packets: {', '.join(few)}."]
    lines += ["", "## Consistency tests passed: before repair, after it, real (A)", ""]
    tests = [
        [r["trace"], r["method"], test, *(_share(r["consistency"][role][test]) for role in
                                          ("before repair", "synthetic", "train"))]
        for r in rows for test in r["consistency"]["synthetic"]
    ]  # fmt: skip
    lines += _table(("trace", "method", "test", "before", "after", "real"), tests)
    lines += ["", "## Membership inference from the release: right guesses, 50% by chance", ""]
    lines += _table(
        ("trace", "method", "conversations", "attack", "right", "95%"),
        [[r["trace"], a["method"], f"{a['size']:,}", a["attack"], f"{a['right']:.1%}",
          "{:.1%} to {:.1%}".format(*a["interval"])] for r in results["membership"] for a in r["attacks"]],
    )  # fmt: skip
    lines += [
        "",
        "## Series (DoppelGANger's predictive modelling): accuracy or R2 on B of what learnt from S, from A",
        "",
    ]
    lines += _table(
        ("task", "model", "CPU s", "predictor: from S (from A)", "rank correlation"),
        [[r["task"], r["model"], f"{r['training_seconds']:.0f}",
          ", ".join(f"{name} {score:.2f} ({r['train'][name]:.2f})" for name, score in r["synthetic"].items()),
          _number(r["rank_correlation"])] for r in series],
    )  # fmt: skip
    for rows, title in ((results["tasks"], "Tasks"), (results["membership"], "Membership"), (series, "Series")):
        shapes = {"{date}, commit {commit}, {processor}, {cores} cores, {memory_gib} GiB".format(**r) for r in rows}
        if shapes:
            lines += ["", f"{title}: {'; '.join(sorted(shapes))}."]
    return "\n".join(lines) + "\n"


def _config(name: str, options: argparse.Namespace, folder: str) -> netshare.Config:
    section = {**PLACES[name], "files": [str((options.traces / f).resolve()) for f in PLACES[name]["files"]]}
    return netshare.load_config({"input": section, "seed": options.seed}, work_dir=folder)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["Not run."]
    return ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *("| " + " | ".join(r) + " |" for r in rows)]


def _number(value: float | None, form: str = ".2f") -> str:
    return "n/a" if value is None else f"{value:{form}}"


def _range(interval: Sequence[float | None] | None, form: str = ".2f") -> str:
    low, high = interval or (None, None)
    return "" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def _with_interval(figures: dict[str, Any], name: str, role: str, form: str = ".2f") -> list[str]:
    """A role's figure and its 95% interval, where there is one."""
    return [_number(figures[name][role], form), _range(figures.get(f"{name}_interval", {}).get(role), form)]


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2%}"


if __name__ == "__main__":
    main()
