"""The known layouts of flow records, each told by names of its columns.

| dialect | columns that it is known by | times |
|---|---|---|
| NetShare | srcip dstip srcport dstport proto ts td pkt byt, and label, type | number, unit by magnitude; td in s |
| nfdump csv | ts td sa da sp dp pr ipkt ibyt, and flg stos opkt obyt | texts, as UTC; td in s |
| nfdump csv, newer | firstSeen duration proto srcAddr srcPort dstAddr dstPort packets bytes | UTC texts or numbers |
| Zeek conn (its own log, JSON lines, CSV) | ts id.orig_h id.orig_p id.resp_h id.resp_p proto orig_pkts ... | seconds |
| UGR16, CIDDS, TON_IoT, CICFlowMeter, Argus, UNSW-NB15 | see `flow_datasets` | |

Ports of ICMP records stay as the exporter gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from netshare.preprocess.errors import InputError
from netshare.preprocess.layouts.flow_datasets import (
    UGR16_COLUMNS,
    cic_missing,
    from_argus,
    from_cicflowmeter,
    from_cidds,
    from_ton_iot,
    from_ugr16,
    from_unsw,
)
from netshare.preprocess.layouts.flow_dialects import (
    FlowColumns,
    from_netshare,
    from_nfdump,
    from_nfdump_names,
    from_zeek,
)

_SHOWN = 120


@dataclass(frozen=True)
class Dialect:
    """A layout of flow records: how it is known, what it must have, and how it becomes columns. `others` are columns that
    are also read where they are there; None: any. `integers` are columns that hold nothing else in most files."""

    name: str
    known_by: tuple[str, ...]
    required: tuple[str, ...]
    convert: Callable[[dict[str, pa.Array]], FlowColumns]
    others: tuple[str, ...] | None = None
    integers: tuple[str, ...] = ()


UGR16 = Dialect("ugr16-csv", UGR16_COLUMNS, UGR16_COLUMNS, from_ugr16, integers=("sp", "stos", "pkt", "byt"))
UNSW_NB15 = Dialect(
    "unsw-nb15-csv",
    ("srcip", "dstip", "stime"),
    ("srcip", "sport", "dstip", "dsport", "proto", "dur", "sbytes", "dbytes", "spkts", "dpkts", "stime"),
    from_unsw,
)
_CICFLOWMETER, _NFDUMP_SHORT = "cicflowmeter-csv", "nfdump-short-csv"
DIALECTS = (
    UNSW_NB15,
    Dialect(
        "netshare-csv",
        ("srcip", "dstip"),
        ("srcip", "dstip", "srcport", "dstport", "proto", "ts", "td", "pkt", "byt"),
        from_netshare,
        integers=("ts", "srcport", "dstport", "pkt", "byt"),
    ),
    Dialect("nfdump-csv", ("sa", "da"), ("ts", "td", "sa", "da", "sp", "dp", "pr", "ipkt", "ibyt"), from_nfdump,
            ("flg", "stos", "opkt", "obyt"), integers=("sp", "ipkt", "ibyt", "stos", "opkt", "obyt")),
    Dialect(
        _NFDUMP_SHORT,
        ("firstseen", "srcaddr"),
        ("firstseen", "proto", "srcaddr", "srcport", "dstaddr", "dstport", "packets", "bytes"),
        from_nfdump_names,
    ),
    Dialect(
        "zeek-csv",
        ("id.orig_h", "id.resp_h"),
        ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration", "orig_pkts"),
        from_zeek,
        integers=("id.orig_p", "id.resp_p", "orig_pkts", "orig_ip_bytes"),
    ),
    Dialect(
        "cidds-csv",
        ("date first seen", "src ip addr"),
        ("date first seen", "duration", "proto", "src ip addr", "src pt", "dst ip addr", "dst pt", "packets", "bytes"),
        from_cidds,
    ),
    Dialect(
        "ton-iot-csv",
        ("src_ip", "dst_ip", "src_ip_bytes"),
        ("ts", "src_ip", "src_port", "dst_ip", "dst_port", "proto", "duration", "src_pkts", "src_ip_bytes", "dst_pkts",
         "dst_ip_bytes"),
        from_ton_iot,
    ),
    Dialect(
        "argus-csv",
        ("starttime", "srcaddr", "totpkts"),
        ("starttime", "dur", "proto", "srcaddr", "sport", "dstaddr", "dport", "totpkts", "totbytes"),
        from_argus,
    ),
    Dialect(_CICFLOWMETER, ("timestamp", "flow duration"), (), from_cicflowmeter),
    Dialect(_CICFLOWMETER, ("timestamp", "flow_duration"), (), from_cicflowmeter),
)  # fmt: skip


def find_dialect(path: str, names: Sequence[str]) -> Dialect | None:
    """The dialect with these column names (in lower case), None where they are of none.

    Raises:
        InputError: it lacks columns of its dialect; `path` names it.
    """
    dialect = next((d for d in DIALECTS if all(name in names for name in d.known_by)), None)
    if dialect is None:
        return None
    missing = [name for name in dialect.required if name not in names]
    missing += cic_missing(list(names)) if dialect.name == _CICFLOWMETER else []
    if dialect.name == _NFDUMP_SHORT and not {"duration", "lastseen"} & set(names):
        missing.append("duration (or lastSeen)")
    if missing:
        found = shorten(", ".join(names))
        raise InputError(f"{path}: a {dialect.name} file without the columns {', '.join(missing)} (found {found})")
    return dialect


def nearest_dialect(names: Sequence[str]) -> str:
    """The layout of which most columns are there, and those that are not; empty where it is less than half of them."""
    wanted = [(d.name, list(dict.fromkeys((*d.known_by, *d.required)))) for d in DIALECTS]
    lacking = [(name, [n for n in columns if n not in names], len(columns)) for name, columns in wanted if columns]
    name, missing, of = min(lacking, key=lambda entry: len(entry[1]) / entry[2])
    return f"{name} with the columns {', '.join(missing)}" if 2 * len(missing) < of else ""


def shorten(text: str) -> str:
    """The text as a message of one line shows it."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
