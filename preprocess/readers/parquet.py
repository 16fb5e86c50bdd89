"""Parquet: the canonical columns of a trace, or, with `columns`, any table."""

from __future__ import annotations

from netshare.preprocess.parquet import parse_parquet
from netshare.preprocess.readers.contents import Stream
from netshare.preprocess.readers.flow_csv import trace_of_table
from netshare.preprocess.readers.flow_tables import parse_parquet_texts
from netshare.preprocess.readers.reader import Reader, ReadOptions
from netshare.preprocess.trace import Trace


def read_parquet(stream: Stream, options: ReadOptions) -> Trace:
    """The records of a Parquet file, in file order, with the sources that it names.

    Raises:
        InputError: it is no whole Parquet file, or lacks columns.
    """
    contents = stream.contents()
    if options.columns is not None:
        return trace_of_table(stream.name, contents, parse_parquet_texts(stream.name, contents.buffer), options)
    return parse_parquet(stream.name, contents.buffer)


PARQUET = Reader("parquet", None, read=read_parquet, magics=(b"PAR1",))
