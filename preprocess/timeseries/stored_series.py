"""What a codec of time series may be, where it is read from a file that may be damaged or a stranger's.

A codec that was fitted satisfies all of it; see `netshare.preprocess.fields.stored` for its columns.
"""

from __future__ import annotations

from typing import Any, get_args

from netshare.preprocess.fields import Address, Style, Tags
from netshare.preprocess.stored_codec import MAX_LENGTH, MAX_WIDTH, check_sizes, check_texts, check_whole
from netshare.preprocess.timeseries.table import ColumnKind

MAX_FOLD = 2**12  # records in an encoded record


def check_series_codec(codec: Any) -> None:
    """Whether a `netshare.preprocess.timeseries.codec.SeriesCodec` can have been fitted.

    Raises:
        ValueError: what no fitted codec has.
    """
    if codec.style not in get_args(Style):
        raise ValueError(f"style is {codec.style!r}, which is unknown")
    check_sizes(codec.schema, codec.max_length)
    if codec.fixed_length is not None:
        check_whole("fixed_length", codec.fixed_length, MAX_LENGTH)
    for name, (_, unit) in codec.whole.items():
        check_whole(f"the unit of {name}", unit, MAX_WIDTH)
    for name, places in codec.decimals.items():
        check_whole(f"the decimal places of {name}", places, 6)
    template, scaled = codec.template, {each.name for each in codec.normalized}
    check_texts(template.categories)
    for name in (*template.metadata, *template.measurements):
        kind = template.kinds[name]
        if kind not in get_args(ColumnKind):
            raise ValueError(f"column {name}: its kind is {kind!r}, which is unknown")
        if (kind == "categorical" and name not in template.categories) or (
            kind == "integer" and name not in codec.whole and name not in scaled
        ):
            raise ValueError(f"column {name}: what a {kind} column needs is missing")
    for part in (*codec.metadata, *codec.measurements):
        if isinstance(part, Address | Tags):
            raise ValueError(f"field {part.name}: series have no {part.encoding}")
