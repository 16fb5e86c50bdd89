"""`netshare convert` for series that are no traces: CSV, Parquet, long, wide, and the three arrays, each to each.

convert_series(["data_train.npz"], Path("series.csv"), form="long")
convert_series(["usage.csv"], Path("data_train.npz"), key="customer", order="day")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from netshare.postprocess import WriteReport
from netshare.postprocess.writers.series import write_series
from netshare.preprocess.outputs import check_outputs
from netshare.preprocess.readers import list_files
from netshare.preprocess.timeseries import read_series
from netshare.preprocess.timeseries.table import Form
from netshare.preprocess.timeseries.three_arrays import descriptions_path


def convert_series(
    inputs: Sequence[str],
    output: Path,
    *,
    key: str | None = None,
    order: str | None = None,
    form: Form | None = None,
    limit: int | None = None,
    force: bool = False,
    announce: Callable[[str], None] | None = None,
) -> WriteReport:
    """Read series and write them in another form.

    Args:
        inputs: files, patterns or folders, as `read_series` takes them.
        output: its suffix (.csv, .csv.gz, .parquet, .npz) says the file format; beside arrays (.npz) a second file,
            `.fields.json`, describes them.
        key, order: columns of the input, as `read_series` takes them.
        form: `long`, `wide` or `list` (Parquet); by default that of the input.
        limit: read no more rows than this.
        force: replace the output where it exists; an input is never replaced.
        announce: takes, before anything is written, one line for each thing that is left out, filled in or renamed.

    Returns:
        What was written, and line by line what was left out, filled in or renamed.

    Raises:
        InputError: the input cannot be read, the output is an input or exists, or cannot be written.
        FieldError: the form cannot hold these series.
    """
    arrays = output.suffix == ".npz"
    files = list_files(inputs)
    beside = [descriptions_path(path) for path in files if path.suffix == ".npz"]
    outputs = [output, *([descriptions_path(output)] if arrays else [])]
    check_outputs(outputs, inputs=[*files, *beside], force=force)
    series = read_series(list(inputs), key=key, order=order, limit=limit)
    notes = list(series.notes)
    if series.layout.key is not None:
        notes.append(f"the names in {series.layout.key} are replaced by numbers")
    if arrays:
        notes.append("numbers are scaled to [0, 1] in float32; the .fields.json beside says from which range")
    for line in notes:
        if announce is not None:
            announce(line)
    check_outputs(outputs, inputs=[*files, *beside], force=force)  # reading may have taken long
    written = write_series(series, output, form=form, force=force)
    return WriteReport(path=output, format=f"{written} series", records=len(series), lossy=tuple(notes))
