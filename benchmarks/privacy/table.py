"""The table of `README.md`, from `results.json`.

    python -m benchmarks.privacy.table

One line for each trace, generator and method; a cell holds the ratios of all runs at that epsilon, and behind them the
least and greatest bound that audits of these runs found.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EPSILONS = (1.0, 2.0, 4.0, 10.0)
NAMES = {
    "marginals": "noisy counts (default)",
    "gradients": "DP-SGD from a public model",
    "naive": "DP-SGD, naive",
}
CRITICS = {**NAMES, "gradients": "private critics from a public model", "naive": "private critics, naive (DP-GAN)"}


def main() -> None:
    """Print it."""
    rows = json.loads((HERE / "results.json").read_text())["rows"]
    print("| trace | generator | method | 1 | 2 | 4 | 10 | inf | audit |\n" + "|---" * 9 + "|")
    for trace, kind in sorted({(row["trace"], row["generator"]) for row in rows}, key=lambda each: (each[0], each[1])):
        own = [row for row in rows if (row["trace"], row["generator"]) == (trace, kind)]
        for method in NAMES:
            of_method = [row for row in own if row["method"] == method]
            if of_method:
                cells = [_ratios([row for row in of_method if row["epsilon"] == epsilon]) for epsilon in EPSILONS]
                cells.append(_ratios([row for row in own if row["method"] is None]))
                name = (CRITICS if kind == "doppelganger" else NAMES)[method]
                print(f"| {trace[:2]} | {kind} | {name} | {' | '.join(cells)} | {_audits(of_method)} |")


def _ratios(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['ratio']:.2f}" for row in rows)


def _audits(rows: list[dict[str, Any]]) -> str:
    bounds = [row["audit"]["lower_bound"] for row in rows if row.get("audit")]
    return f"at most {max(bounds):.2g}" if bounds else ""


if __name__ == "__main__":
    main()
