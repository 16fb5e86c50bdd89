"""Synthetic network traces that can be shared.

    import netshare

    config = netshare.load_config({"input": "trace.pcap"})
    result = netshare.run(config)
    result.outputs, result.report

`netshare.evaluate` compares any traces; `netshare.generate` makes more data from a finished run. Reading and writing
traces, without models, is `preprocess.read_trace` and `postprocess.write_trace`.
"""

from netshare.config import Config, load_config
from netshare.evaluation import evaluate
from netshare.pipeline import RunResult, generate, run
from preprocess.errors import NetshareError

__all__ = ["Config", "NetshareError", "RunResult", "evaluate", "generate", "load_config", "run"]
