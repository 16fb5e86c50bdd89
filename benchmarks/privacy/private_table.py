"""How far the private synthetic table itself is from held-back traffic, without training: what noise, and counting no
more than is counted, cost.

    python -m benchmarks.privacy.private_table TRACE --begin 2015-09-08T14:18:00Z --seconds 2000 --units 9000
        [--epsilons 1 2 4 10 inf] [--seeds 1 2 3 4 5] [-o benchmarks/privacy]

The geometric mean of d(S, B) / d(A, B) over all distances, where S is drawn from noisy counts of A, half of the flows; a
few seconds a seed. Epsilon inf: next to no noise. Noise follows from the seed, so that figures repeat; that is no private
release. Rows are added to `private_table.json`.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from benchmarks.machine import provenance
from benchmarks.privacy.run import add_bounds
from netshare.config.privacy import PublicBounds
from netshare.evaluation import Resampling, evaluate, split_by_flow
from netshare.evaluation.metrics.distances import geometric_mean
from netshare.preprocess import read_trace
from netshare.privacy.accounting.accountant import noise_multiplier_for
from netshare.privacy.counts import CountingNoise, Window, draw_private_table
from netshare.privacy.noise import SeededRandomness
from netshare.privacy.public import public_files, read_public
from netshare.privacy.units import UnitBounds
from netshare.recipe.preparation import DEFAULT_FLOW_KEY

HERE = Path(__file__).resolve().parent
NO_NOISE = 1e-6  # noise multiplier of epsilon inf


def main() -> None:
    """Run what is asked for and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path)
    add_bounds(parser)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[1, 2, 4, 10, math.inf])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    path = options.output / "private_table.json"
    bounds = PublicBounds(begin=options.begin, seconds=options.seconds, units=options.units)
    for epsilon in options.epsilons:
        row = {"trace": options.trace.name, **measure(options.trace, bounds, epsilon, options.seeds), **provenance()}
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
        path.write_text(json.dumps({"rows": [*rows, row]}, indent=1) + "\n")
        print(row["trace"], epsilon, row["ratio"], row["ratios"], flush=True)


def measure(path: Path, bounds: PublicBounds, epsilon: float, seeds: list[int]) -> dict[str, Any]:
    """Ratios of each seed, and the geometric mean of each distance's."""
    real, held_back = split_by_flow(read_trace(str(path)), 0.5, 0)
    public = read_public(public_files("sample", real.kind), [path], real.kind)
    assert bounds.seconds is not None and bounds.units is not None
    window = Window(bounds.begin_ns, round(bounds.seconds * 1e9))
    of_unit = UnitBounds(DEFAULT_FLOW_KEY[real.kind], bounds.max_records)
    noise = NO_NOISE
    if math.isfinite(epsilon):
        noise = noise_multiplier_for(epsilon, 1 / (10 * bounds.units), sampling_rate=1.0, steps=1)
    ratios, distances = [], []
    for seed in seeds:
        counting = CountingNoise(noise, 1.0, SeededRandomness(seed))
        made = draw_private_table(real, public, window=window, bounds=of_unit, noise=counting, seed=seed)
        report = evaluate(real, made, held_back, seed=0, tasks=None, resampling=Resampling(0, 0))
        ratios.append(report.ratio)
        distances.append({f"{row.title}, {row.measure}": row.ratio for row in report.distances})
    means = {name: round(geometric_mean([each[name] for each in distances]), 3) for name in distances[0]}
    return {
        "epsilon": epsilon if math.isfinite(epsilon) else None,
        "ratio": round(geometric_mean(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "distances": means,
    }


if __name__ == "__main__":
    main()
