"""The command line: `netshare run config.json` and its companions.

Exit codes: 0 done, 2 the user's mistake (one line on standard error says what and how to mend it), 1 a defect of ours
(with a traceback). Results go to standard output, progress to standard error.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from netshare.commands.privacy import add_privacy_commands
from netshare.preprocess.errors import InputError, NetshareError

STAGE_COMMANDS = {
    "run": ("evaluate", "everything: from a config to a synthetic trace and its report"),
    "preprocess": ("preprocess", "read the input, cut it into chunks and encode it"),
    "train": ("train", "the above, and train the models"),
    "postprocess": ("postprocess", "the above, generate, repair and write the synthetic trace"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    level = logging.ERROR if options.quiet else logging.DEBUG if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    try:
        options.command(options)
    except NetshareError as error:
        if options.verbose:
            logging.getLogger(__name__).debug("traceback", exc_info=True)
        print(f"netshare: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("netshare: interrupted; run again to go on from the last checkpoint", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("-v", "--verbose", action="store_true", help="say more, tracebacks of errors included")
    shared.add_argument("-q", "--quiet", action="store_true", help="no progress")
    on_config = argparse.ArgumentParser(add_help=False)
    on_config.add_argument("config", type=Path, help='JSON config; the smallest is {"input": "trace.pcap"}')
    on_config.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                           help="override a value of the config, e.g. training.steps=500 (repeatable)")  # fmt: skip
    on_config.add_argument("--work-dir", type=Path, help="run folder, instead of output.folder")

    parser = argparse.ArgumentParser(prog="netshare", description="Synthetic network traces that can be shared.")
    parser.add_argument("--version", action="version", version=f"netshare {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[Any], None], text: str, *parents: argparse.ArgumentParser) -> Any:
        added = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", parents=[shared, *parents]
        )
        added.set_defaults(command=command)
        return added

    for name, (until, text) in STAGE_COMMANDS.items():
        added = add(name, _run, text, on_config)
        added.add_argument("--fresh", action="store_true", help="forget what the run folder holds")
        added.set_defaults(until=until)
    add("validate", _validate, "check a config and print it with all defaults filled in", on_config)
    inspect = add("inspect", _inspect, "tell what traces hold, and what was skipped and why")
    inspect.add_argument("files", nargs="+", metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="as JSON")
    inspect.add_argument(
        "--max-bytes", type=_positive, metavar="N", help="what compressed data may hold; default: 4 GiB"
    )
    _add_series_options(inspect)
    init = add("init", _init, "write a starter config for traces, and explain its choices")
    init.add_argument("files", nargs="+", metavar="FILE")
    init.add_argument("-o", "--output", type=Path, default=Path("config.json"), help="default: config.json")
    init.add_argument("--fresh", action="store_true", help="overwrite the output")
    generate = add("generate", _generate, "generate more data from the trained models of a run")
    generate.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    generate.add_argument("--flows", type=_positive, help="distinct five-tuples; default: as many as the input has")
    generate.add_argument("--metadata", type=Path, metavar="FILE", help="make these flows: CSV or Parquet of src_ip, "
                          "dst_ip, src_port, dst_port, protocol and, if wanted, start, records, label")  # fmt: skip
    generate.add_argument("--seed", type=_seed, default=1, help="another seed gives another trace; default: 1")
    generate.add_argument(
        "-o", "--output", type=Path, required=True, help="trace to write (.pcap, .csv, .parquet; .gz)"
    )
    retrain = add("retrain-metadata", _retrain, "retrain only what draws the metadata, to another distribution of them")
    retrain.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    retrain.add_argument(
        "--wanted", type=Path, metavar="FILE", help='JSON: {"dst_port": {"53": 0.5}, "label": "uniform"}'
    )
    retrain.add_argument("--share", action="append", default=[], metavar="FIELD=VALUE:SHARE",
                         help="share of the flows, e.g. dst_port=53:0.5 (repeatable)")  # fmt: skip
    retrain.add_argument("--uniform", action="append", default=[], metavar="FIELD", help="all values of it alike")
    retrain.add_argument(
        "--steps", type=_positive, help="optimisation steps at most; default: as the run's config says"
    )
    retrain.add_argument("--seed", type=_seed, default=0, help="of the training; default: 0")
    retrain.add_argument("-o", "--output", type=Path, required=True, metavar="NEW_RUN", help="new run folder")
    evaluate = add("evaluate", _evaluate, "compare any synthetic trace with real ones")
    evaluate.add_argument("--train", required=True, metavar="A", help="real trace that the model was trained on")
    evaluate.add_argument("--holdout", metavar="B", help="real trace held back from training; default: halves of A")
    evaluate.add_argument("--synthetic", required=True, metavar="S", help="the synthetic trace")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    evaluate.add_argument("--html", type=Path, metavar="FILE", help="write the report as one self-contained HTML file")
    _add_series_options(evaluate)
    evaluate.add_argument("--markdown", type=Path, metavar="FILE", help="write the main figures as Markdown tables")
    evaluate.add_argument("--seed", type=_seed, default=0, help="of samples and intervals; default: 0")
    compare = add("compare", _compare, "train baselines and our generators for the same time, and rank them", on_config)
    compare.add_argument(
        "--methods", metavar="A,B,...", help="of: autoregressive, doppelganger and the baselines (all)"
    )
    compare.add_argument(
        "--budget", type=float, default=60.0, metavar="CPU_SECONDS", help="training time a method; default: 60"
    )
    compare.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: the config's name + '-compare'")
    compare.add_argument("--fresh", action="store_true", help="forget what the folder holds")
    membership = add(
        "membership",
        _membership,
        "retrain on parts of a trace, and attack the releases: which flows were in?",
        on_config,
    )
    membership.add_argument(
        "--methods", metavar="A,B,...", default="autoregressive", help="as for compare; default: autoregressive"
    )
    membership.add_argument("--sizes", metavar="N,N,...", help="conversations to train on; default: three sizes")
    membership.add_argument("--shadows", type=_positive, default=2, help="models of the attacker a release; default: 2")
    membership.add_argument(
        "--budget", type=float, default=20.0, metavar="CPU_SECONDS", help="training time a model; default: 20"
    )
    membership.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="default: the config's name + '-membership'"
    )
    membership.add_argument("--fresh", action="store_true", help="forget what the folder holds")
    convert = add("convert", _convert, "read any trace and write it in another format; packets can become flow records")
    convert.add_argument("files", nargs="+", metavar="IN")
    convert.add_argument("output", type=Path, metavar="OUT", help="its suffix names the format, unless --to does")
    convert.add_argument("--to", metavar="FORMAT", help="pcap, pcapng, netshare-csv, nfdump-csv, netflow-v9, ipfix ...")
    _add_series_options(convert)
    convert.add_argument("--form", choices=("long", "wide", "list"), help="form of the table of time series to write")
    convert.add_argument("--limit", type=_positive, help="read at most so many records")
    convert.add_argument("--snaplen", type=_positive, help="captured bytes a packet")
    convert.add_argument(
        "--max-bytes", type=_positive, metavar="N", help="what compressed data may hold; default: 4 GiB"
    )
    privacy = add("privacy", lambda _: None, "plan, state and audit differential privacy")
    add_privacy_commands(privacy, shared, on_config)
    schema = add("schema", _schema, "print the JSON Schema of a config, for editors")
    form = schema.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as the table of docs/config.md")
    form.add_argument("--report", action="store_true", help="of evaluate's JSON report instead")
    return parser


def _add_series_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--series", action="store_true", help="the files are tables of time series, not traces")
    command.add_argument("--key", metavar="COLUMN", help="of tables of time series: the column that names a series")
    command.add_argument("--order", metavar="COLUMN", help="of tables of time series: what orders a series' records")


def _run(options: Any) -> None:
    from netshare.config.schema import load_config
    from netshare.run.console import Console
    from netshare.run.pipeline import run

    config = load_config(options.config, options.overrides, work_dir=options.work_dir)
    result = run(config, until=options.until, fresh=options.fresh, console=Console(quiet=options.quiet))
    for path in (*result.outputs, *([result.report] if result.report else [])):
        print(_relative(path))
    if not result.outputs:
        print(_relative(result.folder))


def _validate(options: Any) -> None:
    from netshare.config.schema import load_config
    from netshare.preprocess.readers import list_files

    config = load_config(options.config, options.overrides, work_dir=options.work_dir)
    list_files(config.input.files)
    print(config.model_dump_json(indent=2))


def _inspect(options: Any) -> None:
    if _is_of_series(options):
        _inspect_series(options)
        return
    from netshare.config.starter import format_description
    from netshare.preprocess import describe_files
    from netshare.preprocess.readers.contents import MAXIMUM_BYTES

    description = describe_files(options.files, max_bytes=options.max_bytes or MAXIMUM_BYTES)
    print(json.dumps(description, indent=2) if options.json else format_description(description))


def _inspect_series(options: Any) -> None:
    from netshare.preprocess.timeseries import describe_series, read_series

    series = read_series(options.files, key=options.key, order=options.order)
    rows = describe_series(series)
    if options.json:
        sizes = {"series": len(series), "records": int(series.offsets[-1]), "notes": list(series.notes)}
        print(json.dumps({**sizes, "columns": rows}, indent=2))
        return
    lengths = series.lengths
    print(f"{len(series):,} series of {lengths.min():,} to {lengths.max():,} records")
    for row in rows:
        between = "" if row["least"] is None else f", {row['least']:g} to {row['greatest']:g}"
        print(f"  {row['column']:<24} {row['table']:<13} {row['kind']:<12} {row['distinct']:,} values{between}")
    for note in series.notes:
        print(f"note: {note}")


def _init(options: Any) -> None:
    from netshare.config.starter import starter_config
    from netshare.preprocess import read_trace
    from netshare.preprocess.atomic import write_text

    if options.output.exists() and not options.fresh:
        raise InputError(f"{options.output}: exists already; choose another with -o, or overwrite it with --fresh")
    config, reasons = starter_config(read_trace(options.files), options.files, options.output.resolve().parent)
    try:
        write_text(options.output, json.dumps(config, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"{options.output}: cannot be written ({error.strerror}); choose another with -o") from None
    for key, reason in reasons.items():
        print(f"{key}: {reason}")
    print(f"wrote {options.output}; go on with: netshare run {options.output}")


def _generate(options: Any) -> None:
    from netshare.run.console import Console
    from netshare.run.pipeline import generate

    if options.metadata is not None and options.flows is not None:
        raise InputError("--flows and --metadata both say which flows to make; give one of them")
    generate(
        options.run_dir,
        options.output,
        flows=options.flows,
        metadata=options.metadata,
        seed=options.seed,
        console=Console(quiet=options.quiet),
    )
    print(_relative(options.output))


def _retrain(options: Any) -> None:
    from netshare.recipe.reweighting import read_wanted, retrain_metadata
    from netshare.run.console import Console

    retrain_metadata(
        options.run_dir,
        options.output,
        wanted=read_wanted(options.wanted, options.uniform, options.share),
        steps=options.steps,
        seed=options.seed,
        console=Console(quiet=options.quiet),
    )
    print(_relative(options.output))


def _evaluate(options: Any) -> None:
    from netshare.commands.evaluate import evaluate_files

    evaluate_files(
        train=options.train,
        synthetic=options.synthetic,
        holdout=options.holdout,
        json=options.json,
        html=options.html,
        markdown=options.markdown,
        series=options.series,
        key=options.key,
        order=options.order,
        seed=options.seed,
    )


def _compare(options: Any) -> None:
    from netshare.baselines import choose_methods
    from netshare.comparison import compare, format_table
    from netshare.config.schema import load_config
    from netshare.run.console import Console

    methods = choose_methods(options.methods)
    config = load_config(options.config, options.overrides, work_dir=options.work_dir)
    result = compare(
        config,
        methods=methods,
        budget=options.budget,
        folder=options.output,
        fresh=options.fresh,
        console=Console(quiet=options.quiet),
    )
    print(format_table(result))
    for path in result.outputs:
        print(_relative(path))


def _membership(options: Any) -> None:
    from netshare.baselines import choose_methods
    from netshare.comparison.membership import format_membership, membership
    from netshare.config.schema import load_config
    from netshare.run.console import Console

    sizes = None
    if options.sizes is not None:
        texts = [text.strip() for text in options.sizes.split(",")]
        if wrong := [text for text in texts if not text.isdecimal()]:
            raise InputError(f"--sizes: found {wrong[0]!r}, give whole numbers of conversations, such as 100,400")
        sizes = [int(text) for text in texts]
    found = membership(
        load_config(options.config, options.overrides, work_dir=options.work_dir),
        methods=choose_methods(options.methods),
        sizes=sizes,
        shadows=options.shadows,
        budget=options.budget,
        folder=options.output,
        fresh=options.fresh,
        console=Console(quiet=options.quiet),
    )
    print(format_membership(found, options.budget, options.shadows), end="")


def _convert(options: Any) -> None:
    series = _is_of_series(options) or options.form is not None or options.output.suffix == ".npz"
    report = _convert_series(options) if series else _convert_trace(options)
    for loss in report.lossy:
        print(f"note: {loss}", file=sys.stderr)
    what = "series" if report.format.endswith("series") else "records"
    print(f"{_relative(report.path)}: {report.records:,} {what} as {report.format}")


def _is_of_series(options: Any) -> bool:
    named = options.series or options.key or options.order
    return bool(named) or any(str(name).endswith(".npz") for name in options.files)


def _convert_series(options: Any) -> Any:
    from netshare.postprocess.convert_series import convert_series

    if options.to or options.snaplen:
        raise InputError(
            "--to and --snaplen are for traces; the form of series is said by --form and the output's suffix"
        )
    return convert_series(
        options.files, options.output, key=options.key, order=options.order, form=options.form, limit=options.limit
    )


def _convert_trace(options: Any) -> Any:
    from netshare.postprocess.convert import convert
    from netshare.preprocess.readers.contents import MAXIMUM_BYTES

    return convert(
        options.files,
        options.output,
        to=options.to,
        limit=options.limit,
        snaplen=options.snaplen,
        max_bytes=options.max_bytes or MAXIMUM_BYTES,
    )


def _schema(options: Any) -> None:
    from netshare.config.docs import config_markdown
    from netshare.config.schema import config_schema
    from netshare.evaluation.figures.schema import report_schema

    if options.report:
        print(json.dumps(report_schema(), indent=2))
        return
    print(config_markdown() if options.markdown else json.dumps(config_schema(), indent=2))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of at least 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of 0 or more")
    return int(text)


def _relative(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("netshare-traces")
    except metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
