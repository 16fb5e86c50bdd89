"""Synthetic network traces that can be shared.

    import netshare

    config = netshare.load_config({"input": "trace.pcap"})
    result = netshare.run(config)
    result.outputs, result.report

`netshare.evaluate` compares any traces; `netshare.generate` makes more data from a finished run. Reading and writing
traces, without models, is `preprocess.read_trace` and `postprocess.write_trace`.

Names are imported when first used, so that light commands and helper processes do not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netshare.config import Config, load_config
    from netshare.evaluation import evaluate
    from netshare.pipeline import generate, run
    from netshare.retraining import retrain_metadata
    from netshare.stages import RunResult
    from preprocess.errors import NetshareError

__all__ = ["Config", "NetshareError", "RunResult", "evaluate", "generate", "load_config", "retrain_metadata", "run"]

_HOMES = {
    "Config": "netshare.config",
    "NetshareError": "preprocess.errors",
    "RunResult": "netshare.stages",
    "evaluate": "netshare.evaluation.evaluate",
    "generate": "netshare.pipeline",
    "load_config": "netshare.config",
    "retrain_metadata": "netshare.retraining",
    "run": "netshare.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'netshare' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
