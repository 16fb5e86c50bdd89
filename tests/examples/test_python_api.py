"""The page of the Python interface runs, and leaves behind what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netshare.preprocess import read_trace

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_it_runs_to_its_end(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(REPOSITORY / "examples" / "python_api" / "run.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "packets are of port 443" in done.stdout
    assert "500 more flows" in done.stdout
    assert len(read_trace(tmp_path / "synthetic.pcap")) > 100
    assert len(read_trace(tmp_path / "more.csv")) >= 500
    assert (tmp_path / "run" / "report" / "report.html").exists()
