"""What sections of the config have in common."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the config: unknown keys are refused, values are not changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _readable_prefixes(value: list[str]) -> list[str]:
    for text in value:
        try:
            ip_network(text, strict=False)
        except ValueError as error:
            raise ValueError(f"{error}; give one like 10.0.0.0/8") from None
    return value


Prefixes = Annotated[list[str], AfterValidator(_readable_prefixes)]
"""IP prefixes as texts, such as `10.0.0.0/8` or `2001:db8::/32`."""
