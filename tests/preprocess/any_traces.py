"""Traces drawn at random for round trips: every value that the canonical columns of a real trace can have."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from netshare.preprocess.trace import FLOW_COLUMNS, FLOW_OPTIONAL_COLUMNS, PACKET_COLUMNS, Trace, make_trace

_COUNTERS = ("packets", "bytes", "packets_rev", "bytes_rev", "duration")


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Packets or flow records, none to a dozen, IPv4 and IPv6, with and without optional columns and labels."""
    kind = draw(st.sampled_from(["packet", "flow"]))
    rows = draw(st.integers(0, 12))
    types = dict(PACKET_COLUMNS if kind == "packet" else FLOW_COLUMNS)
    if kind == "flow":
        optional = draw(st.sets(st.sampled_from(sorted(FLOW_OPTIONAL_COLUMNS))))
        types |= {name: FLOW_OPTIONAL_COLUMNS[name] for name in FLOW_OPTIONAL_COLUMNS if name in optional}
    columns = {name: draw(hnp.arrays(dtype, rows)) for name, dtype in types.items()}
    columns["ip_version"] = draw(hnp.arrays(np.uint8, rows, elements=st.sampled_from([4, 6])))
    columns["epoch"] = draw(hnp.arrays(np.uint16, rows, elements=st.integers(0, 3)))
    columns["time"] = draw(hnp.arrays(np.int64, rows, elements=st.integers(-(2**62), 2**63 - 1)))
    for name in _COUNTERS:
        if name in columns:
            columns[name] = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 2**63 - 1)))
    four = columns["ip_version"] == 4
    for end in ("src", "dst"):
        columns[f"{end}_hi"][four] = 0
        columns[f"{end}_lo"][four] &= np.uint64(0xFFFFFFFF)
    categories = {}
    for name in ("label", "attack_type"):
        if name in columns:
            categories[name] = tuple(draw(st.lists(st.text(max_size=4), unique=True, max_size=3)))
            codes = st.integers(-1, len(categories[name]) - 1)
            columns[name] = draw(hnp.arrays(np.int32, rows, elements=codes))
    return make_trace(kind, columns, categories=categories)


def assert_same(found: Trace, wanted: Trace) -> None:
    """Same kind, columns in any order, types, values and categories."""
    assert found.kind == wanted.kind and set(found) == set(wanted)
    for name in wanted:
        assert found[name].dtype == wanted[name].dtype, name
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    assert found.categories == wanted.categories
