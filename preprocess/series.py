"""Flow series in natural units: what lies between the trace table and the encoded arrays.

A *series* is one flow's records within one chunk, or one segment of them where the flow is long. A trace is cut into
series, which a codec encodes; a codec decodes generated arrays into series, which are put together into a trace. Values
are those of the trace's columns. The fields are:

metadata (one value a series)
    the five-tuple: `ip_version`, `src_hi`, `src_lo`, `dst_hi`, `dst_lo`, `src_port`, `dst_port`, `protocol`
    `start`        int64, ns from the start of the chunk to the first record
    `span`         int64, ns from the first record to the last (0 for a single record)
    `starts_here`  uint8, 1 if the flow's first record of the whole trace is in this series
    `chunk_tags`   uint8[n_series, n_chunks], 1 where the flow has records in that chunk
    `continues`    uint8, 1 if this series is a later segment of a flow that was cut within this chunk
    `continued`    uint8, 1 if a later segment of the same flow follows within this chunk
    `label`, `attack_type`  int32 codes, flow traces only, where the source has them (the first record's)

measurements (one value a record)
    `interarrival`  int64, ns since the previous record of the series, 0 for the first
    packet traces:  `length`, `ttl`, `tos`, `ip_flags`, `fragment_offset`, `tcp_flags`, `tcp_window`,
                    `tcp_header_length`, `icmp_type`, `icmp_code`, `vlan`
    flow traces:    `duration`, `packets`, `bytes`, and where the source has them `tcp_flags`, `tos`, `packets_rev`,
                    `bytes_rev`
    bidirectional flows (conversations) have `direction` (uint8, 0 = the five-tuple's own direction) beside them
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from netshare.preprocess.ragged import Ragged
from netshare.preprocess.trace import Kind

METADATA_OF_FLOW = ("ip_version", "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "protocol")
PACKET_MEASUREMENTS = (
    "length",
    "ttl",
    "tos",
    "ip_flags",
    "fragment_offset",
    "tcp_flags",
    "tcp_window",
    "tcp_header_length",
    "icmp_type",
    "icmp_code",
    "vlan",
)
FLOW_MEASUREMENTS = ("duration", "packets", "bytes", "tcp_flags", "tos", "packets_rev", "bytes_rev")


@dataclass(frozen=True)
class SeriesTable(Ragged[dict[str, np.ndarray]]):
    """Series of one chunk in natural units; the module's docstring lists the columns.

    metadata: arrays of length n_series (`chunk_tags` has a second axis of n_chunks)
    measurements: arrays of length n_records, the series one after another
    offsets: int64[n_series + 1]
    kind: of the trace that the series are from
    chunk_width: ns; `start + span` of every series lies within it
    categories: the texts of the label codes, by column
    """

    kind: Kind
    chunk_width: int
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
