"""Coverage-guided fuzzing of one reader (atheris, which is not among the development tools: `pip install atheris`).

    python -m benchmarks.io.fuzz READER CORPUS [--seconds 600] [--seeds FOLDER...]

An input must give records or one `InputError` of one line, within 10 s and 2 GB. CORPUS is a folder that keeps the inputs
which reached new code; it is filled from small files made here, and from those of the folders of seeds. What fails is
written into CORPUS as `crash-...`, `timeout-...` or `oom-...`, and the program ends with that number of inputs tried.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["preprocess"]):
    from netshare.postprocess import write_trace
    from netshare.postprocess.writers.flow_csv import FLOW_TEXTS
    from netshare.preprocess import read_trace
    from netshare.preprocess.errors import InputError
    from netshare.preprocess.readers.compressed import COMPRESSED

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "examples" / "sample"
LONGEST = 4096  # bytes of an input
READERS: dict[str, tuple[bytes, ...]] = {  # how files begin that are seeds
    "pcap": (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x34\xcd\xb2\xa1"),
    "pcapng": (b"\x0a\x0d\x0d\x0a",),
    "erf": (),
    "exports": (b"\x00\x05", b"\x00\x09", b"\x00\x0a", b"\xd4\xc3\xb2\xa1"),
    "text": (),
    "parquet": (b"PAR1",),
    "compressed": tuple(COMPRESSED),
    "nfcapd": (b"\x0c\xa5",),
}


def main() -> None:
    """Fuzz one reader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=sorted(READERS))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seeds", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    options.corpus.mkdir(parents=True, exist_ok=True)
    if not any(options.corpus.iterdir()):
        for number, content in enumerate(_seeds(options.reader, options.seeds)):
            (options.corpus / f"seed-{number}").write_bytes(content)
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
        atheris.Setup(
            [sys.argv[0], str(options.corpus), f"-max_total_time={options.seconds}", f"-max_len={LONGEST}", "-timeout=10",
             "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={options.corpus}/"],
            _target(options.reader, Path(file.name)),
        )  # fmt: skip
        atheris.Fuzz()


def _target(reader: str, path: Path) -> Callable[[bytes], None]:
    asked = {"netflow_exports": reader == "exports", "decapsulate": True, "max_bytes": 1 << 20}

    def try_one(content: bytes) -> None:
        path.write_bytes(content)
        try:
            trace = read_trace(path, **asked)  # type: ignore[arg-type]
        except InputError as error:
            assert "\n" not in str(error), error
        else:
            assert len(trace) == sum(source.records for source in trace.sources) > 0

    return try_one


def _seeds(reader: str, folders: list[Path]) -> Iterator[bytes]:
    """Small files of the reader's formats."""
    packets = read_trace(SAMPLE / "sample.pcap.gz", limit=8)
    flows = read_trace(SAMPLE / "sample-netflow.csv.gz", limit=6)
    with tempfile.TemporaryDirectory() as folder:

        def written(trace, name: str, **asked) -> bytes:  # type: ignore[no-untyped-def]
            write_trace(trace, Path(folder) / name, **asked)
            return (Path(folder) / name).read_bytes()

        if reader in ("pcap", "pcapng"):
            yield written(packets, f"a.{reader}", snaplen=80)
        if reader == "exports":
            for format in ("netflow-v9", "ipfix"):
                yield written(flows, "a.pcap", format=format)
        if reader == "text":
            for layout in FLOW_TEXTS:
                yield written(flows, "a", format=layout)
        if reader == "parquet":
            yield written(flows, "a.parquet")
        if reader == "compressed":
            yield gzip.compress(written(packets, "a.pcap", snaplen=80))
    for folder in map(Path, folders):
        for path in sorted(folder.iterdir()):
            if not path.is_file():
                continue
            content = path.read_bytes()
            if reader == "compressed":
                content = content[:LONGEST]
            elif content.startswith(b"\x1f\x8b"):
                content = gzip.decompress(content)[:LONGEST]
            fits = content.startswith(READERS[reader]) or (reader == "erf" and "erf" in path.name)
            fits = fits or (reader == "text" and content[:100].isascii() and b"\0" not in content[:100])
            if fits and (len(content) <= LONGEST or path.suffix == ".gz"):
                yield content


if __name__ == "__main__":
    main()
