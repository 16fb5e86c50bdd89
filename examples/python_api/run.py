"""The Python interface in one page: learn the sample capture, look at the result, write a part of it.

    python examples/python_api/run.py

The run folder is `runs/example-python`; started again, the script goes on from what is there. `preprocess` and
`postprocess` read and write traces, without models or config; `netshare` does everything between.
"""

from pathlib import Path

import numpy as np

import netshare
from netshare.postprocess import write_trace
from netshare.preprocess import read_trace

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "examples" / "sample" / "sample.pcap.gz"
WEB_PORTS = (80, 443)


def main() -> None:
    """Read, train, generate, compare, write."""
    real = read_trace(SAMPLE)
    print(f"real: {len(real)} packets, mean length {real['length'].mean():.0f} bytes, left out {real.skipped}")

    config = netshare.load_config(
        {
            "input": str(SAMPLE),
            "output": {"folder": str(REPOSITORY / "runs" / "example-python"), "formats": ["pcap"]},
            "preset": "pcap",
            "chunks": {"count": 1},
            "training": {"steps": 300},
            "evaluate": {"enabled": False},
            "seed": 1,
        }
    )
    result = netshare.run(config)

    synthetic = read_trace(next(path for path in result.outputs if path.suffix == ".pcap"))
    print(f"synthetic: {len(synthetic)} packets, mean length {synthetic['length'].mean():.0f} bytes")

    report = netshare.evaluate(real, synthetic)
    print(report.summary())

    web = synthetic.take(np.isin(synthetic["dst_port"], WEB_PORTS) | np.isin(synthetic["src_port"], WEB_PORTS))
    target = result.folder / "synthetic-web.pcap"
    write_trace(web, target)
    print(f"{len(web)} web packets written to {target}")


if __name__ == "__main__":
    main()
