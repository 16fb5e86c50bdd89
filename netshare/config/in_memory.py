"""Data in memory that a user gives in place of a config, or as the input of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netshare.config.input import read_table
from netshare.config.schema import InputPreset
from netshare.config.series import SeriesSettings
from netshare.preprocess.data import as_trace
from netshare.preprocess.errors import ConfigError
from netshare.preprocess.readers.in_memory import is_in_memory
from netshare.preprocess.timeseries import TimeSeries
from netshare.preprocess.trace import Kind, Trace

PRESET_OF_KIND: dict[Kind, InputPreset] = {"packet": "pcap", "flow": "netflow"}
TIME_SERIES: InputPreset = "timeseries"


def data_in_memory(source: Any) -> Trace | TimeSeries | None:
    """The data that a source holds itself; None where it only names files.

    Args:
        source: a trace, a pandas data frame, an Arrow table, a `TimeSeries`; or a mapping of settings whose `input` is one
            of these. A table is one of series where the settings say `"preset": "timeseries"`.

    Raises:
        InputError, ConfigError: a table holds neither packets nor flow records nor the series that the settings say.
    """
    settings = source if isinstance(source, Mapping) else {}
    given = settings.get("input") if isinstance(source, Mapping) else source
    if isinstance(given, TimeSeries) or given is None:
        return given
    if not is_in_memory(given):
        return None
    if settings.get("preset") == TIME_SERIES and not isinstance(given, Trace):
        return read_table(given, SeriesSettings.model_validate(settings.get("series", {})))
    return as_trace(given)


def preset_of(data: Trace | TimeSeries) -> InputPreset:
    """The preset for data of this kind."""
    return TIME_SERIES if isinstance(data, TimeSeries) else PRESET_OF_KIND[data.kind]


def check_preset(named: InputPreset | None, data: Trace | TimeSeries) -> InputPreset:
    """The preset for the data, if none other is named.

    Raises:
        ConfigError: another one is named.
    """
    found = preset_of(data)
    if named not in (None, found):
        raise ConfigError(f"preset is {named}, but the data are of {found}; drop preset or give other data")
    return found
