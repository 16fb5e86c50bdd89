import numpy as np

from netshare.preprocess.hashing import (
    conversation_hashes,
    destination_hashes,
    five_tuple_hashes,
    hash_columns,
    mix64,
    source_hashes,
)
from netshare.preprocess.trace import make_trace


def test_hashes_never_change():
    """Splits of real data depend on them: a model would be judged on what it has learnt from."""
    assert mix64(np.array([0, 1], np.uint64)).tolist() == [0, 6238072747940578789]
    assert hash_columns([np.array([1, 2]), np.array([3, 3], np.uint8)]).tolist() == [
        14014782466290744262,
        13581087368140816045,
    ]


def test_the_order_of_columns_counts():
    one, two = np.arange(100), np.arange(100)[::-1]
    assert (hash_columns([one, two]) != hash_columns([two, one])).all()


def test_a_number_has_one_hash_in_every_integer_type():
    assert len({hash_columns([np.array([7], dtype)])[0] for dtype in (np.uint8, np.int32, np.int64, np.uint64)}) == 1
    assert hash_columns([np.array([0.25])]) != hash_columns([np.array([0.5])])


def test_both_directions_of_a_conversation_have_one_hash_and_two_five_tuples():
    trace = make_trace(
        "packet",
        {
            "time": np.arange(3),
            "ip_version": np.full(3, 4),
            "src_lo": [1, 2, 1],
            "dst_lo": [2, 1, 2],
            "src_port": [80, 443, 443],
            "dst_port": [443, 80, 80],
            "protocol": np.full(3, 6),
        },
    )
    there, back, other = conversation_hashes(trace)
    assert there == back != other
    assert len(set(five_tuple_hashes(trace))) == 3
    assert source_hashes(trace)[0] == destination_hashes(trace)[1] != source_hashes(trace)[1]


def test_each_part_of_the_five_tuple_makes_another_flow() -> None:
    names = ("src_lo", "src_hi", "dst_lo", "dst_hi", "src_port", "dst_port", "protocol", "ip_version")
    columns = {name: np.zeros(len(names) + 1, np.int64) for name in names}
    for row, name in enumerate(names):
        columns[name][row] = 1
    trace = make_trace("packet", {"time": np.arange(len(names) + 1), **columns})
    assert len(np.unique(five_tuple_hashes(trace))) == len(names) + 1
