"""Several inputs as one trace: order, epochs, categories, optional columns; Parquet keeps all of it."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from netshare.preprocess import make_trace, merge_traces, read_trace
from netshare.preprocess.errors import InputError
from netshare.preprocess.parquet import load_parquet, save_parquet
from netshare.preprocess.trace import Source

HEADER = "srcip,dstip,srcport,dstport,proto,ts,td,pkt,byt,type"


def flows(times, label, path="a", **columns):
    """A flow trace whose records all have one label."""
    n = len(times)
    extra = {"label": np.zeros(n, np.int32), **columns}
    source = Source(path=path, format="test", records=n, skipped={"why": 1})
    return make_trace("flow", {"time": np.array(times), **extra}, categories={"label": (label,)}, sources=[source])


def packets(times, path="p"):
    return make_trace(
        "packet", {"time": np.array(times)}, sources=[Source(path=path, format="test", records=len(times))]
    )


def test_merge_is_stable_and_keeps_epochs():
    merged = merge_traces([packets([1, 5, 5]), packets([5, 0]), packets([5])])
    assert merged["time"].tolist() == [0, 1, 5, 5, 5, 5]
    assert merged["epoch"].tolist() == [1, 0, 0, 0, 1, 2]
    assert len(merged.sources) == 3


def test_merging_merged_traces_shifts_epochs():
    merged = merge_traces([packets([3]), merge_traces([packets([2]), packets([1])])])
    assert merged["epoch"].tolist() == [2, 1, 0]


def test_categories_are_recoded_and_optional_columns_united():
    first = flows([1, 3], "benign", tos=np.array([7, 8]))
    second = flows([2, 4], "attack", path="b")
    second.columns["label"][1] = -1
    third = make_trace("flow", {"time": np.array([5])}, sources=[Source("c", "test", 1)])
    merged = merge_traces([first, second, third])
    assert merged.categories == {"label": ("benign", "attack")}
    assert merged["label"].tolist() == [0, 1, 0, -1, -1]
    assert merged["tos"].tolist() == [7, 0, 8, 0, 0]
    assert merged.skipped == {"why": 2}


def test_packets_and_flows_do_not_mix():
    with pytest.raises(InputError, match="p holds packets and a holds flow records"):
        merge_traces([flows([1], "x"), packets([1])])
    with pytest.raises(InputError):
        merge_traces([])


def write_flows(path, times):
    rows = [f"10.0.0.1,10.0.0.2,1,2,UDP,{time},0,1,60,{path.name}" for time in times]
    text = "\n".join([HEADER, *rows])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_folders_patterns_and_lists(tmp_path):
    write_flows(tmp_path / "b.csv", [1458298072, 1458298075])
    write_flows(tmp_path / "a.csv.gz", [1458298073])
    (tmp_path / "notes.txt").write_text("nothing of interest")
    (tmp_path / "folder").mkdir()
    folder = read_trace(tmp_path)
    assert [source.path for source in folder.sources] == [str(tmp_path / "a.csv.gz"), str(tmp_path / "b.csv")]
    assert folder["epoch"].tolist() == [1, 0, 1]
    assert any("notes.txt is left out of the folder: not a trace" in note for note in folder.sources[0].notes)
    pattern = read_trace(str(tmp_path / "*.csv*"))
    assert pattern["epoch"].tolist() == [1, 0, 1] and pattern.sources[0].notes == ()
    listed = read_trace([tmp_path / "b.csv", tmp_path / "a.csv.gz"])
    assert listed["epoch"].tolist() == [0, 1, 0]
    assert listed.categories["label"] == ("b.csv", "a.csv.gz")
    assert len(read_trace(tmp_path, limit=2)) == 2


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda folder: folder / "missing.pcap", "missing.pcap: no such file"),
        (lambda folder: str(folder / "*.pcapng"), "no file matches this pattern"),
        (lambda folder: folder, "none of the 1 files in this folder is a trace"),
        (lambda folder: folder / "empty", "the folder holds no files"),
        (lambda folder: [], "no input given"),
        (lambda folder: folder / "text.pcap", "not a trace"),
    ],
)
def test_inputs_that_are_no_trace(tmp_path, make, expected):
    (tmp_path / "text.pcap").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=expected) as error:
        read_trace(make(tmp_path))
    assert "\n" not in str(error.value)


def test_parquet_keeps_everything(tmp_path):
    merged = merge_traces(
        [flows([1, 2], "benign", packets_rev=np.array([1, 2**40])), flows([2**62], "attack", path="b")]
    )
    path = tmp_path / "trace"
    save_parquet(merged, path)
    assert [file.name for file in tmp_path.iterdir()] == ["trace"]
    for loaded in (load_parquet(path), read_trace(path)):
        assert loaded.kind == merged.kind and loaded.categories == merged.categories
        assert loaded.sources == merged.sources
        assert list(loaded) == list(merged)
        for name in merged:
            np.testing.assert_array_equal(loaded[name], merged[name])
            assert loaded[name].dtype == merged[name].dtype
    assert len(read_trace(path, limit=1)) == 1


def test_parquet_of_others(tmp_path):
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"time": [1], "x": [2]}), path)
    with pytest.raises(
        InputError, match=r"other\.parquet: neither packets .time, src_ip, .* nor flow records .*, found time, x"
    ):
        read_trace(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read_trace(path)
