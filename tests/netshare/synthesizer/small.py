"""A small synthesizer, and the damage that can be done to its folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from netshare import Synthesizer
from netshare.preprocess.stored import file_digest
from netshare.preprocess.trace import Trace, make_trace

SETTINGS: dict[str, Any] = {
    "training": {"steps": 2, "finetune_steps": 2},
    "chunks": {"count": 2},
    "cluster": {"mode": "inline"},
    "generate": {"threads": 1},
}
SMALL_NETS = dict.fromkeys(
    ("metadata_state", "metadata_hidden", "record_state", "record_hidden", "condition", "continuous_bins"), 8
)


def small_trace(flows: int = 60, seed: int = 0) -> Trace:
    """Packets of some flows between ten hosts and five servers, over ten seconds."""
    random = np.random.default_rng(seed)
    flow = np.sort(random.integers(0, flows, 5 * flows))
    client, server = random.integers(1, 11, flows), random.integers(1, 6, flows)
    columns = {
        "time": 10**18 + np.sort(random.integers(0, 10_000_000, len(flow))) * 1_000,
        "ip_version": np.full(len(flow), 4),
        "src_lo": (10 << 24) + client[flow],
        "dst_lo": (192 << 24) + (168 << 16) + server[flow],
        "src_port": random.integers(32_768, 60_000, flows)[flow],
        "dst_port": np.array([53, 80, 443])[server % 3][flow],
        "protocol": np.array([17, 6, 6])[server % 3][flow],
        "length": random.integers(60, 1500, len(flow)),
        "ttl": np.full(len(flow), 64),
        "tcp_header_length": np.where(np.array([17, 6, 6])[server % 3][flow] == 6, 20, 0),
        "tcp_flags": np.where(np.array([17, 6, 6])[server % 3][flow] == 6, 16, 0),
    }
    return make_trace("packet", {name: np.asarray(values) for name, values in columns.items()}).sorted_by_time()


def fitted(generator: str = "autoregressive", **settings: Any) -> Synthesizer:
    """A synthesizer of `small_trace`, hardly trained."""
    nets = {"generator": {"autoregressive": SMALL_NETS}} if generator == "autoregressive" else {}
    return Synthesizer(generator=generator, settings={**SETTINGS, **nets, **settings}).fit(small_trace())


def reseal(folder: Path) -> None:
    """Make the digests those of the files that are there, as somebody does who has changed them on purpose."""
    path = folder / "synthesizer.json"
    try:
        description = json.loads(path.read_text())
    except ValueError:
        return
    files = [each for part in ("chunks", "models") for each in (folder / part).rglob("*") if each.is_file()]
    description["sha256"] = {str(each.relative_to(folder)): file_digest(each) for each in files}
    path.write_text(json.dumps(description))


def copy_of(folder: Path, place: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(folder, place)
    return place


def edit(name: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Damage: `change` applied to the content of a JSON file; what it returns, where that is not None, is the content."""

    def damage(folder: Path) -> None:
        path = folder / name
        value = json.loads(path.read_text())
        found = change(value)
        path.write_text(json.dumps(value if found is None else found))

    return damage


def write(name: str, content: bytes) -> Callable[[Path], None]:
    """Damage: a file with other content."""
    return lambda folder: (folder / name).write_bytes(content) and None
