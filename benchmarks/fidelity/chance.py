"""How much the floor owes to chance: the real trace cut in halves in other ways.

    python -m benchmarks.fidelity.chance TRACE... [--cuts 10] [-o benchmarks/fidelity]

A ratio d(S, B) / d(A, B) divides by one distance between two real halves. Where a few large flows carry a field, another
cut of the same trace would give another. This cuts each trace ten times and writes, for every distance, that of each cut
over that of the cut that `run` uses (seed 0) to `chance.json`; `run --draw` shows the largest beside the worst ratio.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from netshare.evaluation import Resampling, evaluate
from netshare.evaluation.metrics.distances import RATIO_FLOOR
from netshare.evaluation.split import split_by_flow
from netshare.preprocess import read_trace

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Measure what is asked for; figures of other traces are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="+", type=Path)
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    path = options.output / "chance.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for trace in options.traces:
        found[trace.name] = floors(trace, options.cuts)
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def floors(path: Path, cuts: int) -> dict[str, list[float]]:
    """Every distance's floor in each cut, over that of the first."""
    trace = read_trace(path)
    floors: dict[str, list[float]] = {}
    for seed in range(cuts):
        one, other = split_by_flow(trace, 0.5, seed)
        for row in evaluate(one, other, other, tasks=None, resampling=Resampling(0, 0)).distances:
            floors.setdefault(f"{row.field} {row.measure}", []).append(max(row.floor, RATIO_FLOOR))
    return {name: [round(floor / each[0], 3) for floor in each] for name, each in floors.items()}


if __name__ == "__main__":
    main()
