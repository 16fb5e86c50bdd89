"""The configuration of a run: one JSON file, typed, every key documented where it is declared.

    {"input": "trace.pcap"}

is a whole config. Everything else has a default, given by the preset for the kind of trace (`configs/pcap.json`,
`configs/netflow.json`) or for any other series (`configs/timeseries.json`); the config's own values override the
preset's, and `--set section.key=value` overrides both.
Unknown keys are refused, with the nearest known name. File names in a config are relative to the config's folder.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from netshare.config.generator import GeneratorSection, keys_of
from netshare.config.privacy import SAMPLE, PrivacySettings, check_private, private_defaults
from netshare.config.series import SeriesSettings
from netshare.postprocess.writers.write import FORMATS
from netshare.preprocess import Trace, read_trace
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.readers.contents import MAXIMUM_BYTES

PRESETS = ("pcap", "netflow", "timeseries")
GENERATOR_PRESETS = ("doppelganger-paper",)  # on top of one of PRESETS
Preset = Literal["pcap", "netflow", "timeseries", "doppelganger-paper"]


class Section(BaseModel):
    """A part of the config: unknown keys are refused, values are not changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class InputSection(Section):
    """What to learn from."""

    files: list[str] = Field(min_length=1, description="Traces: files, folders or globs; all of one kind, merged.")
    limit: int | None = Field(None, ge=1, description="Read at most this many records, the first of the files.")
    columns: dict[str, str] | None = Field(
        None,
        description="For a CSV or Parquet of a layout of its own: our column -> theirs[:unit]; see docs/formats.md.",
    )
    decapsulate: bool = Field(False, description="Learn the packets inside tunnels instead of those outside.")
    netflow_exports: Literal["auto", True, False] = Field(
        "auto", description="A capture of NetFlow or IPFIX export packets is read as the flow records in them."
    )
    max_bytes: int = Field(MAXIMUM_BYTES, ge=1, description="Most bytes that a compressed file may unpack to.")

    @field_validator("files")
    @classmethod
    def _no_empty_names(cls, value: list[str]) -> list[str]:
        if not all(name.strip() for name in value):
            raise ValueError("a file name is empty; name a trace, or . for the config's own folder")
        return value


class OutputSection(Section):
    """Where the run folder is and what is written at its end."""

    folder: str | None = Field(None, description="Run folder; default: the config's name + '-run', beside the config.")
    formats: list[str] = Field(
        default=["pcap", "csv", "parquet"],
        description="Formats of the synthetic trace: pcap, pcapng, csv (the input's layout), parquet, netflow-v5, "
        "netflow-v9, ipfix, nfcapd, zeek-tsv ... NetFlow has no pcap (left out, refused if nothing else is asked); "
        "of series: csv, parquet, npz.",
    )

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, value: list[str]) -> list[str]:
        known = ("csv", *FORMATS, "npz")
        unknown = [name for name in value if name not in known]
        if unknown or not value:
            raise ValueError(f"{unknown[0] if unknown else 'an empty list'} is no format; choose of {', '.join(known)}")
        return value


class FieldsSection(Section):
    """Which fields are learnt and how each is encoded."""

    flow_key: Literal["unidirectional", "bidirectional"] | None = Field(
        None,
        description="A flow is one five-tuple, or the conversation of both directions; default: bidirectional for packets, "
        "unidirectional for flow records.",
    )
    encodings: dict[str, str | dict[str, Any]] = Field(
        default={}, description="Field name -> encoding, where the default of the generator is not wanted."
    )


class ChunksSection(Section):
    """How the trace is split in time."""

    count: int | None = Field(None, ge=1, description="Number of fixed-time chunks; default: by size, at most 10.")
    seconds: float | None = Field(None, gt=0, description="Duration of a chunk, instead of their number.")
    max_records_per_segment: int | None = Field(
        None,
        ge=1,
        description="Flows longer than this within a chunk are cut into tagged segments; default: 65,536, for "
        "doppelganger 200.",
    )


class IP2VecSection(Section):
    """The embedding of ports and protocols."""

    model: str | None = Field(
        None, description="Folder of an IP2Vec model trained on public data; default: the one that ships."
    )


class TrainingSection(Section):
    """How long and on what to train."""

    steps: int | None = Field(
        None,
        ge=1,
        description="Most optimisation steps of the seed model (first non-empty chunk); default: 4,000 for "
        "doppelganger, until the validation loss stops falling for autoregressive.",
    )
    finetune_steps: int | None = Field(
        None,
        ge=1,
        description="The same for every other chunk's model; default: 1,000, or until the loss stops falling.",
    )
    threads: int = Field(
        1, ge=1, description="CPU threads of one model's training; part of what makes a run repeatable."
    )
    device: str = Field("auto", description="cpu, cuda, cuda:N, or auto: cuda where there is one.")
    checkpoint_seconds: float = Field(60.0, gt=0, description="At most this much training is lost by a kill.")


class ClusterSection(Section):
    """Where training runs."""

    mode: Literal["auto", "inline", "ray"] = Field(
        "auto", description="inline: in this process; ray: one actor a chunk; auto: ray if several chunks and cores."
    )
    address: str | None = Field(None, description="Address of a Ray cluster (host:port); default: start one here.")
    cpus_per_model: float = Field(1, gt=0, description="CPUs that Ray reserves for a model.")
    gpus_per_model: float = Field(0, ge=0, description="GPUs (may be a fraction) that Ray reserves for a model.")
    max_restarts: int = Field(3, ge=0, description="How often a model's training is restarted from its checkpoint.")


class GenerateSection(Section):
    """How much to generate."""

    flows: int | None = Field(
        None, ge=1, description="Flows (distinct five-tuples), or series; default: as many as the input has."
    )
    threads: int | None = Field(
        None, ge=1, description="Threads that draw records; default: all cores. What is drawn does not depend on it."
    )
    avoid_real_flows: bool = Field(
        True, description="Make no five-tuple of the input, as long as the model draws enough others."
    )


class PostprocessSection(Section):
    """How decoded records become a valid trace."""

    repair: bool = Field(True, description="Repair what domain knowledge forbids; every repair is counted.")
    snaplen: int | None = Field(
        None, ge=64, description="Captured bytes a packet; default: whole packets with a deterministic payload."
    )


class AddressesSection(Section):
    """Where synthetic addresses go."""

    prefixes: list[str] = Field(
        [], description="Re-map addresses, prefix-preserving, into these prefixes (10.0.0.0/8, 2001:db8::/32)."
    )
    avoid_real: bool = Field(False, description="With prefixes: never emit an address of the input.")

    @field_validator("prefixes")
    @classmethod
    def _readable_prefixes(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                ip_network(text, strict=False)
            except ValueError as error:
                raise ValueError(f"{error}; give one like 10.0.0.0/8") from None
        return value


class EvaluateSection(Section):
    """How the result is judged."""

    enabled: bool = Field(True, description="Write report/report.json and report/report.html.")
    holdout: float = Field(
        0.2, ge=0, le=0.9, description="Share of flows held back from training, against which the result is measured."
    )


class Config(Section):
    """A whole run; see the module's docstring."""

    input: InputSection
    output: OutputSection = OutputSection()
    preset: Preset | list[Preset] | None = Field(
        None,
        description="Defaults to start from; default: by the input, if it is a trace. timeseries: any table of series. "
        "doppelganger-paper (alone, or in a list with another) sets the doppelganger generator as its paper has it.",
    )
    fields: FieldsSection = FieldsSection()
    series: SeriesSettings = SeriesSettings()
    chunks: ChunksSection = ChunksSection()
    ip2vec: IP2VecSection = IP2VecSection()
    generator: GeneratorSection = Field(default_factory=GeneratorSection)
    training: TrainingSection = TrainingSection()
    cluster: ClusterSection = ClusterSection()
    generate: GenerateSection = GenerateSection()
    postprocess: PostprocessSection = PostprocessSection()
    addresses: AddressesSection = AddressesSection()
    evaluate: EvaluateSection = EvaluateSection()
    privacy: PrivacySettings = PrivacySettings()
    seed: int = Field(0, ge=0, lt=2**31, description="Seeds everything random; the same seed repeats a run.")

    @field_validator("preset")
    @classmethod
    def _one_kind_of_input(cls, value: Any) -> Any:
        if isinstance(value, list) and sum(name in PRESETS for name in value) > 1:
            raise ValueError(f"only one of {', '.join(PRESETS)} can be the input's")
        return value

    @model_validator(mode="after")
    def _avoiding_needs_prefixes(self) -> Config:
        if self.addresses.avoid_real and not self.addresses.prefixes:
            raise ValueError("addresses.avoid_real needs addresses.prefixes to move the addresses into")
        return self

    @model_validator(mode="after")
    def _privacy_holds(self) -> Config:
        check_private(self)
        return self

    @model_validator(mode="before")
    @classmethod
    def _private_defaults(cls, value: Any) -> Any:
        return private_defaults(value)

    @model_validator(mode="before")
    @classmethod
    def _input_may_be_a_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("input"), str | list):
            names = value["input"]
            value = {**value, "input": {"files": [names] if isinstance(names, str) else names}}
        return value


def load_config(
    source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, work_dir: str | Path | None = None
) -> Config:
    """A checked config, with its preset's values filled in and all file names absolute.

    Args:
        source: path of a JSON file, or its content as a mapping (then names are relative to the working directory).
        overrides: `section.key=value` texts; the value is JSON, or else taken as text.
        work_dir: the run folder, instead of `output.folder`.

    Raises:
        ConfigError: not JSON, an unknown key, a wrong type, a contradiction.
        InputError: `preset` is not given and the input cannot be read to choose one.
    """
    if isinstance(source, Mapping):
        name, base, raw = "config", Path.cwd(), json.loads(json.dumps(source))
    else:
        path = Path(source)
        name, base, raw = str(source), path.resolve().parent, _read_json(path)
    for text in overrides:
        _set(raw, text)
    user = _validate(raw, name)
    folder = Path.cwd() / work_dir if work_dir is not None else None
    if folder is None:
        stem = Path(source).stem if not isinstance(source, Mapping) else "netshare"
        folder = base / (user.output.folder or f"{stem}-run")
    source_section = user.input.model_copy(update={"files": _absolute(user.input.files, base)})
    named = [user.preset] if isinstance(user.preset, str) else list(user.preset or ())
    preset = next((one for one in named if one in PRESETS), None) or _preset_for(source_section)
    merged = read_preset(preset)
    for one in named:
        if one in GENERATOR_PRESETS:
            merged = _merge(merged, read_preset(one))
    merged = _merge(merged, raw)
    merged["preset"] = preset
    merged["input"] = source_section.model_dump()
    merged["output"] = {**merged.get("output", {}), "folder": str(folder.resolve())}
    if user.ip2vec.model is not None:
        merged["ip2vec"] = {"model": str((base / user.ip2vec.model).resolve())}
    if (public := user.privacy.public) not in (None, SAMPLE):
        merged["privacy"]["public"] = _absolute([public] if isinstance(public, str) else list(public or ()), base)
    return _validate(merged, name)


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


def read_preset(name: str) -> dict[str, Any]:
    """The values of a preset, as in `configs/NAME.json`."""
    return json.loads((resources.files("netshare") / "presets" / f"{name}.json").read_text())


def config_schema() -> dict[str, Any]:
    """JSON Schema of a config, for editors."""
    return Config.model_json_schema()


def _preset_for(section: InputSection) -> str:
    try:
        return "pcap" if read_input(section, limit=1).kind == "packet" else "netflow"
    except InputError as error:
        raise InputError(f'{error}; if it is a table of other series, write "preset": "timeseries"') from None


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


def _set(raw: dict[str, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"--set {text}: write it as section.key=value, for instance training.steps=500")
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        parsed = value
    where = raw
    for part in parts[:-1]:
        inner = where.setdefault(part, {})
        if part == "input" and not isinstance(inner, dict):
            inner = where[part] = {"files": inner if isinstance(inner, list) else [inner]}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {text}: {part} is not a section")
        where = inner
    where[parts[-1]] = parsed


def _validate(raw: dict[str, Any], name: str) -> Config:
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{name}: " + "; ".join(_explain(item) for item in error.errors()[:3])) from None


def _explain(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _known_keys(item["loc"][:-1])
        near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return f"{where} is not a known key; {hint}"
    if item["type"] == "missing":
        return f"{where} is missing"
    if item["type"] == "value_error" and not where:  # a contradiction between sections, which names them itself
        return str(item["ctx"]["error"])
    found = json.dumps(item.get("input"), default=str)[:60]
    if item["type"] == "model_type":
        wanted = "a file name, a list of them, or an object" if where == "input" else "an object of settings"
        return f"{where} is {found}: it should be {wanted}"
    said = item["msg"].removeprefix("Value error, ")
    return f"{where} is {found}: {said[0].lower()}{said[1:]}"


def _known_keys(location: Sequence[Any]) -> list[str]:
    model: Any = Config
    for part in location:
        declared = keys_of(model).get(part) if _is_section(model) else None
        model = declared.annotation if declared is not None else None
    return list(keys_of(model)) if _is_section(model) else []


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _absolute(names: list[str], base: Path) -> list[str]:
    return [os.path.normpath(base / Path(name).expanduser()) for name in names]


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
