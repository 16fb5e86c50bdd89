import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields import (
    Address,
    Constant,
    Digits,
    Exact,
    Numeric,
    NumericTokens,
    PortTokens,
    Tags,
    field_from_json,
    fit_field,
)

RNG = np.random.default_rng(0)
ports = st.lists(st.integers(0, 65535), min_size=1, max_size=60).map(lambda values: np.array(values, np.uint16))
halves = st.integers(0, 2**64 - 1)
counters = st.lists(st.integers(0, 2**40) | st.sampled_from([0, 1, 40, 1500]), min_size=1, max_size=80).map(
    lambda values: np.array(values, np.int64)
)


def back(field, values):
    encoded = field.encode(values)
    assert encoded.dtype == np.float32 and encoded.shape == (len(values), len(field.columns()))
    for index, column in enumerate(field.columns()):
        top = column.cardinality - 1 if column.cardinality else 1
        assert encoded[:, index].min() >= 0 and encoded[:, index].max() <= top
    again = field_from_json(json.loads(json.dumps(field.to_json())))
    assert again == field
    return again.decode(encoded, np.random.default_rng(0))


def test_an_address_in_bytes_and_bits_is_written_as_people_write_it():
    values = np.array([[0, (192 << 24) + (0 << 16) + (2 << 8) + 130]], np.uint64)
    assert Address(name="src_ip", versions=(4,), width=8).encode(values).tolist() == [[192, 0, 2, 130]]
    bits = Address(name="src_ip", versions=(4,)).encode(values)[0]
    assert "".join(str(int(bit)) for bit in bits) == "11000000000000000000001010000010"


@pytest.mark.parametrize("width", (1, 8))
@given(st.lists(st.tuples(halves, halves), min_size=1, max_size=20))
@settings(deadline=None)
def test_every_ipv6_address_comes_back(width, pairs):
    values = np.array(pairs, np.uint64)
    assert np.array_equal(back(Address(name="dst_ip", versions=(6,), width=width), values), values)


def test_in_a_mixed_trace_the_upper_96_bits_are_gated_on_version_6():
    for width, gated in ((1, 96), (8, 12)):
        columns = Address(name="src_ip", width=width).columns()
        assert [column.gate for column in columns] == ["ip_version"] * gated + [None] * (len(columns) - gated)


def test_an_ipv6_address_in_an_ipv4_field_is_refused():
    with pytest.raises(FieldError, match="src_ip"):
        Address(name="src_ip", versions=(4,)).encode(np.array([[1, 5]], np.uint64))


@pytest.mark.parametrize("encoding", ("bits", "bytes", "tokens"))
@given(seen=ports, values=ports)
@settings(deadline=None)
def test_every_port_comes_back_seen_or_not(encoding, seen, values):
    assert np.array_equal(back(fit_field("dst_port", seen, encoding), values), values)


@given(ports)
@settings(deadline=None, max_examples=20)
def test_ip2vec_ports_come_back(values):
    field = fit_field("src_port", values, "ip2vec")
    assert np.array_equal(back(field, values), values)
    assert field.bounds == "public"


def test_frequent_ports_have_tokens_and_the_others_are_spelt():
    field = PortTokens.fit("dst_port", np.array([443] * 5 + [53] * 3 + [40000, 40000]))
    assert field.ports == (53, 443)
    assert field.encode(np.array([53, 443, 40000])).tolist() == [[0, 0, 0], [1, 0, 0], [2, 156, 64]]


def test_other_ports_of_a_onehot_decode_to_user_or_dynamic_ports_that_are_not_listed():
    field = fit_field("dst_port", np.array([443] * 5 + [53] * 3), {"encoding": "onehot", "cap": 1})
    assert field.values == (443,)
    drawn = field.decode(np.ones((2000, 1), np.float32), np.random.default_rng(0))
    assert drawn.min() >= 1024 and len(np.unique(drawn)) > 1000


def test_exact_has_no_other_category_unless_values_are_left_out():
    values = np.repeat(np.arange(20), np.arange(1, 21))
    assert Exact.fit("ttl", values, other=(0, 255)).cardinality == 20
    capped = Exact.fit("ttl", values, other=(0, 255), cap=5)
    assert capped.values == (15, 16, 17, 18, 19) and capped.cardinality == 6
    with pytest.raises(FieldError, match="ttl: 77"):
        Exact.fit("ttl", values, other=(0, 255)).encode(np.array([77]))


def test_labels_keep_unset_as_a_category_of_its_own():
    values = np.array([-1, 0, 2], np.int32)
    field = fit_field("label", values, "onehot", labels=4)
    assert field.cardinality == 5 and np.array_equal(back(field, values), values)


@given(counters)
@settings(deadline=None)
def test_constants_come_back_without_columns(values):
    field = Constant.fit("vlan", np.full_like(values, values[0]))
    assert field is not None and field.columns() == ()
    assert np.array_equal(back(field, np.full_like(values, values[0])), np.full_like(values, values[0]))
    assert Constant.fit("vlan", np.append(values, values[0] + 1)) is None


def test_a_constant_ipv6_address_keeps_all_its_bits():
    values = np.full((3, 2), 2**64 - 1, np.uint64)
    values[:, 1] = 5
    field = Constant.fit("src_ip", values)
    assert field is not None and back(field, values).tolist() == [[2**64 - 1, 5]] * 3


@given(st.integers(1, 2**33), st.sampled_from([1, 8]), st.data())
def test_digits_hold_everything_up_to_the_maximum_and_decode_nothing_above(maximum, width, data):
    field = Digits(name="n", maximum=maximum, width=width)
    values = np.array(data.draw(st.lists(st.integers(0, maximum), min_size=1)))
    assert np.array_equal(back(field, values), values)
    highest = np.full((1, len(field.columns())), 2**width - 1, np.float32)
    assert field.decode(highest, RNG)[0] == maximum


def test_tags_are_a_bit_each():
    values = np.array([[1, 0, 1], [0, 0, 0]], np.uint8)
    assert np.array_equal(back(Tags(name="chunk_tags", count=3), values), values)


@pytest.mark.parametrize("scale", ("linear", "log1p", "quantile"))
@pytest.mark.parametrize("atoms", (True, False))
@given(values=counters)
@settings(deadline=None)
def test_numbers_come_back_within_the_resolution_of_float32(scale, atoms, values):
    decoded = back(Numeric.fit("bytes", values, scale=scale, atoms=atoms), values)
    assert decoded.min() >= values.min() and decoded.max() <= values.max()
    if scale == "log1p":
        assert np.allclose(decoded, values, rtol=1e-5, atol=0.6)
    if scale == "linear":
        assert np.abs(decoded - values).max() <= np.ptp(values) * 2**-23 + 1


def test_atoms_are_the_heavy_values_and_zero():
    values = np.concatenate([np.full(50, 1500), np.full(30, 40), [0], np.arange(100, 219)])
    field = Numeric.fit("length", values)
    assert field.atoms == (0, 40, 1500) and (field.minimum, field.maximum) == (100, 218)
    assert [column.cardinality for column in field.columns()] == [4, 0]
    assert field.columns()[1].gate_values == (3,)
    encoded = field.encode(np.array([0, 40, 1500, 100, 218]))
    assert encoded.tolist() == [[0, 0], [1, 0], [2, 0], [3, 0], [3, 1]]


def test_where_all_values_are_atoms_there_is_no_continuous_column():
    field = Numeric.fit("length", np.array([40, 52, 1500] * 9))
    assert [column.kind for column in field.columns()] == ["categorical"]
    assert field.columns()[0].cardinality == 3


def test_floats_stay_floats():
    values = np.array([-1.5, 0.0, 2.25, 1e3])
    decoded = back(Numeric.fit("rtt", values, scale="linear", atoms=False), values)
    assert decoded.dtype == np.float64 and np.allclose(decoded, values, atol=1e-3)


@given(values=counters)
@settings(deadline=None)
def test_tokens_bring_numbers_back_within_their_bin(values):
    field = NumericTokens.fit("bytes", values)
    decoded = back(field, values)
    assert np.allclose(decoded, values, rtol=1e-6, atol=0)
    small = values < 2**20
    assert np.array_equal(decoded[small], values[small])


def test_a_bin_decodes_to_all_its_integers_and_no_other():
    field = NumericTokens(name="n", spikes=(0,), edges=(10, 20, 1000))
    for token, (low, high) in ((1, (10, 20)), (2, (20, 1000))):
        residual = np.linspace(0, 1, 200_001, dtype=np.float32)
        encoded = np.stack([np.full_like(residual, token), residual], axis=1)
        assert np.array_equal(np.unique(field.decode(encoded, RNG)), np.arange(low, high))


def test_bins_reach_the_largest_number_where_floats_miss_it():
    values = np.array([1_472_667_000, 3 * 10**12, 24_641_929_179_875_000, 24_641_929_179_875_001])
    fitted = NumericTokens.fit("span", values)
    assert fitted.edges[0] == values[0] and fitted.edges[-1] == values[-1] + 1
    fitted.encode(values)


def test_narrow_bins_of_huge_numbers_have_finite_residuals():
    start = 1_500_000_000_000_000_000  # nanoseconds; neighbours here have one logarithm in float64
    values = start + np.arange(0, 1000)
    field = NumericTokens(name="n", spikes=(), edges=(start, start + 10, start + 1000))
    encoded = field.encode(values)
    assert np.isfinite(encoded).all() and encoded[:, 1].min() >= 0 and encoded[:, 1].max() <= 1
    decoded = field.decode(encoded, np.random.default_rng(0))
    assert decoded.min() >= start and decoded.max() < start + 1000


def test_residuals_are_uniform_where_the_data_are_log_uniform():
    values = np.floor(np.exp(np.random.default_rng(0).uniform(0, 20, 50_000))).astype(np.int64)
    field = NumericTokens.fit("bytes", values[values > 10_000])
    residual = field.encode(values[values > 10_000])[:, 1]
    counts, _ = np.histogram(residual, 10, (0, 1))
    assert counts.min() > 0.9 * counts.mean() and counts.max() < 1.1 * counts.mean()


def test_tokens_have_spikes_for_frequent_values_and_few_bins_for_the_rest():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.choice([0, 40, 1500], 5000), rng.lognormal(10, 2, 5000).astype(np.int64)])
    field = NumericTokens.fit("bytes", values)
    assert {0, 40, 1500} <= set(field.spikes) and len(field.spikes) <= 512
    assert 20 < field.bins <= 64
    assert field.edges[-1] - 1 == values.max()


def test_equal_bins_cover_the_chunk_and_are_public():
    field = NumericTokens.equal_bins("start", 10**10)
    assert field.bounds == "public" and field.bins == 64
    values = np.random.default_rng(0).integers(0, 10**10, 1000)
    assert np.abs(back(field, values) - values).max() <= 10**10 / 64 * 2**-22 + 1
    assert len(NumericTokens.equal_bins("start", 5).edges) == 7


@pytest.mark.parametrize("value", (-1, 10**9))
@pytest.mark.parametrize("encoding", ("linear", "log1p", "quantile", "tokens", "bits", "exact"))
def test_values_out_of_range_are_refused_with_the_fields_name(encoding, value):
    field = fit_field("tcp_window", np.array([5, 9, 11, 11, 11, 700]), encoding)
    with pytest.raises(FieldError, match="tcp_window"):
        field.encode(np.array([value]))


@pytest.mark.parametrize("encoding", ("linear", "log1p", "quantile", "tokens", "bits", "exact"))
@given(st.lists(st.integers(0, 999), min_size=1), st.lists(st.integers(0, 65535), min_size=1))
@settings(deadline=None)
def test_the_nearest_value_is_one_that_can_be_encoded(encoding, seen, values):
    seen, values = np.array(seen), np.array(values)
    field = fit_field("tcp_window", seen, encoding)
    near = field.nearest(values)
    field.encode(near)
    assert np.array_equal(field.nearest(seen), seen)
    assert np.array_equal(field.nearest(near), near)


def test_negative_values_on_a_logarithmic_scale_are_refused():
    for encoding in ("log1p", "tokens"):
        with pytest.raises(FieldError, match=r"bytes.*-3.*linear"):
            fit_field("bytes", np.array([-3, 4, 5]), encoding)


def test_what_is_declared_is_public_and_what_is_measured_says_so():
    values = np.array([1, 2, 3, 900])
    public = [
        {"encoding": "log1p", "maximum": 10**6, "atoms": [0]},
        {"encoding": "tokens", "maximum": 10**6, "spikes": [0, 40]},
        {"encoding": "exact", "values": [1, 2, 3, 900]},
        {"encoding": "linear", "maximum": 1000, "atoms": False},
    ]
    for choice in public:
        field = fit_field("packets", values, choice)
        assert field.bounds == "public" and np.array_equal(back(field, values), values)
    measured = ["log1p", "tokens", "exact", "quantile", {"encoding": "log1p", "maximum": 10**6}]
    assert {fit_field("packets", values, choice).bounds for choice in measured} == {"measured"}


@pytest.mark.parametrize("width", [1, 8])
def test_addresses_of_another_version_have_a_nearest_that_can_be_encoded(width):
    field = Address(name="dst_ip", versions=(4,), width=width)
    values = np.array([[0x20010DB8 << 32, 7], [0, 0x0A000001]], np.uint64)
    with pytest.raises(FieldError):
        field.encode(values)
    near = field.nearest(values)
    assert near.tolist() == [[0, 7], [0, 0x0A000001]]
    assert (field.decode(field.encode(near), np.random.default_rng(0)) == near).all()
