"""The sample that ships: one capture and the NetFlow records of the same traffic, made for this project."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from netshare.preprocess.errors import ConfigError

SAMPLES = {"pcap": "sample.pcap.gz", "netflow": "sample-netflow.csv.gz"}


def sample_path(kind: Literal["pcap", "netflow"] = "pcap") -> Path:
    """Where the sample lies.

    Raises:
        ConfigError: there is no such sample, or this installation lacks it.
    """
    path = Path(str(resources.files("netshare"))) / "sample" / SAMPLES.get(kind, kind)
    if kind not in SAMPLES or not path.is_file():
        raise ConfigError(f"sample {kind}: not in this installation; there are {' and '.join(SAMPLES)}")
    return path
