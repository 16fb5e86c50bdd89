"""Any trace in, any format out."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from netshare.postprocess.convert import convert
from netshare.postprocess.writers.write import FORMATS, kinds_of
from netshare.preprocess.errors import InputError
from netshare.preprocess.readers.read import read_trace

SUFFIX = {"pcap": ".pcap", "pcapng": ".pcapng", "parquet": ".parquet", "nfcapd": ".nfcapd"}


@pytest.mark.parametrize(
    "format",
    [pytest.param(name, marks=[pytest.mark.referee("nfcapd")] if name == "nfcapd" else []) for name in FORMATS],
)
def test_the_sample_capture_becomes_everything(format: str, sample_capture: Path, tmp_path: Path):
    output = tmp_path / f"out{SUFFIX.get(format, '.bin')}"
    report = convert([str(sample_capture)], output, to=format, limit=5000)
    assert output.stat().st_size > 1000
    assert report.format == format
    if "packet" in kinds_of(format):
        assert report.records == 5000
    else:
        left_out = [int(line.split()[0]) for line in report.lossy if "IPv6 records are left out" in line]
        assert report.lossy[0] == f"5000 packets are summed up as {report.records + sum(left_out)} flow records"


@pytest.mark.parametrize("format", [name for name in FORMATS if "flow" in kinds_of(name) and name != "nfcapd"])
def test_the_sample_records_become_everything_that_holds_records(format: str, sample_netflow: Path, tmp_path: Path):
    report = convert([str(sample_netflow)], tmp_path / "out.parquet", to=format)
    real = read_trace(sample_netflow)
    assert report.records == int((real["ip_version"] == 4).sum() if format == "netflow-v5" else len(real))


def test_a_capture_goes_through_pcapng_and_comes_back(sample_capture: Path, tmp_path: Path):
    convert([str(sample_capture)], tmp_path / "a.pcapng.gz")
    convert([str(tmp_path / "a.pcapng.gz")], tmp_path / "b.pcap")
    before, after = read_trace(sample_capture), read_trace(tmp_path / "b.pcap")
    assert [name for name in before if not np.array_equal(before[name], after[name])] == []


def test_several_inputs_are_merged(sample_netflow: Path, tmp_path: Path):
    report = convert([str(sample_netflow), str(sample_netflow)], tmp_path / "both.csv")
    assert report.records == 2 * len(read_trace(sample_netflow))
    assert any(line.startswith("epoch") for line in report.lossy)


@pytest.mark.referee("nfcapd", "nfdump")
def test_nfdump_sums_what_the_capture_holds(sample_capture: Path, tmp_path: Path):
    convert([str(sample_capture)], tmp_path / "out.nfcapd")
    printed = subprocess.run(
        ["nfdump", "-r", str(tmp_path / "out.nfcapd"), "-I"], capture_output=True, text=True
    ).stdout
    found = dict(line.split(": ") for line in printed.splitlines() if line.count(": ") == 1)
    trace = read_trace(sample_capture)
    assert (int(found["Packets"]), int(found["Bytes"])) == (len(trace), int(trace["length"].sum()))


def test_what_cannot_be_converted_says_why(sample_netflow: Path, tmp_path: Path):
    with pytest.raises(InputError, match="cannot become pcap"):
        convert([str(sample_netflow)], tmp_path / "out.pcap")
    with pytest.raises(InputError, match="unknown format 'netflow-v7', choose one of pcap"):
        convert(["missing.pcap"], tmp_path / "out.pcap", to="netflow-v7")
    with pytest.raises(InputError, match="raise max_bytes"):
        convert([str(sample_netflow)], tmp_path / "out.parquet", max_bytes=1000)
    with pytest.raises(InputError, match="unknown suffix"):
        convert(["missing.pcap"], tmp_path / "out.docx")
    with pytest.raises(InputError, match="no such file"):
        convert(["missing.pcap"], tmp_path / "out.pcap")
    assert list(tmp_path.iterdir()) == []
