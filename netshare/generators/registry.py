"""The kinds of generators that there are: our own, and those of other installed distributions.

A kind of our own is a folder beside this module and a line in `BUILT_IN`. Another distribution adds one by an entry
point in the group `netshare.generators` whose object is a `GeneratorSpec`; in its `pyproject.toml`:

    [project.entry-points."netshare.generators"]
    mine = "my_package.spec:SPEC"

Entry points are loaded once, when a kind is first asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from netshare.generators.autoregressive.spec import SPEC as AUTOREGRESSIVE
from netshare.generators.doppelganger.spec import SPEC as DOPPELGANGER
from netshare.generators.spec import GeneratorSpec
from netshare.preprocess.encoded import Schema
from netshare.preprocess.errors import ConfigError

if TYPE_CHECKING:
    from netshare.generators.base import Generator

BUILT_IN = (AUTOREGRESSIVE, DOPPELGANGER)
GROUP = "netshare.generators"
RESERVED = "kind"  # the key beside the kinds' settings in a config


@dataclass(frozen=True)
class GeneratorChoice:
    """A kind of generator and its settings: what a training needs to know to build one. It can be sent to other
    machines, as JSON or pickled by Ray; they need the same distributions installed."""

    kind: str
    settings: BaseModel

    @property
    def spec(self) -> GeneratorSpec:
        """The declaration of the kind."""
        return spec_of(self.kind)

    def build(self, schema: Schema, *, device: str = "cpu") -> Generator:
        """The generator, untrained, for series of this schema.

        Raises:
            TrainingError: the settings do not fit the schema.
        """
        return self.spec.create(schema, self.settings, device=device)

    def updated(self, **values: Any) -> GeneratorChoice:
        """The same kind with other values of some settings."""
        return GeneratorChoice(self.kind, self.settings.model_copy(update=values))

    def to_json(self) -> dict[str, Any]:
        """The choice as JSON-able values, for files and fingerprints."""
        return {"kind": self.kind, "settings": self.settings.model_dump(mode="json")}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> GeneratorChoice:
        """The choice that `to_json` returned.

        Raises:
            ConfigError: no such kind is installed.
        """
        return GeneratorChoice(value["kind"], spec_of(value["kind"]).settings.model_validate(value["settings"]))


def kinds() -> tuple[str, ...]:
    """Names of all kinds: our own, then the others by name.

    Raises:
        ConfigError: an installed distribution declares a generator that cannot be used.
    """
    return tuple(_specs())


def spec_of(kind: str) -> GeneratorSpec:
    """The declaration of a kind.

    Raises:
        ConfigError: there is no such kind, or an installed distribution declares a generator that cannot be used.
    """
    specs = _specs()
    if kind not in specs:
        near = difflib.get_close_matches(kind, specs, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"choose of {', '.join(specs)}"
        raise ConfigError(f"{kind} is no kind of generator that is installed; {hint}")
    return specs[kind]


@cache
def _specs() -> dict[str, GeneratorSpec]:
    specs = {spec.kind: spec for spec in BUILT_IN}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        spec = _loaded(point)
        if spec.kind in specs or spec.kind == RESERVED or not spec.kind.isidentifier():
            why = "a kind of that name exists" if spec.kind in specs else "it needs a plain name of its own"
            raise ConfigError(
                f"{_source(point)} declares the generator {spec.kind!r}, but {why}; rename or uninstall it"
            )
        specs[spec.kind] = spec
    return specs


def _loaded(point: EntryPoint) -> GeneratorSpec:
    try:
        spec = point.load()
    except Exception as error:  # whatever a stranger's module raises
        found = (str(error).strip().splitlines() or [""])[0]
        raise ConfigError(
            f"{_source(point)}: its generator {point.name} ({point.value}) cannot be imported "
            f"({type(error).__name__}: {found}); repair or uninstall it"
        ) from error
    if not isinstance(spec, GeneratorSpec):
        raise ConfigError(
            f"{_source(point)}: its generator {point.name} ({point.value}) is a {type(spec).__name__}, not a "
            "GeneratorSpec; repair or uninstall it"
        )
    return spec


def _source(point: EntryPoint) -> str:
    return f"the distribution {point.dist.name}" if point.dist is not None else "an installed distribution"
