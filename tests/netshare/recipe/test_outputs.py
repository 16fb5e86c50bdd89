"""What a run writes: file names, formats that hold the trace, and outputs refused before anything is trained."""

from dataclasses import replace

import pytest

from netshare.config.load import default_config
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.readers import read_trace
from netshare.recipe.outputs import check_releasable, file_name, formats_for
from netshare.recipe.reference import Reference


def config(preset="netflow", **sections):
    return default_config(preset, sections)


def test_file_names_show_the_format():
    names = [file_name(name) for name in ("pcap", "csv", "parquet", "ipfix", "zeek-json", "nfcapd", "cidds")]
    assert names == [
        "synthetic.pcap", "synthetic.csv", "synthetic.parquet", "synthetic-ipfix.pcap", "synthetic-zeek-json.json",
        "synthetic-nfcapd.nfcapd", "synthetic-cidds.csv",
    ]  # fmt: skip


def test_flow_records_leave_out_captures_and_always_have_parquet():
    asked = config("pcap", output={"formats": ["pcap", "csv", "ipfix"]})
    assert formats_for("flow", asked) == ["csv", "ipfix", "parquet"]
    assert formats_for("packet", asked) == ["csv", "ipfix", "parquet", "pcap"]
    with pytest.raises(ConfigError, match="hold no packets"):
        formats_for("flow", config("pcap", output={"formats": ["pcap", "pcapng"]}))


def test_what_cannot_be_written_is_refused_beforehand(sample_netflow):
    trace = read_trace(sample_netflow, limit=300)
    reference = replace(Reference.of(trace, trace), ip_versions=(6,))
    with pytest.raises(ConfigError, match="use ipfix"):
        check_releasable(reference, config(output={"formats": ["netflow-v5"]}))
    four = config(addresses={"prefixes": ["192.0.2.0/24"]})
    with pytest.raises(ConfigError, match="IPv6 addresses; add a prefix"):
        check_releasable(reference, four)
    check_releasable(replace(reference, ip_versions=(4,)), four)
