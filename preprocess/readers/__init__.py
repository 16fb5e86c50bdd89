"""Read traces: packet captures and NetFlow records, one file or many, as one canonical trace.

    read_trace("campus.pcap.gz")
    read_trace("captures/*.pcapng")           # one measurement epoch a file, merged
    read_trace(["monday.csv", "tuesday.csv"])

Formats are told by content, never by name; see `read_trace`.
"""

from netshare.preprocess.readers.read import list_files, read_trace

__all__ = ["list_files", "read_trace"]
