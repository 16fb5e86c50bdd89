"""Data frames in the layouts of public flow records, converted as files of these layouts are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from netshare.preprocess.errors import InputError
from netshare.preprocess.interchange.frame_columns import FrameColumn
from netshare.preprocess.tables.flow_columns import FlowColumns
from netshare.preprocess.tables.flow_dialects import Dialect


def columns_of_layout(path: str, dialect: Dialect, table: Mapping[str, FrameColumn]) -> FlowColumns:
    """Canonical columns of a data frame whose columns (by name in lower case) are those of a dialect.

    Raises:
        InputError: a row that the layout cannot read; in a file it would be left out.
    """
    doubled = [
        name for name in table if name in dialect.table.required and isinstance(table[name].series, pd.DataFrame)
    ]
    if doubled:
        raise InputError(f"{path}: the columns {', '.join(doubled)} stand twice, keep one of each")
    texts: dict[str, pa.Array] = {
        name: column.texts() for name, column in table.items() if isinstance(column.series, pd.Series)
    }
    flows = dialect.convert(texts)
    for reason, bad in flows.unusable.items():
        if bad.any():
            row = int(np.argmax(bad))
            names = [name for name in texts if reason.startswith(f"{name} ")]
            shown = f" ({names[-1]} is {texts[names[-1]][row].as_py()!r})" if names else ""
            raise InputError(
                f"{path}: row {row}: {reason}{shown}; correct or drop the {int(np.count_nonzero(bad))} rows of which "
                f"that is true"
            )
    return flows
