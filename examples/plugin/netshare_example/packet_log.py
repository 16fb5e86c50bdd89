"""The reader of packet logs: texts whose first line is `#packetlog 1`, then a line a packet, its fields parted by spaces.

    #packetlog 1
    1700000000.250000 10.0.0.1 10.0.0.2 TCP 50000 443 60

Seconds since 1970, source, destination, protocol (name or number), ports, bytes of the IP packet.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
from pyarrow import csv

from netshare.preprocess import Trace, make_trace
from netshare.preprocess.errors import InputError
from netshare.preprocess.interchange.arrow_tables import records_of_table
from netshare.preprocess.readers import Reader, ReadOptions, Stream

MAGIC = b"#packetlog 1\n"
FIELDS = ("time", "src_ip", "dst_ip", "protocol", "src_port", "dst_port", "length")


def read(stream: Stream, options: ReadOptions) -> Trace:
    """The packets of an open log; what it does not tell (flags, TTL ...) is 0, as the notes of the source say.

    Raises:
        InputError: a line has more or fewer fields, or one that cannot be read.
    """
    contents = stream.contents()  # decompressed
    try:
        table = csv.read_csv(
            pa.BufferReader(contents.buffer[len(MAGIC) :]),
            read_options=csv.ReadOptions(column_names=FIELDS),
            parse_options=csv.ParseOptions(delimiter=" "),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(FIELDS, pa.string())),  # exact times
        )
    except pa.ArrowInvalid as error:
        raise InputError(f"{stream.name}: no packet log ({error}), write one packet a line") from None
    records = records_of_table(table, kind="packet", columns={"time": "time:s"}, path=stream.name, format="packet-log")
    sources = [replace(source, notes=(*contents.notes, *source.notes)) for source in records.sources]
    return make_trace("packet", records.columns, sources=sources)


PACKET_LOG = Reader("packet-log", "packet", read=read, magics=(MAGIC,))
