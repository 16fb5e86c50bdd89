"""What tshark's TCP analysis notes in a capture."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

NOTES = (
    *("lost_segment", "ack_lost_segment", "retransmission", "out_of_order", "duplicate_ack", "reused_ports"),
    *("zero_window", "window_full", "window_update", "keep_alive", "keep_alive_ack"),
)
_HANDSHAKE = 7  # tcp.completeness: SYN 1, SYN-ACK 2, ACK 4


@dataclass(frozen=True)
class TcpNotes:
    """Counts of one capture.

    Attributes:
        packets: TCP packets.
        counts: packets with each note of `NOTES` (without `tcp.analysis.`), and those that are malformed.
        streams: TCP streams, as tshark tells them apart.
        opened: streams that begin with a SYN.
        established: those of them with SYN, SYN-ACK and ACK.
    """

    packets: int
    counts: dict[str, int]
    streams: int
    opened: int
    established: int

    def per_thousand(self, note: str) -> float:
        """Packets with this note in a thousand."""
        return 1000 * self.counts.get(note, 0) / self.packets if self.packets else 0.0


def tcp_notes(capture: Path, *, packets: int | None = None) -> TcpNotes:
    """Let tshark read a capture, or its first `packets`.

    Raises:
        FileNotFoundError: tshark is not installed.
        subprocess.CalledProcessError: tshark cannot read the capture.
    """
    fields = [f"tcp.analysis.{note}" for note in NOTES] + ["_ws.malformed", "tcp.stream", "tcp.completeness"]
    command = ["tshark", "-n", "-2", "-r", str(capture), "-Y", "tcp", "-T", "fields", "-E", "occurrence=f"]
    command += [word for field in fields for word in ("-e", field)]
    command += ["-c", str(packets)] if packets else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    counts: Counter[str] = Counter()
    completeness: dict[str, int] = {}
    lines = done.stdout.splitlines()
    for line in lines:
        *notes, stream, complete = line.split("\t")
        counts.update(name for name, found in zip((*NOTES, "malformed"), notes, strict=True) if found)
        completeness[stream] = max(completeness.get(stream, 0), int(complete or 0))
    opened = [bits for bits in completeness.values() if bits & 1]
    established = sum(bits & _HANDSHAKE == _HANDSHAKE for bits in opened)
    return TcpNotes(len(lines), dict(counts), len(completeness), len(opened), established)
