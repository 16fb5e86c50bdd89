"""Compare generators on one trace: train each on half A of its flows for the same CPU time, judge by the other half B.

Every finished method is one file, `methods/NAME.json`, written in one step: an interrupted comparison goes on with the
next method, and a method added later joins the table. A file made under other settings, input or budget is made anew.

Methods are ranked by their mean distance: the geometric mean of d(S, B) / d(A, B) over all distances. One that copies
cannot be first: the share of its (source, destination, port) triples, or of its hosts, that stand in A is more than 1.5
times the share of B's that do. (Five-tuples and records say nothing here: by construction none of B's are in A.)
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netshare.baselines.registry import BASELINES, FAMILIES, Family, all_methods
from netshare.comparison.report import write_reports
from netshare.comparison.rows import Failed, Measured, Row, ranked, row_json
from netshare.comparison.table import Comparison
from netshare.comparison.training import synthesise
from netshare.config.input import read_input
from netshare.config.schema import Config
from netshare.console import Console
from netshare.evaluation import Resampling, evaluate, split_by_flow
from netshare.fingerprints import file_fingerprint, fingerprint
from netshare.generators.registry import kinds
from netshare.preprocess.atomic import write_text
from netshare.preprocess.errors import ConfigError, FieldError, InputError, TrainingError
from netshare.preprocess.flows import group_flows
from netshare.preprocess.readers import list_files
from netshare.preprocess.trace import Trace
from netshare.recipe.preparation import MIN_FLOWS
from netshare.runs.folder import RunFolder

VERSION = 1  # of the results' layout and of the protocol; another one makes all results anew
HALF = 0.5
OUTPUTS = ("table.md", "results.json", "compare.html")
COPY_LIMIT = 1.5  # times the share of B
COPIED = ("(source, destination, port) triples", "hosts")


def compare(
    config: Config,
    *,
    methods: Sequence[str] | None = None,
    budget: float = 60.0,
    folder: Path | str | None = None,
    fresh: bool = False,
    console: Console | None = None,
) -> Comparison:
    """Train, sample and judge each method; write table.md, results.json and compare.html.

    Args:
        config: of a run (see `load_config`); its input, fields, chunks, generator, generate, postprocess and seed count.
        methods: names (see `netshare.baselines.all_methods`), all by default.
        budget: CPU seconds of training, for each method.
        folder: where results go; by default beside the run folder, its name ending in `-compare`.
        fresh: forget what the folder holds.
        console: where progress goes; silent by default.

    Raises:
        NetshareError: its message says what is wrong and what to do.
    """
    console = console or Console.default()
    chosen = tuple(methods or all_methods())
    check_methods(chosen, budget, config)
    path = Path(folder) if folder is not None else _default_folder(config)
    files = [(each.name, file_fingerprint(each)) for each in list_files(config.input.files)]
    trace = read_input(config.input).sorted_by_time()
    halves = split_by_flow(trace, HALF, config.seed)
    for half in halves:
        if len(half) == 0 or len(group_flows(half)) < MIN_FLOWS:
            raise InputError(
                f"{config.input.files[0]}: half of its {len(group_flows(trace))} flows are too few to compare "
                f"generators on; give a trace of at least {4 * MIN_FLOWS} flows"
            )
    key = fingerprint(VERSION, files, _plain(config.input, "files"), budget, config.seed, *settings_of(config))
    with RunFolder.open(path, fresh=fresh, kind="compare", owned=("methods", *OUTPUTS)):
        (path / "methods").mkdir(exist_ok=True)
        rows: list[Row] = []
        for number, name in enumerate(chosen, 1):
            where = path / "methods" / f"{name}.json"
            finished = finished_row(where, key)
            row: Row | None = None if finished is None else Measured(**finished)
            console.say(f"{number} of {len(chosen)}: {name}" + (" is done already" if row else " ..."))
            if row is None:
                row = _measure(name, halves, config, budget, key)
                write_text(where, json.dumps(row_json(row), indent=1, allow_nan=False) + "\n")
                console.say(_line(row))
            rows.append(row)
        result = Comparison(
            ", ".join(Path(name).name for name in config.input.files),
            trace.kind,
            budget,
            config.seed,
            len(trace),
            len(group_flows(trace)),
            tuple(ranked(rows)),
            path,
            tuple(path / name for name in OUTPUTS),
        )
        write_reports(result)
    return result


def check_methods(methods: Sequence[str], budget: float, config: Config) -> None:
    """Refuse what no comparison can be made of.

    Raises:
        ConfigError: a private config, one of time series, an unknown method, or no budget.
    """
    if config.privacy.epsilon is not None:
        raise ConfigError(
            "privacy.epsilon is set, but this measures the input, and no baseline is private; leave it out here"
        )
    if config.preset == "timeseries":
        raise ConfigError("preset is timeseries, but methods are compared on traces only; give a PCAP or NetFlow input")
    unknown = [name for name in methods if name not in all_methods()]
    if unknown:
        raise ConfigError(f"{unknown[0]} is no method; choose of {', '.join(all_methods())}")
    if not (budget > 0 and math.isfinite(budget)):
        raise ConfigError(f"--budget is {budget}; give CPU seconds, more than 0")


def finished_row(path: Path, key: str) -> dict[str, Any] | None:
    """What an earlier call wrote to a file under the same fingerprint, or None; what failed is tried again."""
    try:
        row = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return row if row.get("fingerprint") == key and "failed" not in row else None


def settings_of(config: Config) -> list[Any]:
    """The settings that results depend on, for a fingerprint."""
    parts = ("fields", "chunks", "ip2vec", "generator", "generate", "postprocess")
    return [_plain(getattr(config, part)) for part in parts]


def _measure(name: str, halves: tuple[Trace, Trace], config: Config, budget: float, key: str) -> Row:
    """One method's row; `key` is its fingerprint."""
    train, holdout = halves
    family: Family = "ours" if name in kinds() else BASELINES[name].family
    head = (name, BASELINES[name].title if name in BASELINES else name, FAMILIES[family])
    try:
        made = synthesise(name, train, config, budget)
    except (FieldError, TrainingError) as error:
        return Failed(*head, str(error), key)
    report = evaluate(train, made.trace, holdout, seed=config.seed, resampling=Resampling(0, 0), tasks=None)
    shares = {c.name: {"share": _finite(c.share), "holdout": _finite(c.holdout_share)} for c in report.copying}
    copied = [name for name in COPIED if (shares[name]["share"] or 0) > COPY_LIMIT * (shares[name]["holdout"] or 0)]
    jsd = [row.synthetic for row in report.paper_distances if row.measure != "EMD, raw"]
    return Measured(
        *head,
        **asdict(made.spent),
        sampling_seconds=made.sampling_seconds,
        ratio=report.ratio,
        mean_jsd=sum(jsd) / len(jsd),
        emd={row.field: row.synthetic for row in report.paper_distances if row.measure == "EMD, raw"},
        distances={
            f"{row.title}, {row.measure}": {"synthetic": row.synthetic, "floor": row.floor, "ratio": row.ratio}
            for row in report.distances
        },
        copying=shares,
        copies=bool(copied),
        copied=copied,
        consistency={result.test: _finite(result.share) for result in report.consistency["synthetic"]},
        made_records=report.sizes["synthetic"].records,
        made_flows=report.sizes["synthetic"].flows,
        repaired=sum(_count(each) for each in made.repairs.values()),
        fingerprint=key,
    )


def _line(row: Row) -> str:
    if isinstance(row, Failed):
        return f"  failed: {row.failed}"
    copies = f"; copies {' and '.join(row.copied)}" if row.copies else ""
    return f"  mean distance {row.ratio:.2f} times the floor after {row.cpu_seconds:.1f} CPU-s{copies}"


def _default_folder(config: Config) -> Path:
    assert config.output.folder is not None
    path = Path(config.output.folder)
    return path.with_name(path.name.removesuffix("-run") + "-compare")


def _plain(section: Any, *left_out: str) -> Any:
    return section.model_dump(mode="json", exclude=set(left_out))


def _count(found: Any) -> int:
    return int(found.get("before", 0)) if isinstance(found, dict) else int(found)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
