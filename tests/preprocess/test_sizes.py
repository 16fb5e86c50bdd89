import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netshare.preprocess.fields.sizes import to_byte_counts, to_mean_sizes

records = st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 65_535)), min_size=1, max_size=30)


@given(records)
def test_byte_counters_come_back_within_a_32nd_of_a_byte_a_packet(rows):
    packets, mean = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    counts = {"packets": packets, "bytes": packets * mean + packets // 3}
    back = to_byte_counts(to_mean_sizes(counts))["bytes"]
    error = np.abs(back - counts["bytes"])
    assert np.all(error <= packets / 32 + 0.5)
    assert not error[packets < 16].any()


def test_packet_series_pass_unchanged():
    lengths = {"length": np.array([40, 1500])}
    assert to_mean_sizes(lengths) == lengths == to_byte_counts(lengths)
