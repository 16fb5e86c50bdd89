"""Mode collapse with and without auto-normalisation, on series whose levels span five decades.

    python -m benchmarks.autonorm.run [--steps 1500] [-o benchmarks/autonorm]

Two classes of series of 28 records: weekly (a sine of period 7) around 10, and a ramp around 1,000, each with a
log-normal amplitude (standard deviation of the natural logarithm 1.5). DoppelGANger learns 2,000 of them four ways, with
and without packing, the same seed and steps; 2,000 synthetic ones are compared with 2,000 held-back ones, class by class:

- *deciles reached*: how many tenths of the real amplitudes get at least a fifth of the series they should (of 20);
- *spread*: standard deviation of log amplitude, over that of the real ones;
- *distance*: mean difference of the quantiles of log10 amplitude, in decades; the floor is training against held-back.

An amplitude is (max - min) / 2. A collapsed model reaches few deciles and has a small spread.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch

from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.preprocess.fields.autonorm import denormalize_series, normalize_series
from netshare.preprocess.fields.numeric import Numeric

LENGTH = 28
PACKINGS = (1, 4)  # series that a critic judges at once; a batch has 100 series all the same
LEVELS = (10.0, 1000.0)
QUANTILES = np.linspace(0.005, 0.995, 199)
VARIANTS = {
    "raw": "linear scale, no normalisation",
    "log": "logarithmic scale, no normalisation",
    "inside": "linear scale, `auto_normalize` of the generator",
    "autonorm": "`netshare.preprocess.fields.autonorm`, middle and half range on a logarithmic scale",
}


def heavy_tailed(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes int64[n] (0 weekly, 1 ramp, as many of either) and series float64[n, LENGTH]."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 2, n)
    place = np.arange(LENGTH)
    shapes = np.stack([1 + 0.8 * np.sin(2 * np.pi * place / 7), 0.2 + 1.6 * place / (LENGTH - 1)])
    amplitude = np.array(LEVELS)[kind] * np.exp(1.5 * random.standard_normal(n))
    noise = 1 + 0.05 * random.standard_normal((n, LENGTH))
    return kind, amplitude[:, None] * shapes[kind] * noise


def learn(variant: str, kind: np.ndarray, series: np.ndarray, *, steps: int, n: int, seed: int = 1,
          settings: DoppelGANgerSettings | None = None) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Classes int64[n] and series float64[n, LENGTH] of a model trained on the given ones.

    Args:
        variant: a key of `VARIANTS`.
        kind, series: as `heavy_tailed` makes them.
        steps: of training.
        n: series to sample.
        seed: of training and sampling.
        settings: of the generator; `auto_normalize` is the variant's.
    """
    offsets = np.arange(len(series) + 1) * LENGTH
    values = series.reshape(-1)
    columns, metadata = [Column("class", "class", "categorical", 2)], [kind.astype(np.float32)[:, None]]
    scales: list[Numeric] = []
    if variant == "autonorm":
        values, *ranges = normalize_series(values, offsets)
        for name, part in zip(("middle", "half_range"), ranges, strict=True):
            scales.append(Numeric.fit(name, part, scale="log1p", atoms=False))
            metadata.append(scales[-1].encode(part))
            columns += scales[-1].columns()
        encoded = values[:, None]
    else:
        scale = Numeric.fit("value", values, scale="log1p" if variant == "log" else "linear", atoms=False)
        encoded = scale.encode(values)
    schema = Schema(tuple(columns), (Column("value", "value", "continuous"),), LENGTH)
    data = Encoded(np.hstack(metadata), encoded.astype(np.float32), offsets, schema)
    model = DoppelGANger(schema, settings.model_copy(update={"auto_normalize": variant == "inside"}))
    model.prepare(data, seed=seed, steps=steps)
    while not model.done:
        model.step()
    drawn = model.sample_metadata(n, seed=seed)
    made, ends = model.sample_measurements(drawn, seed=seed, lengths=np.full(n, LENGTH))
    random = np.random.default_rng(seed)
    if variant == "autonorm":
        middle, half_range = (one.decode(drawn[:, [i]], random) for i, one in enumerate(scales, 1))
        natural = denormalize_series(made[:, 0], middle, half_range, ends)
    else:
        natural = scale.decode(made, random)
    return drawn[:, 0].astype(np.int64), natural.reshape(n, LENGTH)


def compare(real: tuple[np.ndarray, np.ndarray], made: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """`deciles`, `spread` and `distance` of the module's docstring; the latter two as means over the classes."""
    deciles, spreads, distances = 0, [], []
    for kind in range(len(LEVELS)):
        mine, theirs = (np.log10(_amplitudes(series[of == kind])) for of, series in (real, made))
        if len(theirs) == 0:
            spreads.append(0.0)
            continue
        edges = np.quantile(mine, np.linspace(0.1, 0.9, 9))
        deciles += int((np.bincount(np.searchsorted(edges, theirs), minlength=10) >= 0.02 * len(theirs)).sum())
        spreads.append(float(theirs.std() / mine.std()))
        distances.append(float(np.abs(np.quantile(mine, QUANTILES) - np.quantile(theirs, QUANTILES)).mean()))
    return {"deciles": deciles, "spread": float(np.mean(spreads)), "distance": float(np.mean(distances or [np.inf]))}


def main() -> None:
    """Measure all variants and write results.json and README.md."""
    from benchmarks.machine import provenance

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, held = heavy_tailed(2000, 0), heavy_tailed(2000, 1)
    rows: dict[str, dict[str, float]] = {"real": compare(held, train)}
    for variant, packing in product(options.variants, PACKINGS):
        begun = time.process_time()
        settings = DoppelGANgerSettings(records_per_pass=7, packing=packing, batch_size=100 // packing, calibrate=False)
        made = learn(variant, *train, steps=options.steps, n=2000, settings=settings)
        seconds = round(time.process_time() - begun, 1)
        rows[f"{variant}, {packing}"] = compare(held, made) | {"packing": packing, "cpu_seconds": seconds}
        print(variant, packing, rows[f"{variant}, {packing}"], flush=True)
    results = {"steps": options.steps, "provenance": provenance(), "rows": rows}
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.output / "README.md").write_text(_table(results))


def _amplitudes(series: np.ndarray) -> np.ndarray:
    return np.maximum((series.max(1) - series.min(1)) / 2, 1e-3)


def _table(results: dict) -> str:
    where = results["provenance"]
    lines = [
        "# Mode collapse with and without auto-normalisation",
        "",
        f"Two classes of series, amplitudes log-normal over five decades, {results['steps']:,} steps each;",
        "`python -m benchmarks.autonorm.run` says how it is measured.",
        "",
        f"{where['date']}, commit {where['commit']}, {where['processor']}, {where['cores']} shared cores.",
        "",
        "| how | packing | deciles reached, of 20 | spread | distance, decades | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results["rows"].items():
        what = VARIANTS.get(name.split(",")[0], "the training series themselves (floor)")
        found = f"{row['deciles']} | {row['spread']:.2f} | {row['distance']:.3f}"
        lines.append(f"| {what} | {row.get('packing', '')} | {found} | {row.get('cpu_seconds', '')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
