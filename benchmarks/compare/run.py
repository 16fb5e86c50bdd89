"""Every method on several traces at the same CPU budget: who is closest to real traffic without copying it?

    python -m benchmarks.compare.run --traces TRACES --work WORK [--only n3 p1]

Runs `netshare compare` on each trace with all methods, then writes one JSON and one Markdown table a trace and, over
all traces, README.md with the bar that our default preset must clear, and a plot a trace. Interrupted, it goes on where it
was: finished methods stay in the work folder. Traces that are not run this time keep their committed results.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netshare
from benchmarks.machine import provenance
from benchmarks.plot import standalone
from netshare.baselines import choose_methods
from netshare.comparison import compare
from netshare.console import Console
from netshare.evaluation.render.svg import draw_ratios

HERE = Path(__file__).resolve().parent
TRACES: dict[str, dict[str, Any]] = {
    "n3": {"files": ["n3_enterprise-v9.csv.gz"]},
    "p1": {"files": ["p1_isp-2007.pcap.gz"]},
    "n2": {"files": ["n2_iot23.csv.gz"], "limit": 20_000},
    "p2": {"files": ["p2_iot-sentinel.pcap.gz"], "limit": 20_000},
}
BAR = 0.46  # share by which our mean distance must lie below the baselines' mean; NetShare paper, abstract


def main() -> None:
    """Run what is asked for and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=Path, default=Path("../shared/traces"), help="folder of the traces")
    parser.add_argument("--work", type=Path, help="folder that keeps finished methods")
    parser.add_argument("--only", nargs="+", choices=tuple(TRACES), default=tuple(TRACES))
    parser.add_argument("--methods", help="comma-separated; default: all")
    parser.add_argument("--budget", type=float, default=60.0, help="CPU seconds of training a method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    parser.add_argument("--tables", action="store_true", help="run nothing; write the tables from the results")
    options = parser.parse_args()
    if options.tables:
        write_overview(options.output)
        return
    if options.work is None:
        parser.error("--work is needed: the folder that keeps finished methods")
    for name in options.only:
        measure(name, options)
        write_overview(options.output)


def measure(name: str, options: argparse.Namespace) -> None:
    """One trace: its results.json and table, into the output folder."""
    section = {**TRACES[name], "files": [str((options.traces / f).resolve()) for f in TRACES[name]["files"]]}
    work = options.work / name
    config = netshare.load_config({"input": section, "seed": options.seed}, work_dir=work / "run")
    compare(
        config,
        methods=choose_methods(options.methods),
        budget=options.budget,
        folder=work / "compare",
        console=Console(),
    )
    results = json.loads((work / "compare" / "results.json").read_text())
    limit = TRACES[name].get("limit")
    facts = {"name": name, "limit": limit, "default": default_of(config), **provenance()}
    commits = _measured_at(work, str(facts["commit"]))
    for row in results["methods"]:
        row.pop("fingerprint", None)
        row["commit"] = commits[row["method"]]["commit"]
    (options.output / f"{name}.json").write_text(json.dumps(facts | results, indent=1) + "\n")
    (options.output / f"{name}.md").write_text((work / "compare" / "table.md").read_text())


def _measured_at(work: Path, commit: str) -> dict[str, dict[str, Any]]:
    """The commit at which each finished method was measured: `commit`, if that was since this was last asked."""
    path = work / "commits.json"
    known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    for each in (work / "compare" / "methods").glob("*.json"):
        made = each.stat().st_mtime_ns
        if known.get(each.stem, {}).get("made") != made:
            known[each.stem] = {"commit": commit, "made": made}
    path.write_text(json.dumps(known, indent=1) + "\n")
    return known


def default_of(config: netshare.Config) -> str:
    """The method that the trace's preset runs where the config says nothing."""
    return str(config.generator.kind)


def write_overview(folder: Path) -> None:
    """README.md and the plots from the traces' results."""
    done = [json.loads(path.read_text()) for name in TRACES if (path := folder / f"{name}.json").exists()]
    (folder / "README.md").write_text(markdown(done))
    for results in done:
        rows = [(_label(row), row["ratio"], None) for row in results["methods"] if "failed" not in row]
        if rows:
            (folder / f"{results['name']}.svg").write_text(standalone(draw_ratios(rows)))


def verdict(results: dict[str, Any]) -> dict[str, Any]:
    """Rank of the default preset, its mean distance beside the baselines' mean, and whether the bar is cleared."""
    rows = {row["method"]: row for row in results["methods"]}
    ours = rows.get(results["default"], {"failed": "not run"})
    theirs = [row["ratio"] for row in rows.values() if row["family"] != "ours" and "failed" not in row]
    failed = [row["method"] for row in rows.values() if "failed" in row]
    if "failed" in ours or not theirs:
        return {"rank": None, "ours": None, "baselines": None, "lower": None, "failed": failed, "holds": False}
    mean = sum(theirs) / len(theirs)
    lower = 1 - ours["ratio"] / mean
    holds = ours["rank"] == 1 and lower >= BAR and not failed
    figures = {"rank": ours["rank"], "ours": ours["ratio"], "baselines": mean, "lower": lower}
    return {**figures, "compared": len(theirs), "failed": failed, "holds": holds}


def nearer(results: dict[str, Any]) -> list[tuple[str, str, float, float, float]]:
    """Distances in which a baseline that does not copy is nearer to B than the default, and the default is not as near
    as real traffic is: (distance, nearest such baseline, its d(S, B), the default's, the default's ratio to the floor);
    the greatest first. Floors are not compared: they differ a little with how many flows a method made."""
    rows = [row for row in results["methods"] if "failed" not in row]
    ours = next((row for row in rows if row["method"] == results["default"]), None)
    theirs = [row for row in rows if row["family"] != "ours" and not row["copies"]]
    if ours is None or not theirs:
        return []
    found = []
    for name, own in ours["distances"].items():
        best = min(theirs, key=lambda row: row["distances"][name]["synthetic"])
        their = best["distances"][name]
        if their["synthetic"] < own["synthetic"] and own["ratio"] > 1:
            found.append((name, best["method"], their["synthetic"], own["synthetic"], own["ratio"]))
    return sorted(found, key=lambda each: -each[4])


def markdown(done: Sequence[dict[str, Any]]) -> str:
    """The overview."""
    lines = [
        "# Our default preset against every baseline",
        "",
        "`netshare compare` on each trace: every method learns from half of the conversations (A) for the same CPU time",
        "and is compared with the other half (B); `python -m benchmarks.compare.run`. *Mean distance*: geometric mean of",
        "d(S, B) / d(A, B) over all distances, 1 is as close as real to real. A method that copies (more than 1.5 times",
        "B's share of triples or hosts) is out of the ranking. The bar: our default first, and its mean distance at least",
        f"{BAR:.0%} below the mean of the baselines'.",
        "",
        "| trace | records | CPU s a method | rank of the default | its mean distance | mean of the baselines | lower by | "
        "bar |",
        "|---|---|---|---|---|---|---|---|",
    ]
    if not done:
        return "\n".join([*lines[:-2], "Not run yet."]) + "\n"
    for results in done:
        found = verdict(results)
        first = f"first {results['limit']:,}" if results["limit"] else f"all {results['records']:,}"
        figures = (
            ("", "", "")
            if found["ours"] is None
            else (f"{found['ours']:.2f}", f"{found['baselines']:.2f} ({found['compared']})", f"{found['lower']:.0%}")
        )
        verdict = "holds" if found["holds"] else "does not hold"
        if found["failed"]:
            verdict += f" (failed: {', '.join(found['failed'])})"
        lines.append(
            f"| [{results['name']}]({results['name']}.md) | {first} | {results['budget']:g} | {found['rank'] or '-'} "
            f"({results['default']}) | {' | '.join(figures)} | {verdict} |"
        )
    methods = sorted({row["method"] for results in done for row in results["methods"]})
    by_trace = [{row["method"]: row for row in results["methods"]} for results in done]
    lines += ["", "Mean distance of every method; *c*: it copies.", ""]
    lines += ["| method | " + " | ".join(r["name"] for r in done) + " |", "|---|" + "---|" * len(done)]
    for method in sorted(methods, key=lambda m: _mean([rows[m] for rows in by_trace if m in rows])):
        lines.append(f"| {method} | " + " | ".join(_cell(rows.get(method)) for rows in by_trace) + " |")
    lines += ["", "## Where a baseline is nearer", ""]
    lines += [
        "Distances in which a baseline that does not copy is nearer to B than our default, where our default is not as near",
        "as real traffic is (all distances of every method: the traces' JSON files); and the NetShare paper's two means.",
        "",
        "| trace | distances | distance: d(S, B) of the baseline; of our default (times the floor) | mean JSD, mean EMD: "
        "nearest of all that do not copy | nearest that copies |",
        "|---|---|---|---|---|",
        *(_beaten(results) for results in done),
    ]
    for results in done:
        lines += ["", f"![{results['name']}: mean distance of every method]({results['name']}.svg)"]
    lines += ["", *(_origin(results) for results in done)]
    return "\n".join(lines) + "\n"


def _origin(results: dict[str, Any]) -> str:
    """Where a trace's figures come from: machine, and the commit of each method."""
    commits: dict[str, list[str]] = {}
    for row in results["methods"]:
        commits.setdefault(row.get("commit", results["commit"]), []).append(row["method"])
    most = max(commits, key=lambda commit: len(commits[commit]))
    parts = [f"{', '.join(methods)} at commit {commit}" for commit, methods in commits.items() if commit != most]
    parts.append(f"all others at commit {most}" if parts else f"commit {most}")
    machine = f"{results['date']}, {results['processor']}, {results['cores']} cores, {results['memory_gib']} GiB"
    return f"- {results['name']}: {machine}; {'; '.join(parts)}."


def _beaten(results: dict[str, Any]) -> str:
    found = nearer(results)
    kept = "; ".join(
        f"{name}: {method} {theirs:.3f}; {ours:.3f} ({ratio:.2f})" for name, method, theirs, ours, ratio in found
    )
    rows = [row for row in results["methods"] if "failed" not in row]
    total = len(rows[0]["distances"]) if rows else 0
    nearest = []
    for copies in (False, True):
        chosen = [row for row in rows if row["copies"] is copies]
        best = [min(chosen, key=lambda row: row[mean]) for mean in ("mean_jsd", "mean_emd")] if chosen else []
        figures = zip(best, ("mean_jsd", "mean_emd"), strict=False)
        nearest.append(", ".join(f"{row['method']} {row[mean]:.3f}" for row, mean in figures))
    return f"| {results['name']} | {len(found)} of {total} | {kept or 'none'} | {' | '.join(nearest)} |"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not run"
    return "failed" if "failed" in row else f"{row['ratio']:.2f}" + (" *c*" if row["copies"] else "")


def _label(row: dict[str, Any]) -> str:
    return row["method"] + (" (copies)" if row["copies"] else "")


def _mean(rows: Sequence[dict[str, Any]]) -> float:
    ratios = [row["ratio"] for row in rows if "failed" not in row]
    return sum(ratios) / len(ratios) if ratios else float("inf")


if __name__ == "__main__":
    main()
