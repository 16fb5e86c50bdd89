"""Synthetic network traces that can be shared.

    import netshare

    synthesizer = netshare.Synthesizer().fit("campus.pcap")
    synthesizer.sample(1_000).to_pandas()
    synthesizer.report("held-back.pcap").summary()

`netshare.run` does the same from a config, in a run folder that can be resumed; `netshare.evaluate` compares any traces;
`netshare.read_trace`, `write_trace` and `convert` read and write them without models; `as_trace` makes a trace of whatever
holds one, `to_scapy`, `from_scapy` and their like go between traces and packets of other libraries.

Names are imported when first used, so that light commands and helper processes do not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netshare.config.load import load_config
    from netshare.config.schema import Config
    from netshare.console import Console
    from netshare.evaluation import Report, SeriesReport, evaluate
    from netshare.postprocess import write_trace
    from netshare.postprocess.convert import convert
    from netshare.postprocess.writers.library_packets import to_dpkt, to_scapy
    from netshare.preprocess import Trace, TraceLike, as_trace, read_trace
    from netshare.preprocess.errors import NetshareError
    from netshare.preprocess.readers.library_packets import from_dpkt, from_scapy
    from netshare.preprocess.timeseries import TimeSeries, read_series
    from netshare.runs.pipeline import RunResult, generate, run
    from netshare.runs.release import release
    from netshare.runs.retraining import retrain_metadata
    from netshare.sample_files import sample_path
    from netshare.synthesizer import Synthesizer

_HOMES = {
    "Config": "netshare.config.schema",
    "Console": "netshare.console",
    "NetshareError": "netshare.preprocess.errors",
    "Report": "netshare.evaluation",
    "RunResult": "netshare.runs.pipeline",
    "SeriesReport": "netshare.evaluation",
    "Synthesizer": "netshare.synthesizer",
    "TimeSeries": "netshare.preprocess.timeseries",
    "Trace": "netshare.preprocess",
    "TraceLike": "netshare.preprocess",
    "as_trace": "netshare.preprocess",
    "convert": "netshare.postprocess.convert",
    "evaluate": "netshare.evaluation",
    "from_dpkt": "netshare.preprocess.readers.library_packets",
    "from_scapy": "netshare.preprocess.readers.library_packets",
    "generate": "netshare.runs.pipeline",
    "load_config": "netshare.config.load",
    "read_series": "netshare.preprocess.timeseries",
    "read_trace": "netshare.preprocess",
    "release": "netshare.runs.release",
    "retrain_metadata": "netshare.runs.retraining",
    "run": "netshare.runs.pipeline",
    "sample_path": "netshare.sample_files",
    "to_dpkt": "netshare.postprocess.writers.library_packets",
    "to_scapy": "netshare.postprocess.writers.library_packets",
    "write_trace": "netshare.postprocess",
}

__all__ = [
    "Config",
    "Console",
    "NetshareError",
    "Report",
    "RunResult",
    "SeriesReport",
    "Synthesizer",
    "TimeSeries",
    "Trace",
    "TraceLike",
    "__version__",
    "as_trace",
    "convert",
    "evaluate",
    "from_dpkt",
    "from_scapy",
    "generate",
    "load_config",
    "read_series",
    "read_trace",
    "release",
    "retrain_metadata",
    "run",
    "sample_path",
    "to_dpkt",
    "to_scapy",
    "write_trace",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("netshare.version").version()
    if name not in _HOMES:
        raise AttributeError(f"module 'netshare' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
