from pathlib import Path

import pytest

from netshare.preprocess.readers import read_trace
from netshare.preprocess.trace import Trace


@pytest.fixture(scope="session")
def isp_packets(development_traces: Path) -> Trace:
    """p1: 10,000 packets of an ISP."""
    return read_trace(development_traces / "p1_isp-2007.pcap.gz")


@pytest.fixture(scope="session")
def netflow_records(development_traces: Path) -> Trace:
    """n3: NetFlow v9 records of an enterprise's edge."""
    return read_trace(development_traces / "n3_enterprise-v9.csv.gz")


@pytest.fixture(scope="session")
def domain_packets(development_traces: Path) -> Trace:
    """p3: packets of a Windows domain under emulated attack."""
    return read_trace(development_traces / "p3_apt29-ad.pcap.gz")
