"""pandas data frames: round trips of any trace, frames that others make, and one line for each that cannot be read."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from netshare.preprocess import Trace, make_trace, read_trace
from netshare.preprocess.errors import InputError
from netshare.preprocess.parquet import save_parquet
from tests.preprocess.any_traces import assert_same, traces

PACKETS = pd.DataFrame(
    {
        "time": pd.to_datetime([1714564800 * 10**9, 1714564800 * 10**9 + 1], utc=True),
        "src_ip": ["10.0.0.1", "2001:db8::1"],
        "dst_ip": ["10.0.0.2", "2001:db8::2"],
        "src_port": [40000, 53],
        "dst_port": [443, 40001],
        "protocol": ["TCP", "udp"],
        "length": [60, 1500],
    }
)


@settings(max_examples=60, deadline=None)
@given(traces())
def test_any_trace_comes_back_with_its_types(trace):
    for names in (False, True):
        frame = trace.to_pandas(protocol_names=names)
        assert frame["time"].dtype == "datetime64[ns, UTC]"
        assert "duration" not in frame or frame["duration"].dtype == "timedelta64[ns]"
        assert_same(Trace.from_pandas(frame), trace)
        shuffled = frame.iloc[::-1, ::-1].set_index(np.arange(len(frame)) + 7)
        assert_same(Trace.from_pandas(shuffled), trace.take(np.arange(len(trace))[::-1]))


def test_what_a_frame_shows():
    trace = Trace.from_pandas(PACKETS)
    assert trace.kind == "packet" and trace["ip_version"].tolist() == [4, 6]
    assert trace["time"].tolist() == [1714564800 * 10**9, 1714564800 * 10**9 + 1]
    frame = trace.to_pandas(protocol_names=True)
    assert frame["src_ip"].tolist() == ["10.0.0.1", "2001:db8::1"] and frame["protocol"].tolist() == ["TCP", "UDP"]
    (source,) = trace.sources
    assert (source.path, source.format, source.records) == ("DataFrame", "pandas", 2)
    assert source.notes[0].startswith("not in the table, taken as 0: ttl, tos, ip_id")


def test_each_epoch_of_a_frame_is_a_source():
    trace = Trace.from_pandas(PACKETS.assign(epoch=[1, 1]))
    assert [source.records for source in trace.sources] == [0, 2]


def test_labels_are_texts_or_categoricals():
    flows = PACKETS.rename(columns={"length": "bytes"}).assign(packets=1, label=["scan", None], attack_type=[3, 4])
    trace = Trace.from_pandas(flows)
    assert trace["label"].tolist() == [0, -1] and trace.categories["label"] == ("scan",)
    assert trace.categories["attack_type"] == ("3", "4")
    frame = trace.to_pandas()
    assert frame["label"].isna().tolist() == [False, True] and frame["label"].iloc[0] == "scan"


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        (pd.to_datetime(["2024-05-01 21:00:00"]).tz_localize("Asia/Tokyo").as_unit("s"), None),
        (pd.to_datetime(["2024-05-01 12:00:00"]), "time: times that name no zone are taken as UTC"),
        (["2024-05-01T12:00:00"], "time: times that name no zone are taken as UTC"),
        (["2024-05-01T14:00:00+02:00"], "time: times that name no zone are taken as UTC"),
        ([pd.Timestamp("2024-05-01 12:00", tz="UTC").to_pydatetime()], None),
        ([1714564800], "time: its numbers are taken as s since 1970"),
        ([1714564800000.0], "time: its numbers are taken as ms since 1970"),
    ],
)
def test_times_of_any_form(times, wanted):
    trace = Trace.from_pandas(PACKETS.iloc[:1].assign(time=times))
    assert trace["time"].tolist() == [1714564800 * 10**9]
    assert [note for note in trace.sources[0].notes if note.startswith("time")] == ([wanted] if wanted else [])


def test_columns_of_other_names_and_units():
    frame = pd.DataFrame(
        {
            "When": [1700000000123, 1700000000456],
            "from": [167772161, 167772162],
            "dst_ip": ["10.0.0.3", "10.0.0.3"],
            "took": [1.5, 2.0],
            "proto": pd.Categorical(["tcp", "tcp"]),
            "packets": [1.0, 2.0],
            "bytes": ["1.2 M", "60"],
            "tcp_flags": ["...AP.SF", "0x1b"],
            "more": 1,
        }
    )
    mapping = {"time": "when:ms", "src": "from", "duration": "took:ms", "protocol": "proto"}
    trace = Trace.from_pandas(frame, columns=mapping)
    assert trace.kind == "flow" and trace["time"].tolist() == [1700000000123 * 10**6, 1700000000456 * 10**6]
    assert trace["src_lo"].tolist() == [167772161, 167772162] and trace["duration"].tolist() == [1_500_000, 2_000_000]
    assert trace["bytes"].tolist() == [1_200_000, 60] and trace["tcp_flags"].tolist() == [0x1B, 0x1B]
    assert trace.sources[0].notes == (
        "left out, no columns of a flow trace: more",
        "not in the table, taken as 0: src_port, dst_port",
    )
    ends = Trace.from_pandas(
        frame.assign(end=[1700000000124, 1700000000456]), columns={**mapping, "duration": "end:ms"}
    )
    assert ends["duration"].tolist() == [1700000000124 * 10**6, 1700000000456 * 10**6]
    del mapping["duration"]
    ends = Trace.from_pandas(frame.assign(stop=[1700000000124, 1700000000456]), columns={**mapping, "end": "stop:ms"})
    assert ends["duration"].tolist() == [10**6, 0]


@pytest.mark.parametrize("name", ["n1_ugr16-small.csv.gz", "n2_iot23.csv.gz", "n3_enterprise-v9.csv.gz"])
def test_what_pandas_reads_of_a_public_layout_is_what_we_read(development_traces, name):
    rows = 5000
    frame = pd.read_csv(development_traces / name, nrows=rows, low_memory=False)
    wanted = read_trace(development_traces / name, limit=rows)
    found = read_trace(frame)
    known = {
        name: texts[: len(found.categories[name])] for name, texts in wanted.categories.items()
    }  # later ones unused
    assert_same(found, replace(wanted, categories=known))
    assert found.sources[0].notes[0].startswith("read in the layout ")


def test_a_frame_of_our_parquet_file_is_the_trace(tmp_path, sample_netflow):
    trace = read_trace(sample_netflow)
    save_parquet(trace, tmp_path / "trace.parquet")
    assert_same(Trace.from_pandas(pd.read_parquet(tmp_path / "trace.parquet")), trace)


def changed(column: str, value: object) -> pd.DataFrame:
    frame = PACKETS.copy()
    frame[column] = frame[column].astype(object)
    frame.loc[1, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "arguments", "expected"),
    [
        (PACKETS.drop(columns="time"), {}, "packets without time .found src_ip.*columns={'time': 'its name'}"),
        (PACKETS.set_index("time"), {}, "reset_index.. makes a column of an index"),
        (PACKETS[["time", "length"]], {}, "packets without src_ip, dst_ip, protocol"),
        (PACKETS.drop(columns="length"), {}, "has neither length .packets. nor packets and bytes"),
        (PACKETS, {"kind": "flow"}, "flow records without packets, bytes"),
        (pd.DataFrame(), {}, "found no columns"),
        (pd.DataFrame({"ts": [], "td": [], "sa": [], "da": []}), {}, "nfdump-csv file without the columns sp, dp"),
        (changed("src_ip", "nonsense"), {}, "row 1: src_ip is 'nonsense', which is no IP address$"),
        (changed("dst_ip", "10.0.0.1"), {}, "row 1: dst_ip is '10.0.0.1', which is of another version of IP"),
        (changed("src_ip", None), {}, "row 1: src_ip has no value"),
        (changed("src_port", -1), {}, "row 1: src_port is -1, which is no whole number from 0 to 65535"),
        (changed("src_port", 65536), {}, "row 1: src_port is 65536, "),
        (changed("src_port", 1.5), {}, "row 1: src_port is 1.5, "),
        (changed("src_port", "http"), {}, "row 1: src_port is 'http', "),
        (changed("length", np.nan), {}, "row 1: length has no value; fill in or drop the 1 rows"),
        (changed("protocol", "nope"), {}, "row 1: protocol is 'nope', which is no known protocol"),
        (changed("time", pd.NaT), {}, "row 1: time has no value"),
        (PACKETS.assign(time=["2024-05-01", "soon"]), {}, "row 1: time is 'soon', which is no time"),
        (PACKETS.assign(ip_version=4), {}, "row 1: ip_version is 4, which is not that of the addresses"),
        (PACKETS.assign(time=pd.to_datetime(["1500-01-01"] * 2).as_unit("s")), {}, "time holds what 64 bits"),
        (pd.concat([PACKETS, PACKETS[["length"]]], axis=1), {}, "the column length stands there 2 times"),
        (PACKETS, {"columns": {"nope": "x"}}, "columns: nope is no column of a trace"),
        (PACKETS, {"columns": {"ttl": "x"}}, "without the columns x that are named"),
    ],
)
def test_what_cannot_be_read_is_one_line(frame, arguments, expected):
    with pytest.raises(InputError, match=expected) as error:
        Trace.from_pandas(frame, **arguments)
    assert "\n" not in str(error.value)


def test_a_row_that_a_public_layout_cannot_read_is_named():
    row = {"ts": 1.5e9, "td": 0, "srcip": "10.0.0.1", "dstip": "10.0.0.2", "srcport": 1, "dstport": 2, "proto": "UDP"}
    frame = pd.DataFrame([row | {"pkt": 1, "byt": 60}, row | {"pkt": 1, "byt": 60, "dstip": "x"}])
    with pytest.raises(InputError, match=r"row 1: dstip is no IP address .dstip is 'x'.; correct or drop the 1 rows"):
        Trace.from_pandas(frame)
    with pytest.raises(InputError, match="flow records in the layout netshare-csv, not packets"):
        Trace.from_pandas(frame, kind="packet")


def test_names_that_differ_only_in_case():
    trace = Trace.from_pandas(PACKETS.assign(Length=[1, 2]))
    assert trace["length"].tolist() == [60, 1500]
    assert "left out, no columns of a packet trace: Length" in trace.sources[0].notes


def test_addresses_as_the_two_numbers_of_the_canonical_columns():
    frame = pd.DataFrame({"time": [7], "ip_version": [4], "src_hi": [0], "src_lo": [1], "dst_hi": [0], "dst_lo": [2]})
    trace = Trace.from_pandas(frame.assign(protocol=6, length=40))
    assert (trace["time"].tolist(), trace["dst_lo"].tolist()) == ([7], [2])
    with pytest.raises(InputError, match="row 0: ip_version is 5, which is neither 4 nor 6"):
        Trace.from_pandas(frame.assign(protocol=6, length=40, ip_version=5))


def test_a_trace_without_categories_of_its_labels():
    trace = make_trace("flow", {"time": [1], "ip_version": [4], "label": [-1]})
    assert Trace.from_pandas(trace.to_pandas())["label"].tolist() == [-1]
