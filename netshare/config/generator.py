"""The section `generator` of a config: which model is trained, and the settings of every kind that is installed.

The keys beside `kind` are the registered kinds (`netshare.generators.registry`), each with the settings that its
`GeneratorSpec` declares; so a generator of another distribution is checked, documented and set like our own:

    {"generator": {"kind": "mine", "mine": {"order": 3}}}        --set generator.mine.order=3
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, create_model, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from netshare.generators.registry import GeneratorChoice, kinds, spec_of
from netshare.preprocess.errors import ConfigError


class GeneratorSection(BaseModel):
    """Which model learns each half of P(metadata) x P(measurements | metadata).

    The settings of a kind are the attribute of its name (`section.doppelganger`), whichever kind is chosen.
    """

    model_config = ConfigDict(extra="allow", frozen=True)  # what `extra` takes is checked below

    kind: str = "autoregressive"

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @field_validator("kind")
    @classmethod
    def _registered(cls, value: str) -> str:
        try:
            return spec_of(value).kind
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _settings_by_their_specs(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        settings = _settings_model().model_validate({key: item for key, item in value.items() if key != "kind"})
        return {**{key: item for key, item in value.items() if key == "kind"}, **dict(settings)}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        declared = handler.resolve_ref_schema(handler(_documented_model().__pydantic_core_schema__))
        return {**schema, "properties": declared["properties"], "additionalProperties": False}

    def choice(self) -> GeneratorChoice:
        """The chosen kind with its settings, as training takes it."""
        return GeneratorChoice(self.kind, getattr(self, self.kind))


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys of a section of the config and their declarations, those of installed generators included."""
    return _documented_model().model_fields if issubclass(model, GeneratorSection) else model.model_fields


@cache
def _settings_model() -> type[BaseModel]:
    declared: dict[str, Any] = {
        kind: (spec_of(kind).settings, Field(spec_of(kind).settings(), description=f"Settings of the {kind} kind."))
        for kind in kinds()
    }
    return create_model("GeneratorSettings", __config__=ConfigDict(extra="forbid"), **declared)


@cache
def _documented_model() -> type[BaseModel]:
    """The section as it is with the generators that are installed."""
    meaning = "; ".join(f"{kind}: {spec_of(kind).summary}" for kind in kinds()) + "."
    kind: dict[str, Any] = {"kind": (Literal[kinds()], Field("autoregressive", description=meaning))}
    return create_model("GeneratorSection", __base__=_settings_model(), __doc__=GeneratorSection.__doc__, **kind)
