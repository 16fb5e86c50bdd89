"""The three arrays of the DoppelGANger authors' code, read from `data_train.npz`.

    data_feature    float[n, T, F]  measurements, each output after the other, padded behind a series' end
    data_attribute  float[n, A]     metadata likewise
    data_gen_flag   float[n, T]     1 where the series has a record, 0 behind its end

A discrete output takes `dim` columns (one-hot), a continuous one `dim` numbers in [0, 1] (ZERO_ONE) or [-1, 1]
(MINUSONE_ONE). Which outputs there are is said by a JSON file beside the arrays, `data_train.fields.json`:

    {"features": [{"name": "views", "type": "continuous", "dim": 1, "normalization": "ZERO_ONE"}],
     "attributes": [{"name": "domain", "type": "discrete", "dim": 2, "values": ["de", "en"]}]}

The authors keep this in a pickle file, which can run any code when loaded: it is never opened, and arrays of pickled
objects are refused. `name` and `values` are optional, and so are `minimum` and `maximum`
of a continuous output, the numbers that its range was scaled from, and `integer`: with them it is read in its own units.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from netshare.preprocess.errors import InputError
from netshare.preprocess.ragged import offsets_of
from netshare.preprocess.timeseries.table import ColumnKind, Layout, TimeSeries

ARRAYS = ("data_feature", "data_attribute", "data_gen_flag")
RANGES = {"ZERO_ONE": (0.0, 1.0), "MINUSONE_ONE": (-1.0, 1.0)}
_EXAMPLE = '{"features": [{"type": "continuous", "dim": 1, "normalization": "ZERO_ONE"}], "attributes": [...]}'


def descriptions_path(path: Path) -> Path:
    """Where the descriptions of the arrays in `path` are: `data_train.npz` -> `data_train.fields.json`."""
    return path.with_name(f"{path.stem}.fields.json")


def read_three_arrays(path: Path) -> TimeSeries:
    """Series from the three arrays and their descriptions.

    Raises:
        InputError: an array is missing, pickled, of another shape, or holds numbers that are not finite; or the
            descriptions are missing or do not fit the arrays.
    """
    feature, attribute, flags = _load(path)
    said = _descriptions(path)
    exists = flags > 0.5
    lengths = exists.sum(axis=1)
    if not np.array_equal(exists, np.arange(exists.shape[1]) < lengths[:, None]):
        row = int(np.flatnonzero((exists != (np.arange(exists.shape[1]) < lengths[:, None])).any(axis=1))[0])
        raise InputError(f"{path}: data_gen_flag of series {row} is 1 behind a 0; a series may end only once")
    some = np.flatnonzero(lengths)
    metadata, kinds, categories = _columns(attribute[some], said["attributes"], "attribute", path)
    values, more_kinds, more_categories = _columns(feature[some][exists[some]], said["features"], "feature", path)
    notes = [f"{len(lengths) - len(some):,} series without a record are left out"] if len(some) < len(lengths) else []
    return TimeSeries(
        metadata,
        values,
        offsets_of(lengths[some]),
        kinds | more_kinds,
        categories | more_categories,
        Layout(form="arrays", file_format="npz", descriptions=said),
        tuple(notes),
    )


def _load(path: Path) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in ARRAYS if name not in archive]
            if missing:
                raise InputError(f"{path}: no array {missing[0]} in it; it needs {', '.join(ARRAYS)}")
            arrays = [archive[name] for name in ARRAYS]
    except ValueError as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise InputError(
                f"{path}: holds pickled Python objects, which are never loaded; save the arrays as float32"
            ) from None
        raise InputError(f"{path}: not a whole npz archive ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except Exception as error:  # zipfile's BadZipFile and zlib's errors have no common base
        raise InputError(f"{path}: not a whole npz archive ({error})") from None
    for name, array, axes in zip(ARRAYS, arrays, (3, 2, 2), strict=True):
        if array.dtype.kind not in "fiub" or array.ndim != axes:
            raise InputError(f"{path}: {name} is {array.dtype}{list(array.shape)}, expected numbers with {axes} axes")
        if not bool(np.isfinite(array).all()):
            raise InputError(f"{path}: {name} holds NaN or infinity; fill them in first")
    feature, attribute, flags = arrays
    if len(attribute) != len(feature) or flags.shape != feature.shape[:2]:
        raise InputError(
            f"{path}: data_feature {list(feature.shape)}, data_attribute {list(attribute.shape)} and data_gen_flag "
            f"{list(flags.shape)} do not go together"
        )
    return arrays


def _descriptions(path: Path) -> dict[str, Any]:
    beside = descriptions_path(path)
    try:
        said = json.loads(beside.read_text())
    except FileNotFoundError:
        raise InputError(
            f"{path}: what its columns mean must stand in {beside.name} beside it, as {_EXAMPLE}; pickle files are not read"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{beside}: cannot be read as JSON ({error})") from None
    if not isinstance(said, dict) or not all(isinstance(said.get(part), list) for part in ("features", "attributes")):
        raise InputError(f"{beside}: expected {_EXAMPLE}")
    for part in ("features", "attributes"):
        for i, output in enumerate(said[part]):
            _check_output(output, f"{beside}: {part}[{i}]")
    return said


def _check_output(output: Any, where: str) -> None:
    if not isinstance(output, dict) or output.get("type") not in ("discrete", "continuous"):
        raise InputError(f'{where}: "type" must be "discrete" or "continuous"')
    dim = output.get("dim")
    if not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
        raise InputError(f'{where}: "dim" is {dim!r}, give the number of its columns')
    if output["type"] == "continuous" and output.get("normalization") not in RANGES:
        raise InputError(
            f'{where}: "normalization" is {output.get("normalization")!r}, give one of {", ".join(RANGES)}'
        )
    bounds = [output[name] for name in ("minimum", "maximum") if name in output]
    if len(bounds) == 1 or not all(isinstance(bound, int | float) for bound in bounds):
        raise InputError(f'{where}: "minimum" and "maximum" must both be numbers, or both be left out')
    values = output.get("values")
    if values is not None and (not isinstance(values, list) or len(values) != dim):
        raise InputError(f'{where}: "values" must list its {dim} categories')


def _columns(
    array: np.ndarray, outputs: list[dict[str, Any]], what: str, path: Path
) -> tuple[dict[str, np.ndarray], dict[str, ColumnKind], dict[str, tuple[str, ...]]]:
    width = sum(output["dim"] for output in outputs)
    if width != array.shape[1]:
        raise InputError(f"{path}: data_{what} has {array.shape[1]} columns, its description {width}")
    columns: dict[str, np.ndarray] = {}
    kinds: dict[str, ColumnKind] = {}
    categories: dict[str, tuple[str, ...]] = {}
    start = 0
    for i, output in enumerate(outputs):
        dim, name = output["dim"], str(output.get("name", f"{what}{i}"))
        part, start = array[:, start : start + dim], start + dim
        if output["type"] == "discrete":
            columns[name], kinds[name] = part.argmax(axis=1).astype(np.int32), "categorical"
            categories[name] = tuple(str(value) for value in output.get("values", range(dim)))
            continue
        low, high = RANGES[output["normalization"]]
        if len(part) and (part.min() < low - 1e-4 or part.max() > high + 1e-4):
            worst = part.min() if part.min() < low - 1e-4 else part.max()
            raise InputError(f"{path}: {what} {name} holds {worst:g}, outside {low:g} to {high:g}")
        for k, each in enumerate(output_columns(output, what, i)):
            numbers = np.clip(part[:, k].astype(np.float64), low, high)
            if "minimum" in output:
                numbers = (numbers - low) / (high - low) * (output["maximum"] - output["minimum"]) + output["minimum"]
            whole = output.get("integer") is True
            columns[each], kinds[each] = (
                (np.rint(numbers).astype(np.int64), "integer") if whole else (numbers, "continuous")
            )
    return columns, kinds, categories


def output_columns(output: dict[str, Any], what: str, position: int) -> list[str]:
    """The columns that an output becomes: one, or `name.0`, `name.1` ... for a continuous one of several numbers."""
    name = str(output.get("name", f"{what}{position}"))
    if output["type"] == "discrete" or output["dim"] == 1:
        return [name]
    return [f"{name}.{k}" for k in range(output["dim"])]
