"""How long does a whole report take on large traces? The bar: 200,000 packets against 200,000 in under 3 minutes.

    python -m benchmarks.evaluation.run ../shared/traces/p2_iot-sentinel.pcap.gz

A capture's packets, repeated up to the number asked for, are A; the same with other addresses are B and S, so that no
flow is shared. All tasks, intervals and bootstraps run, and the HTML is drawn.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.machine import provenance
from netshare.evaluation import evaluate
from netshare.evaluation.render.html import to_html
from netshare.preprocess import read_trace
from netshare.preprocess.trace import Trace

HERE = Path(__file__).resolve().parent
BAR = 180  # seconds


def main() -> None:
    """Measure, and write results.json and README.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("--packets", type=int, default=200_000)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    trace = read_trace(str(options.capture)).sorted_by_time()
    train, holdout, synthetic = (elsewhere(trace, options.packets, network) for network in (0, 0x10000, 0x20000))
    wall, cpu = time.monotonic(), time.process_time()
    report = evaluate(train, synthetic, holdout)
    to_html(report)
    result = {
        "capture": options.capture.name,
        "packets": options.packets,
        "wall_seconds": round(time.monotonic() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "tasks": {section.name: round(section.seconds, 1) for section in report.tasks},
        **provenance(),
    }
    (options.output / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    tasks = ", ".join(f"{name} {seconds}" for name, seconds in result["tasks"].items())
    text = (
        "# Time of a report\n\n`python -m benchmarks.evaluation.run CAPTURE`; the bar is "
        f"{BAR} seconds.\n\n| capture | packets each of A, B, S | wall s | CPU s | peak GiB |\n|---|---|---|---|---|\n"
        f"| {result['capture']} | {result['packets']:,} | {result['wall_seconds']} | {result['cpu_seconds']} | "
        f"{result['peak_gib']} |\n\nCPU seconds of the tasks: {tasks}.\n\n{result['date']}, {result['processor']}, "
        f"{result['cores']} cores, {result['memory_gib']} GiB.\n"
    )
    (options.output / "README.md").write_text(text)
    print(text)


def elsewhere(trace: Trace, packets: int, network: int) -> Trace:
    """The first `packets` packets, the trace begun again where it is shorter, its addresses moved."""
    part = trace.take(np.arange(packets) % len(trace))
    moved = {name: part[name] ^ np.uint64(network) for name in ("src_lo", "dst_lo")}
    return replace(part, columns={**part.columns, **moved}).sorted_by_time()


if __name__ == "__main__":
    main()
