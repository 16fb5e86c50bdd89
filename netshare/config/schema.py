"""The configuration of a run: one JSON file, typed, every key documented where it is declared.

    {"input": "trace.pcap"}

is a whole config. Everything else has a default, given by the preset for the kind of trace (`configs/pcap.json`,
`configs/netflow.json`) or for any other series (`configs/timeseries.json`); the config's own values override the
preset's, and `--set section.key=value` overrides both.
Unknown keys are refused, with the nearest known name, and so are settings that do not apply to the kind of run
(`netshare.config.applicable`). File names in a config are relative to the config's folder.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator

from netshare.config.generator import GeneratorSection
from netshare.config.privacy import PrivacySettings
from netshare.config.private_runs import check_private, private_defaults
from netshare.config.section import Section
from netshare.config.sections import (
    AddressesSection,
    ChunksSection,
    ClusterSection,
    EvaluateSection,
    FieldsSection,
    GenerateSection,
    InputSection,
    IP2VecSection,
    OutputSection,
    PostprocessSection,
    TrainingSection,
)
from netshare.config.series import SeriesSettings
from netshare.preprocess.columns import Kind

InputPreset = Literal["pcap", "netflow", "timeseries"]
"""What the input holds: packets, flow records, or a table of other time series."""
Preset = Literal[InputPreset, "doppelganger-paper"]
"""An `InputPreset`, or a preset of the generator, which comes on top of one."""
INPUT_PRESETS: tuple[InputPreset, ...] = get_args(InputPreset)


class Config(Section):
    """A whole run; see the module's docstring. `load_config` makes one from a file or a mapping."""

    model_config = ConfigDict(json_schema_extra={"required": ["input"]})

    input: InputSection = InputSection()
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
    generator: GeneratorSection = GeneratorSection()
    training: TrainingSection = TrainingSection()
    cluster: ClusterSection = ClusterSection()
    generate: GenerateSection = GenerateSection()
    postprocess: PostprocessSection = PostprocessSection()
    addresses: AddressesSection = AddressesSection()
    evaluate: EvaluateSection = EvaluateSection()
    privacy: PrivacySettings = PrivacySettings()
    seed: int = Field(0, ge=0, lt=2**31, description="Seeds everything random; the same seed repeats a run.")

    @property
    def trace_kind(self) -> Kind:
        """What the records of the config's trace are; meaningless for time series."""
        return "packet" if self.preset == "pcap" else "flow"

    @field_validator("preset")
    @classmethod
    def _one_kind_of_input(cls, value: Any) -> Any:
        if isinstance(value, list) and sum(name in INPUT_PRESETS for name in value) > 1:
            raise ValueError(f"only one of {', '.join(INPUT_PRESETS)} can be the input's")
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


def config_schema() -> dict[str, Any]:
    """JSON Schema of a config, for editors."""
    return Config.model_json_schema()
