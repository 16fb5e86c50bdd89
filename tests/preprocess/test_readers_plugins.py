"""Readers: which of them knows a file, and those that other distributions declare (entry points `netshare.readers`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from netshare.preprocess import read_trace
from netshare.preprocess.errors import InputError
from netshare.preprocess.readers.registry import BUILT_IN, plugin_readers, recognise

READER = """
import numpy as np
from netshare.preprocess.errors import InputError
from netshare.preprocess.readers import Reader
from netshare.preprocess.trace import Source, make_trace

def read(stream, options):
    contents = stream.contents()
    table = contents.buffer[4:]
    if len(table) % 8:
        raise InputError(f"{stream.name}: the last record is cut, copy the file again")
    seconds = table.view(">u4")[::2].astype(np.int64)
    count = table.view(">u4")[1::2].astype(np.int64)
    columns = {"time": seconds * 10**9, "ip_version": np.full(len(seconds), 4), "packets": count, "bytes": count * 100}
    source = Source(stream.name, "toy", len(seconds), notes=contents.notes)
    return make_trace("flow", columns, sources=[source])

TOY = Reader("toy", "flow", read=read, magics=(b"TOY1",))
PCAP_AGAIN = Reader("pcap", "packet", read=read, magics=(b"TOY2",))
OTHER_KIND = Reader("other kind", "packet", read=read, magics=(b"TOY1",))
TEXT = Reader("lines of text", "flow", read=read, recognises=lambda head: head.startswith(b"time=") or head[:5] == b"srcip")
"""

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A distribution `toy-traces` as pip would leave it on disk, with these lines in its group of entry points."""
    site = tmp_path / "site"
    info = site / "toy_traces-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "toy_traces.py").write_text(READER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-traces\nVersion: 1.0\n")

    def write(lines: str) -> None:
        (info / "entry_points.txt").write_text(f"[netshare.readers]\n{lines}\n")
        monkeypatch.syspath_prepend(str(site))
        plugin_readers.cache_clear()

    yield write
    sys.modules.pop("toy_traces", None)
    plugin_readers.cache_clear()


def toy_file(folder: Path, records: int) -> Path:
    path = folder / "capture.bin"
    pairs = np.stack([1000 + np.arange(records), 1 + np.arange(records)], axis=1)
    path.write_bytes(b"TOY1" + pairs.astype(">u4").tobytes())
    return path


def test_a_plugin_reads_its_format(install: Install, tmp_path: Path) -> None:
    path = toy_file(tmp_path, 5)
    with pytest.raises(InputError, match=r"not a trace .the file begins with the bytes 54 4f 59 31"):
        read_trace(path)
    install("toy = toy_traces:TOY")
    trace = read_trace(path)
    assert trace.sources[0].format == "toy"
    assert trace["packets"].tolist() == [1, 2, 3, 4, 5]
    assert trace["time"][0] == 1000 * 10**9


def test_the_limit_holds_for_a_plugin_that_ignores_it(install: Install, tmp_path: Path) -> None:
    install("toy = toy_traces:TOY")
    trace = read_trace(toy_file(tmp_path, 5), limit=2)
    assert trace["packets"].tolist() == [1, 2]
    assert trace.sources[0].records == 2


def test_errors_of_a_plugin_are_those_of_any_reader(install: Install, tmp_path: Path) -> None:
    install("toy = toy_traces:TOY")
    path = toy_file(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"capture\.bin: the last record is cut"):
        read_trace(path)


def test_a_reader_must_give_what_it_declares(install: Install, tmp_path: Path) -> None:
    install("other = toy_traces:OTHER_KIND")
    with pytest.raises(InputError, match="'other kind' is declared to give a packet trace and gave a flow trace"):
        read_trace(toy_file(tmp_path, 1))


def test_a_text_goes_to_a_plugin_only_where_no_dialect_knows_it(install: Install, tmp_path: Path) -> None:
    install("text = toy_traces:TEXT")
    odd = np.frombuffer(b"time=3 from=here\n", np.uint8)
    assert recognise("odd", odd).name == "lines of text"
    assert recognise("odd", odd, as_table=True).name == "csv"
    assert recognise("other", np.frombuffer(b"hello world\n", np.uint8)).name == "csv"
    known = np.frombuffer(b"srcip,dstip,srcport,dstport,proto,ts,td,pkt,byt\n", np.uint8)
    assert recognise("known", known).name == "csv"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("bad = no_such_module_anywhere:X", "'bad' of the distribution toy-traces cannot be imported .ModuleNotFound"),
        ("bad = toy_traces:MISSING", "'bad' of the distribution toy-traces cannot be imported .AttributeError"),
        ("bad = toy_traces:read", "'bad' of the distribution toy-traces is a function, not a netshare.preprocess"),
        (
            "bad = toy_traces:PCAP_AGAIN",
            "of the distribution toy-traces declares the format 'pcap', .* netshare itself",
        ),
        ("a = toy_traces:TOY\nb = toy_traces:TOY", "'b' of .* toy-traces declares the format 'toy', .* of toy-traces"),
    ],
)
def test_a_broken_plugin_is_one_line_that_names_it(install: Install, tmp_path: Path, lines: str, message: str) -> None:
    install(lines)
    with pytest.raises(InputError, match=message) as caught:
        read_trace(toy_file(tmp_path, 1))
    assert "\n" not in str(caught.value)


def test_what_is_built_in_is_read_without_plugins(install: Install, tmp_path: Path) -> None:
    install("bad = no_such_module_anywhere:X")
    path = tmp_path / "flows.csv"
    path.write_text("srcip,dstip,srcport,dstport,proto,ts,td,pkt,byt\n1.1.1.1,2.2.2.2,1,2,TCP,1,1,1,1\n")
    assert len(read_trace(path)) == 1


def test_names_of_built_in_readers_are_distinct() -> None:
    assert len({reader.name for reader in BUILT_IN}) == len(BUILT_IN)


def test_the_documented_example_reads_what_it_describes(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    code = guide.partition("# sensor_traces.py\n")[2].partition("```")[0]
    (tmp_path / "site" / "sensor_traces.py").write_text(code)
    install("sensor = sensor_traces:SENSOR")
    path = tmp_path / "sensor.bin"
    path.write_bytes(b"SNS1" + np.array([[1000, 0x0A000001, 0x0A000002, 60], [1001, 1, 2, 70]], ">u4").tobytes())
    trace = read_trace(path)
    sys.modules.pop("sensor_traces")
    assert trace.kind == "flow" and trace["bytes"].tolist() == [60, 70]
    assert trace["src_lo"][0] == 0x0A000001 and trace["time"].tolist() == [1000 * 10**9, 1001 * 10**9]
