"""Fidelity against epsilon: half of a trace's flows to learn from, compared with the other half.

    python -m benchmarks.privacy.run TRACE --begin 2015-09-08T14:18:00Z --seconds 2000 --units 9000
        [--epsilons 1 2 4 10 inf] [--methods marginals gradients naive] [--kinds autoregressive doppelganger]
        [--limit 40000] [--steps 200] [--set KEY=VALUE] [-o benchmarks/privacy]

The geometric mean of d(S, B) / d(A, B) over all distances, and the CPU time, of every case: epsilon inf is a run without
privacy; `gradients` is DP-SGD from a model of the public trace, `naive` from random weights. With `--limit` the trace is
cut to its first records beforehand. Rows are added to `results.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import tempfile
from pathlib import Path
from typing import Any

import netshare
from benchmarks.machine import provenance
from netshare.commands.privacy import audit_run
from netshare.console import Console
from netshare.postprocess import write_trace
from netshare.preprocess import read_trace

HERE = Path(__file__).resolve().parent
METHODS = {  # what they change in the config's section privacy
    "marginals": {"method": "marginals", "public": "sample"},
    "gradients": {"method": "gradients", "public": "sample"},
    "naive": {"method": "gradients", "public": None},
}


def main() -> None:
    """Run what is asked for and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path)
    add_bounds(parser)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[4, 1, 2, 10, math.inf])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--kinds", nargs="+", choices=["autoregressive", "doppelganger"], default=["autoregressive"])
    parser.add_argument("--limit", type=int, help="cut the trace to so many records beforehand")
    parser.add_argument("--steps", type=int, default=200, help="of training by gradients")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    path = options.output / "results.json"
    bounds = {"begin": options.begin, "seconds": options.seconds, "units": options.units}
    with tempfile.TemporaryDirectory() as folder:
        trace = _cut(options.trace, options.limit, Path(folder))
        for epsilon in options.epsilons:
            for kind in options.kinds:
                for method in options.methods if math.isfinite(epsilon) else [None]:
                    privacy = None if method is None else {"epsilon": epsilon, "bounds": bounds, **METHODS[method]}
                    row = measure(trace, privacy, options.steps, [*options.overrides, f"generator.kind={kind}"])
                    row = {
                        "trace": options.trace.name,
                        "limit": options.limit,
                        "method": method,
                        "generator": kind,
                    } | row
                    rows = json.loads(path.read_text())["rows"] if path.exists() else []
                    path.write_text(json.dumps({"rows": [*rows, row]}, indent=1) + "\n")
                    shown = ("trace", "epsilon", "method", "generator", "ratio", "cpu_seconds")
                    print({key: row[key] for key in shown}, flush=True)


def add_bounds(parser: argparse.ArgumentParser) -> None:
    """The options of what is declared and not measured."""
    parser.add_argument("--begin", required=True, help="of the declared window")
    parser.add_argument("--seconds", type=float, required=True, help="of the declared window")
    parser.add_argument("--units", type=int, required=True, help="about how many flows half of the trace has")


def measure(trace: Path, privacy: dict[str, Any] | None, steps: int, overrides: list[str]) -> dict[str, Any]:
    """One run; its figures."""
    raw: dict[str, Any] = {"input": str(trace.resolve()), "evaluate": {"holdout": 0.5}}
    raw |= {"output": {"formats": ["parquet"]}, "cluster": {"mode": "inline"}}
    by_gradients = privacy is not None and privacy["method"] == "gradients"
    if privacy is not None:
        raw |= {"privacy": privacy}
    if by_gradients:
        raw |= {"training": {"steps": steps}, "cluster": {}}
    with tempfile.TemporaryDirectory() as folder:
        config = netshare.load_config(raw, overrides, work_dir=folder)
        before = _cpu_seconds()
        result = netshare.run(config, console=Console(quiet=True))
        assert result.report is not None
        report = json.loads(result.report.with_suffix(".json").read_text())
        return {
            "epsilon": None if privacy is None else privacy["epsilon"],
            "pretrained": privacy is not None and privacy["public"] is not None,
            "steps": steps if by_gradients else None,
            "overrides": overrides,
            "ratio": report["geometric_mean_ratio"],
            "interval": report["geometric_mean_ratio_interval"],
            "distances": {f"{row['title']}, {row['measure']}": row["ratio"] for row in report["distances"]},
            "cpu_seconds": round(_cpu_seconds() - before, 1),
            "ledger": report["extra"].get("privacy", {}).get("mechanisms"),
            "audit": _audit(result.report.parents[1]) if config.generator.kind == "autoregressive" else None,
            **provenance(),
        }


def _audit(folder: Path) -> dict[str, Any]:
    """Membership inference against the run's models: what it shows of epsilon, at 95%."""
    found = audit_run(folder)
    return {"lower_bound": found.lower_bound, "guesses": found.trials, "claimed": found.claimed}


def _cut(trace: Path, limit: int | None, folder: Path) -> Path:
    if limit is None:
        return trace
    path = folder / f"first-{limit}.pcap"
    write_trace(read_trace(str(trace), limit=limit), path)
    return path


def _cpu_seconds() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == "__main__":
    main()
