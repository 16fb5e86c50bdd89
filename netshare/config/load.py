"""From what a user gives to a checked config: `load_config` for runs on files, `default_config` for data in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from netshare.config.applicable import check_applicable
from netshare.config.explain import explain
from netshare.config.in_memory import check_preset, data_in_memory, preset_of
from netshare.config.input import read_input
from netshare.config.overrides import override
from netshare.config.presets import merge, read_preset
from netshare.config.privacy import SAMPLE
from netshare.config.private_runs import private_defaults
from netshare.config.schema import INPUT_PRESETS, Config, InputPreset, Preset
from netshare.config.sections import InputSection
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.readers.in_memory import TraceLike
from netshare.preprocess.timeseries import TimeSeries

PathLike = str | os.PathLike[str]
ConfigSource: TypeAlias = PathLike | Sequence[PathLike] | Mapping[str, Any] | Config | TraceLike | TimeSeries


def load_config(
    source: ConfigSource,
    overrides: Sequence[str] = (),
    *,
    work_dir: PathLike | None = None,
    all_generators: bool = False,
) -> Config:
    """A checked config, with its preset's values filled in and all file names absolute.

    Args:
        source: path of a JSON file; its content as a mapping; path or paths of traces, or data in memory (a trace, a data
            frame of packets or flow records, a `TimeSeries`), to be learnt with all defaults; or a `Config`, whose own
            values are kept. File names in a JSON file are relative to its folder, all others to the working directory. A
            mapping's `input` may be data in memory, too; the config then names no input.
        overrides: `section.key=value` texts; the value is JSON, or else taken as text.
        work_dir: the run folder, instead of `output.folder`.
        all_generators: whether settings of each kind of generator are allowed, not of `generator.kind` alone; for a
            comparison, which trains all of them.

    Raises:
        ConfigError: not JSON, an unknown key, a wrong type, a contradiction, a setting that does not apply to this kind
            of run, or no input.
        InputError: `preset` is not given and the input cannot be read to choose one.
    """
    data = data_in_memory(source)
    given = _given(source if data is None else _settings_beside(source))
    for text in overrides:
        override(given.raw, text)
    user = _validate(given.raw, given.name)
    if data is not None:
        check_preset(_named_preset(user.preset), data)
        folder = Path.cwd() / (work_dir or user.output.folder or given.folder)
        raw = merge(given.raw, {"output": {"folder": str(folder.resolve())}})
        return default_config([preset_of(data), *_generator_presets(user.preset)], raw, all_generators=all_generators)
    if not user.input.files:
        raise ConfigError(f"{given.name}: {_missing_input(given.raw)}")
    section = user.input.model_copy(update={"files": _absolute(user.input.files, given.base)})
    preset = _named_preset(user.preset) or _preset_for(section)
    folder = Path.cwd() / work_dir if work_dir is not None else given.base / (user.output.folder or given.folder)
    raw = merge(
        given.raw,
        {
            "input": section.model_dump(),
            "output": {"folder": str(folder.resolve())},
            **_absolute_names(user, given.base),
        },
    )
    return _checked(raw, user.preset, preset, given.name, all_generators=all_generators)


def default_config(
    preset: Preset | Sequence[Preset], values: Mapping[str, Any] | None = None, *, all_generators: bool = False
) -> Config:
    """A checked config without an input, for data that are in memory.

    Args:
        preset: what the data are, `pcap`, `netflow` or `timeseries`; or a list of that and a preset of the generator.
        values: what is to differ from the defaults, by section, as in a JSON file; names of files are relative to the
            working directory.
        all_generators: as `load_config` takes it.

    Raises:
        ConfigError: as `load_config` raises it, or `preset` does not say what the data are.
    """
    raw = {**_plain(values or {}), "preset": [preset] if isinstance(preset, str) else list(preset)}
    user = _validate(raw, "config")
    kind = _named_preset(user.preset)
    if kind is None:
        raise ConfigError(f"config: preset is {preset}: it should name one of {', '.join(INPUT_PRESETS)}")
    return _checked(
        merge(raw, _absolute_names(user, Path.cwd())), user.preset, kind, "config", all_generators=all_generators
    )


@dataclass(frozen=True)
class _Given:
    """What a user gave: its values, its name in messages, what file names are relative to, the run folder's name."""

    raw: dict[str, Any]
    name: str
    base: Path
    folder: str = "netshare-run"


def _given(source: ConfigSource) -> _Given:
    if isinstance(source, Config):
        return _Given(source.model_dump(mode="json", exclude_unset=True), "config", Path.cwd())
    if isinstance(source, Mapping):
        return _Given(_plain(source), "config", Path.cwd())
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if _is_config(path):
            return _Given(_read_json(path), str(path), path.resolve().parent, f"{path.stem}-run")
        return _Given({"input": str(path)}, "config", Path.cwd(), f"{path.name.split('.')[0]}-run")
    if isinstance(source, Sequence) and source and all(isinstance(name, str | os.PathLike) for name in source):
        return _Given({"input": [os.fspath(name) for name in source]}, "config", Path.cwd())
    raise ConfigError(
        f"config: found {type(source).__name__}: give a path, a mapping, a Config, a trace or a data frame"
    )


def _settings_beside(source: Any) -> Mapping[str, Any]:
    """What a source says beside the data in memory that it holds."""
    return {key: value for key, value in source.items() if key != "input"} if isinstance(source, Mapping) else {}


def _is_config(path: Path) -> bool:
    """Whether the file is a config rather than a trace: by its suffix, or else because it begins like a JSON object."""
    if path.suffix == ".json":
        return True
    if path.is_dir() or (not path.exists() and any(sign in str(path) for sign in "*?[")):
        return False
    try:
        with path.open("rb") as file:
            return file.read(256).lstrip()[:1] == b"{"
    except OSError:
        return True  # reading it as a config says what is wrong


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON holds them, paths as texts."""
    try:
        return json.loads(json.dumps(values, default=os.fspath))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"config: settings are JSON values and paths ({error}); data go to netshare.Synthesizer"
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `netshare init TRACE -o {path}` writes a starter config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a config ({error})") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: not valid JSON ({error.msg})") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: a config is a JSON object, found {type(value).__name__}")
    return value


def _missing_input(raw: Mapping[str, Any]) -> str:
    if "input" not in raw:
        return "input is missing"
    if isinstance(raw["input"], Mapping) and "files" not in raw["input"]:
        return "input.files is missing"
    return "input.files is []: name at least one trace"


def _generator_presets(preset: Preset | list[Preset] | None) -> list[Preset]:
    named = [preset] if isinstance(preset, str) else list(preset or ())
    return [one for one in named if one not in INPUT_PRESETS]


def _named_preset(preset: Preset | list[Preset] | None) -> InputPreset | None:
    named = [preset] if isinstance(preset, str) else list(preset or ())
    return next((one for one in INPUT_PRESETS if one in named), None)


def _preset_for(section: InputSection) -> InputPreset:
    try:
        return "pcap" if read_input(section, limit=1).kind == "packet" else "netflow"
    except InputError as error:
        raise InputError(f'{error}; if it is a table of other series, write "preset": "timeseries"') from None


def _absolute_names(user: Config, base: Path) -> dict[str, Any]:
    """The values that name files other than the input, with absolute names."""
    named: dict[str, Any] = {}
    if user.ip2vec.model is not None:
        named["ip2vec"] = {"model": str((base / user.ip2vec.model).resolve())}
    if (public := user.privacy.public) not in (None, SAMPLE):
        named["privacy"] = {"public": _absolute([public] if isinstance(public, str) else list(public or ()), base)}
    return named


def _absolute(names: Sequence[str], base: Path) -> list[str]:
    return [os.path.normpath(base / Path(name).expanduser()) for name in names]


def _checked(
    raw: dict[str, Any],
    presets: Preset | list[Preset] | None,
    preset: InputPreset,
    name: str,
    *,
    all_generators: bool,
) -> Config:
    """The config of the presets' values and, over them, the raw ones, whose settings apply to its kind of run."""
    values = read_preset(preset)
    of_generators = [
        one for one in ([presets] if isinstance(presets, str) else presets or ()) if one not in INPUT_PRESETS
    ]
    merged = values
    for one in of_generators:
        merged = merge(merged, read_preset(one))
    config = _validate({**merge(merged, raw), "preset": preset}, name)
    private = private_defaults(merge(values, {"privacy": config.privacy.model_dump()}))
    try:
        check_applicable(config, {**private, "privacy": {}}, all_generators=all_generators)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    return config


def _validate(raw: dict[str, Any], name: str) -> Config:
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{name}: " + "; ".join(explain(item) for item in error.errors()[:3])) from None
