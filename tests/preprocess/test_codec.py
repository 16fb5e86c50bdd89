import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.preprocess.chunks import cut_series, plan_chunks
from netshare.preprocess.codec import Codec
from netshare.preprocess.encoded import Encoded
from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields.times import spread_over_span
from netshare.preprocess.flows import group_flows
from netshare.preprocess.readers import read_trace
from netshare.preprocess.series import SeriesTable
from netshare.preprocess.trace import FIVE_TUPLE, PACKET_COLUMNS

STYLES = ("gan", "autoregressive")
WIDTH = 10_000_000_000
CONTINUOUS = ("start", "span", "interarrival", "length", "tcp_window")


def packet_series(series: int = 300, *, seed: int = 0, mixed: bool = False) -> SeriesTable:
    """Random series with spikes, a constant field, and times in whole microseconds."""
    rng = np.random.default_rng(seed)
    lengths = rng.geometric(0.2, series)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    records = int(offsets[-1])
    version = np.where(mixed & (rng.random(series) < 0.4), 6, 4).astype(np.uint8)

    def address() -> tuple[np.ndarray, np.ndarray]:
        high, low = rng.integers(0, 2**64, (2, series), dtype=np.uint64)
        return np.where(version == 6, high, 0).astype(np.uint64), np.where(version == 6, low, low % 2**32)

    gaps = rng.exponential(2e4, records).astype(np.int64) * 1000 * (rng.random(records) < 0.8)
    gaps[offsets[:-1]] = 0
    span = np.add.reduceat(gaps, offsets[:-1])
    (src_hi, src_lo), (dst_hi, dst_lo) = address(), address()
    metadata = {
        "ip_version": version,
        "src_hi": src_hi,
        "src_lo": src_lo,
        "dst_hi": dst_hi,
        "dst_lo": dst_lo,
        "src_port": rng.integers(0, 65536, series).astype(np.uint16),
        "dst_port": rng.choice([53, 80, 443, 61234], series).astype(np.uint16),
        "protocol": rng.choice([1, 6, 17], series).astype(np.uint8),
        "start": rng.integers(0, (WIDTH - span) // 1000) * 1000,
        "span": span,
        "starts_here": rng.integers(0, 2, series).astype(np.uint8),
        "continues": np.zeros(series, np.uint8),
        "continued": np.zeros(series, np.uint8),
        "chunk_tags": rng.integers(0, 2, (series, 3)).astype(np.uint8),
    }
    measurements = {
        "interarrival": gaps,
        "length": rng.choice([40, 52, 1500, 1500], records)
        + rng.integers(0, 1000, records) * (rng.random(records) < 0.1),
        "ttl": rng.integers(30, 129, records),
        "tos": np.zeros(records),
        "ip_flags": rng.choice([0, 2], records),
        "fragment_offset": np.zeros(records),
        "tcp_flags": rng.choice([2, 16, 18, 24, 256], records),
        "tcp_window": rng.integers(0, 65536, records),
        "tcp_header_length": rng.choice([0, 20, 32], records),
        "icmp_type": rng.choice([0, 8], records),
        "icmp_code": np.zeros(records),
        "vlan": np.full(records, 100),
    }
    measurements = {
        name: np.asarray(values, np.int64 if name == "interarrival" else PACKET_COLUMNS[name])
        for name, values in measurements.items()
    }
    return SeriesTable(metadata, measurements, offsets, "packet", WIDTH)


def flow_series(series: int = 200, *, seed: int = 0) -> SeriesTable:
    rng = np.random.default_rng(seed)
    base = packet_series(series, seed=seed)
    records = int(base.offsets[-1])
    packets = np.floor(np.exp(rng.normal(1, 2, records))).astype(np.int64)
    measurements = {
        "interarrival": base.measurements["interarrival"],
        "duration": rng.integers(0, 10**9, records) * (packets > 1),
        "packets": packets,
        "bytes": packets * 40 + rng.integers(0, 999, records),
        "tos": rng.choice([0, 184], records).astype(np.uint8),
    }
    metadata = {**base.metadata, "label": rng.integers(-1, 2, series).astype(np.int32)}
    return SeriesTable(metadata, measurements, base.offsets, "flow", WIDTH, {"label": ("benign", "attack", "unseen")})


def random_encoded(codec: Codec, series: int, seed: int) -> Encoded:
    """Any valid arrays of the codec's schema: random categories, numbers in [0, 1] with both ends among them."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 6, series))])

    def fill(columns, rows):
        array = np.zeros((rows, len(columns)), np.float32)
        for index, column in enumerate(columns):
            drawn = rng.choice([0.0, 1.0, rng.random()], rows) if rng.random() < 0.3 else rng.random(rows)
            array[:, index] = rng.integers(0, column.cardinality, rows) if column.cardinality else drawn
        return array

    return Encoded(
        fill(codec.schema.metadata, series), fill(codec.schema.measurements, int(offsets[-1])), offsets, codec.schema
    )


def assert_valid(table: SeriesTable, like: SeriesTable) -> None:
    for columns, expected in ((table.metadata, like.metadata), (table.measurements, like.measurements)):
        assert {name: values.dtype for name, values in columns.items()} == {
            name: values.dtype for name, values in expected.items()
        }
    is_v4 = table.metadata["ip_version"] == 4
    assert set(np.unique(table.metadata["ip_version"])) <= {4, 6}
    for side in ("src", "dst"):
        assert not table.metadata[f"{side}_hi"][is_v4].any()
        assert (table.metadata[f"{side}_lo"][is_v4] < 2**32).all()
    start, span = table.metadata["start"], table.metadata["span"]
    assert start.min() >= 0 and span.min() >= 0 and (start + span).max() <= table.chunk_width
    gaps = table.measurements["interarrival"]
    assert gaps.min() >= 0 and not gaps[table.offsets[:-1]].any()
    assert (np.add.reduceat(gaps, table.offsets[:-1]) == span).all()
    assert (span[table.lengths == 1] == 0).all()
    assert set(np.unique(table.metadata["chunk_tags"])) <= {0, 1}
    for name, top in (("tcp_header_length", 60), ("ip_flags", 7), ("tcp_flags", 511), ("vlan", 4095)):
        if name in table.measurements:
            assert table.measurements[name].max() <= top


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("mixed", (False, True))
def test_packet_series_come_back(style, mixed):
    table = packet_series(mixed=mixed)
    codec = Codec.fit([table], style=style)
    back = codec.decode(codec.encode(table), seed=0)
    assert_valid(back, table)
    for name in table.metadata:
        if name not in CONTINUOUS:
            assert np.array_equal(back.metadata[name], table.metadata[name]), name
    for name in table.measurements:
        if name not in CONTINUOUS or name in ("length", "tcp_window"):
            assert np.array_equal(back.measurements[name], table.measurements[name]), name
    assert np.abs(back.metadata["start"] - table.metadata["start"]).max() <= WIDTH * 2**-22
    assert np.allclose(back.metadata["span"], table.metadata["span"], rtol=1e-5)
    gaps = table.measurements["interarrival"]
    assert np.allclose(back.measurements["interarrival"], gaps, rtol=1e-4, atol=1000)
    assert ((gaps == 0) == (back.measurements["interarrival"] == 0)).mean() > 0.999


@pytest.mark.parametrize("style", STYLES)
def test_flow_series_come_back_with_labels(style):
    table = flow_series()
    codec = Codec.fit([table], style=style)
    back = codec.decode(codec.encode(table), seed=0)
    assert_valid(back, table)
    assert back.categories == table.categories
    assert np.array_equal(back.metadata["label"], table.metadata["label"])
    for name, tolerance in (("duration", 1e-5), ("packets", 1e-5), ("bytes", 1e-3)):
        assert np.allclose(back.measurements[name], table.measurements[name], rtol=tolerance, atol=1), name


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "table", (packet_series(60), packet_series(60, mixed=True), flow_series(60)), ids=("ipv4", "mixed", "flows")
)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_whatever_a_generator_emits_decodes_to_a_valid_table(style, table, seed):
    codec = Codec.fit([table], style=style)
    assert_valid(codec.decode(random_encoded(codec, 40, seed), seed=seed), table)


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("table", (packet_series(60), packet_series(60, mixed=True), flow_series(60)), ids="pmf")
@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_decoded_metadata_can_be_encoded_again_to_generate_measurements_for(style, table, seed):
    codec = Codec.fit([table], style=style)
    metadata = codec.decode_metadata(random_encoded(codec, 40, seed).metadata, seed=seed)
    metadata["span"] //= 7
    metadata["continued"][:] = 1
    again = codec.decode_metadata(codec.encode_metadata(metadata), seed=seed)
    assert all(np.array_equal(again[name], metadata[name]) for name in FIVE_TUPLE)


def test_series_that_would_not_fit_into_their_chunk_do_not_all_end_with_it():
    table = packet_series(2_000)
    codec = Codec.fit([table], encodings={}, style="autoregressive")
    array = codec.encode_metadata(table.metadata)
    when = [i for i, column in enumerate(codec.schema.metadata) if column.field == "start"]
    array[:, when] = array[np.argmax(table.metadata["start"])][when]
    metadata = codec.decode_metadata(array, seed=1)
    last = codec.chunk_width - codec.resolution
    end = metadata["start"] + metadata["span"]
    assert end.max() <= last
    assert np.mean(end == last) < 0.01


def test_series_keep_microseconds_where_the_capture_has_them():
    codec = Codec.fit([packet_series()], style="autoregressive")
    assert codec.resolution == 1000
    table = codec.decode(random_encoded(codec, 200, 1), seed=1)
    for times in (table.metadata["start"], table.metadata["span"], table.measurements["interarrival"]):
        assert not (times % 1000).any()


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_interarrivals_add_up_to_the_span(data):
    lengths = np.array(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=8)))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    big = st.integers(0, 10**15)
    gaps = np.array(data.draw(st.lists(big, min_size=int(offsets[-1]), max_size=int(offsets[-1]))))
    span = np.array(data.draw(st.lists(big, min_size=len(lengths), max_size=len(lengths)))) * (lengths > 1)
    scaled = spread_over_span(gaps, span, offsets)
    assert scaled.min() >= 0 and not scaled[offsets[:-1]].any()
    assert np.array_equal(np.add.reduceat(scaled, offsets[:-1]), span)
    gaps[offsets[:-1]] = 0
    exact = spread_over_span(gaps, np.add.reduceat(gaps, offsets[:-1]), offsets)
    assert np.array_equal(exact, gaps)


def test_a_span_without_interarrivals_is_spread_evenly():
    scaled = spread_over_span(np.zeros(5, np.int64), np.array([9, 0]), np.array([0, 4, 5]))
    assert scaled.tolist() == [0, 3, 3, 3, 0]


@pytest.mark.parametrize("style", STYLES)
def test_json_keeps_the_codec(style):
    table = flow_series()
    codec = Codec.fit([table], style=style)
    again = Codec.from_json(json.loads(json.dumps(codec.to_json())))
    assert again == codec and again.schema == codec.schema
    encoded = random_encoded(codec, 50, 3)
    first, second = codec.decode(encoded, seed=4), again.decode(encoded, seed=4)
    assert all(np.array_equal(first.measurements[name], second.measurements[name]) for name in first.measurements)


def test_constants_take_no_columns_and_come_back():
    codec = Codec.fit([packet_series()])
    taken = {row["field"]: row["columns"] for row in codec.describe()}
    assert taken["vlan"] == taken["tos"] == taken["ip_version"] == 0
    assert (codec.decode(random_encoded(codec, 20, 0), seed=0).measurements["vlan"] == 100).all()


def test_gates_name_earlier_columns_of_the_same_array():
    codec = Codec.fit([packet_series(mixed=True)], style="autoregressive")
    for columns in (codec.schema.metadata, codec.schema.measurements):
        seen: dict[str, int] = {}
        for column in columns:
            assert column.name not in seen
            if column.gate:
                assert max(column.gate_values) < seen[column.gate]
            seen[column.name] = column.cardinality


def test_gated_columns_are_zero_where_they_carry_no_meaning():
    table = packet_series(mixed=True)
    for style in STYLES:
        encoded = Codec.fit([table], style=style).encode(table)
        for array, columns in (
            (encoded.metadata, encoded.schema.metadata),
            (encoded.measurements, encoded.schema.measurements),
        ):
            names = [column.name for column in columns]
            for index, column in enumerate(columns):
                assert array[:, index].min() >= 0
                assert array[:, index].max() <= (column.cardinality - 1 if column.cardinality else 1)
                if column.gate:
                    closed = ~np.isin(array[:, names.index(column.gate)], column.gate_values)
                    assert not array[closed, index].any()


def test_one_codec_serves_all_chunks():
    tables = [packet_series(seed=seed) for seed in (1, 2)]
    codec = Codec.fit(tables, style="autoregressive")
    for table in tables:
        back = codec.decode(codec.encode(table), seed=0)
        assert np.array_equal(back.metadata["src_port"], table.metadata["src_port"])
    assert codec.max_length == max(table.lengths.max() for table in tables)


def test_records_outside_the_fitted_range_are_refused_by_name():
    codec = Codec.fit([packet_series(seed=1)])
    other = packet_series(seed=1)
    other.measurements["ttl"][0] = 255
    with pytest.raises(FieldError, match="ttl"):
        codec.encode(other)


@pytest.mark.parametrize(
    ("encodings", "message"),
    [
        ({"src_prot": "bits"}, "src_prot"),
        ({"src_port": "bitz"}, "src_port.*bitz"),
        ({"ttl": {"encoding": "log1p", "max": 3}}, "ttl.*max"),
        ({"src_ip": "ip2vec"}, "src_ip"),
        ({"bytes": {"encoding": "tokens", "values": [3]}}, "bytes"),
        ({"length": {"encoding": "tokens", "values": [3]}}, "length.*values"),
        ({"src_port": {"encoding": "tokens", "values": "all"}}, "src_port.*all"),
        ({"ttl": "constant"}, "ttl.*differ"),
        ({"length": {"encoding": "log1p", "maximum": "large"}}, "length.*maximum.*large"),
        ({"ttl": {"encoding": "exact", "values": "some"}}, "ttl.*values.*some"),
        ({"interarrival": "bits"}, "interarrival"),
    ],
)
def test_impossible_encodings_are_refused(encodings, message):
    with pytest.raises(FieldError, match=message):
        Codec.fit([packet_series(20)], encodings=encodings)


def test_declared_constants_make_every_field_public():
    table = packet_series()
    declared = {
        "ip_version": {"encoding": "constant", "value": 4},
        "protocol": "bits",
        "src_port": "bits",
        "dst_port": {"encoding": "tokens", "values": [53, 80, 443]},
        "starts_here": "bits",
        "continues": "bits",
        "continued": "bits",
        "start": {"encoding": "linear", "atoms": False, "maximum": WIDTH},
        "span": {"encoding": "tokens", "spikes": [0], "maximum": WIDTH},
        "interarrival": {"encoding": "log1p", "atoms": [0], "maximum": WIDTH},
        "length": {"encoding": "linear", "atoms": [40, 1500], "maximum": 65535},
        "tcp_window": {"encoding": "log1p", "atoms": False, "maximum": 65535},
        **dict.fromkeys(("ttl", "tos", "ip_flags", "fragment_offset", "tcp_flags", "tcp_header_length"), "bits"),
        **{name: {"encoding": "exact", "values": "all"} for name in ("icmp_type", "icmp_code")},
        "vlan": {"encoding": "constant", "value": 100},
    }
    codec = Codec.fit([table], encodings=declared)
    assert {row["field"]: row["bounds"] for row in codec.describe() if row["bounds"] != "public"} == {}
    back = codec.decode(codec.encode(table), seed=0)
    assert all(np.array_equal(back.metadata[name], table.metadata[name]) for name in FIVE_TUPLE)
    for name in ("ttl", "length", "tcp_window", "icmp_type"):
        assert np.array_equal(back.measurements[name], table.measurements[name]), name


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("table", (packet_series(mixed=True), flow_series()), ids=("packets", "flows"))
def test_a_public_codec_does_not_depend_on_the_data(style, table):
    some = Codec.fit([table.take(np.arange(10))], style=style, public=True, max_length=50)
    codec = Codec.fit([table], style=style, public=True, max_length=50)
    assert {row["field"] for row in codec.describe() if row["bounds"] == "measured"} <= {"label"}
    of_label = ("label",)
    assert [part for part in codec.metadata if part.name not in of_label] == [
        part for part in some.metadata if part.name not in of_label
    ]
    assert codec.measurements == some.measurements and codec.resolution == some.resolution == 1
    back = codec.decode(codec.encode(table), seed=0)
    assert_valid(back, table)
    assert all(np.array_equal(back.metadata[name], table.metadata[name]) for name in FIVE_TUPLE)
    with pytest.raises(FieldError, match="max_length"):
        Codec.fit([table], public=True)


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("capture", ("p1_isp-2007.pcap.gz", "p4_ipv6-web.pcap.gz", "n3_enterprise-v9.csv.gz"))
def test_real_traces_come_back(development_traces, style, capture):
    trace = read_trace(development_traces / capture).sorted_by_time()
    tables = cut_series(trace, group_flows(trace), plan_chunks(trace["time"], count=3), max_records_per_segment=100)
    codec = Codec.fit(list(tables.values()), style=style)
    close = {
        "start": 2**-22 * codec.chunk_width,
        "duration": 0,
        "bytes": 0,
        "span": codec.resolution,
        "interarrival": 0,
    }
    for table in tables.values():
        back = codec.decode(codec.encode(table), seed=0)
        assert_valid(back, table)
        for found, real in ((back.metadata, table.metadata), (back.measurements, table.measurements)):
            for name, values in real.items():
                if name in close:
                    atol = max(close[name], codec.resolution)
                    assert np.allclose(found[name].astype(float), values.astype(float), rtol=2e-4, atol=atol), name
                else:
                    assert np.array_equal(found[name], values), name
        assert_valid(codec.decode(random_encoded(codec, 100, 0), seed=0), table)


def test_numbers_that_are_not_finite_are_refused():
    codec = Codec.fit([packet_series(20)])
    encoded = random_encoded(codec, 5, 0)
    encoded.measurements[0, 0] = np.nan
    with pytest.raises(FieldError, match="not finite"):
        codec.decode(encoded, seed=0)
