"""Everything that a trace can be made of, through the one door."""

import doctest
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from netshare.preprocess import as_trace, read_trace
from netshare.preprocess.errors import InputError
from tests.preprocess.any_traces import assert_same


def test_every_form_gives_the_same_trace(sample_capture):
    trace = as_trace(sample_capture, limit=200)
    assert as_trace(trace) is trace
    backwards = trace.take(np.arange(200)[::-1])
    forms = (
        str(sample_capture),
        [sample_capture],
        trace,
        trace.to_pandas(),
        trace.to_arrow(),
        trace.to_arrow(texts=True),
    )
    for form in forms:
        assert_same(as_trace(form, limit=200), trace)
    for form in (backwards, backwards.to_pandas(), backwards.to_arrow()):
        assert bool((np.diff(as_trace(form)["time"]) >= 0).all())
        first = read_trace(form, limit=10)
        assert set(first["time"].tolist()) <= set(backwards["time"][:10].tolist()) and len(first) == 10
        assert first.sources[0].records == 10


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (pd.DataFrame({"time": [], "src_ip": [], "dst_ip": [], "protocol": [], "length": []}), {}, "holds no records"),
        (pd.DataFrame({"a": [1]}), {}, "DataFrame: neither packets .* nor flow records"),
        (pd.DataFrame({"a": [1]}), {"decapsulate": True}, "need the bytes of a capture"),
        (pd.DataFrame({"a": [1]}), {"limit": 0}, "limit is 0"),
        (5, {}, "cannot read a int"),
        ([pd.DataFrame()], {}, "cannot read a list with a DataFrame in it"),
    ],
)
def test_what_is_no_trace_is_one_line(data, options, expected):
    with pytest.raises(InputError, match=expected):
        as_trace(data, **options)


def test_a_trace_takes_no_mapping(sample_netflow):
    with pytest.raises(InputError, match="a Trace has the canonical columns already"):
        as_trace(as_trace(sample_netflow, limit=5), columns={"time": "ts"})


@pytest.mark.parametrize(
    "module",
    [
        "netshare.preprocess.data",
        "netshare.preprocess.trace",
        "netshare.preprocess.readers.library_packets",
        "netshare.postprocess.writers.library_packets",
    ],
)
def test_the_examples_of_docstrings_run(module):
    found = doctest.testmod(import_module(module))
    assert found.attempted and not found.failed
