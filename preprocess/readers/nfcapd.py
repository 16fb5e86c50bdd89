"""nfcapd files, the binary store of the nfdump tools, through the `nfdump` program where it is installed.

Its layouts change between versions and are documented only by that program, so it does the reading. Times come in
milliseconds, as it keeps them.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from netshare.preprocess.errors import InputError
from netshare.preprocess.readers.contents import Contents, Stream
from netshare.preprocess.readers.flow_csv import read_text_table
from netshare.preprocess.readers.reader import Reader, ReadOptions
from netshare.preprocess.trace import Trace

_COLUMNS = "ts td sa da sp dp pr flg stos ipkt ibyt opkt obyt"  # nfdump's CSV names
_FORMAT = "fmt:%tsr,%td,%sa,%da,%sp,%dp,%pr,%flg,%stos,%ipkt,%ibyt,%opkt,%obyt"
_TIMEOUT_SECONDS = 3600


def read_nfcapd(stream: Stream, options: ReadOptions) -> Trace:
    """The flow records of an nfcapd file, in file order, as a trace of one source.

    Raises:
        InputError: nfdump is not installed, or cannot read the file.
    """
    path, contents, limit = stream.name, stream.contents(), options.limit
    program = shutil.which("nfdump")
    if program is None:
        raise InputError(
            f"{path}: an nfcapd file, which is read through the program nfdump: install it (package nfdump), "
            f"or write the records as CSV where it is (nfdump -r FILE -o csv)"
        )
    with tempfile.NamedTemporaryFile(prefix="netshare-nfcapd-") as plain:
        plain.write(contents.buffer.data)
        plain.flush()
        command = [program, "-r", plain.name, "-q", "-N", "-6", "-o", _FORMAT]
        command += [] if limit is None else ["-c", str(limit)]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"{path}: nfdump could not read this nfcapd file ({error})") from None
    messages = done.stderr.decode(errors="replace").replace(plain.name, Path(path).name).strip().splitlines()
    if done.returncode != 0 or (messages and b"," not in done.stdout):
        reason = messages[-1] if messages else f"exit code {done.returncode}"
        raise InputError(f"{path}: nfdump cannot read this nfcapd file ({reason}), write it anew with nfcapd")
    lines = b"" if done.stdout.startswith(b"No matching flows") else done.stdout
    text = ",".join(_COLUMNS.split()).encode() + b"\n" + lines
    table = Contents(np.frombuffer(text, np.uint8), (*contents.notes, *messages))
    trace = read_text_table(path, table, ReadOptions(limit=limit))
    source = trace.sources[0]
    details = {**source.details, "time_unit": "ms"}
    return replace(trace, sources=(replace(source, format="nfcapd", details=details),))


NFCAPD = Reader("nfcapd", "flow", read=read_nfcapd, magics=(b"\x0c\xa5",))  # of both nfdump layouts, little-endian
