"""Fidelity against epsilon: half of a trace's flows to learn from, compared with the other half.

    python -m benchmarks.privacy.run TRACE --begin 2015-09-08T14:18:00Z --seconds 2000 --units 9000
        [--epsilons 1 2 4 10] [--steps 300] [--set KEY=VALUE] [-o benchmarks/privacy]

For each epsilon, with public pre-training and without (naive DP); and once without privacy: the geometric mean of
d(S, B) / d(A, B) over all distances, and the CPU time. Rows are added to `results.json`.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path
from typing import Any

import netshare
from benchmarks.machine import provenance
from netshare.progress import Console

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run what is asked for and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--begin", required=True, help="of the declared window")
    parser.add_argument("--seconds", type=float, required=True, help="of the declared window")
    parser.add_argument("--units", type=int, required=True, help="about how many flows half of the trace has")
    parser.add_argument("--epsilons", type=float, nargs="+", default=[1, 2, 4, 10])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--no-baseline", action="store_true", help="leave the run without privacy out")
    parser.add_argument("--pretraining", nargs="+", choices=["public", "none"], default=["public", "none"])
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    path = options.output / "results.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    bounds = {"begin": options.begin, "seconds": options.seconds, "units": options.units}
    cases: list[dict[str, Any]] = [
        {"epsilon": epsilon, "public": "sample" if how == "public" else None, "bounds": bounds}
        for epsilon in options.epsilons
        for how in options.pretraining
    ]
    for privacy in [*([] if options.no_baseline else [None]), *cases]:
        rows.append(measure(options.trace, privacy, options.steps, options.overrides))
        path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        print({key: rows[-1][key] for key in ("trace", "epsilon", "pretrained", "ratio", "cpu_seconds")}, flush=True)


def measure(trace: Path, privacy: dict[str, Any] | None, steps: int, overrides: list[str]) -> dict[str, Any]:
    """One run; its figures."""
    raw: dict[str, Any] = {"input": str(trace.resolve()), "evaluate": {"holdout": 0.5}}
    raw |= {"output": {"formats": ["parquet"]}, "chunks": {"count": 1}}
    if privacy is not None:
        raw |= {"privacy": privacy, "training": {"steps": steps}}
    with tempfile.TemporaryDirectory() as folder:
        config = netshare.load_config(raw, overrides, work_dir=folder)
        before = _cpu_seconds()
        result = netshare.run(config, console=Console(quiet=True))
        assert result.report is not None
        report = json.loads(result.report.with_suffix(".json").read_text())
        return {
            "trace": trace.name,
            "epsilon": None if privacy is None else privacy["epsilon"],
            "pretrained": privacy is not None and privacy["public"] is not None,
            "steps": steps,
            "overrides": overrides,
            "ratio": report["geometric_mean_ratio"],
            "cpu_seconds": round(_cpu_seconds() - before, 1),
            "ledger": report["extra"].get("privacy", {}).get("mechanisms"),
            **provenance(),
        }


def _cpu_seconds() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == "__main__":
    main()
