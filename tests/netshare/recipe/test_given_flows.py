"""Flows given by the user: read, refused, completed, and made as they were asked for."""

import numpy as np
import pytest

from netshare.commands.main import main
from netshare.preprocess import read_trace
from netshare.preprocess.errors import InputError
from netshare.preprocess.flows import group_flows
from netshare.recipe.given_flows import cut_to_lengths, read_given_flows
from netshare.recipe.metadata import Metadata

SECOND = 1_000_000_000

ROWS = """src_ip,dst_ip,src_port,dst_port,protocol,start,records
192.0.2.1,198.51.100.7,40001,443,TCP,0.5,3
192.0.2.2,198.51.100.7,40002,53,udp,1,1
192.0.2.3,198.51.100.8,40003,80,6,2,2000
"""


def read(path, **arguments):
    known = {"versions": {4}, "duration": 9 * SECOND, "categories": {}}
    return read_given_flows(path, **{**known, **arguments})


def test_a_file_of_flows_is_read(tmp_path):
    path = tmp_path / "flows.csv"
    path.write_text(ROWS)
    given = read(path)
    assert given.metadata["src_lo"].tolist() == [0xC0000201, 0xC0000202, 0xC0000203]
    assert given.metadata["protocol"].tolist() == [6, 17, 6]
    assert given.start.tolist() == [500_000_000, 1_000_000_000, 2_000_000_000]
    assert given.records.tolist() == [3, 1, 2000]
    path.write_text("src_ip,dst_ip,src_port,dst_port,protocol,label\n::1,::2,1,2,58,attack\n")
    given = read(path, versions={4, 6}, categories={"label": ("attack", "benign")})
    assert given.metadata["ip_version"].tolist() == [6]
    assert given.metadata["label"].tolist() == [0]
    assert given.start is None
    assert given.records is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("192.0.2.2", "192.0.2.999"), r"row 2: src_ip is 192.0.2.999"),
        (("192.0.2.2", "2001:db8::1"), "row 2: dst_ip is .* not of the IP version"),
        (("40002", "70000"), "row 2: src_port is 70000"),
        (("udp", "carrier"), "row 2: protocol is carrier"),
        ((",1,1\n", ",99,1\n"), "row 2: start is 99"),
        ((",1,1\n", ",1,0\n"), "row 2: records is 0"),
        ((",1,1\n", ",1,\n"), "row 2: records is nan"),
        (("start", "begin"), "unknown column begin"),
        (("src_ip", "source"), "unknown column source"),
        ((ROWS[ROWS.index("\n") + 1 :], ""), "no rows"),
        ((ROWS, ""), "cannot be read"),
    ],
)
def test_bad_files_are_refused_with_row_and_column(tmp_path, change, message):
    path = tmp_path / "flows.csv"
    path.write_text(ROWS.replace(*change))
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_label_of_a_run_without_labels_and_a_missing_file(tmp_path):
    path = tmp_path / "flows.csv"
    path.write_text("src_ip,dst_ip,src_port,dst_port,protocol,label\n1.1.1.1,2.2.2.2,1,2,6,x\n")
    with pytest.raises(InputError, match="label is given, but"):
        read(path)
    with pytest.raises(InputError, match="row 1: label is x"):
        read(path, categories={"label": ("benign",)})
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.csv")


def test_long_flows_are_cut_in_order():
    flows = Metadata({"start": np.array([10, 5]), "span": np.array([90, 7])})
    series, lengths = cut_to_lengths(flows, np.array([25, 10]), 10)
    assert lengths.tolist() == [10, 10, 5, 10]
    assert series["start"].tolist() == [10, 40, 70, 5]
    assert series["continued"].tolist() == [1, 1, 0, 0]
    assert series["continues"].tolist() == [0, 1, 1, 0]


def test_generate_makes_the_flows_of_a_file(quick_run, tmp_path, capsys):
    path, out = tmp_path / "flows.csv", tmp_path / "out.pcap"
    path.write_text(ROWS)
    assert main(["generate", str(quick_run), "--metadata", str(path), "-o", str(out), "-q"]) == 0
    made = read_trace(out)
    assert len(made) == 2004
    client = np.maximum(made["src_port"], made["dst_port"])
    lengths = dict(zip(*(part.tolist() for part in np.unique(client, return_counts=True)), strict=True))
    assert lengths == {40001: 3, 40002: 1, 40003: 2000}
    assert len(group_flows(made, "bidirectional")) == 3
    begin = np.array([made["time"][client == port].min() for port in (40001, 40002, 40003)])
    real = read_trace(quick_run / "trace" / "full.parquet")
    assert np.allclose((begin - real["time"].min()) / SECOND, [0.5, 1, 2], atol=1e-3)
    capsys.readouterr()
    assert main(["generate", str(quick_run), "--metadata", str(path), "--flows", "3", "-o", str(out), "-q"]) == 2
    path.write_text(ROWS.replace("udp", "carrier"))
    assert main(["generate", str(quick_run), "--metadata", str(path), "-o", str(out), "--force", "-q"]) == 2
    error = capsys.readouterr().err
    assert "row 2: protocol is carrier" in error
    assert "Traceback" not in error
