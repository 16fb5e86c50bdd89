"""`netshare convert` for series that are no traces: CSV, Parquet, long, wide, and the three arrays, each to each.

convert_series(["data_train.npz"], Path("series.csv"), form="long")
convert_series(["usage.csv"], Path("data_train.npz"), key="customer", order="day")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netshare.postprocess import WriteReport
from netshare.postprocess.writers.series import write_series
from netshare.preprocess.timeseries import read_series
from netshare.preprocess.timeseries.table import Form


def convert_series(
    inputs: Sequence[str],
    output: Path,
    *,
    key: str | None = None,
    order: str | None = None,
    form: Form | None = None,
    limit: int | None = None,
) -> WriteReport:
    """Read series and write them in another form.

    Args:
        inputs: files, patterns or folders, as `read_series` takes them.
        output: its suffix (.csv, .csv.gz, .parquet, .npz) says the file format.
        key, order: columns of the input, as `read_series` takes them.
        form: `long`, `wide` or `list` (Parquet); by default that of the input.
        limit: read no more rows than this.

    Returns:
        What was written, and line by line what was left out, filled in or renamed.

    Raises:
        InputError: the input cannot be read or the output not written.
        FieldError: the form cannot hold these series.
    """
    series = read_series(list(inputs), key=key, order=order, limit=limit)
    written = write_series(series, output, form=form)
    notes = list(series.notes)
    if series.layout.key is not None:
        notes.append(f"the names in {series.layout.key} are replaced by numbers")
    if written == "arrays":
        notes.append("numbers are scaled to [0, 1] in float32; the .fields.json beside says from which range")
    return WriteReport(path=output, format=f"{written} series", records=len(series), lossy=tuple(notes))
