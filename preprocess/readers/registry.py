"""All readers, and the choice of one by a file's content: the built-in ones first, then those of plugins."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points

import numpy as np

from netshare.preprocess.errors import InputError
from netshare.preprocess.readers.contents import READABLE, NotATraceError
from netshare.preprocess.readers.erf import ERF_FILE
from netshare.preprocess.readers.exports import NETFLOW_EXPORT
from netshare.preprocess.readers.flow_csv import TEXT_TABLE, is_text
from netshare.preprocess.readers.nfcapd import NFCAPD
from netshare.preprocess.readers.parquet import PARQUET
from netshare.preprocess.readers.pcap import PCAP
from netshare.preprocess.readers.pcapng import PCAPNG
from netshare.preprocess.readers.reader import Reader

# Asked in this order: formats with a magic number before those that are known by how likely their first bytes are.
BUILT_IN: tuple[Reader, ...] = (PCAP, PCAPNG, PARQUET, NFCAPD, NETFLOW_EXPORT, ERF_FILE, TEXT_TABLE)
PLUGIN_GROUP = "netshare.readers"
_UNREADABLE = {
    b"\xcf\x10": "a flow-tools file, turn it into NetFlow CSV with flow-export",
    b"\xa5\x0c": "an nfcapd file of a big-endian machine, read it there with nfdump",
    b"PK\x03\x04": "a zip archive, unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive, unpack it",
}


def recognise(name: str, head: np.ndarray, *, as_table: bool = False) -> Reader:
    """The reader of a file.

    Args:
        name: of the file, for messages.
        head: uint8[size], its first megabyte, or all of it.
        as_table: whether any text is a table, as it is where the user names its columns. Without, a text whose
            columns no built-in dialect has is offered to plugins first.

    Raises:
        NotATraceError: no reader knows it.
        InputError: a plugin is broken.
    """
    start = head.tobytes()
    found = next((reader for reader in BUILT_IN if reader.knows(start)), None)
    if found is None and as_table and is_text(start):
        found = TEXT_TABLE
    if found is None:
        found = next((reader for reader in plugin_readers() if reader.knows(start)), None)
    if found is not None:
        return found
    other = next((hint for magic, hint in _UNREADABLE.items() if start.startswith(magic)), None)
    if other:
        raise NotATraceError(f"{name}: not a trace but {other}")
    if is_text(start):
        return TEXT_TABLE  # whose error names what the header lacks
    shown = " ".join(f"{byte:02x}" for byte in start[:8])
    raise NotATraceError(f"{name}: not a trace (the file begins with the bytes {shown}), expected {READABLE}")


@functools.cache
def plugin_readers() -> tuple[Reader, ...]:
    """The readers that installed distributions declare, in the order of their entry points' names. Loaded once.

    Raises:
        InputError: one cannot be imported, is no `Reader`, or has the name of another one.
    """
    owner = {reader.name: "netshare itself" for reader in BUILT_IN}
    found: list[Reader] = []
    for entry in sorted(entry_points(group=PLUGIN_GROUP), key=lambda entry: (entry.name, entry.value)):
        where = f"the reader {entry.name!r} of the distribution {_distribution(entry)}"
        try:
            reader = entry.load()
        except Exception as error:  # whatever a stranger's module raises while it is imported
            reason = str(error).splitlines()[0] if str(error) else "no reason given"
            raise InputError(
                f"{where} cannot be imported ({type(error).__name__}: {reason}), repair or uninstall it"
            ) from error
        if not isinstance(reader, Reader):
            raise InputError(
                f"{where} is a {type(reader).__name__}, not a netshare.preprocess.readers.Reader ({entry.value}), "
                "update or uninstall it"
            )
        if reader.name in owner:
            raise InputError(
                f"{where} declares the format {reader.name!r}, which is that of {owner[reader.name]}, uninstall one"
            )
        owner[reader.name] = _distribution(entry)
        found.append(reader)
    return tuple(found)


def _distribution(entry: EntryPoint) -> str:
    """The name of the distribution that declares an entry point."""
    return entry.dist.name if entry.dist is not None else "unknown"
