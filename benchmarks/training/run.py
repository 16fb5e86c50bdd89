"""Speed and memory of training, DoppelGANger's against the layout of the public reference code in the same run.

    python -m benchmarks.training.run [--trace CAPTURE] [--devices cpu cuda] [--rounds 7] [-o benchmarks/training]

Networks, batches and data are the same for both (`reference.py` says what differs); steps of one and of the other
alternate, round by round, so that other work on the machine meets both alike, and the median of the rounds' ratios
counts. Data are series of a real capture's records: all of 200 or 10 records, or cut to at most so many and otherwise as
long as its flows are. Peak memory is that of a process that does one of the two. Bars: a step at least 4 times faster
at 200 records, 2 at 10.

The autoregressive generator, which has no counterpart there, is measured alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import provenance
from benchmarks.training.reference import Reference
from netshare.generators.autoregressive.generator import AutoregressiveGenerator
from netshare.generators.doppelganger.generator import DoppelGANger
from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess import read_trace
from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.flows import group_flows

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parents[1] / "examples" / "sample" / "sample.pcap.gz"
LENGTHS = (200, 10)
BARS = {200: 4.0, 10: 2.0}
MAX_SERIES = 1_000
SECONDS = 1.5  # of one round of one of the two, about


def main() -> None:
    """Measure all cases and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", type=Path, default=SAMPLE)
    parser.add_argument("--devices", nargs="+", default=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for device in options.devices:
        for longest in LENGTHS:
            for even in (True, False):
                case = (options.trace, longest, even, device)
                with _process() as pool:
                    row = pool.apply(_compare, (*case, options.rounds))
                for who in ("reference", "ours"):
                    with _process() as pool:
                        row[who]["peak_mib"] = pool.apply(_peak, (who, *case))
                rows.append({"device": device, "records": longest, "even": even, **row})
                print(json.dumps(rows[-1]), flush=True)
        with _process() as pool:
            alone = pool.apply(_autoregressive, (options.trace, device))
        rows.append({"device": device, "autoregressive": alone})
        print(json.dumps(rows[-1]), flush=True)
    result = {"trace": options.trace.name, "rows": rows, **provenance(), "device_name": _device_name()}
    (options.output / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.output / "README.md").write_text(markdown(result))


def _process() -> Any:
    return multiprocessing.get_context("spawn").Pool(1)


def series_of(trace_file: Path, longest: int, even: bool) -> Encoded:
    """Encoded series, each as long as its flow or segment is, or with records drawn from all until it has `longest`."""
    trace = read_trace(trace_file)
    plan = plan_chunks(trace["time"], count=1)
    tables = cut_series(trace, group_flows(trace, "bidirectional"), plan, max_records_per_segment=longest)
    codec = Codec.fit(list(tables.values()), style="gan", max_length=longest)
    encoded = codec.encode(tables[0])
    count = min(len(encoded), MAX_SERIES)
    if not even:
        end = int(encoded.offsets[count])
        offsets = encoded.offsets[: count + 1]
        return Encoded(encoded.metadata[:count], encoded.measurements[:end], offsets, encoded.schema)
    drawn = np.random.default_rng(0).integers(len(encoded.measurements), size=count * longest)
    offsets = np.arange(count + 1, dtype=np.int64) * longest
    return Encoded(encoded.metadata[:count], encoded.measurements[drawn], offsets, encoded.schema)


def _steppers(data: Encoded, device: str) -> dict[str, Callable[[], float]]:
    """A step of each kind; returns records looked at."""
    reference = Reference(data, DoppelGANgerSettings(), device)
    found: dict[str, Callable[[], float]] = {"reference": lambda: float(reference.step())}
    for name, precision in (("ours", "float32"), ("ours, bfloat16", "bfloat16")):
        found[name] = _ours(data, device, precision)
    return found


def _ours(data: Encoded, device: str, precision: str) -> Callable[[], float]:
    settings = DoppelGANgerSettings.model_validate({"precision": precision})
    generator = DoppelGANger(data.schema, settings, device)
    generator.prepare(data, seed=0, steps=10**9)
    return lambda: generator.step()["records"]


def _timed(step: Callable[[], float], steps: int) -> tuple[float, float]:
    """Seconds, and records looked at, of so many steps."""
    _wait()
    begun, records = time.perf_counter(), 0.0
    for _ in range(steps):
        records += step()
    _wait()
    return time.perf_counter() - begun, records


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _compare(trace: Path, longest: int, even: bool, device: str, rounds: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    data = series_of(trace, longest, even)
    steppers = _steppers(data, device)
    counts = {}
    for name, step in steppers.items():
        _timed(step, 3)
        seconds, _ = _timed(step, 5)
        counts[name] = max(3, min(2000, round(SECONDS * 5 / seconds)))
    seconds = {name: [] for name in steppers}
    records = dict.fromkeys(steppers, 0.0)
    for _ in range(rounds):
        for name, step in steppers.items():
            spent, looked_at = _timed(step, counts[name])
            seconds[name].append(spent / counts[name])
            records[name] += looked_at / counts[name] / rounds
    result: dict[str, Any] = {"series": len(data), "mean_length": round(float(data.lengths.mean()), 1)}
    for name in steppers:
        ratios = [own / other for own, other in zip(seconds["reference"], seconds[name], strict=True)]
        middle = statistics.median(seconds[name])
        result[name] = {"steps_a_second": round(1 / middle, 2), "times_faster": round(statistics.median(ratios), 2)}
        if name != "reference":
            result[name]["records_a_second"] = round(records[name] / middle)
    return result


def _peak(who: str, trace: Path, longest: int, even: bool, device: str) -> int:
    """MiB of a process that does a few steps; on a GPU, of that."""
    torch.set_num_threads(1)
    data = series_of(trace, longest, even)
    step = (
        Reference(data, DoppelGANgerSettings(), device).step if who == "reference" else _ours(data, device, "float32")
    )
    for _ in range(10):
        step()
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _autoregressive(trace_file: Path, device: str) -> dict[str, Any]:
    """Steps and records a second over one pass of all three nets, without validation."""
    torch.set_num_threads(1)
    trace = read_trace(trace_file)
    tables = cut_series(trace, group_flows(trace, "bidirectional"), plan_chunks(trace["time"], count=1))
    codec = Codec.fit(list(tables.values()), style="autoregressive")
    data = codec.encode(tables[0])
    generator = AutoregressiveGenerator(codec.schema, device=device)
    generator.prepare(data, seed=0, steps=10**9)
    for _ in range(10):
        generator.step()
    begun, records, steps = time.perf_counter(), 0.0, 0
    while time.perf_counter() - begun < 10 * SECONDS and not generator.done:
        records += generator.step()["records"]
        steps += 1
    _wait()
    seconds = time.perf_counter() - begun
    return {
        "series": len(data),
        "records": len(data.measurements),
        "steps_a_second": round(steps / seconds, 2),
        "rows_a_second": round(records / seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def _device_name() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def markdown(result: dict[str, Any]) -> str:
    """The tables as a page."""
    lines = [
        "# Training",
        "",
        "A step of DoppelGANger (batch of 100, default sizes) against the layout of the public reference code with the",
        "same networks; `python -m benchmarks.training.run`. One thread. Bars: 4 times faster at 200 records a flow, 2 at",
        f"10. Series are made of the records of {result['trace']}: *even*, all of the length that is named, or as long as",
        "its flows are, up to that length.",
        "",
        "| device | records a flow | mean | reference steps/s | ours | times faster | bfloat16 | times faster | MiB reference "
        "| MiB ours |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        if "autoregressive" not in row:
            low, half = row["ours"], row["ours, bfloat16"]
            length = f"{row['records']}, even" if row["even"] else f"up to {row['records']}"
            lines.append(
                f"| {row['device']} | {length} | {row['mean_length']:.0f} | {row['reference']['steps_a_second']:.2f} | "
                f"{low['steps_a_second']:.2f} | {low['times_faster']:.1f} | {half['steps_a_second']:.2f} | "
                f"{half['times_faster']:.1f} | {row['reference']['peak_mib']:,} | {low['peak_mib']:,} |"
            )
    lines += ["", "| autoregressive | series | records | steps/s | rows/s | MiB |", "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        if "autoregressive" in row:
            own = row["autoregressive"]
            lines.append(
                f"| {row['device']} | {own['series']:,} | {own['records']:,} | {own['steps_a_second']:.1f} | "
                f"{own['rows_a_second']:,} | {own['peak_mib']:,} |"
            )
    on = f", {result['device_name']}" if result["device_name"] else ""
    lines += ["", f"{result['date']}, commit {result['commit']}, {result['processor']}, {result['cores']} cores{on}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
