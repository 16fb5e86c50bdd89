"""Synthetic network traces that can be shared.

    import netshare

    config = netshare.load_config({"input": "trace.pcap"})
    result = netshare.run(config)
    result.outputs, result.report

`netshare.evaluate` compares any traces; `netshare.generate` makes more data from a finished run. Reading and writing
traces, without models, is `netshare.preprocess.read_trace` and `netshare.postprocess.write_trace`.

Names are imported when first used, so that light commands and helper processes do not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netshare.config.load import load_config
    from netshare.config.schema import Config
    from netshare.evaluation import evaluate
    from netshare.preprocess.errors import NetshareError
    from netshare.recipe.reweighting import retrain_metadata
    from netshare.run.pipeline import generate, run
    from netshare.run.stages import RunResult

__all__ = ["Config", "NetshareError", "RunResult", "evaluate", "generate", "load_config", "retrain_metadata", "run"]

_HOMES = {
    "Config": "netshare.config.schema",
    "NetshareError": "netshare.preprocess.errors",
    "RunResult": "netshare.run.stages",
    "evaluate": "netshare.evaluation.evaluate",
    "generate": "netshare.run.pipeline",
    "load_config": "netshare.config.load",
    "retrain_metadata": "netshare.recipe.reweighting",
    "run": "netshare.run.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'netshare' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
