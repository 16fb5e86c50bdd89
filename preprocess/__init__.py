"""From trace files to what a model learns from: reading, merging, flows, chunks, encoding.

from netshare.preprocess import read_trace, describe_trace
trace = read_trace("campus.pcap.gz")
describe_trace(trace)["flows"]
"""

from netshare.preprocess.data import as_trace
from netshare.preprocess.inspect import describe_files, describe_trace
from netshare.preprocess.merge import merge_traces
from netshare.preprocess.readers import read_trace
from netshare.preprocess.readers.in_memory import TraceLike
from netshare.preprocess.trace import Trace, make_trace

__all__ = [
    "Trace",
    "TraceLike",
    "as_trace",
    "describe_files",
    "describe_trace",
    "make_trace",
    "merge_traces",
    "read_trace",
]
