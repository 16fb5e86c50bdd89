"""A trace's columns as a pandas data frame, and a data frame of packets or flow records as a trace's columns.

`frame_of` makes one row a record. Beside the canonical columns (`netshare.preprocess.columns`) it has

    src_ip, dst_ip   addresses as text instead of two numbers each
    time             datetime64[ns, UTC]
    duration         timedelta64[ns]
    protocol         IANA numbers, or names by request
    label, attack_type   categoricals; a missing value is a record without one

`records_of_frame` reads that back, with columns under these names, under names that a mapping gives, or in one of the
layouts of `netshare.preprocess.tables.flow_dialects` (what `pandas.read_csv` makes of such a file). Rows are counted from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.columns import (
    CATEGORY_COLUMNS,
    FIVE_TUPLE,
    Kind,
    Records,
    Source,
    known_columns,
    required_columns,
)
from netshare.preprocess.errors import InputError
from netshare.preprocess.interchange.frame_columns import FrameColumn
from netshare.preprocess.interchange.layout_frames import columns_of_layout
from netshare.preprocess.layouts.flow_forms import UNIT_NS
from netshare.preprocess.protocols import protocol_name
from netshare.preprocess.tables.csv_columns import abbreviated_counts, any_ports, tcp_flags
from netshare.preprocess.tables.flow_dialects import find_dialect, nearest_dialect

_HALVES = tuple(name for name in FIVE_TUPLE if name.endswith(("_hi", "_lo")))
_ADDRESSES = {"src": "src_ip", "dst": "dst_ip"}  # names in a mapping, and in a data frame
_ESSENTIAL: dict[Kind, tuple[str, ...]] = {
    "packet": ("time", "src_ip", "dst_ip", "protocol", "length"),
    "flow": ("time", "src_ip", "dst_ip", "protocol", "packets", "bytes"),
}
_TEXTS = {
    "src_port": any_ports,
    "dst_port": any_ports,
    "tcp_flags": tcp_flags,
    **dict.fromkeys(("packets", "bytes", "packets_rev", "bytes_rev"), abbreviated_counts),
}


def frame_of(
    columns: Mapping[str, np.ndarray], categories: Mapping[str, tuple[str, ...]], *, protocol_names: bool
) -> pd.DataFrame:
    """A data frame of these columns, as the module's docstring has it; columns that are not canonical stay as they are.

    Args:
        columns: those of a trace, each of n values.
        categories: the texts that codes of `label` and `attack_type` stand for.
        protocol_names: names (`TCP`) instead of numbers (6).
    """
    data: dict[str, object] = {}
    for name, values in columns.items():
        end = name[:3]
        if name in _HALVES:
            if f"{end}_ip" not in data:
                hi, lo = columns[f"{end}_hi"], columns[f"{end}_lo"]
                data[f"{end}_ip"] = format_addresses(columns["ip_version"], hi, lo)
        elif name == "time":
            data[name] = pd.Series(values.view("datetime64[ns]")).dt.tz_localize("UTC")
        elif name == "duration":
            data[name] = values.view("timedelta64[ns]")
        elif name in CATEGORY_COLUMNS:
            data[name] = pd.Categorical.from_codes(values, list(categories.get(name, ())))
        elif name == "protocol" and protocol_names:
            data[name] = protocol_name(values)
        else:
            data[name] = values
    return pd.DataFrame(data)


def records_of_frame(
    frame: pd.DataFrame,
    *,
    kind: Kind | None = None,
    columns: Mapping[str, str] | None = None,
    path: str = "DataFrame",
    format: str = "pandas",
) -> Records:
    """The packets or flow records of a data frame, in its order; its index does not count.

    Args:
        frame: columns under the names of `frame_of` (in any case of letters), under those that `columns` gives, or in
            one of the layouts of `netshare.preprocess.tables.flow_dialects`.
        kind: what the rows are; by default packets where there is a column `length`, else flow records.
        columns: `{"time": "when:ms", "src": "from"}`, the names of columns that are called otherwise. Keys are those of
            `netshare.preprocess.tables.flow_mapping` and all canonical columns; after a colon stands the unit of numbers
            that are times or durations.
        path, format: what messages and the source call the table.

    Returns:
        The columns, of which canonical ones that the frame lacks are left out. The source's notes name what is left out,
        and what was assumed of zones and units.

    Raises:
        InputError: a column that every trace needs is missing; a value that is needed is missing, or is none of its
            column's; the frame's kind is not clear.
    """
    names: dict[str, Any] = {}  # of columns, by their name in lower case
    for name in frame.columns:
        names.setdefault(str(name).strip().lower(), name)
    notes: list[str] = []
    if columns is None and not _has_own_names(names) and (dialect := find_dialect(path, list(names))) is not None:
        if kind == "packet":
            raise InputError(f"{path}: its columns are flow records in the layout {dialect.table.name}, not packets")
        table = {name: FrameColumn(path, name, frame[theirs], None, notes) for name, theirs in names.items()}
        flows = columns_of_layout(path, dialect, table)
        notes.append(f"read in the layout {dialect.table.name}: columns that it does not use are left out")
        return _records("flow", flows.columns, flows.categories, path, format, notes)
    chosen = _choose(path, frame, names, columns or {}, notes)
    found = kind or _kind_of(path, chosen, names)
    lacking = [name for name in _ESSENTIAL[found] if name not in chosen and not _in_halves(name, chosen)]
    if lacking:
        raise InputError(_lacks(path, found, lacking, list(names)))
    known = known_columns(found)
    made, categories = _convert(chosen, known)
    left_out = [name for name in names if not any(str(one.name).strip().lower() == name for one in chosen.values())]
    used = (*known, *_ADDRESSES.values(), *(["end"] if "duration" in known and "duration" not in chosen else []))
    left_out += [one.name for name, one in chosen.items() if name not in used]
    left_out += [str(name) for name in frame.columns if names[str(name).strip().lower()] != name]  # differ in case only
    if left_out:
        notes.append(f"left out, no columns of a {found} trace: {', '.join(left_out)}")
    zeros = [name for name in required_columns(found) if name not in (*made, "epoch")]
    if zeros:
        notes.append(f"not in the table, taken as 0: {', '.join(zeros)}")
    return _records(found, made, categories, path, format, notes)


def _has_own_names(names: Mapping[str, Any]) -> bool:
    return "time" in names and all(_ADDRESSES[end] in names or f"{end}_lo" in names for end in _ADDRESSES)


def _choose(
    path: str, frame: pd.DataFrame, names: Mapping[str, Any], mapping: Mapping[str, str], notes: list[str]
) -> dict[str, FrameColumn]:
    """The columns that are used, by canonical name (addresses: `src_ip`, `dst_ip`): mapped ones first, then those that
    have this name."""
    allowed = [*known_columns("packet"), *known_columns("flow"), *_ADDRESSES.values(), "end"]
    named = {_ADDRESSES.get(ours, ours): theirs for ours, theirs in mapping.items()}
    unknown = [ours for ours in named if ours not in allowed]
    if unknown:
        known = ", ".join(dict.fromkeys(["src", "dst", *allowed]))
        raise InputError(f"columns: {', '.join(unknown)} is no column of a trace, use one of {known}")
    chosen: dict[str, tuple[str, str | None]] = {}
    for ours, value in named.items():
        whole = value.strip().lower()
        name, colon, unit = whole.rpartition(":")
        is_unit = bool(colon) and unit in UNIT_NS and whole not in names
        chosen[ours] = (name.strip(), unit) if is_unit else (whole, None)
    absent = [name for name, _ in chosen.values() if name not in names]
    if absent:
        raise InputError(f"{path}: without the columns {', '.join(absent)} that are named (found {', '.join(names)})")
    taken = {name for name, _ in chosen.values()}
    canonical = "src_ip" not in {*names, *named} and "src_lo" in names  # what Parquet files hold: times in ns
    for ours in dict.fromkeys(allowed):
        if ours in names and ours not in chosen and ours not in taken and ours != "end":
            chosen[ours] = (ours, "ns" if canonical and ours in ("time", "duration") else None)
    result = {}
    for ours, (theirs, given) in chosen.items():
        series = frame[names[theirs]]
        if isinstance(series, pd.DataFrame):
            raise InputError(f"{path}: the column {theirs} stands there {series.shape[1]} times, keep one of them")
        result[ours] = FrameColumn(path, str(names[theirs]), series.infer_objects(), given, notes)
    return result


def _kind_of(path: str, chosen: Mapping[str, FrameColumn], names: Mapping[str, Any]) -> Kind:
    if "length" in chosen:
        return "packet"
    if "packets" in chosen or "bytes" in chosen:
        return "flow"
    lacking = [name for name in ("time", *_ADDRESSES.values()) if name not in chosen and not _in_halves(name, chosen)]
    near = nearest_dialect(list(names))
    hint = f"; it would be {near}" if near else ""
    raise InputError(
        f"{path}: neither packets (time, src_ip, dst_ip, protocol, length) nor flow records (packets, bytes instead of "
        f"length), found {', '.join(names) or 'no columns'}{hint}; name columns with columns={{'time': 'its name', ...}}"
        if lacking
        else f"{path}: has neither length (packets) nor packets and bytes (flow records), add them or name them with "
        f"columns={{'length': 'its name'}}"
    )


def _in_halves(name: str, chosen: Mapping[str, FrameColumn]) -> bool:
    """Whether an address stands there as the two numbers of the canonical columns."""
    return name.endswith("_ip") and all(half in chosen for half in ("ip_version", f"{name[:3]}_hi", f"{name[:3]}_lo"))


def _lacks(path: str, kind: Kind, lacking: list[str], names: list[str]) -> str:
    index = "; reset_index() makes a column of an index" if "time" in lacking else ""
    what = "packets" if kind == "packet" else "flow records"
    return (
        f"{path}: {what} without {', '.join(lacking)} (found {', '.join(names) or 'none'}); add what is missing, or name "
        f"it with columns={{'{lacking[0]}': 'its name'}}{index}"
    )


def _convert(
    chosen: Mapping[str, FrameColumn], known: Mapping[str, np.dtype]
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]]]:
    """Canonical columns, and the texts of categories."""
    made: dict[str, np.ndarray] = {"time": chosen["time"].times()}
    categories: dict[str, tuple[str, ...]] = {}
    versions = {}
    for end, name in _ADDRESSES.items():
        if name in chosen:
            versions[end], made[f"{end}_hi"], made[f"{end}_lo"] = chosen[name].addresses()
    if len(versions) == 2:
        chosen["dst_ip"].refuse(
            versions["src"] != versions["dst"], "is of another version of IP than the source address"
        )
    if versions:
        made["ip_version"] = next(iter(versions.values()))
    if "end" in chosen and "duration" not in chosen and "duration" in known:
        made["duration"] = chosen["end"].times() - made["time"]
        chosen["end"].refuse(made["duration"] < 0, "is before the start of the flow")
    for name, dtype in known.items():
        if name not in chosen or name in made:
            continue
        column = chosen[name]
        if name == "duration":
            made[name] = column.durations()
        elif name == "protocol":
            made[name] = column.protocols()
        elif name in CATEGORY_COLUMNS:
            made[name], categories[name] = column.categories()
        elif name in _TEXTS:
            made[name] = column.integers(dtype, _TEXTS[name])
        else:
            made[name] = column.integers(dtype)
    if "ip_version" in chosen:
        found = chosen["ip_version"].integers(known["ip_version"])
        chosen["ip_version"].refuse(found != made["ip_version"], "is not that of the addresses")
        chosen["ip_version"].refuse((found != 4) & (found != 6), "is neither 4 nor 6")
    return made, categories


def _records(
    kind: Kind,
    columns: dict[str, np.ndarray],
    categories: dict[str, tuple[str, ...]],
    path: str,
    format: str,
    notes: list[str],
) -> Records:
    """With one source for each epoch; what was noted stands at the first."""
    rows = len(columns["time"])
    counts = np.bincount(columns["epoch"], minlength=1).tolist() if "epoch" in columns else [rows]
    sources = [Source(path, format, records) for records in counts]
    sources[0] = Source(path, format, counts[0], notes=tuple(dict.fromkeys(notes)))
    return Records(kind, columns, categories, tuple(sources))
