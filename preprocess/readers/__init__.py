"""Read traces: packet captures and NetFlow records, one file or many, as one canonical trace.

    read_trace("campus.pcap.gz")
    read_trace("captures/*.pcapng")           # one measurement epoch a file, merged
    read_trace(["monday.csv", "tuesday.csv"])

Formats are known by content, never by name; see `read_trace`. A new format is a `Reader`, registered in `registry`.
"""

from netshare.preprocess.readers.contents import Contents, Stream
from netshare.preprocess.readers.read import list_files, read_trace
from netshare.preprocess.readers.reader import Reader, ReadOptions

__all__ = ["Contents", "ReadOptions", "Reader", "Stream", "list_files", "read_trace"]
