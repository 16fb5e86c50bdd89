from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netshare.preprocess.tally import Tally


@given(st.lists(st.lists(st.integers(0, 20), max_size=30), max_size=8))
def test_keys_are_counted_over_all_parts_and_keep_what_came_first(parts):
    tally, expected, first = Tally(keep=["at"]), Counter(), {}
    for number, part in enumerate(parts):
        tally.add(np.array(part, np.uint64), {"at": np.arange(len(part)) + 100 * number})
        expected.update(part)
        for place, key in enumerate(part):
            first.setdefault(key, 100 * number + place)
    keys, counts = tally.sorted()
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == expected
    assert keys.tolist() == sorted(expected)
    top, of_top, kept = tally.most_frequent(3)
    assert of_top.tolist() == sorted(expected.values(), reverse=True)[:3]
    assert [first[key] for key in top.tolist()] == (kept["at"].tolist() if len(top) else [])


def test_many_distinct_keys_are_merged_on_the_way():
    tally = Tally()
    for begin in range(0, 300_000, 50_000):
        tally.add(np.arange(begin, begin + 100_000, dtype=np.uint64))
    assert tally.counts().sum() == 600_000
    assert len(tally.counts()) == 350_000
