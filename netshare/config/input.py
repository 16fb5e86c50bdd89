"""The trace that a config's section `input` describes."""

from __future__ import annotations

from netshare.config.sections import InputSection
from netshare.preprocess import Trace, read_trace


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
