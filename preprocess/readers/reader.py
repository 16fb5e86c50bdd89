"""What a reader is: one declaration of a format, how it is known and what reads it.

    PCAP = Reader("pcap", "packet", read=read_pcap, magics=(b"\\xd4\\xc3\\xb2\\xa1",))

A new format is a module with such a declaration, and its place in `registry.BUILT_IN`; a format of another distribution
is a declaration named by an entry point of the group `netshare.readers` (docs/formats.md).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from netshare.preprocess.readers.contents import MAXIMUM_BYTES, Stream
from netshare.preprocess.readers.export_messages import KnownTemplates, NetflowExports
from netshare.preprocess.readers.frames import Frames
from netshare.preprocess.readers.window import Window
from netshare.preprocess.trace import Kind, Trace

# Batches of a capture's frames, each in the window's buffer at that time. The list receives notes, the dict facts
# about the file.
ScanFrames = Callable[[Window, list[str], dict[str, Any]], Generator[Frames, None, None]]


@dataclass(frozen=True)
class ReadOptions:
    """How a file is read; the arguments of `read_trace` of the same names.

    Attributes:
        limit: read no more records of this file; None: all.
        templates: the NetFlow and IPFIX templates that the files of one call share.
    """

    limit: int | None = None
    columns: Mapping[str, str] | None = None
    netflow_exports: NetflowExports = "auto"
    decapsulate: bool = False
    max_bytes: int = MAXIMUM_BYTES
    templates: KnownTemplates = field(default_factory=KnownTemplates)


@dataclass(frozen=True)
class Reader:
    """A format that can be read.

    Attributes:
        name: of the format, as `Source.format` has it and as messages name it.
        kind: what its files hold, packets or flow records; None: either.
        read: the trace in an open file, records in the file's order, with one `Source` that counts what was left out.
            Raises InputError, one line, where the file is damaged.
        magics: what its files begin with, one of these.
        recognises: whether a file that begins with these bytes (a megabyte, or all of it) is of this format; in
            addition to `magics`.
        scan: of a capture format, its frames, batch by batch. Such files are also searched for NetFlow exports.
    """

    name: str
    kind: Kind | None
    read: Callable[[Stream, ReadOptions], Trace]
    magics: tuple[bytes, ...] = ()
    recognises: Callable[[bytes], bool] | None = None
    scan: ScanFrames | None = None

    def knows(self, head: bytes) -> bool:
        """Whether a file that begins with these bytes is of this format."""
        return head.startswith(self.magics) or (self.recognises is not None and self.recognises(head))
