"""The Python interface in one page: a synthesizer in memory, then the same as a run in a folder that can be resumed.

    python examples/python_api/run.py [FOLDER]

What is written goes into FOLDER, by default `runs/example-python` at the top of the checkout.
"""

import sys
from pathlib import Path

import netshare
from netshare.evaluation import split_by_flow

SETTINGS = {"training": {"steps": 40, "finetune_steps": 20}}  # a quick look; leave it out to train to the end


def in_memory(folder: Path) -> None:
    """Learn half of the flows of the sample, make as many again, compare with the other half, write a capture."""
    packets = netshare.read_trace(netshare.sample_path("pcap"), limit=3_000)
    train, held_back = split_by_flow(packets, 0.5, seed=1)
    synthesizer = netshare.Synthesizer(seed=1, settings=SETTINGS).fit(train)
    synthetic = synthesizer.sample(seed=1)
    report = netshare.evaluate(train, synthetic, held_back)
    print(report.summary())
    netshare.write_trace(synthetic, folder / "synthetic.pcap")
    web = synthetic.take((synthetic["dst_port"] == 443) | (synthetic["src_port"] == 443))
    print(f"{len(web)} of {len(synthetic)} packets are of port 443")


def in_a_folder(folder: Path) -> None:
    """The same by a config: every step is kept in the folder, and started again it goes on from what is there."""
    data = {"files": [str(netshare.sample_path("netflow"))], "limit": 2_000}
    result = netshare.run({"input": data, "seed": 1, **SETTINGS}, work_dir=folder / "run")
    print("written:", *result.outputs, result.report)
    report = netshare.generate(folder / "run", folder / "more.csv", flows=500, seed=2, force=True)
    print(f"{report.flows} more flows in {folder / 'more.csv'}")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "runs" / "example-python")
    target.mkdir(parents=True, exist_ok=True)
    in_memory(target)
    in_a_folder(target)
