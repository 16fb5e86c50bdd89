"""What `import netshare` offers."""

import subprocess
import sys
from collections.abc import Iterable

import pytest

import netshare
import netshare.runs.pipeline
from netshare.preprocess import Trace


def test_every_public_name_is_there_and_listed():
    assert dir(netshare) == sorted(set(netshare.__all__))
    for name in netshare.__all__:
        assert getattr(netshare, name) is not None
    assert {"Synthesizer", "as_trace", "from_scapy", "read_trace", "to_dpkt"} <= set(netshare.__all__)


def test_a_star_import_brings_all_of_them():
    found: dict[str, object] = {}
    exec("from netshare import *", found)
    assert set(netshare.__all__) <= set(found)


def test_no_module_hides_a_function_of_its_name():
    functions = [name for name in netshare.__all__ if name.islower() and not name.startswith("__")]
    assert netshare.run is netshare.runs.pipeline.run
    assert all(callable(getattr(netshare, name)) for name in functions)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'netshare' has no attribute 'synthesise'"):
        _ = netshare.synthesise


def test_packets_of_other_libraries_go_both_ways(sample_capture):
    trace = netshare.read_trace(sample_capture, limit=50)

    def same(found: Trace) -> bool:
        return all((found[name] == trace[name]).all() for name in ("time", "src_lo", "dst_port", "length"))

    scapy: Iterable = netshare.to_scapy(trace)
    assert same(netshare.from_scapy(scapy))
    assert same(netshare.from_dpkt(netshare.to_dpkt(trace)))


def test_importing_netshare_loads_nothing_heavy():
    script = "import sys, netshare; assert not {'torch', 'pandas', 'scapy', 'ray'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
