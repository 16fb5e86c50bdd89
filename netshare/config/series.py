"""Settings of runs on time series that are no traces; the line at each field is its documentation everywhere else."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from netshare.config.section import Section


class SeriesSettings(Section):
    """For the preset timeseries: which columns of a table make up series with metadata."""

    layout: Literal["long", "wide"] | None = Field(
        None, description="long: one row a record; wide: one row a series, records in numbered or list columns."
    )
    key: str | None = Field(None, description="Column that names a series; needed where a row is a record.")
    order: str | None = Field(None, description="Column that orders a series' records: numbers, dates or times.")
    metadata: list[str] | None = Field(
        None, description="Columns with one value a series; default: those that never change within one."
    )
    measurements: list[str] | None = Field(
        None, description="Columns with one value a record (wide: names before the numbers); default: the others."
    )
    types: dict[str, Literal["categorical", "integer", "continuous"]] = Field(
        {}, description="Column -> kind, where its content would say otherwise."
    )
    ignore: list[str] = Field([], description="Columns to leave out.")
    auto_normalize: bool | None = Field(
        None,
        description="Generate each series' range as metadata and its shape on one scale; default: for measurements "
        "whose level differs between series.",
    )
    fold: int | None = Field(
        None,
        ge=1,
        description="Records that one generated record stands for; default: a season of long series, 1 for "
        "doppelganger, which batches by itself (records_per_pass).",
    )
