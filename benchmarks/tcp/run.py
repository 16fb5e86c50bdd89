"""What tshark's TCP analysis notes in real captures, and in synthetic ones made from them.

    python -m benchmarks.tcp.run TRACE... [--limit 40000] [--epochs 15] [-o benchmarks/tcp]

For every trace four captures: the real one; its packets with headers rebuilt by the postprocessor (nothing is learnt:
the order, flags and lengths are real, the numbers are ours); and a synthetic one of conversations and one of single
directions, each by a whole run. Results are added to `results.json` and `README.md` in the output
folder; rows of traces that are not run this time are kept. Needs tshark.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import netshare
from benchmarks.machine import provenance
from benchmarks.tcp.notes import TcpNotes, tcp_notes
from netshare.console import Console
from netshare.postprocess import broken_conventions, repair, write_trace
from netshare.preprocess import read_trace

HERE = Path(__file__).resolve().parent
SNAPLEN = 128  # the headers are what is analysed
MISSED = ("lost_segment", "ack_lost_segment")
COLUMNS = {
    "lost": ("lost_segment",),
    "ACKed unseen": ("ack_lost_segment",),
    "retransmitted": ("retransmission",),
    "out of order": ("out_of_order",),
    "duplicate ACK": ("duplicate_ack",),
    "window update": ("window_update",),
    "zero, full window": ("zero_window", "window_full"),
    "keep-alive, its ACK": ("keep_alive", "keep_alive_ack"),
    "ports reused": ("reused_ports",),
    "malformed": ("malformed",),
}


def main() -> None:
    """Measure what is asked for and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, default=40_000, help="packets of each trace, the first ones")
    parser.add_argument("--epochs", type=int, default=15, help="most passes of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    path = options.output / "results.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    for trace in options.traces:
        measured = measure(trace.resolve(), options.limit, options.epochs, options.seed)
        rows = [row for row in rows if row["trace"] != trace.name] + measured
        rows.sort(key=lambda row: row["trace"])
        path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        (options.output / "README.md").write_text(markdown(rows))
        print(markdown(measured), flush=True)


def measure(path: Path, limit: int, epochs: int, seed: int) -> list[dict[str, Any]]:
    """The four rows of one trace."""
    real = read_trace(path, limit=limit)
    with tempfile.TemporaryDirectory(prefix="netshare-tcp-") as name:
        folder = Path(name)
        captures = {"real": _head(path, limit, folder), "real, rebuilt": folder / "rebuilt.pcap"}
        write_trace(
            repair(real, except_rules=broken_conventions(real), seed=seed)[0], folder / "rebuilt.pcap", snaplen=SNAPLEN
        )
        seconds = {}
        for flow_key in ("bidirectional", "unidirectional"):
            label, started = f"synthetic, {flow_key}", time.process_time()
            captures[label] = _synthetic(path, folder / flow_key, flow_key, limit, epochs, seed)
            seconds[label] = round(time.process_time() - started, 1)
        found = {label: tcp_notes(capture) for label, capture in captures.items()}
    return [
        {
            "trace": path.name,
            "capture": label,
            "limit": limit,
            "epochs": epochs,
            "seed": seed,
            "cpu_seconds": seconds.get(label),
        }
        | figures(notes)
        | provenance()
        for label, notes in found.items()
    ]


def figures(notes: TcpNotes) -> dict[str, Any]:
    """What the table shows of a capture: notes in a thousand TCP packets."""
    return {
        "packets": notes.packets,
        "streams": notes.streams,
        "opened": notes.opened,
        "established": notes.established,
        "per_thousand": {
            column: round(sum(notes.per_thousand(note) for note in summed), 2) for column, summed in COLUMNS.items()
        },
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The page: one table, a row a capture."""
    lines = [
        "# TCP as an analyser sees it",
        "",
        "Notes of tshark's TCP analysis in a thousand TCP packets; `python -m benchmarks.tcp.run TRACE...`. *Rebuilt* are",
        "the real packets with numbers, options and checksums by our postprocessor; *synthetic* comes out of a whole run,",
        "with conversations (`fields.flow_key: bidirectional`) or single directions as flows, after a short training.",
        "*Established* is the share of the streams that begin with a SYN in which SYN, SYN-ACK and ACK are seen.",
        "Packets are cut to 128 bytes, like those of p2, p3 and p4; a few dissectors call a cut message malformed (the tests",
        "ask for none in whole packets). An acknowledgement with nothing left to acknowledge can only be a duplicate, a window",
        "update or a keep-alive: how many there are is up to the model, for it decides the order of packets.",
        "",
        "| trace | capture | packets | established | " + " | ".join(COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 4) + "|",
    ]
    for row in rows:
        share = f"{row['established'] / row['opened']:.2f}" if row["opened"] else "-"
        cells = [row["trace"].split(".")[0], row["capture"], f"{row['packets']:,}", share]
        cells += [f"{row['per_thousand'][column]:.2f}" for column in COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for row in rows:
        if row["capture"] == "real":
            lines.append(
                f"- {row['trace'].split('.')[0]}: the first {row['limit']:,} packets, at most {row['epochs']} passes of "
                f"training; {row['date']}, commit {row['commit']}, {row['processor']}, {row['cores']} shared cores."
            )
    return "\n".join(lines) + "\n"


def _head(path: Path, limit: int, folder: Path) -> Path:
    """The first packets of a capture, as they are."""
    head = folder / "real.pcapng"
    command = ["tshark", "-n", "-r", str(path), "-c", str(limit), "-w", str(head)]
    subprocess.run(command, check=True, capture_output=True)
    return head


def _synthetic(path: Path, folder: Path, flow_key: str, limit: int, epochs: int, seed: int) -> Path:
    config = netshare.load_config(
        {
            "input": {"files": [str(path)], "limit": limit},
            "output": {"formats": ["pcap"]},
            "fields": {"flow_key": flow_key},
            "chunks": {"count": 2},
            "generator": {"kind": "autoregressive", "autoregressive": {"epochs": epochs}},
            "evaluate": {"enabled": False},
            "postprocess": {"snaplen": SNAPLEN},
            "cluster": {"mode": "inline"},
            "seed": seed,
        },
        work_dir=folder,
    )
    netshare.run(config, console=Console(quiet=True))
    return folder / "synthetic" / "synthetic.pcap"


if __name__ == "__main__":
    main()
