"""How many records a second trained models generate, on one core and on two.

    python -m benchmarks.generation.run [--capture CAPTURE] [--flows-table CSV] [--records 1000000] [-o benchmarks/generation]

For each preset a model is trained for a short time, which is enough: speed depends on the networks' sizes and on the
lengths of series, and both are learnt early. Then flows are drawn, from metadata to a sorted trace in natural units
(the stage `generate` of a run, without reading the model and writing the trace): by one process with one thread; by
two such processes at the same time, each with flows of its own; by one process with two threads, as in a run. Rates
are by the clock and, in brackets, by CPU time, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parents[1] / "examples" / "sample"
WAYS = {"one core": (1, 1), "two processes": (2, 1), "two threads": (1, 2)}  # processes, threads of each
BAR = 100_000
PROFILE = """\
The bar is not met: two processes make 73,000 to 79,000 packets a second (two measurements, the earlier one of
commit 39bdc00). The machine itself is unsteady: the same work takes 17 to 21 CPU seconds at different times of a
day, which is 47,000 to 57,000 packets a CPU second, and two processes at once are each a seventh slower than one.

Where a core's time goes with the default preset (cProfile, CPU time, 981,000 packets in 139,000 flows, 19.8 s with
the profiler): matrix products 5.9 s; cumulative distributions, and where a number falls in them, 2.6; the recurrent
net beside its products 1.0; counts that addresses, spans and lengths are interpolated with 3.4; fresh five-tuples 1.0;
numbers spread evenly over flows 0.7; decoding and sorting 1.5; the rest is some 150,000 calls of small operations.
Products run at 200 GFLOP/s in batches of 2,048 series, and at a tenth of that in the tail, where few long series
are left (a third of all steps have fewer than 64 rows). What was gained since: series that are not exchanged are no
longer drawn (1.48 million records were, for 0.98), products of little work do without oneDNN, and few categories
without softmax: together 22 to 17.3 CPU seconds. Larger or smaller blocks (4,096, 1,024) are no faster; half
precision would save about a tenth (by the times of products alone), and is not used for sampling.""".splitlines()


def main() -> None:
    """Measure all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capture", type=Path, default=SAMPLES / "sample.pcap.gz")
    parser.add_argument("--flows-table", type=Path, default=SAMPLES / "sample-netflow.csv.gz")
    parser.add_argument("--records", type=int, default=1_000_000, help="to generate, about, by each process")
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    quick = {"generator": {"autoregressive": {"epochs": 8}}, "chunks": {"count": 1}, "cluster": {"mode": "inline"}}
    doppelganger = {**quick, "generator": {"kind": "doppelganger"}, "training": {"steps": 300}}
    cases = (
        ("pcap (default)", options.capture, quick),
        ("netflow (default)", options.flows_table, quick),
        ("pcap, doppelganger", options.capture, doppelganger),
    )
    rows = []
    for name, trace, settings in cases:
        with tempfile.TemporaryDirectory(prefix="netshare-generation-") as folder:
            rows.append(
                {"preset": name, "trace": trace.name, **_measure(trace, settings, Path(folder), options.records)}
            )
            print(json.dumps(rows[-1]), flush=True)
    from benchmarks.machine import provenance

    result = {"rows": rows, **provenance()}
    (options.output / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.output / "README.md").write_text(markdown(result))
    print(markdown(result))


def _measure(trace: Path, settings: dict[str, Any], folder: Path, records: int) -> dict[str, Any]:
    """Train, then generate in each of the `WAYS`."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1) as pool:
        flows, real = pool.apply(_train, (str(trace.resolve()), settings, folder / "0"))
    shutil.copytree(folder / "0", folder / "1")
    wanted = max(1, round(records * flows / real))
    found: dict[str, Any] = {"flows": wanted}
    for way, (processes, threads) in WAYS.items():
        barrier = spawn.Manager().Barrier(processes)
        with spawn.Pool(processes) as pool:
            work = [(folder / str(i), wanted, i, threads, barrier) for i in range(processes)]
            parts = pool.starmap(_generate, work)
        made = sum(part["records"] for part in parts)
        found[way] = {
            "records": made,
            "seconds": round(max(part["seconds"] for part in parts), 2),
            "a_second": round(made / max(part["seconds"] for part in parts)),
            "a_cpu_second": round(made / sum(part["cpu_seconds"] for part in parts)),
            "cpu_share": round(sum(part["cpu_seconds"] / part["seconds"] for part in parts) / (processes * threads), 2),
            "shares": parts[0]["shares"],
            "peak_mib": parts[0]["peak_mib"],
        }
    return found


def _train(trace: str, settings: dict[str, Any], folder: Path) -> tuple[int, int]:
    """Models in the run folder; the real flows and records."""
    import netshare
    from netshare.recipe.contents import Contents

    netshare.run(netshare.load_config({"input": trace, **settings}, work_dir=folder), until="train")
    contents = Contents.load(folder / "chunks")
    held_back = 1.25  # flows are those of the whole input, records those trained on
    return contents.flows, round(sum(held.records or 0 for held in contents.chunks.values()) * held_back)


def _generate(folder: Path, flows: int, seed: int, threads: int, barrier: Any) -> dict[str, Any]:
    """Draw from the models of a run folder, after a little to warm up and when all processes are ready."""
    import resource

    import torch

    from netshare.console import Console
    from netshare.runs.pipeline import finished_run

    torch.set_num_threads(1)
    shares: dict[str, float] = {}
    with finished_run(folder) as steps:
        recipe, prepared, console = steps.recipe, steps.prepared(), Console(quiet=True)
        load = steps.models(prepared)

        def timed(chunk: int) -> Any:
            generator = load(chunk)
            generator.sampling_threads = threads
            for name in ("sample_metadata", "sample_measurements"):
                setattr(generator, name, _timed(getattr(generator, name), name, shares))
            return generator

        recipe.sample(prepared, timed, count=min(flows, 500), given=None, seed=99, console=console)
        shares.clear()
        barrier.wait()
        begun, cpu = time.perf_counter(), time.process_time()
        trace, _ = recipe.sample(prepared, timed, count=flows, given=None, seed=seed, console=console)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {
        "records": len(trace),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "shares": {name: round(spent / seconds, 3) for name, spent in shares.items()},
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _timed(call: Callable[..., Any], name: str, shares: dict[str, float]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            shares[name] = shares.get(name, 0.0) + time.perf_counter() - begun

    return timed


def markdown(result: dict[str, Any]) -> str:
    """The table as a page."""
    lines = [
        "# Generation",
        "",
        "Records a second (a CPU second) from metadata to a sorted trace in natural units; `python -m",
        f"benchmarks.generation.run`. Bar: {BAR:,} packets a second on two cores with the default preset. *share*: of the",
        "time of one core, in metadata and in measurements; the rest is fresh five-tuples, decoding and sorting. Where the",
        "rate by the clock is below the rate by CPU time, other processes had the cores: on two idle ones two processes, whose",
        "work is separate, would make about twice the latter.",
        "",
        "| preset | trace | flows | one core | two processes | one process, two threads | metadata | measurements | MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        rates = [f"{row[way]['a_second']:,} ({row[way]['a_cpu_second']:,})" for way in WAYS]
        shares = [f"{row['one core']['shares'].get(f'sample_{k}', 0):.0%}" for k in ("metadata", "measurements")]
        lines.append(
            f"| {row['preset']} | {row['trace']} | {row['flows']:,} | {' | '.join(rates)} | {' | '.join(shares)} | "
            f"{row['one core']['peak_mib']:,} |"
        )
    lines += [
        "",
        *PROFILE,
        "",
        f"{result['date']}, commit {result['commit']}, {result['processor']}, {result['cores']} cores.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
