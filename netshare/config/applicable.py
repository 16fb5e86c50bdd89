"""Which keys of a config have a meaning in which kind of run; settings that have none are refused by name.

`CONDITIONS` is the one declaration: a key, or a section for all keys within it, and what a run must be for it. A key
obeys its own conditions and those of every section around it. A value that is the default, or that the run's preset
sets, is never refused: it asks for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from netshare.config.generator import keys_of
from netshare.config.schema import Config
from netshare.config.sections import SERIES_FORMATS
from netshare.postprocess.writers.write import FORMATS, kinds_of
from netshare.preprocess.errors import ConfigError

KeyPath = tuple[str, ...]  # ("cluster", "mode") for cluster.mode
_ABSENT = object()


@dataclass(frozen=True)
class Condition:
    """What a run must be for a setting to have a meaning.

    Attributes:
        holds: whether a config describes such a run.
        found: what it describes otherwise, such as `preset is pcap`.
        belongs_to: which runs the setting is for, such as `tables of time series`.
        instead: what to do beside dropping the setting; empty where there is nothing else.
    """

    holds: Callable[[Config], bool]
    found: Callable[[Config], str]
    belongs_to: str
    instead: str = ""


def _preset(config: Config) -> str:
    return f"preset is {config.preset}"


@cache
def _only_generator(kind: str) -> Condition:
    return Condition(
        lambda config: config.generator.kind == kind,
        lambda config: f"generator.kind is {config.generator.kind}",
        f"the {kind} generator",
        f"set generator.kind to {kind}",
    )


TRACES = Condition(lambda config: config.preset != "timeseries", _preset, "traces of packets or flow records")
PACKETS = Condition(lambda config: config.preset == "pcap", _preset, "traces of packets")
SERIES = Condition(
    lambda config: config.preset == "timeseries", _preset, "tables of time series", "set preset to timeseries"
)
RAY = Condition(
    lambda config: config.cluster.mode != "inline",
    lambda _: "cluster.mode is inline",
    "training on Ray",
    "set cluster.mode to auto or ray",
)
PRIVATE = Condition(
    lambda config: config.privacy.enabled,
    lambda _: "privacy.epsilon is missing, so nothing would be private",
    "private runs",
    "set privacy.epsilon",
)
GRADIENTS = Condition(
    lambda config: config.privacy.method == "gradients",
    lambda config: f"privacy.method is {config.privacy.method}",
    "private training by gradients",
    "set privacy.method to gradients",
)
HOSTS = Condition(
    lambda config: config.privacy.unit == "host",
    lambda config: f"privacy.unit is {config.privacy.unit}",
    "privacy of hosts",
    "set privacy.unit to host",
)
OTHER_SEGMENTS = Condition(
    lambda config: not (config.privacy.enabled and config.privacy.method == "gradients"),
    lambda _: "privacy.method is gradients",
    "runs that cut long flows into segments",
    "set privacy.bounds.max_records",
)
OWN_IP2VEC = Condition(
    lambda config: config.ip2vec.model is not None,
    lambda _: "ip2vec.model is not set",
    "an IP2Vec model of one's own",
    "set ip2vec.model",
)

CONDITIONS: dict[str, tuple[Condition, ...]] = {
    "input": (),
    "input.columns": (TRACES,),
    "input.decapsulate": (PACKETS,),
    "input.netflow_exports": (TRACES,),
    "output": (),  # its formats: see `_check_formats`
    "preset": (),
    "fields": (),
    "fields.flow_key": (TRACES,),
    "series": (SERIES,),
    "chunks": (TRACES,),
    "chunks.max_records_per_segment": (OTHER_SEGMENTS,),
    "ip2vec": (TRACES,),
    "generator.kind": (),
    "training": (),
    "training.finetune_steps": (TRACES,),  # a table of series is one chunk
    "cluster": (),
    **{f"cluster.{key}": (RAY,) for key in ("address", "cpus_per_model", "gpus_per_model", "max_restarts")},
    "generate": (),
    "generate.avoid_real_flows": (TRACES,),
    "postprocess": (TRACES,),
    "postprocess.snaplen": (PACKETS,),
    "addresses": (TRACES,),
    "evaluate": (),
    "privacy": (TRACES, PRIVATE),
    **{
        f"privacy.{key}": (GRADIENTS,)
        for key in ("clip_norm", "batch", "max_chunks_per_unit", "counts_share")
    },
    "privacy.max_flows_per_unit": (HOSTS,),
    "privacy.bounds.hosts": (HOSTS,),
    "privacy.public_ip2vec": (OWN_IP2VEC,),
    "seed": (),
}  # fmt: skip


def conditions_of(path: KeyPath) -> tuple[Condition, ...]:
    """What a run must be for the key to have a meaning, the outermost condition first.

    Raises:
        KeyError: neither the key nor a section around it stands in `CONDITIONS`.
    """
    if path[0] == "generator" and path[1:2] != ("kind",):  # settings of a kind, which may be installed at any time
        return (_only_generator(path[1]),)
    declared = [CONDITIONS.get(".".join(path[:depth])) for depth in range(1, len(path) + 1)]
    found = [conditions for conditions in declared if conditions is not None]
    if not found:
        raise KeyError(".".join(path))
    return tuple(condition for conditions in found for condition in conditions)


def leaves(section: BaseModel, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every key of a section that is no section itself, with its value."""
    for name in keys_of(type(section)):
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def check_applicable(config: Config, preset: Mapping[str, Any], *, all_generators: bool = False) -> None:
    """Refuse settings that have no meaning in the run that the config describes.

    Args:
        config: with its `preset` filled in.
        preset: the values that presets, not the user, have set.
        all_generators: whether settings of other generators than the chosen one have a meaning, because all are trained.

    Raises:
        ConfigError: one line that names the keys, the kind of run, and what to do.
    """
    defaults = dict(leaves(Config()))
    refused: dict[Condition, list[tuple[KeyPath, Any]]] = {}
    for path, value in leaves(config):
        if value == defaults[path] or value == _value_at(preset, path):
            continue
        if path[0] == "generator" and all_generators:
            continue
        broken = next((condition for condition in conditions_of(path) if not condition.holds(config)), None)
        if broken is not None:
            refused.setdefault(broken, []).append((path, value))
    for condition, settings in refused.items():
        raise ConfigError(_refusal(condition, settings, config))
    _check_formats(config, defaults[("output", "formats")])


def _refusal(condition: Condition, settings: list[tuple[KeyPath, Any]], config: Config) -> str:
    (path, value), others = settings[0], settings[1:]
    what = f"{'.'.join(path)} is {json.dumps(value, default=str)[:60]}"
    it = "it"
    if others:
        named = [".".join(path) for path, _ in settings[:3]]
        more = f" and {len(settings) - 3} more" if len(settings) > 3 else ""
        what, it = f"{', '.join(named)}{more} are set", "them"
    instead = f", or {condition.instead}" if condition.instead else ""
    return f"{what}, but {condition.found(config)}: only for {condition.belongs_to}; drop {it}{instead}"


def _check_formats(config: Config, default: list[str]) -> None:
    asked = config.output.formats
    known: tuple[str, ...]
    if config.preset == "timeseries":
        known, why = SERIES_FORMATS, "series are not written so"
    elif config.preset == "netflow":
        if asked == default:  # serves both kinds of traces: what holds packets only is left out
            return
        known = ("csv", *(name for name in FORMATS if "flow" in kinds_of(name)))
        why = "flow records hold no packets"
    else:
        known, why = ("csv", *FORMATS), "traces are not written so"
    for name in asked:
        if name not in known:
            raise ConfigError(
                f"output.formats has {name}, but preset is {config.preset}: {why}; choose of {', '.join(known)}"
            )


def _value_at(raw: Mapping[str, Any], path: KeyPath) -> Any:
    where: Any = raw
    for name in path:
        if not isinstance(where, Mapping) or name not in where:
            return _ABSENT
        where = where[name]
    return where
