"""`netshare generate RUN_DIR -o TRACE`: more data from the trained models of a run."""

from __future__ import annotations

from pathlib import Path

from netshare.commands.options import Commands, Options, add_command, add_force, console_of, positive, seed, shown
from netshare.preprocess.errors import InputError


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, "generate", execute, "generate more data from the trained models of a run")
    added.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    added.add_argument("--flows", type=positive, help="distinct five-tuples; default: as many as the input has")
    added.add_argument("--metadata", type=Path, metavar="FILE", help="make these flows: CSV or Parquet of src_ip, "
                       "dst_ip, src_port, dst_port, protocol and, if wanted, start, records, label")  # fmt: skip
    added.add_argument("--seed", type=seed, help="the same seed gives the same trace; default: another one each time")
    added.add_argument("-o", "--output", type=Path, required=True, help="trace to write (.pcap, .csv, .parquet; .gz)")
    add_force(added)


def execute(options: Options) -> None:
    """Generate, write, and print the name of the file."""
    from netshare.runs.pipeline import generate

    if options.metadata is not None and options.flows is not None:
        raise InputError("--flows and --metadata both say which flows to make; give one of them")
    report = generate(
        options.run_dir,
        options.output,
        flows=options.flows,
        metadata=options.metadata,
        seed=options.seed,
        force=options.force,
        console=console_of(options),
    )
    print(f"{shown(options.output)} (seed {report.seed})")
