"""What a unit contributes is bounded, and does not depend on any other unit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.preprocess.chunks import ChunkPlan, cut_series
from netshare.preprocess.flows import group_flows
from netshare.preprocess.trace import make_trace
from netshare.privacy.units import UnitBounds, bounded, inside, units_of

HOSTS = ["10.0.0.0/28"]
PLAN = ChunkPlan(0, 100, 4)


def bounds(hosts):
    return UnitBounds("unidirectional", 3, hosts=hosts, max_flows=2, max_chunks=2)


def trace_of(rows):
    """Rows (time, source, destination, port): hosts below 16 are protected."""
    time, source, destination, port = (np.array(column) for column in zip(*rows, strict=True))
    order = np.argsort(time, kind="stable")
    ones = np.ones(len(rows), np.int64)
    columns = {
        "time": time, "ip_version": 4 * ones, "src_lo": source + 0x0A000000, "dst_lo": destination + 0x0A000000,
        "src_port": port, "dst_port": 80 * ones, "protocol": 6 * ones, "packets": ones, "bytes": 100 * ones,
    }  # fmt: skip
    return make_trace("flow", {name: values[order] for name, values in columns.items()})


def rows_of(trace, unit):
    keep = unit(trace)
    return {tuple(row) for row in np.stack([trace[n][keep].astype(np.int64) for n in NAMES], 1).tolist()}


NAMES = ("time", "src_lo", "dst_lo", "src_port")
traces = st.lists(
    st.tuples(st.integers(-20, 450), st.integers(0, 40), st.integers(0, 40), st.integers(1, 3)),
    min_size=3,
    max_size=60,
    unique=True,
).map(trace_of)


@settings(max_examples=150, deadline=None)
@given(traces, st.data(), st.booleans())
def test_taking_a_unit_away_changes_nothing_else(trace, data, by_host):
    hosts = HOSTS if by_host else []
    chosen = data.draw(st.integers(0, len(trace) - 1))
    if by_host:
        address = 0x0A000000 + chosen % 16  # a protected host: others are no units

        def others(t):
            return (t["src_lo"] != address) & (t["dst_lo"] != address)
    else:

        def others(t):
            return np.logical_or.reduce([t[n] != trace[n][chosen] for n in ("src_lo", "dst_lo", "src_port")])

    whole = bounded(trace, PLAN, bounds(hosts))
    less = bounded(trace.take(others(trace)), PLAN, bounds(hosts))
    assert rows_of(whole, others) == rows_of(less, lambda t: np.ones(len(t), bool))


@settings(max_examples=100, deadline=None)
@given(traces, st.booleans())
def test_a_unit_contributes_no_more_than_declared(trace, by_host):
    hosts = HOSTS if by_host else []
    kept = bounded(trace, PLAN, bounds(hosts))
    if not len(kept):
        return
    assert kept["time"].min() >= 0 and kept["time"].max() < 400
    tables = cut_series(kept, group_flows(kept), PLAN, max_records_per_segment=3)
    chunks: dict[int, int] = {}
    for table in tables.values():
        units = units_of(table, hosts)
        assert table.lengths.max() <= 3 and not table.metadata["continued"].any()
        if by_host:
            source = inside(table.metadata, "src", hosts)
            assert (source ^ inside(table.metadata, "dst", hosts)).all()
            host = np.where(source, table.metadata["src_lo"], table.metadata["dst_lo"])
            assert len(np.unique(host)) == len(np.unique(units)) == len(np.unique(np.stack([host, units]), axis=1).T)
            assert np.bincount(units).max() <= 2
            for address in np.unique(host):
                chunks[int(address)] = chunks.get(int(address), 0) + 1
        else:
            assert len(np.unique(units)) == len(table)
    assert max(chunks.values(), default=0) <= 2


def test_prefixes_of_both_versions():
    columns = {
        "ip_version": np.array([4, 4, 6, 6]),
        "src_hi": np.array([0, 0, 0x20010DB800000000, 0x20010DB900000000], np.uint64),
        "src_lo": np.array([0x0A000001, 0x0B000001, 1, 0x0A000001], np.uint64),
    }
    assert inside(columns, "src", ["10.0.0.0/8", "2001:db8::/32"]).tolist() == [True, False, True, False]


@pytest.mark.parametrize("rows", [[(-5, 1, 20, 1)], [(500, 1, 20, 1)], [(5, 1, 2, 1)], [(5, 30, 20, 1)]])
def test_what_belongs_to_no_unit_or_to_two_is_left_out(rows):
    assert len(bounded(trace_of(rows), PLAN, bounds(HOSTS))) == 0
