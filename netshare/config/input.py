"""The trace, or the table of series, that the sections of a config describe."""

from __future__ import annotations

from typing import Any

from netshare.config.sections import InputSection
from netshare.config.series import SeriesSettings
from netshare.preprocess import Trace, read_trace
from netshare.preprocess.readers.contents import MAXIMUM_BYTES
from netshare.preprocess.timeseries import SeriesColumns, TimeSeries, read_series


def read_input(section: InputSection, *, limit: int | None = None) -> Trace:
    """The trace that the section describes, or its first `limit` records.

    Raises:
        InputError: it cannot be read.
    """
    return read_trace(
        section.files,
        limit=limit or section.limit,
        columns=section.columns,
        decapsulate=section.decapsulate,
        netflow_exports=section.netflow_exports,
        max_bytes=section.max_bytes,
    )


def read_table(
    files: Any,
    settings: SeriesSettings,
    *,
    limit: int | None = None,
    max_bytes: int = MAXIMUM_BYTES,
) -> TimeSeries:
    """The series that files, or a table in memory, hold; their columns are taken as the section `series` says. Arguments as
    in `read_series`.

    Raises:
        InputError: a file cannot be read.
        ConfigError: the settings contradict one another.
    """
    columns = SeriesColumns(settings.metadata, settings.measurements, settings.types, settings.ignore)
    return read_series(
        files,
        key=settings.key,
        order=settings.order,
        columns=columns,
        layout=settings.layout,
        limit=limit,
        max_bytes=max_bytes,
    )
