"""Series from one form into another, and what is said of it."""

from pathlib import Path

import pytest

from netshare.postprocess.convert_series import convert_series
from netshare.preprocess.errors import NetshareError
from netshare.preprocess.timeseries import read_series

LONG = "customer,day,use\nb,1,2.5\na,1,1.0\na,2,3.0\nb,2,4.5\n"


def test_series_go_through_every_form_and_keep_their_values(tmp_path: Path):
    (tmp_path / "long.csv").write_text(LONG)
    first = convert_series([str(tmp_path / "long.csv")], tmp_path / "data_train.npz", key="customer", order="day")
    assert (first.records, first.format) == (2, "arrays series")
    assert "the names in customer are replaced by numbers" in first.lossy
    second = convert_series([str(tmp_path / "data_train.npz")], tmp_path / "again.parquet", form="list")
    assert second.records == 2
    back = read_series([str(tmp_path / "again.parquet")])
    assert back.lengths.tolist() == [2, 2]
    (values,) = [back.measurements[name] for name in back.measurements if name == "use"]
    assert values.tolist() == pytest.approx([2.5, 4.5, 1.0, 3.0])


def test_a_form_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "long.csv").write_text(LONG)
    with pytest.raises(NetshareError):
        convert_series([str(tmp_path / "long.csv")], tmp_path / "out.pcap", key="customer", order="day")
    assert not (tmp_path / "out.pcap").exists()
